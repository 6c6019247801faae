# SPDX-License-Identifier: BSD-2-Clause
"""A mock of netmap's kernel module, for tests of what is around it. It is not the module.

It plays what `netbe_netmap.kernel.System` does: REGISTER, PORT_HDR_GET and PORT_HDR_SET, a region laid out as
the module's, and syncs that loop each tx ring to its own rx ring. Whether the real module does the same is
checked against a real one, apart from these tests.
"""

import errno
import os
import struct
from typing import TYPE_CHECKING, Any

from netbe_netmap._native import ffi, lib
from netbe_netmap.kernel import System

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 8
BUF_SIZE = 2048
OFFSET = 64
"""Of the netmap_if: a pipe's need not be 0."""
RING_BYTES = 256 + SLOTS * 16
TXSYNC = 0x94


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Region:
    """One mapped region, with rings that loop back."""

    def __init__(self, rings: int, host_rings: int, *, host_entries: bool) -> None:
        total = rings + host_rings
        self.count = total
        entries = 2 * (rings + host_rings)
        first_ring = (OFFSET + 56 + 8 * entries + 255) // 256 * 256
        self.buffers = (first_ring + 2 * total * RING_BYTES + BUF_SIZE - 1) // BUF_SIZE * BUF_SIZE
        self.size = self.buffers + (2 + 2 * total * SLOTS) * BUF_SIZE
        self.memory = ffi.new("uint8_t[]", self.size)
        self.view = ffi.buffer(self.memory)
        self.put(OFFSET, "<16sIIIIIII", b"mock\0garbage", 14, 0, rings, rings, 0, host_rings, host_rings)
        self.tx = [first_ring + i * RING_BYTES for i in range(total)]
        self.rx = [first_ring + (total + i) * RING_BYTES for i in range(total)]
        for i, ring in enumerate((*self.tx, *self.rx)):
            is_host = i % total >= rings
            offset = 0 if is_host and not host_entries else ring - OFFSET
            self.put(OFFSET + 56 + 8 * i, "<q", offset)
            is_tx = i < total
            self.put(ring, "<qIIHH", self.buffers - ring, SLOTS, BUF_SIZE, i % total, int(is_tx))
            self.put(ring + 28, "<I", SLOTS - 1 if is_tx else 0)
            for slot in range(SLOTS):
                self.put(ring + 256 + 16 * slot, "<I", 2 + i * SLOTS + slot)
        self.taken, self.filled, self.given = [0] * total, [0] * total, [0] * total

    def put(self, at: int, form: str, *values: Any) -> None:
        struct.pack_into(form, self.view, at, *values)

    def get(self, at: int, form: str) -> Any:
        return struct.unpack_from(form, self.view, at)

    def move(self, number: int) -> None:
        """What is in the tx ring goes to the rx ring, as far as there is room."""
        tx, rx = self.tx[number], self.rx[number]
        (head,) = self.get(tx + 20, "<I")
        while self.taken[number] != head and (self.filled[number] + 1) % SLOTS != self.given[number]:
            index, length, flags = self.get(tx + 256 + 16 * self.taken[number], "<IHH")
            slot = rx + 256 + 16 * self.filled[number]
            (to,) = self.get(slot, "<I")
            at = self.buffers + index * BUF_SIZE
            self.view[self.buffers + to * BUF_SIZE : self.buffers + to * BUF_SIZE + length] = self.view[
                at : at + length
            ]
            self.put(slot + 4, "<HH", length, flags)
            self.taken[number] = (self.taken[number] + 1) % SLOTS
            self.filled[number] = (self.filled[number] + 1) % SLOTS
        self.put(tx + 28, "<I", (self.taken[number] - 1) % SLOTS)

    def sync(self, *, transmit: bool) -> None:
        for number in range(self.count):
            if not transmit:
                (self.given[number],) = self.get(self.rx[number] + 20, "<I")
            self.move(number)
            if not transmit:
                self.put(self.rx[number] + 28, "<I", self.filled[number])


class MockKernel(System):
    """The module, mocked. ``fail`` maps a step ("open", "map", "header"...) to an errno, or to a list, one a call."""

    def __init__(self, rings: int = 1, host_rings: int = 0, *, host_entries: bool = True) -> None:
        self.region = Region(rings, host_rings, host_entries=host_entries)
        self.fail: dict[str, int | list[int]] = {}
        self.requests: list[tuple[str, str, dict[str, int]]] = []
        self.open_fds: set[int] = set()
        self.mapped = self.forgotten = 0
        self.header = 0
        self.syncs: list[str] = []
        self.before_sync: Callable[[], None] = lambda: None
        self.sync = ffi.callback("int(int, unsigned long, void *)", self._sync)

    def _step(self, what: str) -> None:
        wanted = self.fail.get(what, 0)
        number = wanted.pop(0) if isinstance(wanted, list) and wanted else wanted
        if number:
            assert isinstance(number, int)
            raise failure(number)

    def _sync(self, fd: int, request: int, _: Any) -> int:
        self.before_sync()
        transmit = request & 0xFF == TXSYNC
        self.syncs.append("tx" if transmit else "rx")
        try:
            assert fd in self.open_fds
            self._step("sync")
        except OSError as error:
            ffi.errno = error.errno
            return -1
        self.region.sync(transmit=transmit)
        return 0

    def open(self) -> int:
        self._step("open")
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.open_fds.add(fd)
        return fd

    def close(self, fd: int) -> None:
        self.open_fds.remove(fd)
        os.close(fd)

    def control(self, fd: int, request: int, name: str, body: Any) -> None:
        assert fd in self.open_fds
        if request == lib.NM_REQ_REGISTER:
            said = {
                field: getattr(body, field)
                for field in ("nr_mode", "nr_ringid", "nr_tx_slots", "nr_tx_rings", "nr_flags")
            }
            self.requests.append(("register", name, said))
            self._step("register")
            body.nr_offset, body.nr_memsize = OFFSET, self.region.size
        elif request == lib.NM_REQ_PORT_HDR_GET:
            self._step("get header")
            body.nr_hdr_len = self.header
        elif request == lib.NM_REQ_PORT_HDR_SET:
            self.requests.append(("header", name, {"length": body.nr_hdr_len}))
            self._step("header")
            if body.nr_hdr_len not in (0, 10, 12):
                raise failure(errno.EINVAL)
            self.header = body.nr_hdr_len
        else:
            raise AssertionError(request)

    def map(self, fd: int, size: int) -> Any:
        self._step("map")
        self.mapped += 1
        return ffi.cast("void *", self.region.memory)

    def unmap(self, base: Any, size: int) -> None:
        self.mapped -= 1

    def forget(self, base: Any, size: int) -> None:
        self.forgotten += 1

    @property
    def left_behind(self) -> tuple[int, int]:
        """Descriptors and mappings."""
        return len(self.open_fds), self.mapped
