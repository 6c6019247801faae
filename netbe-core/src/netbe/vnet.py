# SPDX-License-Identifier: BSD-2-Clause
"""`VnetHeader`: the virtio-net header before a frame (virtio 1.2, 5.1.6; linux/virtio_net.h)."""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from netbe.errors import BadHeaderError

HEADER_LENGTHS: Final = (0, 10, 12)
"""Bytes that a header may have: none, without ``num_buffers``, with it."""

_SHORT = struct.Struct("<BBHHHH")
_LONG = struct.Struct("<BBHHHHH")


class GsoType(IntEnum):
    """How a frame is to be cut: the values of ``VIRTIO_NET_HDR_GSO_*``."""

    NONE = 0
    TCPV4 = 1
    UDP = 3
    TCPV6 = 4
    UDP_L4 = 5


class HeaderFlags(IntFlag):
    """The values of ``VIRTIO_NET_HDR_F_*``."""

    NEEDS_CSUM = 1
    DATA_VALID = 2


@dataclass(slots=True)
class VnetHeader:
    """What a frame asks of its receiver. All zero: nothing.

    ``hdr_len`` and ``csum_start`` are bytes from the begin of the frame, ``csum_offset`` bytes from
    ``csum_start``, ``gso_size`` bytes of payload a segment.
    """

    flags: int = 0
    gso_type: int = 0
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    num_buffers: int = 1

    ECN = 0x80
    """Added to ``gso_type`` when the TCP header has CWR set (``VIRTIO_NET_HDR_GSO_ECN``)."""

    def pack(self, length: int = 12) -> bytes:
        """The header as `length` bytes: 0, 10 or 12; little-endian, as virtio 1.0 and later have it."""
        fields = (self.flags, self.gso_type, self.hdr_len, self.gso_size, self.csum_start, self.csum_offset)
        try:
            if length == _LONG.size:
                return _LONG.pack(*fields, self.num_buffers)
            if length == _SHORT.size:
                return _SHORT.pack(*fields)
        except struct.error as error:
            raise BadHeaderError(f"a field of {self!r} does not fit its place: {error}") from None
        if length == 0:
            return b""
        raise BadHeaderError(f"a virtio-net header has 0, 10 or 12 bytes, not {length}")

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview, length: int = 12) -> "VnetHeader":
        """Read the header of `length` bytes (0, 10 or 12) that `data` begins with."""
        if length not in HEADER_LENGTHS:
            raise BadHeaderError(f"a virtio-net header has 0, 10 or 12 bytes, not {length}")
        if len(data) < length:
            raise BadHeaderError(f"{len(data)} bytes are too few for a virtio-net header of {length}")
        if length == _LONG.size:
            return cls(*_LONG.unpack_from(data))
        if length == _SHORT.size:
            return cls(*_SHORT.unpack_from(data))
        return cls()
