# SPDX-License-Identifier: BSD-2-Clause
"""`Generator` and `Sink`: numbered frames over any backend, for measuring and for finding what is lost.

    destination 6, source 6, type 0x88B5 (IEEE 802, local experimental), then
    "netbe" and a version byte, stream u16, sequence u64, time u64 (nanoseconds since 1970), all big-endian

A frame that is too short for this carries as much as has room, and is counted without its number.

Over native ports the frames are made and looked at in C, and the backend is lent meanwhile, as to a pump: its
own calls raise `BackendBusy` until `close`. Any other backend is driven by its `send_burst` and `recv_burst`.
"""

import abc
import contextlib
import os
import select
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from netbe import refusals
from netbe._native import ffi, lib
from netbe.backend import Backend
from netbe.batch import FrameBatch
from netbe.errors import BackendFull, from_errno
from netbe.sizes import check_size

if TYPE_CHECKING:
    from netbe._native import CData

BROADCAST = b"\xff" * 6
STAMPED = 38
"""Bytes of the shortest frame that has a number."""

_SLICE = 0.02
"""Seconds for which C runs before Python looks at signals."""

_SPIN_NS = 20_000
"""For which ports in shared memory are looked at before sleeping."""

_NAP = 0.05
"""Seconds of the longest sleep in one piece, for which somebody who closes the backend waits."""

_PAUSE = 0.001
"""Seconds of sleep where a backend has no descriptor that tells of frames or of room."""

_BURST = 64
_NO_LIMIT = (1 << 64) - 1


class _Hold:
    """A backend's native ports, taken from it; none where it has none. What the backend calls its user."""

    def __init__(self, backend: Backend, what: str) -> None:
        self.backend = backend
        self._what = what
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._ended: Exception | None = None
        backend._check()  # noqa: SLF001 - the protocol between backends and pumps, as below
        ports = backend._acquire(self) if backend.nports else []  # noqa: SLF001
        self.ports: list[CData] = [port._port for port in ports]  # noqa: SLF001
        self._kept = ports

    def __repr__(self) -> str:
        return f"<{self._what} of {self.backend.name}>"

    @contextlib.contextmanager
    def driven(self) -> Iterator[None]:
        """The ports may be driven inside: nobody takes them away."""
        if os.getpid() != self._pid:
            self.backend._check()  # noqa: SLF001
        with self._lock:
            if self._ended is not None:
                raise self._ended.with_traceback(None)
            yield

    def stop(self) -> None:
        """Give the ports back, because the backend is being closed."""
        self._end(refusals.closed(self.backend))

    def give_back(self) -> None:
        """Give the ports back; from any thread, any number of times."""
        self._end(ValueError(f"{self!r} was closed"))

    def _end(self, why: Exception) -> None:
        self._ended = self._ended or why  # before the lock, so that who has it does not take it again
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self.ports:
                self.backend._release(self)  # noqa: SLF001


class _User(abc.ABC):
    """What `Generator` and `Sink` have in common. ``with`` closes it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._hold = _Hold(backend, type(self).__name__)
        self._limits = ffi.new("struct nb_traffic_limits *", {"spin_ns": _SPIN_NS})
        self._finalizer = weakref.finalize(self, self._hold.give_back)
        self._finalizer.atexit = False

    def __repr__(self) -> str:
        return repr(self._hold)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the backend back, which stays open; may be called again, and from any thread."""
        self._hold.give_back()

    def _run(self, most: int | None, seconds: float) -> int:
        """Do `_some` until `most` frames are done or the time is up; how many."""
        deadline = time.monotonic() + seconds
        done = 0
        while most is None or done < most:
            left = max(0.0, deadline - time.monotonic())
            with self._hold.driven():
                try:
                    some = self._some(None if most is None else most - done, min(left, _SLICE))
                except OSError:
                    if done:  # the next call says it
                        break
                    raise
                done += some
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                if some == 0:
                    self._sleep(min(left, _NAP))
        return done

    @abc.abstractmethod
    def _some(self, most: int | None, seconds: float) -> int: ...

    @abc.abstractmethod
    def _sleep(self, seconds: float) -> None: ...

    def _limit(self, most: int | None, seconds: float) -> "CData":
        self._limits.frames = _NO_LIMIT if most is None else most
        self._limits.ns = int(seconds * 1e9)
        return self._limits


class Generator(_User):
    """Sends numbered frames.

    Raises what `Backend.send` does, and `BackendBusy` when a pump, or another of these, has the backend.
    """

    sent: int
    """Frames so far; the next one has this number."""

    full: int
    """How often the backend was found full, and its room was waited for."""

    def __init__(
        self,
        backend: Backend,
        *,
        destination: bytes = BROADCAST,
        source: bytes = b"\x02\0\0\0\0\x01",
        size: int = 60,
        stream: int = 0,
    ) -> None:
        """Take `backend` to send frames of `size` bytes, as stream number `stream` (0 to 65535)."""
        if len(destination) != len(BROADCAST) or len(source) != len(BROADCAST):
            raise ValueError("an address has six bytes")
        check_size(size, backend.min_frame, backend.max_frame, backend.name)
        made = lib.nb_gen_new(destination + source, size, stream)
        if made == ffi.NULL:
            raise MemoryError
        self._gen = ffi.gc(made, lib.nb_gen_free)
        self._size = size
        self.sent = self.full = 0
        super().__init__(backend)

    def send(self, most: int | None = None, seconds: float = _NAP) -> int:
        """Send `most` frames; how many went: fewer only when `seconds` are over before. Waits for room.

        Where the other side fails after some went, the next call raises.
        """
        return self._run(most, seconds)

    def _some(self, most: int | None, seconds: float) -> int:
        if self._hold.ports:
            went = lib.nb_gen_run(self._gen, self._hold.ports[0], self.sent, self._limit(most, seconds))
        else:
            went = self._burst(_BURST if most is None else min(most, _BURST))
        if went < 0:
            raise from_errno(-went, self._backend.name)
        self.sent += went
        self.full += went == 0
        return int(went)

    def _burst(self, count: int) -> int:
        header = self._backend.vnet_hdr_len
        room = ffi.new("uint8_t[]", count * (header + self._size))
        lib.nb_gen_write(self._gen, self.sent, count, header, room)
        try:
            return self._backend.send_burst(FrameBatch.of_equal(bytes(room), header + self._size))
        except BackendFull:
            return 0

    def _sleep(self, seconds: float) -> None:
        if self._hold.ports:
            wait = self._hold.ports[0].tx_wait
            _poll([(wait.fd, wait.events)], seconds)
        else:
            armed = self._backend.arm_send()
            events = () if armed is None else [(armed[0], _POLL_FOR[armed[1]])]
            _poll(events, seconds)


@dataclass(frozen=True, slots=True)
class Received:
    """What a sink has understood of the frames that came."""

    frames: int = 0
    bytes: int = 0
    """Of frames; headers not counted."""

    numbered: int = 0
    """Frames that have a number, by which the following are known."""

    lost: int = 0
    """Numbers that did not come, though later ones of their stream did."""

    duplicated: int = 0
    """Frames whose number came before, or is late by more than 65,536 numbers."""

    reordered: int = 0
    """Frames that came after one with a later number."""

    first: float = 0.0
    last: float = 0.0
    """Seconds on the clock of `time.monotonic`: when the first frame came, and the last."""

    @property
    def seconds(self) -> float:
        """Between the first frame and the last."""
        return self.last - self.first


class Sink(_User):
    """Receives frames, from all queues, and counts them; the numbered ones it checks.

    A frame that asks for segmentation is counted as it comes, whole, whatever was agreed with the backend.

    Raises what `Backend.recv` does, and `BackendBusy` when a pump, or another of these, has the backend.
    """

    def __init__(self, backend: Backend, *, numbers: bool = True) -> None:
        """Take `backend` to receive; without `numbers` frames are only counted."""
        made = lib.nb_sink_new(numbers)
        if made == ffi.NULL:
            raise MemoryError
        self._sink = ffi.gc(made, lib.nb_sink_free)
        self._counts = lib.nb_sink_counts(made)
        super().__init__(backend)
        self._ports = ffi.new("struct netbe_port *[]", self._hold.ports)
        self._partial = bool(self._hold.ports)  # a frame that was given out in part may be left
        self._batch: FrameBatch | None = None
        self._one: FrameBatch | None = None

    @property
    def received(self) -> Received:
        """What has come so far; from any thread."""
        c = self._counts
        return Received(
            c.frames,
            c.bytes,
            c.numbered,
            c.lost,
            c.duplicated,
            c.reordered,
            c.first_ns / 1e9,
            c.last_ns / 1e9,
        )

    def receive(self, most: int | None = None, seconds: float = _NAP) -> int:
        """Take `most` frames; how many came: fewer only when `seconds` are over before. Never takes more.

        Where the other side is gone after some came, the next call raises.
        """
        return self._run(most, seconds)

    def _some(self, most: int | None, seconds: float) -> int:
        if not self._hold.ports:
            return self._burst(most)
        if self._partial:
            pieces = self._backend._take_partial(most)  # noqa: SLF001 - of this package
            self._partial = len(pieces) == most
            if pieces:
                self._see(FrameBatch(pieces), 0)
                return len(pieces)
        came = lib.nb_sink_run(self._sink, self._ports, len(self._hold.ports), self._limit(most, seconds))
        if came < 0:
            raise from_errno(-came, self._backend.name)
        return int(came)

    def _burst(self, most: int | None) -> int:
        if self._batch is None or self._one is None:
            self._batch = FrameBatch()
            self._one = FrameBatch(capacity=1 << 17, max_frames=1)
        # Towards the end one by one, so that no more are taken than were asked for.
        batch = self._batch if most is None or most >= self._batch.max_frames else self._one
        self._backend.recv_burst(batch)
        self._see(batch, self._backend.vnet_hdr_len)
        return len(batch)

    def _see(self, batch: FrameBatch, header: int) -> None:
        lib.nb_sink_see(self._sink, *batch._native(), len(batch), header)  # noqa: SLF001 - of this package

    def _sleep(self, seconds: float) -> None:
        if self._hold.ports:
            waits = [port.rx_wait for port in self._hold.ports]
            _poll([(wait.fd, wait.events) for wait in waits], seconds)
        else:
            self._backend.wait(seconds)


_POLL_FOR = {1: select.POLLIN, 2: select.POLLOUT}  # by the event of `selectors`


def _poll(waits: "list[tuple[int, int]] | tuple[()]", seconds: float) -> None:
    """Sleep until one of the descriptors is ready; where one is missing, only for a moment."""
    poll = select.poll()
    for fd, events in waits:
        if fd >= 0:
            poll.register(fd, events)
    if not waits or any(fd < 0 for fd, _ in waits):
        seconds = min(seconds, _PAUSE)
    poll.poll(seconds * 1000)
