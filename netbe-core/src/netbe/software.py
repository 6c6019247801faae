# SPDX-License-Identifier: BSD-2-Clause
"""The contract over `_transmit` and `_receive` of a backend written in Python.

Between the author's methods and the public ones of `Backend` stand: conversion between the device's header
length and the agreed one, the check of each header, checksums and segmentation in software for what one side
asks and the other was not agreed to do, keeping a frame that was looked at, and the counters.
"""

import struct
from collections import deque
from typing import TYPE_CHECKING

from netbe._native import ffi, lib
from netbe.errors import BackendFull, BadHeaderError, NetbeError, translated
from netbe.features import Features
from netbe.iov import Buffers, iov_to_buf
from netbe.sizes import check_size
from netbe.stats import DropReason, Stats
from netbe.vnet import GsoType

if TYPE_CHECKING:
    from netbe.backend import Backend

_LONGEST = 69632 - 12  # a header fits in front
_TRANSPORT = 60 + 8
"""Bytes of the longest TCP header and of what a fragment adds (IPv6, RFC 8200, 4.5)."""

_NOTHING = bytes(10) + b"\x01\x00"
"""The header of a frame that asks for nothing, and is in one buffer."""


class SoftwarePath:
    """What lies between one backend's author and its user. Locks are the backend's business."""

    def __init__(self, backend: "Backend") -> None:
        self._backend = backend
        self._held: deque[tuple[bytes, bytes]] = deque()  # header in normal form, frame
        self._rx_frames = self._rx_bytes = self._tx_frames = self._tx_bytes = 0
        self._rx_dropped: dict[DropReason, int] = {}
        self._tx_dropped: dict[DropReason, int] = {}

    @property
    def pending(self) -> bool:
        return bool(self._held)

    def stats(self) -> Stats:
        return Stats(
            self._rx_frames,
            self._rx_bytes,
            self._tx_frames,
            self._tx_bytes,
            dict(self._rx_dropped),
            dict(self._tx_dropped),
        )

    def agreed(self) -> None:
        """A new agreement: what is held is given by it. Nothing to do: frames are converted as they are given."""

    def close(self) -> None:
        for _ in range(len(self._held)):
            _count(self._rx_dropped, DropReason.STOPPED)
        self._held.clear()

    # --- sending

    def send(self, iov: Buffers) -> int:
        backend = self._backend
        data = iov_to_buf(iov)
        header, frame = _split(data, backend.vnet_hdr_len)
        needs = _check(header, frame)
        if needs is None:
            _count(self._tx_dropped, DropReason.BAD_HEADER)
            raise BadHeaderError(
                f"the virtio-net header does not fit its frame of {len(frame)} bytes",
                hint="its offsets lie outside the frame, or its type is not the frame's protocol",
            )
        undone = needs & ~(backend.features if backend.device_hdr_len else Features(0))
        cuts = needs & ~Features.CSUM
        check_size(len(frame), backend.min_frame, _LONGEST if cuts else backend.max_frame, backend.name)
        parts = _cut(header, frame, undone) if undone else [(header, frame)]
        if not parts:
            _count(self._tx_dropped, DropReason.BAD_HEADER)
            raise BadHeaderError("this frame cannot be cut as its virtio-net header asks")
        for number, (one_header, one) in enumerate(parts):
            check_size(
                len(one), backend.min_frame, _LONGEST if one_header[1] else backend.max_frame, backend.name
            )
            try:
                with translated(backend.name):
                    backend._transmit(one_header[: backend.device_hdr_len] + one)  # noqa: SLF001 - the author's
            except NetbeError as error:
                if number == 0:
                    raise
                # The frame went in part: the rest of its segments is lost, as on a full wire.
                reason = DropReason.FULL if isinstance(error, BackendFull) else DropReason.ERROR
                _count(self._tx_dropped, reason, len(parts) - number)
                break
            self._tx_frames += 1
            self._tx_bytes += len(one)
        return len(data)

    # --- receiving

    def head(self) -> bytes | None:
        """The next frame by the agreement, its header in front; stays until `take`."""
        while not self._held:
            if not self._fetch():
                return None
        header, frame = self._held[0]
        return header[: self._backend.vnet_hdr_len] + frame

    def take(self, *, discard: bool = False) -> None:
        _, frame = self._held.popleft()
        if discard:
            _count(self._rx_dropped, DropReason.DISCARDED)
        else:
            self._rx_frames += 1
            self._rx_bytes += len(frame)

    def put_back(self, frames: list[bytes]) -> None:
        """Give back frames as `head` gave them, oldest first: a pump took them and could not bring them on."""
        parts = [_split(frame, self._backend.vnet_hdr_len) for frame in frames]
        self._held.extendleft(reversed(parts))
        self._rx_frames -= len(parts)
        self._rx_bytes -= sum(len(frame) for _, frame in parts)

    def _fetch(self) -> bool:
        """Ask the author for a frame; False when there is none. One that makes no sense is counted, no more."""
        backend = self._backend
        with translated(backend.name):
            data = backend._receive()  # noqa: SLF001 - the author's
        if data is None:
            return False
        if len(data) < backend.device_hdr_len + backend.min_frame:
            _count(self._rx_dropped, DropReason.TOO_SHORT)
            return True
        header, frame = _split(bytes(data), backend.device_hdr_len)
        needs = _check(header, frame)
        if needs is None:
            _count(self._rx_dropped, DropReason.BAD_HEADER)
            return True
        if len(frame) > (_LONGEST if needs & ~Features.CSUM else backend.max_frame):
            _count(self._rx_dropped, DropReason.TOO_LONG)
            return True
        undone = needs & ~backend.features.mirrored()
        parts = _cut(header, frame, undone) if undone else [(header, frame)]
        if not parts:
            _count(self._rx_dropped, DropReason.BAD_HEADER)
        self._held.extend(parts)
        return True


def _split(data: bytes, hdr_len: int) -> tuple[bytes, bytes]:
    """Header in normal form (12 bytes) and frame."""
    if hdr_len == 0:
        return _NOTHING, data
    return (data[:hdr_len] + _NOTHING)[:10] + b"\x01\x00", data[hdr_len:]


def _c_frame(header: bytes, frame: bytes) -> tuple[object, ...]:
    kept = ffi.from_buffer(frame)
    segment = ffi.new("struct iovec *", (kept, len(frame)))
    c_frame = ffi.new("struct netbe_frame *", {"len": len(frame), "nseg": 1, "seg": segment})
    ffi.memmove(ffi.addressof(c_frame, "hdr"), header, 12)
    return c_frame, segment, kept


def _check(header: bytes, frame: bytes) -> Features | None:
    """What the frame asks of its receiver; None when its header makes no sense."""
    if header[:2] == b"\0\0":
        return Features(0)
    c_frame, *_keep = _c_frame(header, frame)
    if lib.nb_hdr_check(c_frame) != 0:
        return None
    return Features(lib.nb_hdr_needs(ffi.addressof(c_frame, "hdr"), c_frame))


def _cut(header: bytes, frame: bytes, undone: Features) -> list[tuple[bytes, bytes]]:
    """Do in software what the receiver does not; empty when it cannot be done."""
    c_frame, *_keep = _c_frame(header, frame)
    gso_size, csum_start = struct.unpack_from("<HH", header, 4)
    if header[1] == GsoType.UDP:
        gso_size &= ~7  # fragments begin at multiples of 8
    most = len(frame) // gso_size + 2 if header[1] and gso_size else 1
    room = bytearray(len(frame) + most * (csum_start + _TRANSPORT))
    lengths = ffi.new("uint32_t[]", most)
    count = lib.nb_segment(
        c_frame, int(~undone & Features.host_offloads()), 64, ffi.from_buffer(room), len(room), lengths, most
    )
    parts = []
    at = 0
    for number in range(count):
        parts.append((_NOTHING, bytes(room[at : at + lengths[number]])))
        at += lengths[number]
    return parts


def _count(table: dict[DropReason, int], reason: DropReason, count: int = 1) -> None:
    table[reason] = table.get(reason, 0) + count
