# SPDX-License-Identifier: BSD-2-Clause
"""The frames that ``gen`` sends and ``sink`` understands.

    destination 6, source 6, type 0x88B5 (IEEE 802, local experimental), then
    "netbe" and a version byte, stream u16, sequence u64, time u64 (nanoseconds), all big-endian

A frame that is too short for this carries as much as has room, and is counted without its sequence.
"""

import struct
from dataclasses import dataclass, field

import netbe

ETHERTYPE = b"\x88\xb5"
BROADCAST = b"\xff" * 6
_MAGIC = b"netbe\x01"
_STAMP = struct.Struct(">6sHQQ")
_AT = 14
STAMPED = _AT + _STAMP.size
"""Bytes of the shortest frame that has a sequence number."""


class Generator:
    """Makes batches of numbered frames."""

    def __init__(self, *, destination: bytes, source: bytes, size: int, per_batch: int, stream: int) -> None:
        head = destination + source + ETHERTYPE
        self._frame = (head + bytes(size))[:size] if size >= len(head) else head[:size]
        self._size = size
        self._stream = stream
        self._template = bytearray(self._frame * per_batch)
        self.per_batch = per_batch

    def batch(self, sequence: int, count: int, now: int) -> netbe.FrameBatch:
        """`count` frames (at most `per_batch`), numbered from `sequence`, stamped with `now` nanoseconds."""
        size = self._size
        if size >= STAMPED:
            pack, template, stream = _STAMP.pack_into, self._template, self._stream
            for number in range(count):
                pack(template, number * size + _AT, _MAGIC, stream, sequence + number, now)
        return netbe.FrameBatch.of_equal(bytes(self._template[: count * size]), size)


@dataclass
class Received:
    """What a sink has understood of the frames that came."""

    numbered: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    _next: dict[int, int] = field(default_factory=dict)
    _missing: dict[int, set[int]] = field(default_factory=dict)

    def see(self, batch: netbe.FrameBatch) -> None:
        """Look at every frame of a batch."""
        unpack, magic = _STAMP.unpack_from, _MAGIC
        for view in batch:
            if len(view) < STAMPED or view[12:14] != ETHERTYPE:
                continue
            word, stream, sequence, _ = unpack(view, _AT)
            if word != magic:
                continue
            self.numbered += 1
            due = self._next.get(stream)
            if due is None or sequence == due:
                self._next[stream] = sequence + 1
            else:
                self._out_of_order(stream, sequence, due)

    def _out_of_order(self, stream: int, sequence: int, due: int) -> None:
        missing = self._missing.setdefault(stream, set())
        if sequence > due:
            self.lost += sequence - due
            # What is missing longer than so many frames will not come any more.
            missing.update(range(max(due, sequence - _WINDOW), sequence))
            if len(missing) > 2 * _WINDOW:
                missing.intersection_update(range(sequence - _WINDOW, sequence))
            self._next[stream] = sequence + 1
        elif sequence in missing:
            missing.discard(sequence)
            self.lost -= 1
            self.reordered += 1
        else:
            self.duplicated += 1


_WINDOW = 65536
