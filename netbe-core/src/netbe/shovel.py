# SPDX-License-Identifier: BSD-2-Clause
"""`Shovel`: carries frames between a backend without a native port and a ring, so that a pump can have it.

The pump gets one end of an in-process cable; a thread here takes from the backend what comes and puts it on
the other end, and the other way. It sleeps when there is nothing to do: on the backend's descriptor where it
has one, else it looks every few milliseconds. The backend is barred for everybody else meanwhile
(`BackendBusy`), so its way (`Backend._path`) is driven directly, under its locks.
"""

import errno
import os
import select
import selectors
import threading
import time
from typing import TYPE_CHECKING, cast

from netbe._native import ffi, lib
from netbe.backend import LONGEST, Backend
from netbe.errors import (
    BackendClosed,
    BackendFull,
    BackendGone,
    BadHeaderError,
    FrameSizeError,
    LinkDownError,
    NetbeError,
)
from netbe.features import Features
from netbe.native import Port
from netbe.stats import DropReason, Stats

if TYPE_CHECKING:
    from netbe._native import CData
    from netbe.software import SoftwarePath

_ROOM = 1 << 18
"""Bytes in flight in each direction."""

_BURST = 64
"""Frames that go one way before the other one is looked at."""

_PAUSE = 0.005
"""Seconds between two looks at something that has no descriptor, or one that says "ready" for nothing."""

_FUTILE = 8
"""Wake-ups in a row that brought nothing, after which the backend's descriptors are not believed."""

_LAST_CHANCE = 0.05
"""Seconds for what is on its way to the backend when the pump stops."""

_new_room = ffi.new_allocator(should_clear_after_alloc=False)


class Shovel:
    """One backend's thread and cable. Made when the backend is acquired and its offloads are agreed."""

    def __init__(self, backend: Backend) -> None:
        """Lay the cable; `port` is the pump's end of it."""
        self.backend = backend
        self.error: NetbeError | None = None
        """Why it ended by itself; the pump then finds that its port is gone."""
        self._path = cast("SoftwarePath", backend._path)  # noqa: SLF001 - of this package
        self._dropped: dict[DropReason, int] = {}
        self._dropped_bytes = 0
        self._held: bytes | None = None  # on its way to the backend, which was full
        self._rx_blocked = False  # the ring was full
        self._futile = 0
        self._stopping = False
        ends = ffi.new("struct netbe_port *[2]")
        result = lib.nb_ring_pair_new(_ROOM, backend.max_frame, ffi.NULL, ends, ends + 1)
        if result < 0:
            raise OSError(-result, f"no ring for {backend.name}")
        self.port = _adopt(ends[0])
        self._mine = _adopt(ends[1])
        ends[0].min_frame = backend.min_frame
        # What the backend does not do the pump does on the way here; what comes from it goes on as it is.
        self.port.features = backend.features if backend.vnet_hdr_len else Features(0)
        self._mine.features = Features.offloads()
        self._io = self._new_io(self._mine)
        self._room = _new_room("char[]", LONGEST)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.thread = threading.Thread(target=self._run, name=f"netbe shovel {backend.name}", daemon=True)

    def _new_io(self, port: Port) -> "CData":
        io = lib.nb_io_new(port._port)  # noqa: SLF001 - of this package
        if io == ffi.NULL:
            raise MemoryError
        lib.nb_io_set_cap(io, int(Features.offloads()), self.backend.vnet_hdr_len)
        return ffi.gc(io, lib.nb_io_free)

    def start(self) -> None:
        """Begin to carry."""
        self.thread.start()

    @property
    def stats(self) -> Stats:
        """What differs from the counters of `port`: frames that were dropped here, on the way to the backend."""
        dropped = dict(self._dropped)
        return Stats(tx_frames=-sum(dropped.values()), tx_bytes=-self._dropped_bytes, tx_dropped=dropped)

    def stop(self) -> None:
        """End, after the pump. What is on its way goes out if it can; what was not taken goes back."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        if self.thread.ident is not None:
            self.thread.join()
        else:
            self._leave()
        os.close(self._wake)
        # What lies in the ring: all that came from the pump less what was taken out.
        sent, taken = self.port.stats, self._taken
        reason = DropReason.STOPPED if self.error is None else DropReason.LINK_DOWN
        self._drop(reason, sent.tx_frames - taken.rx_frames, sent.tx_bytes - taken.rx_bytes)
        if self._held is not None:
            self._drop(reason, 1, len(self._held) - self.backend.vnet_hdr_len)
        self._put_back()
        self.port.close()

    def _put_back(self) -> None:
        frames = []
        io = self._new_io(self.port)
        while (length := lib.nb_io_recv(io, self._room, LONGEST)) > 0:
            frames.append(ffi.unpack(self._room, length))
        with self.backend._rx_lock:  # noqa: SLF001 - of this package
            self._path.put_back(frames)

    # --- The thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                if self._carry():
                    self._futile = 0
                elif not self._arm():
                    self._sleep()
                    self._futile += 1
            self._finish()
        except NetbeError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - an author's code: whatever it is, the pump has to hear of it
            self.error = NetbeError(f"{self.backend.name} failed: {error!r}", errno=errno.EIO)
            self.error.__cause__ = error
        self._leave()

    def _leave(self) -> None:
        """Let go of the ring: the pump reads what is left in it, then finds the other side gone."""
        self._taken = self._mine.stats
        self._mine.close()

    def _finish(self) -> None:
        deadline = time.monotonic() + _LAST_CHANCE
        while (self._to_backend() or self._held is not None) and time.monotonic() < deadline:
            if self._held is not None:
                time.sleep(0.001)

    def _carry(self) -> int:
        return self._from_backend() + self._to_backend()

    def _from_backend(self) -> int:
        """From the backend to the pump; returns how many frames."""
        carried = 0
        self._rx_blocked = False
        with self.backend._rx_lock:  # noqa: SLF001 - of this package
            while carried < _BURST and not self._stopping:
                try:
                    frame = self._path.head()
                except LinkDownError:
                    break
                if frame is None:
                    break
                result = lib.nb_io_send(self._io, frame, len(frame))
                if result == -errno.EAGAIN:
                    self._rx_blocked = True
                    break
                self._path.take(discard=result < 0)
                carried += 1
        return carried

    def _to_backend(self) -> int:
        """From the pump to the backend; returns how many frames."""
        carried = 0
        with self.backend._tx_lock:  # noqa: SLF001 - of this package
            while carried < _BURST:
                if self._held is None:
                    length = lib.nb_io_recv(self._io, self._room, LONGEST)
                    if length <= 0:
                        break
                    self._held = ffi.unpack(self._room, length)
                if not self._send(self._held):
                    break
                self._held = None
                carried += 1
        return carried

    def _send(self, frame: bytes) -> bool:
        """False: the backend is full. What it refuses is dropped."""
        try:
            self._path.send(frame)
        except BackendFull:
            return False
        except (BackendGone, BackendClosed):
            raise
        except NetbeError as error:
            self._drop(_reason(error), 1, len(frame) - self.backend.vnet_hdr_len)
        return True

    def _drop(self, reason: DropReason, frames: int, octets: int) -> None:
        if frames:
            self._dropped[reason] = self._dropped.get(reason, 0) + frames
            self._dropped_bytes += octets

    def _arm(self) -> bool:
        """Ask for wake-ups, then look again: whether there was something to do after all."""
        if self._rx_blocked:
            lib.nb_io_arm_send(self._io)
        self._room_wait = self.backend.arm_send() if self._held is not None else None
        return self._carry() > 0

    def _sleep(self) -> None:
        waits = {self._wake: select.POLLIN}
        pause = None
        if self._held is None:
            waits[self._mine.rx_fd] = select.POLLIN
        elif self._room_wait is None or self._futile > _FUTILE:
            pause = _PAUSE
        else:
            fd, event = self._room_wait
            waits[fd] = select.POLLOUT if event & selectors.EVENT_WRITE else select.POLLIN
        if self._rx_blocked:
            wait = self._mine.tx_wait
            if wait is not None:
                waits[wait[0]] = waits.get(wait[0], 0) | select.POLLIN
        else:
            fd = self.backend.fileno()
            if fd < 0 or self._futile > _FUTILE:
                pause = _PAUSE
            else:
                waits[fd] = waits.get(fd, 0) | select.POLLIN
        poll = select.poll()
        for fd, events in waits.items():
            poll.register(fd, events)
        poll.poll(None if pause is None else pause * 1000)


def _adopt(port: "CData") -> Port:
    return Port(int(ffi.cast("uintptr_t", port)), free=lambda: lib.nb_ring_port_free(port))


def _reason(error: NetbeError) -> DropReason:
    if isinstance(error, FrameSizeError):
        return DropReason.TOO_SHORT if error.errno == errno.EINVAL else DropReason.TOO_LONG
    if isinstance(error, BadHeaderError):
        return DropReason.BAD_HEADER
    if isinstance(error, LinkDownError):
        return DropReason.LINK_DOWN
    return DropReason.ERROR
