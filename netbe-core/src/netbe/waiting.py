# SPDX-License-Identifier: BSD-2-Clause
"""`Backend.wait`: sleep until a frame is there, the time is up, or another thread closes the backend."""

import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netbe.backend import Backend

_PAUSE = 0.005
"""Seconds between two looks at a backend that has no descriptor."""


def wait_readable(backend: "Backend", timeout: float | None) -> bool:
    """The whole of `Backend.wait`; see there."""
    deadline = None if timeout is None else time.monotonic() + timeout
    with backend._waker() as waker:  # noqa: SLF001 - of this package
        while True:
            if backend.peek_recvlen():
                return True
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if left == 0:
                return False
            fd = backend.fileno()
            if fd < 0:
                left = _PAUSE if left is None else min(left, _PAUSE)
            poll = select.poll()
            poll.register(waker, select.POLLIN)
            if fd >= 0:
                poll.register(fd, select.POLLIN)
            poll.poll(None if left is None else left * 1000)
            backend._check()  # noqa: SLF001 - of this package: closed meanwhile?
