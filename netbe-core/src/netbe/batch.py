# SPDX-License-Identifier: BSD-2-Clause
"""`FrameBatch`: many frames in one buffer, for bursts."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Self, overload

from netbe.iov import Buffers, iov_to_buf

if TYPE_CHECKING:
    from netbe._native import CData

_ALIGN = 16
"""Bytes to which a frame's begin is aligned, as `recv_burst` of native ports packs them."""


class FrameBatch:
    """A reusable buffer of frames, with arrays of their offsets and lengths.

    What `send_burst` takes and `recv_burst` fills: one call into C for many frames. Made of frames, it holds
    just those; made with a capacity, it is empty and to be filled.

    A view that `batch[i]` gives shows what stands in the buffer; the next `clear` or `recv_burst` may
    overwrite it. ``bytes(batch[i])`` keeps a frame.
    """

    def __init__(
        self, frames: Iterable[Buffers] | None = None, *, capacity: int = 1 << 18, max_frames: int = 256
    ) -> None:
        """Hold `frames`, or room for `max_frames` frames in `capacity` bytes (256 in 256 KiB)."""
        self._buffer: bytes | bytearray
        if frames is not None:
            parts = [frame if type(frame) is bytes else iov_to_buf(frame) for frame in frames]
            self._buffer = b"".join(parts)
            self._lengths = array("I", map(len, parts))
            self._offsets = array("I", accumulate(self._lengths, initial=0))
            self._offsets.pop()  # the end of the last
            self._count = len(parts)
            self._end = len(self._buffer)
        else:
            if capacity < 1 or max_frames < 1:
                raise ValueError("a batch has room for at least one byte and one frame")
            self._buffer = bytearray(capacity)
            self._offsets = array("I", bytes(4 * max_frames))
            self._lengths = array("I", bytes(4 * max_frames))
            self._count = 0
            self._end = 0
        self._pointers: tuple[CData, CData, CData] | None = None

    @classmethod
    def of_equal(cls, data: bytes, size: int) -> Self:
        """The frames of `size` bytes each that `data` is made of, with nothing copied."""
        count, rest = divmod(len(data), size) if size > 0 else (0, 1)
        if rest or not count:
            raise ValueError(f"{len(data)} bytes are no whole number of frames of {size}")
        batch = cls(())
        batch._take(data, array("I", range(0, len(data), size)), array("I", [size]) * count)
        return batch

    def _take(self, buffer: bytes | bytearray, offsets: "array[int]", lengths: "array[int]") -> None:
        self._buffer, self._offsets, self._lengths = buffer, offsets, lengths
        self._count, self._end = len(lengths), len(buffer)

    @property
    def capacity(self) -> int:
        """Bytes of the buffer."""
        return len(self._buffer)

    @property
    def max_frames(self) -> int:
        """How many frames it can hold."""
        return len(self._lengths)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> memoryview: ...
    @overload
    def __getitem__(self, index: slice) -> "FrameBatch": ...
    def __getitem__(self, index: int | slice) -> "memoryview | FrameBatch":
        if isinstance(index, slice):
            return FrameBatch(self[i] for i in range(*index.indices(self._count)))
        if not -self._count <= index < self._count:
            raise IndexError(f"frame {index} of a batch of {self._count}")
        index %= self._count
        begin = self._offsets[index]
        return memoryview(self._buffer)[begin : begin + self._lengths[index]]

    def __iter__(self) -> Iterator[memoryview]:
        return (self[index] for index in range(self._count))

    def __repr__(self) -> str:
        return f"<FrameBatch of {self._count} frames, {self.nbytes} bytes>"

    @property
    def nbytes(self) -> int:
        """The sum of the frames' lengths, their headers included."""
        return sum(self._lengths[: self._count])

    def clear(self) -> Self:
        """Forget the frames; the room stays."""
        self._count = 0
        self._end = 0
        return self

    def _empty(self) -> None:
        """Clear it, to be filled; `ValueError` where there are only given frames, whose bytes never change."""
        if not isinstance(self._buffer, bytearray):
            raise ValueError(f"{self!r} was made of frames; make one with a capacity to receive into")  # noqa: TRY004 - its state, not its type
        self.clear()

    def fits(self, length: int) -> bool:
        """Whether one more frame of `length` bytes has room."""
        return (
            isinstance(self._buffer, bytearray)
            and self._count < self.max_frames
            and self._begin() + length <= self.capacity
        )

    def append(self, frame: Buffers) -> None:
        """Copy one more frame to the end; `ValueError` when it does not fit."""
        data = iov_to_buf(frame)
        if not self.fits(len(data)) or not isinstance(self._buffer, bytearray):
            raise ValueError(f"no room for a frame of {len(data)} bytes in {self!r}")
        begin = self._begin()
        self._buffer[begin : begin + len(data)] = data
        self._offsets[self._count] = begin
        self._lengths[self._count] = len(data)
        self._end = begin + len(data)
        self._count += 1

    def _begin(self) -> int:
        return -(-self._end // _ALIGN) * _ALIGN

    def _native(self) -> "tuple[CData, CData, CData]":
        """Pointers to buffer, offsets and lengths; made once, since each costs as much as a small frame."""
        if self._pointers is None:
            from netbe._native import ffi  # noqa: PLC0415 - loads the extension

            self._pointers = (
                ffi.from_buffer(self._buffer),
                ffi.from_buffer("uint32_t[]", self._offsets),
                ffi.from_buffer("uint32_t[]", self._lengths),
            )
        return self._pointers

    def _filled(self, count: int) -> None:
        """Told by C that the first `count` frames are there now."""
        self._count = count
        self._end = self._offsets[count - 1] + self._lengths[count - 1] if count else 0
