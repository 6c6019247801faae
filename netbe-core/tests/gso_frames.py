# SPDX-License-Identifier: BSD-2-Clause
"""Frames that ask for a checksum or for segmentation: built, drawn at random, and cut by netbe."""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import strategies as st

from netbe._native import ffi, lib

NEEDS_CSUM, DATA_VALID = 1, 2
NONE, TCPV4, UFO, TCPV6, USO, ECN = 0, 1, 3, 4, 5, 0x80
TCP, UDP = 6, 17
HOP_BY_HOP, ROUTING, DESTINATION = 0, 43, 60
FRAME_MAX = 69632
DESTINATION_MAC, SOURCE_MAC = bytes.fromhex("0200000000b1"), bytes.fromhex("0200000000a1")


# Room for the longest frame in the smallest pieces.
_lengths = ffi.new("uint32_t[]", 9000)
_out = ffi.new("char[]", 9000 * 256 + FRAME_MAX)


class RefusedError(Exception):
    """netbe said that the header does not fit the frame."""


def ones_sum(data: bytes, start: int = 0) -> int:
    """Add up 16-bit words as RFC 1071 does, folded, not complemented: the slow and obvious way."""
    data += bytes(len(data) % 2)
    total: int = start + sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class Frame:
    """An Ethernet frame, and the virtio-net header that tells what is to be done with it."""

    data: bytes
    flags: int = 0
    gso_type: int = 0
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    @property
    def header(self) -> bytes:
        """The header's 10 bytes, little-endian."""
        return struct.pack(
            "<BBHHHH",
            self.flags,
            self.gso_type,
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
        )


class Native:
    """A frame as C sees it, in segments that begin at the given offsets; keeps its memory alive."""

    def __init__(self, frame: Frame, cuts: Sequence[int] = ()) -> None:
        """cuts: where a new segment begins."""
        edges = [0, *sorted(cuts), len(frame.data)]
        pieces = [frame.data[a:b] for a, b in pairwise(edges)]
        # Each piece has memory of its own, so that a sanitizer sees what reads behind its end.
        self._memory = [ffi.new("char[]", piece) for piece in pieces]
        self._segments = ffi.new("struct iovec[]", len(pieces))
        for segment, memory, piece in zip(self._segments, self._memory, pieces, strict=True):
            segment.iov_base, segment.iov_len = memory, len(piece)
        self.c = ffi.new("struct netbe_frame *")
        self.c.len, self.c.nseg, self.c.seg = len(frame.data), len(pieces), self._segments
        assert lib.nb_hdr_load(ffi.addressof(self.c, "hdr"), frame.header, 10) == 0


def accepts(frame: Frame) -> bool:
    """Whether the header fits the frame, as nb_hdr_check() sees it."""
    return lib.nb_hdr_check(Native(frame).c) == 0


def cut(frame: Frame, cuts: Sequence[int] = (), features: int = 0, burst: int = 32) -> list[bytes]:
    """Do in software what a receiver with these features cannot; RefusedError when the header is nonsense."""
    native = Native(frame, cuts)
    count = lib.nb_segment(native.c, features, burst, _out, len(_out), _lengths, len(_lengths))
    if count == -22:  # EINVAL
        raise RefusedError
    assert count >= 0, f"nb_segment: {count}"
    frames, at = [], 0
    for length in _lengths[0:count]:
        frames.append(bytes(ffi.buffer(_out + at, length)))
        at += length
    return frames


@dataclass(frozen=True)
class Recipe:
    """What a frame is made of; IPv6 extensions are (kind, body length in 8 byte units less one)."""

    gso_type: int
    version: int = 4
    payload: bytes = b""
    gso_size: int = 1000
    tags: tuple[tuple[int, int], ...] = ()
    ip_options: bytes = b""
    extensions: tuple[tuple[int, int], ...] = ()
    tcp_options: bytes = b""
    tcp_flags: int = 0x10
    ident: int = 1
    dont_fragment: bool = True
    addresses: bytes = bytes(range(1, 33))
    seq: int = 0

    @property
    def protocol(self) -> int:
        """TCP or UDP."""
        return TCP if self.gso_type & ~ECN in (TCPV4, TCPV6) else UDP

    def build(self) -> Frame:
        """Return the frame, its checksum field holding the sum of the pseudo-header."""
        ethernet = DESTINATION_MAC + SOURCE_MAC
        for tpid, tci in self.tags:
            ethernet += struct.pack(">HH", tpid, tci)
        ethernet += struct.pack(">H", 0x0800 if self.version == 4 else 0x86DD)
        half = 4 if self.version == 4 else 16
        source, destination = self.addresses[:half], self.addresses[half : 2 * half]
        length = len(self._transport(0)) + len(self.payload)
        pseudo = ones_sum(source + destination + struct.pack(">IHBB", length, 0, 0, self.protocol))
        transport = self._transport(pseudo)
        network = (self._ipv4 if self.version == 4 else self._ipv6)(source, destination, length)
        start = len(ethernet) + len(network)
        return Frame(
            data=ethernet + network + transport + self.payload,
            flags=NEEDS_CSUM,
            gso_type=self.gso_type,
            hdr_len=start + len(transport),
            gso_size=self.gso_size,
            csum_start=start,
            csum_offset=16 if self.protocol == TCP else 6,
        )

    def _transport(self, checksum: int) -> bytes:
        if self.protocol == UDP:
            return struct.pack(">HHHH", 4000, 5000, 8 + len(self.payload), checksum)
        offset = (20 + len(self.tcp_options)) // 4
        return (
            struct.pack(
                ">HHIIBBHHH", 4000, 5000, self.seq, 77, offset << 4 | 1, self.tcp_flags, 512, checksum, 3
            )
            + self.tcp_options
        )

    def _ipv4(self, source: bytes, destination: bytes, length: int) -> bytes:
        words = 5 + len(self.ip_options) // 4
        fields = (
            0x40 | words,
            2,
            words * 4 + length,
            self.ident,
            self.dont_fragment << 14,
            60,
            self.protocol,
        )
        header = struct.pack(">BBHHHBBH", *fields, 0) + source + destination + self.ip_options
        return header[:10] + struct.pack(">H", ones_sum(header) ^ 0xFFFF) + header[12:]

    def _ipv6(self, source: bytes, destination: bytes, length: int) -> bytes:
        kinds = [kind for kind, _ in self.extensions] + [self.protocol]
        body = b"".join(
            # A routing header with no segment left; options of which all is one PadN.
            bytes([following, units, *((4, 0) if kind == ROUTING else (1, (4 + 8 * units) & 255))])
            + bytes(4 + 8 * units)
            for (kind, units), following in zip(self.extensions, kinds[1:], strict=True)
        )
        fields = (6 << 28 | 2 << 20 | 0xABCDE, len(body) + length, kinds[0], 60)
        return struct.pack(">IHBB", *fields) + source + destination + body


def payloads(max_size: int) -> st.SearchStrategy[bytes]:
    """Random bytes, long ones at no cost, and those that are hard on a checksum."""
    size = st.one_of(st.integers(0, 64), st.integers(0, max_size))
    noise = st.builds(lambda seed, n: random.Random(seed).randbytes(n), st.integers(0, 2**32), size)
    plain = st.builds(lambda byte, n: bytes([byte]) * n, st.sampled_from([0, 0xFF]), size)
    return st.one_of(noise, noise, plain)


@st.composite
def recipes(draw: st.DrawFn, gso_types: Sequence[int] = (TCPV4, TCPV6, UFO, USO)) -> Recipe:
    """Frames that a sane sender may send, at most about 500 of them when cut."""
    gso_type = draw(st.sampled_from(gso_types))
    version = {TCPV4: 4, TCPV6: 6}.get(gso_type) or draw(st.sampled_from([4, 6]))
    if gso_type in (TCPV4, TCPV6):
        gso_type |= draw(st.sampled_from([0, ECN]))
    payload = draw(payloads(draw(st.sampled_from([300, 3000, 65000]))))
    least = max(8, len(payload) // (120 if gso_type == USO else 500) + 1)
    gso_size = draw(st.one_of(st.integers(least, least + 64), st.integers(least, max(least, 9000))))
    extensions = draw(_extensions()) if version == 6 else ()
    if gso_type == UFO:
        # Room for what the first fragment must hold; a multiple of what offsets are counted in.
        gso_size = 8 + max(gso_size, sum(8 + 8 * units for _, units in extensions)) // 8 * 8
    tag = st.tuples(st.sampled_from([0x8100, 0x88A8]), st.integers(0, 0xFFFF))
    words = st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))
    recipe = Recipe(
        gso_type=gso_type,
        version=version,
        payload=payload,
        gso_size=gso_size,
        tags=tuple(draw(st.lists(tag, max_size=2))),
        ip_options=draw(words) if version == 4 else b"",
        extensions=extensions,
        tcp_options=draw(words),
        tcp_flags=draw(st.integers(0, 255)),
        ident=draw(st.integers(0, 0xFFFF)),
        dont_fragment=draw(st.booleans()),
        addresses=draw(st.binary(min_size=32, max_size=32)),
        seq=draw(st.integers(0, 2**32 - 1)),
    )
    return replace(recipe, payload=payload[: len(payload) - max(0, _ip_length(recipe) - 65535)])


def _ip_length(recipe: Recipe) -> int:
    network = (
        20 + len(recipe.ip_options) if recipe.version == 4 else sum(8 + 8 * n for _, n in recipe.extensions)
    )
    transport = 8 if recipe.protocol == UDP else 20 + len(recipe.tcp_options)
    return network + transport + len(recipe.payload)


@st.composite
def _extensions(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    units = st.integers(0, 3)
    hop = draw(st.lists(st.tuples(st.just(HOP_BY_HOP), units), max_size=1))
    rest = draw(st.lists(st.tuples(st.sampled_from([ROUTING, DESTINATION]), units), max_size=3))
    return (*hop, *rest)
