# SPDX-License-Identifier: BSD-2-Clause
"""``pair:`` backends and `make_pair`: the two ends of a cable inside one process.

``pair:NAME`` is one end; who opens the same name next gets the other. They are what tests, examples and the
first try of anything run on: no privilege, no device, every offload.
"""

import errno
import os
import threading
import weakref

from netbe._native import ffi, lib
from netbe.backend import MAX_FRAME
from netbe.errors import BadNameError, NetbeError
from netbe.features import Features
from netbe.hooks import hookimpl
from netbe.names import Name
from netbe.native import Port, held
from netbe.options import Integer, Option, Size
from netbe.portbackend import PortBackend
from netbe.spec import BackendSpec

DEFAULT_ROOM = 1 << 18
"""Bytes in flight in each direction (256 KiB: it stays in a processor's second-level cache)."""


MOST_ROOM = 1 << 40
"""The most there may be (1 TiB)."""


class PairEnd(PortBackend):
    """One end of an in-process cable. What one end sends the other receives; it never reorders or loses."""

    capabilities = Features.offloads()
    device_hdr_len = 12


def make_pair(
    name: str = "pair", *, room: int = DEFAULT_ROOM, max_frame: int = MAX_FRAME
) -> tuple[PairEnd, PairEnd]:
    """Two backends that are each other's other side.

    `room` is how many bytes may be in flight in each direction (rounded up to a power of two that holds two
    of the longest frames); `max_frame` the longest frame without segmentation, in bytes.
    """
    a, b = _make_ports(room, max_frame)
    return PairEnd(f"{name}/a", [a]), PairEnd(f"{name}/b", [b])


def _make_ports(room: int, max_frame: int) -> tuple[Port, Port]:
    ends = ffi.new("struct netbe_port *[2]")
    result = lib.nb_ring_pair_new(room, max_frame, ffi.NULL, ends, ends + 1)
    if -result in (errno.EMFILE, errno.ENFILE):
        raise NetbeError(
            "no descriptors are left for a cable",
            errno=-result,
            hint="close backends that are not in use, or allow more (ulimit -n)",
        )
    if result < 0:
        raise NetbeError(
            f"no memory for a cable with room for {room} bytes each way, for frames of {max_frame}",
            errno=-result,
            hint=f"ask for less room; without room= it is {DEFAULT_ROOM >> 10}K",
        )
    return _adopt(ends[0]), _adopt(ends[1])


def _adopt(port: object) -> Port:
    size = ffi.new("size_t *")
    return Port(
        int(ffi.cast("uintptr_t", port)),
        free=lambda: lib.nb_ring_port_free(port),
        tx_memory=held(lib.nb_ring_memory(port, 0, size), size),
        rx_memory=held(lib.nb_ring_memory(port, 1, size), size),
    )


class _Waiting:
    """The ends that were made and not opened yet, by name; opening the second end takes it out."""

    def __init__(self) -> None:
        # Taken again by the same thread when an end is collected, and so closed, in the middle of open().
        self._lock = threading.RLock()
        # The end that was opened is its user's: one that nobody holds any more shall be collected.
        self._other: dict[str, tuple[Port, weakref.ref[PairEnd]]] = {}
        os.register_at_fork(after_in_child=self._drop_all)

    def _drop_all(self) -> None:
        """The cables are the parent's: in a forked child, the same name begins a new one."""
        self._lock = threading.RLock()
        for port, _ in self._other.values():
            port.close()
        self._other.clear()

    def open(self, name: Name, *, room: int, max_frame: int) -> PairEnd:
        key = name.rest.removeprefix(":")
        if not key or (not name.explicit and not name.rest.startswith(":")):
            raise BadNameError(
                f"{name.text!r} names no cable", hint="write pair:NAME, with the same NAME for both ends"
            )
        with self._lock:
            waiting = self._other.pop(key, None)
            if waiting is not None:
                port, first = waiting[0], waiting[1]()
                if first is not None and not first.closed:
                    return PairEnd(name.text, [port])
                port.close()  # the first end came and went; begin anew
            a, b = _make_ports(room, max_frame)
            end = PairEnd(name.text, [a])
            self._other[key] = (b, weakref.ref(end))
            end._on_close.append(lambda _: self._forget(key, b))  # noqa: SLF001 - of this package
            return end

    def _forget(self, key: str, port: Port) -> None:
        with self._lock:
            waiting = self._other.get(key)
            if waiting is not None and waiting[0] is port:
                del self._other[key]
                port.close()


_waiting = _Waiting()


class _Plugin:
    """What the entry point ``pair`` names."""

    @hookimpl
    def netbe_backends(self) -> list[BackendSpec]:
        """Describe ``pair:``."""
        return [
            BackendSpec(
                "pair",
                _waiting.open,
                "one end of an in-process cable; the next to open the same name gets the other",
                (
                    Option(
                        "room",
                        Size(high=MOST_ROOM),
                        "bytes in flight in each direction",
                        default=DEFAULT_ROOM,
                    ),
                    Option("max_frame", Integer(60, MAX_FRAME), "longest frame, bytes", default=MAX_FRAME),
                ),
            )
        ]


plugin = _Plugin()
