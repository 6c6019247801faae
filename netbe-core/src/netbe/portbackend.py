# SPDX-License-Identifier: BSD-2-Clause
"""`PortBackend`: the contract over native ports, one call into C for one call in Python."""

import contextlib
import errno
import select
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from netbe import inplace, refusals
from netbe._native import ffi, lib
from netbe.backend import LONGEST, Backend
from netbe.batch import FrameBatch
from netbe.errors import BadHeaderError, NetbeError, NoNativePort, from_errno
from netbe.features import Features
from netbe.inplace import LentFrames, Slots
from netbe.iov import Buffers, iov_to_buf, views
from netbe.native import Memory, Port
from netbe.sizes import check_size
from netbe.stats import DropReason, Stats

if TYPE_CHECKING:
    from netbe._native import CData

_send = lib.nb_io_send
_send_burst = lib.nb_io_send_burst
_HELD = lib.NB_IO_HELD

# Room for one frame is 68 KiB: not cleared, so that what no frame reaches is never touched.
_new_room = ffi.new_allocator(should_clear_after_alloc=False)


class PortPath:
    """The way over ports, one ``nb_io`` each. Sends on the first; receives from all, in turn."""

    def __init__(self, backend: "PortBackend", ports: Sequence[Port]) -> None:
        self._backend = backend
        self.ports = list(ports)
        self.ios: list[CData] = []
        for port in ports:
            io = lib.nb_io_new(port._port)  # noqa: SLF001 - of this package
            if io == ffi.NULL:
                raise MemoryError
            # A thread may be about to call with it while another closes: it lives as long as somebody has it.
            self.ios.append(ffi.gc(io, lib.nb_io_free))
        self.tx = self.ios[0]
        self.room = _new_room("char[]", LONGEST)
        self._turn = 0
        self._poller: select.epoll | None = None
        self._last = Stats()
        self.slots: Slots | None = None
        self.lent: LentFrames | None = None
        self.slot_places = ffi.new("uint64_t[]", inplace.MOST)
        self.frame_places = ffi.new("uint64_t[]", inplace.MOST)
        self.frame_lengths = ffi.new("uint32_t[]", inplace.MOST)

    @property
    def pending(self) -> bool:
        return any(lib.nb_io_pending(io) for io in self.ios)

    def stats(self) -> Stats:
        if self.ports:
            self._last = sum((port.stats for port in self.ports), Stats())
        return self._last

    def agreed(self) -> None:
        for port, io in zip(self.ports, self.ios, strict=True):
            port.features = self._backend.features
            lib.nb_io_set_cap(io, int(self._backend.features), self._backend.vnet_hdr_len)

    def rx(self) -> "CData":
        """The ``nb_io`` to receive from next."""
        ios = self.ios
        if len(ios) == 1:
            return ios[0]
        if self.lent is not None:  # which says so, like all of them
            return ios[self._turn]
        for step in range(len(ios)):
            turn = (self._turn + step) % len(ios)
            if lib.nb_io_peek(ios[turn]) > 0:
                self._turn = turn
                return ios[turn]
        return ios[self._turn]

    def taken(self) -> None:
        """A frame was received: it is the next queue's turn."""
        self._turn = (self._turn + 1) % len(self.ios)

    def fileno(self) -> int:
        if len(self.ports) == 1:
            return self.ports[0].rx_fd
        if self._poller is None:
            self._poller = select.epoll()
            for port in self.ports:
                self._poller.register(port.rx_fd, select.EPOLLIN)
        return self._poller.fileno()

    def send(self, iov: Buffers) -> int:
        data = iov_to_buf(iov)
        done = int(lib.nb_io_send(self.tx, data, len(data)))
        if done < 0:
            raise self.send_error(-done, len(data))
        return done

    def send_error(self, number: int, length: int) -> NetbeError:
        """The error for a frame of `length` bytes that the port refused with errno `number`."""
        backend = self._backend
        if number == errno.EBUSY:
            return refusals.slots_out(backend)
        if number == errno.EOPNOTSUPP:
            return refusals.no_slots(backend)
        if number in (errno.EINVAL, errno.EMSGSIZE):
            try:
                check_size(length - backend.vnet_hdr_len, backend.min_frame, backend.max_frame, backend.name)
            except NetbeError as error:
                return error
        if number == errno.EBADMSG:
            return BadHeaderError(
                f"{backend.name}: the virtio-net header does not fit its frame",
                hint="its offsets lie outside the frame, or its type is not the frame's protocol",
            )
        return from_errno(number, backend.name)

    def receive_error(self, number: int) -> NetbeError:
        """The error for errno `number` of a receiving call."""
        return (
            refusals.frames_out(self._backend)
            if number == errno.EBUSY
            else from_errno(number, self._backend.name)
        )

    def memory_of(self, io: "CData") -> Memory | None:
        """Where the frames lie that `io` lends."""
        return self.ports[0 if len(self.ios) == 1 else self.ios.index(io)].rx_memory

    def head(self) -> bytes | None:
        raise AssertionError("a port is peeked and received from, in C")

    def take(self, *, discard: bool = False) -> None:
        raise AssertionError("a port is peeked and received from, in C")

    def hand_over(self, most: int | None) -> list[bytes]:
        """Let go of what is lent; the pieces that are left of a frame given out in part, at most so many."""
        pieces: list[bytes] = []
        for io in self.ios:
            while len(pieces) != most and (length := lib.nb_io_hand_over(io, self.room, LONGEST)) > 0:
                pieces.append(ffi.unpack(self.room, length))
        return pieces

    def close(self) -> None:
        for out in (self.slots, self.lent):
            if out is not None:
                out._end()  # noqa: SLF001 - of this package
        held = sum(max(0, lib.nb_io_pending(io)) for io in self.ios)
        self._last = self.stats() + Stats(rx_dropped={DropReason.STOPPED: held} if held else {})
        self.ios = []
        self.tx = self._backend._tx = ffi.NULL  # noqa: SLF001 - which C refuses
        for port in self.ports:
            port.close()
        self.ports = []
        if self._poller is not None:
            self._poller.close()


class PortBackend(Backend):
    """A backend that has native ports.

    An author derives from it, makes the ports (`netbe.native.Port`) and hands them to ``__init__``, and
    overrides `_negotiate`, `_shutdown` and `_device_stats` where the device has something to say. The ports
    are closed with the backend, before `_shutdown`.
    """

    _path: PortPath

    def __init__(self, name: str, ports: Sequence[Port]) -> None:
        self._ports = tuple(ports)
        super().__init__(name)
        self._tx = self._path.tx
        raw = ports[0]._port  # noqa: SLF001 - of this package
        self.min_frame, self.max_frame = int(raw.min_frame), int(raw.max_frame)

    def _make_path(self) -> PortPath:
        return PortPath(self, self._ports)

    def _link_up(self) -> bool:
        with self._wait_lock:
            return not self._closed and all(port.link_up for port in self._path.ports)

    @property
    def stats(self) -> Stats:
        with self._rx_lock:  # under which `close` frees the ports
            counted = self._path.stats()
        return counted + self._device_stats()

    @property
    def nports(self) -> int:
        return len(self._ports)

    def port(self, index: int = 0) -> Port:
        self._check_open()
        if not 0 <= index < len(self._ports):
            raise NoNativePort(f"{self.name} has {len(self._ports)} native ports; {index} is none of them")
        return self._ports[index]

    def fileno(self) -> int:
        with self._wait_lock:  # without which `close` does not begin
            self._check_open()
            return self._path.fileno()

    @property
    def pending(self) -> bool:
        with self._rx_lock:
            return not self._closed and self._path.pending

    def arm_send(self) -> tuple[int, int] | None:
        with self._tx_lock:
            self._check()
            lib.nb_io_arm_send(self._path.tx)
            return self._ports[0].tx_wait

    def send(self, iov: Buffers) -> int:
        data = iov if type(iov) is bytes else iov_to_buf(iov)
        done = _send(self._tx, data, len(data))
        if done == _HELD:
            done = self._in_turn(_send, data, len(data))
        if done < 0:
            raise self._path.send_error(-done, len(data))
        return done

    def _in_turn(self, call: Callable[..., int], *args: object) -> int:
        """A sending call that met another, or `_alone`, or that the backend's state refuses."""
        while True:
            with self._tx_lock:
                self._check()
                lib.nb_io_let(self._tx)  # should an interrupt have kept `_alone` from it
                done = call(self._tx, *args)
            if done != _HELD:
                return done

    def send_burst(self, frames: FrameBatch | Iterable[Buffers]) -> int:
        batch = frames if isinstance(frames, FrameBatch) else FrameBatch(frames)
        buffer, offsets, lengths = batch._native()  # noqa: SLF001 - of this package
        count = len(batch)
        if not count:
            self._check()
            return 0
        done = _send_burst(self._tx, buffer, batch.capacity, offsets, lengths, count)
        if done == _HELD:
            done = self._in_turn(_send_burst, buffer, batch.capacity, offsets, lengths, count)
        if done < 0:
            raise self._path.send_error(-done, len(batch[0]))
        return done

    def reserve(self, length: int, count: int = 1) -> Slots:
        """Room for up to `count` frames (64 at most) of `length` bytes each, in the port's own memory.

        Returns at least one slot, maybe fewer than asked for: writable views that `Slots.commit` sends. They
        are plain frames, without a virtio-net header whatever was agreed on, so `length` counts none. Until
        they are committed or released, all else that sends, `set_cap` and pumps raise `BackendBusy`.

        Raises:
            BackendFull: no room now (EAGAIN).
            FrameSizeError: shorter than `min_frame`, longer than `max_frame` or than a slot.
            NotSupportedError: this backend has no such memory; a tap, for one.
            LinkDownError, BackendGone: the other side is not there now, or for good.
        """
        with self._tx_lock:
            self._check()
            return inplace.reserve(self, length, count)

    def lend(self, max_frames: int = inplace.MOST) -> LentFrames:
        """Up to `max_frames` (64 at most) of the frames that are there, where they lie; none is an empty row.

        They are read-only views, without the virtio-net header, which `LentFrames.header` has. They count as
        received when they are released; `close` drops those that were not, counted. Until then all else that
        receives, `set_cap` and pumps raise `BackendBusy`. There may be more frames than are lent.

        Raises:
            NotSupportedError: this backend has no such memory.
            BackendGone: the other side is gone for good, and what it sent has been received.
        """
        with self._rx_lock:
            self._check()
            return inplace.lend(self, max_frames)

    def peek_recvlen(self) -> int:
        with self._rx_lock:
            self._check()
            length = lib.nb_io_peek(self._path.rx())
            if length < 0:
                raise self._path.receive_error(-length)
            return length

    def recv(self) -> bytes | None:
        with self._rx_lock:
            if self._barred is not None:
                raise self._barred(self)
            path = self._path
            room = path.room
            length = lib.nb_io_recv(path.rx(), room, LONGEST)
            if length > 0:
                path.taken()
                frame: bytes = ffi.unpack(room, length)
                return frame
            if length == 0:
                return None
            raise self._path.receive_error(-length)

    def recv_into(self, iov: Buffers) -> int:
        with self._rx_lock:
            self._check()
            io = self._path.rx()
            kept = [ffi.from_buffer(view, require_writable=True) for view in views(iov)]
            vector = ffi.new("struct iovec[]", [(part, len(part)) for part in kept])
            length = lib.nb_io_recvv(io, vector, len(kept))
            room = sum(len(part) for part in kept) if length == -errno.EMSGSIZE else 0
            # Not left to the collector: CPython crashes when it clears a view in a cycle, such as an error's
            # that somebody keeps, before what was made over it.
            for part in kept:
                ffi.release(part)
            if length == -errno.EMSGSIZE:
                raise refusals.too_little_room(lib.nb_io_peek(io), room)
            if length < 0:
                raise self._path.receive_error(-length)
            if length:
                self._path.taken()
            return length

    def rx_discard(self) -> int:
        with self._rx_lock:
            self._check()
            length = lib.nb_io_discard(self._path.rx())
            if length < 0:
                raise self._path.receive_error(-length)
            if length:
                self._path.taken()
            return length

    def recv_burst(self, batch: FrameBatch) -> int:
        batch._empty()  # noqa: SLF001 - of this package
        buffer, offsets, lengths = batch._native()  # noqa: SLF001 - of this package
        with self._rx_lock:
            self._check()
            io = self._path.rx()
            count = lib.nb_io_recv_burst(io, buffer, batch.capacity, offsets, lengths, batch.max_frames)
            if count == -errno.EMSGSIZE:
                raise refusals.too_little_room(lib.nb_io_peek(io), batch.capacity)
            if count < 0:
                raise self._path.receive_error(-count)
            batch._filled(count)  # noqa: SLF001 - of this package
            self._path.taken()
            return count

    def _forked(self) -> None:
        super()._forked()
        self._tx = ffi.NULL

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        # A lock of Python takes as long as a send, which therefore takes none: it is kept out in C.
        with super()._alone():
            lib.nb_io_hold(self._tx)
            try:
                yield
            finally:
                if self._barred is None:
                    lib.nb_io_let(self._tx)

    def _acquire(self, user: object) -> list[Port]:
        super()._acquire(user)
        try:
            self._none_out()  # from now on nobody can begin anew
        except NetbeError:
            self._release(user)
            raise
        return list(self._ports)

    def _take_partial(self, most: int | None = None) -> list[bytes]:
        with self._rx_lock:
            return self._path.hand_over(most)

    def _set_cap(self, features: Features, vnet_hdr_len: int) -> None:
        self._none_out()
        super()._set_cap(features, vnet_hdr_len)

    def _none_out(self) -> None:
        if self._path.slots is not None:
            raise refusals.slots_out(self)
        if self._path.lent is not None:
            raise refusals.frames_out(self)
