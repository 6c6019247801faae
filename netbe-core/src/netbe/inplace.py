# SPDX-License-Identifier: BSD-2-Clause
"""Frames where they lie: `Slots` to fill and send, `LentFrames` to look at, without a copy.

`Backend.reserve` and `Backend.lend` make them; both are sequences of `memoryview` and context managers::

    with be.reserve(60, count=32) as slots:
        slots[0][:] = frame
        slots.commit(1)
    with be.lend() as frames:
        for view in frames:
            look_at(view)

Frames are without a virtio-net header here, whatever `set_cap` agreed on: what is sent from a slot is a plain
frame, and `LentFrames.header` tells the header of one that was received.

At the end every view is released: using it raises `ValueError`. A slice of a view, or an array made over it,
can't be taken back. It keeps its memory alive, also when the backend is closed and when the other side is gone,
and so never crashes; what it shows is whatever lies there by then, and what is written to it then may spoil a
frame of somebody else's. In a forked child the same holds, for memory that may be the parent's.
"""

import errno
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, overload

from netbe import refusals
from netbe._native import ffi, lib
from netbe.errors import FrameSizeError

if TYPE_CHECKING:
    from netbe._native import CData
    from netbe.native import Memory
    from netbe.portbackend import PortBackend

MOST = 64
"""Slots, or frames, that are out at once."""

_SCATTERED = (1 << 64) - 1
_NO_LENGTHS = ffi.NULL


class InPlace(Sequence[memoryview]):
    """What `Slots` and `LentFrames` share."""

    __slots__ = ("__weakref__", "_backend", "_ended", "_io", "_views")

    _backend: "PortBackend"
    _views: "list[memoryview | tuple[memoryview, ...]]"  # a tuple: in several pieces
    _ended: bool
    _io: "CData | None"

    def _check(self) -> None:
        self._backend._check_open()  # noqa: SLF001 - of this package, as all that follow
        if self._ended:
            raise ValueError(f"{self!r} is used after its end")

    def _drop_views(self, count: int) -> None:
        for item in self._views[:count]:
            for view in (item,) if type(item) is memoryview else item:
                try:  # noqa: SIM105 - contextlib.suppress costs more than all the rest
                    view.release()
                except BufferError:
                    pass  # something was made over it: it lives on, and so does its memory
        del self._views[:count]

    def __repr__(self) -> str:
        state = "ended" if self._ended else len(self._views)
        return f"<{type(self).__name__} of {self._backend.name}: {state}>"

    def __len__(self) -> int:
        return len(self._views)

    @overload
    def __getitem__(self, index: int) -> memoryview: ...
    @overload
    def __getitem__(self, index: slice) -> list[memoryview]: ...
    def __getitem__(self, index: int | slice) -> memoryview | list[memoryview]:
        if self._ended or self._backend._barred is not None:  # noqa: SLF001
            self._check()
        item = self._views[index]
        if type(item) is memoryview:
            return item
        return [_joined(one) for one in item] if isinstance(item, list) else _joined(item)

    def __iter__(self) -> Iterator[memoryview]:
        self._check()
        return iter([item if type(item) is memoryview else _joined(item) for item in self._views])

    def __enter__(self) -> Self:
        return self


def _joined(item: memoryview | tuple[memoryview, ...]) -> memoryview:
    return item if isinstance(item, memoryview) else memoryview(b"".join(item))


class Slots(InPlace):
    """Room for frames in the port's own memory: writable views, each as long as was reserved.

    What they show at first is left over from other frames. Until `commit`, `release` or the end of the ``with``
    block, everything else that sends on this backend raises `BackendBusy`.
    """

    __slots__ = ()

    def __init__(
        self, backend: "PortBackend", io: "CData", views: list[memoryview | tuple[memoryview, ...]]
    ) -> None:
        self._backend = backend
        self._io = io
        self._views = views
        self._ended = False

    def commit(self, count: int | None = None, *, lengths: Sequence[int] | None = None) -> int:
        """Send the first `count` slots (all by default), give up the others; returns how many frames went.

        `lengths` are the frames' lengths in bytes where they are shorter than the slots; there may be fewer
        than slots, and `count` is their number then. This ends the slots. Fewer frames go than were committed
        when there is no more room: the rest is to be written anew.

        Raises:
            BackendFull: there is no room for the first (EAGAIN). As with all that `commit` raises, nothing was
                sent, and the slots are still there: commit them again, or release them.
            FrameSizeError: a length is shorter than `min_frame`, or longer than its slot.
            LinkDownError, BackendGone: the other side is not there now, or for good.
            ValueError: `count` is more than there are slots, or not the number of `lengths`; used after its end.
        """
        backend = self._backend
        with backend._tx_lock:  # noqa: SLF001
            self._check()
            there = len(self._views)
            if count is None:
                count = there if lengths is None else len(lengths)
            if not 0 <= count <= there or (lengths is not None and len(lengths) != count):
                raise ValueError(f"cannot commit {count} of {there} slots")
            if lengths is None:
                done = lib.nb_io_commit(self._io, _NO_LENGTHS, count)
            else:
                self._check_lengths(lengths)
                done = lib.nb_io_commit(self._io, ffi.new("uint32_t[]", list(lengths)), count)
            if done < 0:
                raise backend._path.send_error(-done, 0)  # noqa: SLF001
            self._end()
            return int(done)

    def _check_lengths(self, lengths: Sequence[int]) -> None:
        for length, view in zip(lengths, self._views, strict=False):
            if not self._backend.min_frame <= length <= len(view):
                raise FrameSizeError(
                    f"a frame of {length} bytes in a slot of {len(view)}",
                    errno=errno.EMSGSIZE if length > len(view) else errno.EINVAL,
                    hint=f"{self._backend.name} takes {self._backend.min_frame} bytes or more",
                )

    def release(self) -> None:
        """Give the slots up, nothing is sent; may be called again."""
        if self._ended:
            return
        with self._backend._tx_lock:  # noqa: SLF001
            if not self._ended:
                if self._backend._barred is not refusals.forked:  # noqa: SLF001
                    lib.nb_io_give_up(self._io)
                self._end()

    def _end(self) -> None:
        """The backend has them no more; its lock is held."""
        self._ended = True
        self._io = None
        self._backend._path.slots = None  # noqa: SLF001
        self._drop_views(len(self._views))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended:
            self.release()


class LentFrames(InPlace):
    """Frames that were received, where they lie: read-only views, the oldest first.

    Until they are released, everything else that receives on this backend raises `BackendBusy`. A frame that
    lies in several pieces (a long one on a VALE switch) is copied into one when it is asked for: `pieces` has
    it without. Those that must be changed for this receiver first, by what `set_cap` agreed on, are copies too.

    On ports whose memory others can write, such as a switch's, a frame can change while it is looked at.
    """

    __slots__ = ("_headers",)

    def __init__(
        self,
        backend: "PortBackend",
        io: "CData | None",
        views: list[memoryview | tuple[memoryview, ...]],
        headers: list[bytes] | None = None,
    ) -> None:
        self._backend = backend
        self._io = io
        self._views = views
        self._ended = False
        self._headers = headers

    def pieces(self, index: int) -> tuple[memoryview, ...]:
        """Frame number `index` in the pieces that it lies in; most have one."""
        self._check()
        item = self._views[index]
        return item if isinstance(item, tuple) else (item,)

    def header(self, index: int) -> bytes:
        """The virtio-net header of frame number `index`: as many bytes as were agreed on, 0, 10 or 12."""
        with self._backend._rx_lock:  # noqa: SLF001
            self._check()
            index = range(len(self._views))[index]
            if self._headers is not None:
                return self._headers[index]
            room = bytearray(self._backend.vnet_hdr_len)
            lent = lib.nb_io_lent(self._io, index)
            lib.nb_hdr_store(ffi.from_buffer(room), ffi.addressof(lent, "hdr"), len(room))
            return bytes(room)

    def release(self, count: int | None = None) -> None:
        """Give back the `count` oldest (all by default), which are received then; the sequence loses them.

        May be called again. `ValueError`: there are fewer.
        """
        if self._ended:
            return
        with self._backend._rx_lock:  # noqa: SLF001
            if self._ended:
                return
            if count is None:
                count = len(self._views)
            if not 0 <= count <= len(self._views):
                raise ValueError(f"cannot release {count} of {len(self._views)} frames")
            if self._headers is not None:
                del self._headers[:count]
            elif self._io is not None and self._backend._barred is not refusals.forked:  # noqa: SLF001
                lib.nb_io_give_back(self._io, count)
            self._drop_views(count)
            if not self._views:
                self._end()

    def _end(self) -> None:
        """The backend has them no more; its lock is held."""
        self._ended = True
        path = self._backend._path  # noqa: SLF001
        if self._io is not None and path.lent is self:
            path.lent = None
            path.taken()
        self._io = None
        self._drop_views(len(self._views))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended:
            self.release()


def reserve(backend: "PortBackend", length: int, count: int) -> Slots:
    """`PortBackend.reserve`; its lock for sending is held."""
    path = backend._path  # noqa: SLF001
    memory = path.ports[0].tx_memory
    if count < 1:
        raise ValueError(f"cannot reserve {count} slots")
    if memory is None:
        raise refusals.no_slots(backend)
    places, view = path.slot_places, memory.view
    got = lib.nb_io_reserve(path.tx, memory.base, memory.size, max(length, 0), min(count, MOST), places)
    if got < 0:
        if got == -errno.EMSGSIZE and length <= backend.max_frame:
            raise FrameSizeError(
                f"{backend.name}: a slot has no room for {length} bytes",
                hint="send() spreads a frame over several",
            )
        raise path.send_error(-got, length + backend.vnet_hdr_len)
    views: list[memoryview | tuple[memoryview, ...]] = [
        view[at : at + length] for at in ffi.unpack(places, got)
    ]
    path.slots = slots = Slots(backend, path.tx, views)
    return slots


def lend(backend: "PortBackend", max_frames: int) -> LentFrames:
    """`PortBackend.lend`; its lock for receiving is held."""
    path = backend._path  # noqa: SLF001
    if max_frames < 1:
        raise ValueError(f"cannot lend {max_frames} frames")
    io = path.rx()
    memory = path.memory_of(io)
    if memory is None:
        raise refusals.no_lending(backend)
    places, lengths = path.frame_places, path.frame_lengths
    got = lib.nb_io_lend(io, memory.base, memory.size, min(max_frames, MOST), places, lengths)
    if got == -errno.EREMOTE:
        return _copies(backend, io, max_frames)
    if got < 0:
        raise path.receive_error(-got)
    if got == 0:
        return LentFrames(backend, None, [])
    view = memory.view
    begins = ffi.unpack(places, got)
    views: list[memoryview | tuple[memoryview, ...]] = [
        view[at : at + length]
        for at, length in zip(begins, ffi.unpack(lengths, got), strict=True)
        if at != _SCATTERED
    ]
    if len(views) != got:
        for number, at in enumerate(begins):
            if at == _SCATTERED:
                views.insert(number, _pieces(io, number, memory))
    path.lent = frames = LentFrames(backend, io, views)
    return frames


def _pieces(io: "CData", number: int, memory: "Memory") -> tuple[memoryview, ...]:
    frame = lib.nb_io_lent(io, number)
    pieces = []
    for segment in ffi.unpack(frame.seg, frame.nseg):
        at = int(ffi.cast("uintptr_t", segment.iov_base)) - memory.address
        pieces.append(memory.view[at : at + segment.iov_len])
    return tuple(pieces)


def _copies(backend: "PortBackend", io: "CData", max_frames: int) -> LentFrames:
    """The pieces of a frame that is cut in software; they are received at once."""
    path = backend._path  # noqa: SLF001
    views: list[memoryview | tuple[memoryview, ...]] = []
    headers = []
    while len(views) < min(max_frames, MOST) and (not views or lib.nb_io_cutting(io)):
        length = lib.nb_io_recv(io, path.room, len(path.room))
        if length <= 0:
            break
        whole = ffi.unpack(path.room, length)
        headers.append(whole[: backend.vnet_hdr_len])
        views.append(memoryview(whole)[backend.vnet_hdr_len :])
    if not lib.nb_io_cutting(io):
        path.taken()
    return LentFrames(backend, None, views, headers)
