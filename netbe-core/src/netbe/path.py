# SPDX-License-Identifier: BSD-2-Clause
"""What a `Backend` asks of the way that its frames take: in Python (`software`) or over a port (`portbackend`)."""

from typing import Protocol

from netbe.iov import Buffers
from netbe.stats import Stats


class Path(Protocol):
    """The frames' way. The backend's locks are held around every call, except `pending` and `stats`."""

    @property
    def pending(self) -> bool:
        """Whether a frame is held in user space."""
        ...

    def stats(self) -> Stats:
        """The counters now."""
        ...

    def agreed(self) -> None:
        """The backend's `features` and `vnet_hdr_len` have changed."""
        ...

    def send(self, iov: Buffers) -> int:
        """`Backend.send`."""
        ...

    def head(self) -> bytes | None:
        """The next frame, which stays until `take`; None when there is none."""
        ...

    def take(self, *, discard: bool = False) -> None:
        """Take the frame that `head` gave; count it as received or as dropped."""
        ...

    def close(self) -> None:
        """Free what the way has. Called once."""
        ...
