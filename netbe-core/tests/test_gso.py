# SPDX-License-Identifier: BSD-2-Clause
"""Software offload without a kernel to ask: what has to be true of every frame that is cut."""

import struct
from dataclasses import replace
from typing import Any

import pytest
from gso_frames import (
    DATA_VALID,
    DESTINATION,
    ECN,
    FRAME_MAX,
    HOP_BY_HOP,
    NEEDS_CSUM,
    NONE,
    ROUTING,
    TCP,
    TCPV4,
    TCPV6,
    UDP,
    UFO,
    USO,
    Frame,
    Native,
    Recipe,
    RefusedError,
    accepts,
    cut,
    ones_sum,
    payloads,
    recipes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from netbe._native import ffi, lib

CSUM, HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_UFO, HOST_USO = (1 << bit for bit in (0, 11, 12, 13, 14, 56))
EVERYTHING = CSUM | HOST_TSO4 | HOST_TSO6 | HOST_ECN | HOST_UFO | HOST_USO
FIN, PSH, CWR = 0x01, 0x08, 0x80

quick = settings(max_examples=200, deadline=None)


def split_points(data: st.DataObject, frame: Frame) -> list[int]:
    near_headers = st.integers(0, min(len(frame.data), 160))
    anywhere = st.integers(0, len(frame.data))
    return data.draw(st.lists(st.one_of(near_headers, anywhere), max_size=40), label="cuts")


def network_of(recipe: Recipe, piece: bytes) -> tuple[bytes, bytes]:
    """Split a piece into its Ethernet header with tags, and the IP packet."""
    at = 14 + 4 * len(recipe.tags)
    return piece[:at], piece[at:]


def assert_sound(recipe: Recipe, piece: bytes) -> None:
    """Lengths and checksums of a whole TCP segment or UDP datagram, by the standards."""
    _, packet = network_of(recipe, piece)
    if recipe.version == 4:
        header = 4 * (packet[0] & 15)
        assert ones_sum(packet[:header]) == 0xFFFF
        assert struct.unpack(">H", packet[2:4])[0] == len(packet)
    else:
        header = 40 + sum(8 + 8 * units for _, units in recipe.extensions)
        assert struct.unpack(">H", packet[4:6])[0] == len(packet) - 40
    transport = packet[header:]
    addresses = packet[12:20] if recipe.version == 4 else packet[8:40]
    pseudo = addresses + struct.pack(">IHBB", len(transport), 0, 0, recipe.protocol)
    assert ones_sum(pseudo + transport) == 0xFFFF
    if recipe.protocol != TCP:
        assert struct.unpack(">H", transport[4:6])[0] == len(transport)
        assert transport[6:8] != b"\0\0"


@quick
@given(recipes(), st.data())
def test_any_split_of_a_frame_gives_the_same_bytes(recipe: Recipe, data: st.DataObject) -> None:
    frame = recipe.build()
    expected = masked(recipe, cut(frame))
    assert masked(recipe, cut(frame, split_points(data, frame))) == expected


@quick
@given(payloads(3000), st.data())
def test_any_split_gives_the_same_checksum(payload: bytes, data: st.DataObject) -> None:
    frame = Frame(bytes(34) + payload + bytes(18), flags=NEEDS_CSUM, csum_start=34, csum_offset=16)
    assert cut(frame, split_points(data, frame)) == cut(frame)


@pytest.mark.parametrize("gso_type", [TCPV4, TCPV6, USO, UFO])
def test_a_frame_in_pieces_of_one_byte(gso_type: int) -> None:
    recipe = Recipe(gso_type, 6 if gso_type == TCPV6 else 4, bytes(range(250)) * 3, gso_size=104)
    frame = recipe.build()
    assert cut(frame, range(1, len(frame.data))) == cut(frame)


@quick
@given(recipes(), st.integers(1, 64))
def test_it_does_not_matter_how_many_are_taken_at_a_time(recipe: Recipe, burst: int) -> None:
    frame = recipe.build()
    assert masked(recipe, cut(frame, burst=burst)) == masked(recipe, cut(frame))


@quick
@given(recipes((TCPV4, TCPV6)))
def test_a_tcp_stream_is_what_it_was(recipe: Recipe) -> None:
    frame = recipe.build()
    head = frame.hdr_len
    pieces = cut(frame)
    assert b"".join(piece[head:] for piece in pieces) == recipe.payload
    assert len(pieces) == max(1, -(-len(recipe.payload) // recipe.gso_size))
    for index, piece in enumerate(pieces):
        assert_sound(recipe, piece)
        assert len(piece) - head <= recipe.gso_size
        seq = struct.unpack(">I", piece[frame.csum_start + 4 :][:4])[0]
        assert seq == (recipe.seq + index * recipe.gso_size) % 2**32
        flags = recipe.tcp_flags
        if index > 0:
            flags &= ~CWR
        if index < len(pieces) - 1:
            flags &= ~(FIN | PSH)
        assert piece[frame.csum_start + 13] == flags
        if recipe.version == 4:
            ident = network_of(recipe, piece)[1][4:6]
            assert struct.unpack(">H", ident)[0] == (recipe.ident + index) % 2**16


@quick
@given(recipes((USO,)))
def test_datagrams_are_what_they_were(recipe: Recipe) -> None:
    frame = recipe.build()
    pieces = cut(frame)
    assert b"".join(piece[frame.hdr_len :] for piece in pieces) == recipe.payload
    for piece in pieces:
        assert_sound(recipe, piece)
    assert all(len(piece) - frame.hdr_len == recipe.gso_size for piece in pieces[:-1])


def join_ipv4(fragments: list[bytes]) -> bytes:
    """Put IPv4 fragments together (RFC 791)."""
    header, body = 4 * (fragments[0][0] & 15), b""
    for index, packet in enumerate(fragments):
        more, offset = divmod(struct.unpack(">H", packet[6:8])[0], 0x2000)
        assert ones_sum(packet[:header]) == 0xFFFF
        assert packet[4:6] == fragments[0][4:6]
        assert struct.unpack(">H", packet[2:4])[0] == len(packet)
        assert (more, offset * 8) == (index < len(fragments) - 1, len(body))
        body += packet[header:]
    return fragments[0][:header] + body


def join_ipv6(fragments: list[bytes]) -> bytes:
    """Put IPv6 fragments together (RFC 8200, 4.5)."""
    at, nh = 40, 6
    while fragments[0][nh] != 44:
        nh, at = at, at + 8 + 8 * fragments[0][at + 1]
    body = b""
    for index, packet in enumerate(fragments):
        number, reserved = struct.unpack(">HI", packet[at + 2 : at + 4] + packet[at + 4 : at + 8])
        assert struct.unpack(">H", packet[4:6])[0] == len(packet) - 40
        assert packet[:4] + packet[6:at] == fragments[0][:4] + fragments[0][6:at]
        assert reserved == struct.unpack(">I", fragments[0][at + 4 : at + 8])[0]
        assert packet[at + 1] == 0
        assert (number & 1, number & ~1) == (index < len(fragments) - 1, len(body))
        body += packet[at + 8 :]
    before = fragments[0][:nh] + fragments[0][at : at + 1] + fragments[0][nh + 1 : at]
    return before[:4] + struct.pack(">H", at - 40 + len(body)) + before[6:] + body


@quick
@given(recipes((UFO,)))
def test_fragments_make_the_datagram_again(recipe: Recipe) -> None:
    # With IPv6 extension headers Linux counts them into the offset, and the fragments fit nowhere.
    frame = recipe.build()
    pieces = cut(frame)
    whole = cut(replace(frame, gso_type=NONE, gso_size=0))[0]
    if len(pieces) == 1:
        assert pieces == [whole]
        return
    ethernet, packet = network_of(recipe, whole)
    assert {network_of(recipe, piece)[0] for piece in pieces} == {ethernet}
    fragments = [network_of(recipe, piece)[1] for piece in pieces]
    if recipe.version == 6:
        assert join_ipv6(fragments) == packet
        return
    joined, header = join_ipv4(fragments), 4 * (packet[0] & 15)
    # What a receiver sets anew: length, fragmentation and the header's checksum.
    assert joined[:2] + joined[4:6] + joined[8:10] == packet[:2] + packet[4:6] + packet[8:10]
    assert joined[12:] == packet[12:]
    assert len(joined) == header + 8 + len(recipe.payload)


def test_the_first_fragment_holds_all_headers() -> None:
    # Options for the end node, behind a routing header, belong to what is cut (RFC 7112).
    recipe = Recipe(UFO, 6, bytes(100), extensions=((ROUTING, 0), (DESTINATION, 2)))
    assert len(cut(replace(recipe, gso_size=32).build())) == 5
    with pytest.raises(RefusedError):
        cut(replace(recipe, gso_size=31).build())


def test_fragments_begin_at_multiples_of_eight() -> None:
    recipe = Recipe(UFO, 4, bytes(100))
    assert cut(replace(recipe, gso_size=47).build()) == cut(replace(recipe, gso_size=40).build())


def test_each_ipv6_datagram_has_a_fragment_number_of_its_own() -> None:
    frame = Recipe(UFO, 6, bytes(3000)).build()
    assert len({cut(frame)[0][14 + 44 : 14 + 48] for _ in range(100)}) == 100


def masked(recipe: Recipe, pieces: list[bytes]) -> list[bytes]:
    """Without the number of IPv6 fragments, which is another for each datagram."""
    if recipe.gso_type != UFO or recipe.version != 6 or len(pieces) == 1:
        return pieces
    at = 14 + 4 * len(recipe.tags)
    nh, after = at + 6, at + 40
    while pieces[0][nh] != 44:
        nh, after = after, after + 8 + 8 * pieces[0][after + 1]
    return [piece[: after + 4] + bytes(4) + piece[after + 8 :] for piece in pieces]


numbers = st.integers(0, 0xFFFF)
garbage = st.builds(
    Frame, st.binary(max_size=300), st.integers(0, 3), st.integers(0, 255), numbers, numbers, numbers, numbers
)


@settings(max_examples=2000, deadline=None)
@given(garbage, st.integers(0, 2**64 - 1), st.data())
def test_garbage_is_cut_or_refused(frame: Frame, features: int, data: st.DataObject) -> None:
    try:
        pieces = cut(frame, split_points(data, frame), features)
    except RefusedError:
        return
    assert accepts(frame)
    assert sum(map(len, pieces)) >= len(frame.data)


@quick
@given(recipes(), st.data())
def test_a_frame_with_a_changed_byte_is_cut_or_refused(recipe: Recipe, data: st.DataObject) -> None:
    frame = recipe.build()
    broken = bytearray(frame.data)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, min(frame.hdr_len, len(broken)) - 1))] = data.draw(
            st.integers(0, 255)
        )
    frame = replace(frame, data=bytes(broken[: data.draw(st.integers(0, len(broken)))]))
    if accepts(frame):
        try:
            assert cut(frame)
        except RefusedError:
            assert recipe.gso_type == UFO
    else:
        with pytest.raises(RefusedError):
            cut(frame)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"flags": NEEDS_CSUM | 4}, "a flag nobody knows"),
        ({"flags": 0}, "segmentation without a checksum"),
        ({"gso_type": 2}, "a type nobody knows"),
        ({"gso_type": ECN}, "ECN of nothing"),
        ({"gso_type": USO | ECN}, "ECN of UDP"),
        ({"gso_type": UFO | ECN}, "ECN of UDP"),
        ({"gso_type": TCPV6}, "the other IP version"),
        ({"gso_type": USO, "csum_offset": 6}, "the other protocol"),
        ({"gso_size": 0}, "no size"),
        ({"gso_size": 7}, "a size of which a frame makes ten thousand"),
        ({"gso_size": 0xFFFF}, "a size that Linux uses otherwise"),
        ({"csum_start": 35}, "a checksum that does not begin at the transport header"),
        ({"csum_offset": 6}, "a checksum where TCP has none"),
        ({"csum_start": 0xFFFF}, "a checksum outside the frame"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(change: dict[str, Any], why: str) -> None:
    frame = Recipe(TCPV4, payload=bytes(3000)).build()
    assert accepts(frame)
    frame = replace(frame, **change)
    assert not accepts(frame), why
    with pytest.raises(RefusedError):
        cut(frame)


def test_a_fragment_cannot_be_cut() -> None:
    frame = Recipe(TCPV4, payload=bytes(3000)).build()
    for flags in (b"\x20\x00", b"\x00\x01"):
        assert not accepts(replace(frame, data=frame.data[:20] + flags + frame.data[22:]))
    assert accepts(replace(frame, data=frame.data[:20] + b"\x40\x00" + frame.data[22:]))


@pytest.mark.parametrize("cut_at", [0, 13, 14, 33, 34, 52, 53])
def test_a_frame_that_ends_in_its_headers_is_refused(cut_at: int) -> None:
    frame = Recipe(TCPV4, payload=bytes(3000)).build()
    assert not accepts(replace(frame, data=frame.data[:cut_at]))


def test_tcp_has_at_least_twenty_bytes() -> None:
    frame = Recipe(TCPV4, payload=bytes(3000)).build()
    offset = frame.csum_start + 12
    for words in range(5):
        assert not accepts(
            replace(frame, data=frame.data[:offset] + bytes([words << 4]) + frame.data[offset + 1 :])
        )


def test_tags_may_be_eight_deep_as_in_linux() -> None:
    recipe = Recipe(TCPV4, payload=bytes(3000), tags=((0x8100, 1),) * 8)
    assert len(cut(recipe.build())) == 3
    assert not accepts(replace(recipe, tags=((0x8100, 1),) * 9).build())


def test_a_datagram_of_datagrams_has_at_most_128_as_in_linux() -> None:
    assert len(cut(Recipe(USO, payload=bytes(1280), gso_size=10).build())) == 128
    assert not accepts(Recipe(USO, payload=bytes(1281), gso_size=10).build())
    # So small ones are no harm, and Linux's UDP_SEGMENT has no lower bound.
    assert len(cut(Recipe(USO, payload=bytes(100), gso_size=1).build())) == 100


def test_options_for_every_node_stay_before_the_fragment_header() -> None:
    # Without a routing header behind them that is any option, as Linux has it.
    recipe = Recipe(UFO, 6, bytes(100), gso_size=64, extensions=((HOP_BY_HOP, 0), (DESTINATION, 1)))
    for piece in cut(recipe.build()):
        packet = network_of(recipe, piece)[1]
        assert (packet[6], packet[40], packet[48], packet[64]) == (HOP_BY_HOP, DESTINATION, 44, UDP)


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_never_make_more_than_a_packet_can_be(version: int) -> None:
    longest = 65535 - (28 if version == 4 else 8)
    recipe = Recipe(UFO, version, bytes(longest))
    frame = recipe.build()
    assert len(cut(frame)) == 66
    # The same, one byte longer: no length field can say so.
    longer = replace(frame, data=frame.data + b"\0")
    with pytest.raises(RefusedError):
        cut(longer)


def test_a_piece_is_never_longer_than_a_packet_can_be() -> None:
    frame = Recipe(TCPV4, payload=bytes(65495)).build()
    frame = replace(frame, data=frame.data + bytes(2000))
    assert len(cut(replace(frame, gso_size=65495))) == 2
    with pytest.raises(RefusedError):
        cut(replace(frame, gso_size=65496))


def test_the_length_of_headers_is_only_a_hint() -> None:
    frame = Recipe(TCPV4, payload=bytes(3000)).build()
    for hint in (0, 1, 0xFFFF):
        assert cut(replace(frame, hdr_len=hint)) == cut(frame)


def test_a_checksum_has_to_be_inside_the_frame() -> None:
    frame = Frame(bytes(60), flags=NEEDS_CSUM, csum_start=34, csum_offset=24)
    assert accepts(frame)
    assert not accepts(replace(frame, csum_offset=25))
    assert not accepts(replace(frame, csum_start=19))
    assert not accepts(replace(frame, csum_start=0xFFFF, csum_offset=0xFFFF))


def test_a_frame_that_wants_nothing_stays_as_it_is() -> None:
    for flags in (0, DATA_VALID):
        frame = Frame(bytes(range(60)), flags=flags, hdr_len=7, gso_size=9, csum_start=0xFFFF)
        assert accepts(frame)
        assert cut(frame) == [frame.data]


def test_what_the_receiver_can_do_is_left_to_it() -> None:
    frame = Recipe(TCPV4, payload=bytes(3000)).build()
    assert cut(frame, features=CSUM | HOST_TSO4) == [frame.data]
    # It segments, but sums nothing up: then both are done here.
    assert cut(frame, features=HOST_TSO4) == cut(frame)
    assert cut(frame, features=EVERYTHING & ~HOST_TSO4) == cut(frame)


@pytest.mark.parametrize(
    ("gso_type", "needs"),
    [
        (NONE, CSUM),
        (TCPV4, CSUM | HOST_TSO4),
        (TCPV6, CSUM | HOST_TSO6),
        (TCPV4 | ECN, CSUM | HOST_TSO4 | HOST_ECN),
        (UFO, CSUM | HOST_UFO),
        (USO, CSUM | HOST_USO),
    ],
)
def test_what_a_frame_needs_is_told_by_its_header(gso_type: int, needs: int) -> None:
    native = Native(Frame(bytes(60), NEEDS_CSUM, gso_type))
    assert lib.nb_hdr_needs(ffi.addressof(native.c, "hdr"), native.c) == needs


def test_a_plain_frame_needs_nothing() -> None:
    native = Native(Frame(bytes(60), DATA_VALID))
    assert lib.nb_hdr_needs(ffi.addressof(native.c, "hdr"), native.c) == 0


def test_extension_headers_without_end_are_refused() -> None:
    long = ((HOP_BY_HOP, 255),)
    assert not accepts(Recipe(TCPV6, 6, bytes(3000), extensions=long).build())
    # Of headers so long only few fit into one burst.
    recipe = Recipe(TCPV6, 6, bytes(3000), gso_size=10, extensions=((HOP_BY_HOP, 200), (ROUTING, 30)))
    pieces = cut(recipe.build(), burst=64)
    assert len(pieces) == 300
    for piece in pieces:
        assert_sound(recipe, piece)


def test_a_frame_longer_than_any_is_refused() -> None:
    frame = Frame(bytes(FRAME_MAX + 1), flags=NEEDS_CSUM, csum_start=34, csum_offset=16)
    with pytest.raises(RefusedError):
        cut(frame)


@pytest.mark.parametrize("length", [10, 12])
def test_a_header_comes_out_as_it_went_in(length: int) -> None:
    header = ffi.new("struct netbe_vnet_hdr *")
    raw = bytes(range(1, 1 + length))
    assert lib.nb_hdr_load(header, raw, length) == 0
    assert header.num_buffers == (0x0C0B if length == 12 else 0)
    out = ffi.new("char[]", b"\xaa" * 14)
    assert lib.nb_hdr_store(out, header, length) == 0
    # One buffer is what a frame takes on its way out.
    assert ffi.buffer(out)[:14] == raw[:10] + b"\x01\x00"[: length - 10] + b"\xaa" * (14 - length)


def test_no_header_is_one_of_zeros() -> None:
    header = ffi.new("struct netbe_vnet_hdr *", [1, 1, 1, 1, 1, 1, 1])
    assert lib.nb_hdr_load(header, ffi.NULL, 0) == 0
    assert bytes(ffi.buffer(header)) == bytes(12)
    assert lib.nb_hdr_store(ffi.NULL, header, 0) == 0


@pytest.mark.parametrize("length", [1, 9, 11, 13, 20, 2**32 - 1])
def test_a_header_of_another_length_is_refused(length: int) -> None:
    header, room = ffi.new("struct netbe_vnet_hdr *"), ffi.new("char[32]")
    assert lib.nb_hdr_load(header, room, length) < 0
    assert lib.nb_hdr_store(room, header, length) < 0
