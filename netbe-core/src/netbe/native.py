# SPDX-License-Identifier: BSD-2-Clause
"""`Port`: a native port (``struct netbe_port`` of netbe.h) as Python holds it."""

import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING

from netbe._native import ffi, lib
from netbe.errors import NotSupportedError
from netbe.features import Features
from netbe.stats import DropReason, Stats

if TYPE_CHECKING:
    from netbe._native import CData

ABI = 0
"""The ``NETBE_ABI`` that this core speaks."""

_POLLOUT = 0x004


class Memory:
    """Bytes that views are given of, and where they are in C."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        # No more than the address: while something holds the buffer of a memoryview, the garbage collector of
        # CPython below 3.13 crashes over a cycle that both are part of (gh-77894).
        self.address = int(ffi.cast("uintptr_t", ffi.from_buffer(view)))
        self.base: CData = ffi.cast("char *", self.address)
        self.size = len(view)


class Port:
    """One queue pair in C: its address, and what keeps it alive.

    Whoever drives it in C holds this object; whoever made it frees it in `close`.
    """

    def __init__(
        self,
        address: int,
        *,
        owner: object = None,
        free: Callable[[], object] | None = None,
        tx_memory: memoryview | None = None,
        rx_memory: memoryview | None = None,
    ) -> None:
        """Take in the port at `address`.

        `owner` is kept alive as long as this object; `free` is called by `close`, once. `tx_memory` and
        `rx_memory` are all the memory, in bytes, that its slots and its lent frames can lie in. Slices of
        them are given to users and outlive `close`: what they are views of must free it when the last is gone.
        Without them there is no `PortBackend.reserve` or `PortBackend.lend`.

        Raises:
            NotSupportedError: the port was made for another ABI, or lacks an operation that every port has.
        """
        self.address = address
        self.owner = owner
        self._free = free
        self.tx_memory = None if tx_memory is None else Memory(tx_memory)
        self.rx_memory = None if rx_memory is None else Memory(rx_memory.toreadonly())
        self._port: CData = ffi.cast("struct netbe_port *", address)
        if lib.nb_port_adopt(self._port) != 0:
            raise NotSupportedError(
                f"a native port of ABI {self._port.abi} does not fit this core, which speaks {ABI}",
                hint="upgrade the backend's distribution, or netbe-core",
            )

    @property
    def features(self) -> Features:
        """CSUM and HOST_*: what it takes now. GUEST_*: what it may hand out."""
        return Features(self._port.features[0])

    @features.setter
    def features(self, features: Features) -> None:
        self._port.features[0] = int(features)

    @property
    def rx_fd(self) -> int:
        """The descriptor to poll for frames; -1 when there is none."""
        return int(self._port.rx_wait.fd)

    @property
    def tx_wait(self) -> tuple[int, int] | None:
        """The descriptor and the `selectors` event that tell of room; None when there is none."""
        wait = self._port.tx_wait
        if wait.fd < 0:
            return None
        return int(wait.fd), selectors.EVENT_WRITE if wait.events & _POLLOUT else selectors.EVENT_READ

    @property
    def link_up(self) -> bool:
        """Whether the other side is there."""
        return bool(lib.nb_port_link_up(self._port))

    @property
    def stats(self) -> Stats:
        """The port's counters now."""
        return stats_of(self._port.stats)

    def close(self) -> None:
        """Free it; nobody may drive it any more. May be called again."""
        self.tx_memory = self.rx_memory = None
        free, self._free = self._free, None
        if free is not None:
            free()


def held(memory: "CData", size: "CData") -> memoryview:
    """Memory that C holds for us (memory.h), of ``size[0]`` bytes; let go when the last view of it is gone."""
    return memoryview(ffi.buffer(ffi.gc(memory, lib.nb_memory_drop), size[0]))


def services() -> int:
    """The address of core's table of functions (``struct netbe_services`` of netbe.h), for a backend's own C."""
    return int(lib.nb_services_address())


def stats_of(raw: "CData") -> Stats:
    """A ``struct netbe_port_stats`` as `Stats`."""
    return Stats(
        raw.rx_frames,
        raw.rx_bytes,
        raw.tx_frames,
        raw.tx_bytes,
        {reason: raw.rx_dropped[i] for i, reason in enumerate(DropReason) if raw.rx_dropped[i]},
        {reason: raw.tx_dropped[i] for i, reason in enumerate(DropReason) if raw.tx_dropped[i]},
    )
