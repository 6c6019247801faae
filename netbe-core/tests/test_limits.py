# SPDX-License-Identifier: BSD-2-Clause
"""The longest frames, and frames that are noise."""

import contextlib
import struct
from collections.abc import Callable

import pytest
from gso_frames import TCPV4, Frame, Recipe
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kinds import KINDS, OFFLOADS, Kind, every_kind
from pumping import frame

import netbe
from netbe import Features, FrameBatch
from netbe.backend import LONGEST, MAX_FRAME

TAGS = ((0x88A8, 5), (0x8100, 6))
WITH_HEADER = [name for name in KINDS if name not in ("packets", "python")]
DELIVERED = st.sampled_from(["recv", "recv_into", "recv_burst", "rx_discard"])


@pytest.fixture(params=WITH_HEADER)
def able(request: pytest.FixtureRequest) -> Kind:
    with contextlib.closing(KINDS[request.param]()) as one:
        one.backend.set_cap(OFFLOADS, 12)
        yield one


def longest_segmented() -> Frame:
    """A TCP frame in an IP packet of 65,535 bytes, with two VLAN tags."""
    return Recipe(TCPV4, payload=bytes(65535 - 40), gso_size=9000, tags=TAGS).build()


def stretched(length: int) -> Frame:
    """A frame that says it is to be segmented, and is longer than its IP header can tell."""
    whole = longest_segmented()
    return Frame(whole.data.ljust(length, b"x"), whole.flags, whole.gso_type, 0, 9000, whole.csum_start, 16)


def padded(one: Frame) -> bytes:
    return one.header + b"\1\0" + one.data


# Defect 5 of the seed: its buffer held 65,536 bytes.
@pytest.mark.parametrize("hdr_len", [0, 10, 12])
def test_the_longest_ip_packet_with_tags_and_header_goes_both_ways(kind: Kind, hdr_len: int) -> None:
    kind.backend.set_cap(Features(0), hdr_len)
    longest = (
        frame(1, 2)[:12] + b"\x88\xa8\x00\x05\x81\x00\x00\x06\x88\xb5" + bytes(range(251)) * 261 + bytes(24)
    )
    assert len(longest) == MAX_FRAME == 65535 + 14 + 8
    assert kind.backend.send(bytes(hdr_len) + longest) == hdr_len + MAX_FRAME
    assert kind.sent() == longest
    kind.arrive(longest, longest, longest)
    assert kind.backend.peek_recvlen() == hdr_len + MAX_FRAME
    assert (kind.backend.recv() or b"")[hdr_len:] == longest
    room = bytearray(LONGEST)
    assert kind.backend.recv_into(room) == hdr_len + MAX_FRAME
    assert room[hdr_len : hdr_len + MAX_FRAME] == longest
    assert kind.backend.recv_burst(FrameBatch()) == 1


# Defect 5 of the seed.
def test_the_longest_segmented_frame_with_tags_and_header_goes_both_ways(able: Kind) -> None:
    one = longest_segmented()
    whole = padded(one)
    assert len(whole) == 65535 + 14 + 8 + 12
    assert able.backend.send(whole) == len(whole)
    assert able.sent() == one.data
    able.arrive(one.data, header=one.header + b"\1\0")
    assert able.backend.recv() == whole


# Defect 5 of the seed: virtio recommends 65,601 bytes of room, tags not counted.
@pytest.mark.parametrize("name", KINDS)
def test_a_backend_of_longer_frames_takes_them(name: str) -> None:
    with contextlib.closing(KINDS[name](max_frame=65601 + 8)) as kind:
        assert kind.backend.max_frame == 65609
        kind.backend.set_cap(Features(0), 12)
        data = frame(1, 2).ljust(65609, b"z")
        assert kind.backend.send(bytes(12) + data) == 12 + 65609
        assert kind.sent() == data
        if name == "pair":
            kind.far.set_cap(Features(0), 12)  # type: ignore[attr-defined]
        kind.arrive(data)
        assert (kind.backend.recv() or b"")[12:] == data


@pytest.mark.parametrize("delivered", ["recv", "recv_into", "recv_burst"])
@pytest.mark.parametrize("hdr_len", [10, 12])
def test_no_frame_with_its_header_is_longer_than_the_bound(able: Kind, hdr_len: int, delivered: str) -> None:
    assert LONGEST == 69632
    able.backend.set_cap(OFFLOADS, hdr_len)
    one = stretched(LONGEST - 12)
    whole = padded(one)[:hdr_len] + one.data
    assert able.backend.send(whole) == len(whole)
    assert able.sent() == one.data
    able.arrive(one.data, header=one.header + b"\1\0")
    room = bytearray(LONGEST)
    if delivered == "recv":
        assert able.backend.recv() == whole
    elif delivered == "recv_into":
        assert able.backend.recv_into(room) == len(whole)
    else:
        assert able.backend.recv_burst(FrameBatch(capacity=LONGEST)) == 1


@pytest.mark.parametrize("excess", [1, 2, 3, 12, 13, 5000])
def test_one_beyond_the_bound_is_refused_when_sent(able: Kind, excess: int) -> None:
    with pytest.raises(netbe.FrameSizeError):
        able.backend.send(padded(stretched(LONGEST - 12 + excess)))
    assert able.sent() is None


@pytest.mark.parametrize("name", [name for name in WITH_HEADER if name != "pair"])
@pytest.mark.parametrize("excess", [1, 2, 3, 12, 13, 5000])
def test_one_beyond_the_bound_is_dropped_and_counted_when_it_comes_in(name: str, excess: int) -> None:
    one = stretched(LONGEST - 12 + excess)
    with contextlib.closing(KINDS[name]()) as kind:
        kind.backend.set_cap(OFFLOADS, 12)
        kind.arrive(one.data, header=one.header + b"\1\0")
        kind.arrive(frame(1, 2))
        assert (kind.backend.recv() or b"")[12:] == frame(1, 2)
        assert kind.backend.stats.rx_dropped == {netbe.DropReason.TOO_LONG: 1}


# --- noise

plausible = st.builds(
    lambda *fields: struct.pack("<BBHHHHH", *fields),
    st.sampled_from([0, 1, 2, 3, 4, 0x81]),
    st.sampled_from([0, 1, 3, 4, 5, 0x80, 0x81, 0x83, 0x84, 0x77, 2]),
    st.integers(0, 0xFFFF),
    st.one_of(st.integers(0, 40), st.integers(0, 0xFFFF)),
    st.one_of(st.sampled_from([14, 34, 54]), st.integers(0, 0xFFFF)),
    st.one_of(st.sampled_from([6, 16]), st.integers(0, 0xFFFF)),
    st.integers(0, 0xFFFF),
)
noise_headers = st.one_of(plausible, st.binary(min_size=12, max_size=12))
ip_like = st.builds(
    lambda start, rest: bytes(12) + start + rest,
    st.sampled_from(
        [
            b"\x08\x00\x45\x00\x00\x40\x00\x00\x40\x00\x40\x06",
            b"\x08\x00\x4f\x00\xff\xff\x00\x00\x40\x00\x40\x11",
            b"\x86\xdd\x60\x00\x00\x00\x00\x40\x06\x40",
            b"\x86\xdd\x60\x00\x00\x00\xff\xff\x00\x40",
            b"\x81\x00\x00\x05\x08\x00\x45\x00\x00\x40\x00\x00\x00\x00\x40\x11",
        ]
    ),
    st.binary(max_size=400),
)
noise_frames = st.one_of(ip_like, st.binary(max_size=400))
noise = st.lists(st.tuples(noise_headers, noise_frames), max_size=8)


def deliver(kind: Kind, how: str) -> int:
    """Take what comes next by one of the ways; its length."""
    backend = kind.backend
    if how == "recv":
        return len(backend.recv() or b"")
    if how == "recv_into":
        return backend.recv_into([bytearray(5), bytearray(LONGEST)])
    if how == "recv_burst":
        batch = FrameBatch()
        backend.recv_burst(batch)
        return batch.nbytes
    return backend.rx_discard()


@every_kind
@given(
    items=noise,
    hdr_len=st.sampled_from([0, 10, 12]),
    offloads=st.booleans(),
    burst=st.booleans(),
)
@example(
    items=[(bytes([1, 1, 0, 0, 8, 0, 14, 0, 16, 0, 0, 0]), bytes(12) + b"\x08\x00")],
    hdr_len=12,
    offloads=False,
    burst=False,
)
@settings(max_examples=60)
def test_noise_that_is_sent_is_sent_or_refused(
    make: Callable[[], Kind],
    items: list[tuple[bytes, bytes]],
    hdr_len: int,
    offloads: bool,  # noqa: FBT001
    burst: bool,  # noqa: FBT001
) -> None:
    with contextlib.closing(make()) as kind:
        kind.backend.set_cap(kind.backend.get_cap() if offloads and hdr_len else Features(0), hdr_len)
        reached = 0
        for header, data in items:
            whole = header[:hdr_len] + data
            try:
                if burst:
                    assert kind.backend.send_burst([whole]) == 1
                else:
                    assert kind.backend.send(whole) == len(whole)
            except (netbe.FrameSizeError, netbe.BadHeaderError, netbe.BackendFull):
                pass
            while kind.sent() is not None:
                reached += 1
        assert kind.backend.stats.tx_frames == reached
        assert kind.backend.send(bytes(hdr_len) + frame(1, 2, "after")) == hdr_len + 60
        assert kind.sent() == frame(1, 2, "after")


@every_kind
@given(
    items=noise,
    hdr_len=st.sampled_from([0, 10, 12]),
    offloads=st.booleans(),
    ways=st.lists(DELIVERED, min_size=1, max_size=4),
)
@settings(max_examples=60)
def test_noise_that_comes_in_is_given_out_or_counted(
    make: Callable[[], Kind],
    items: list[tuple[bytes, bytes]],
    hdr_len: int,
    offloads: bool,  # noqa: FBT001
    ways: list[str],
) -> None:
    with contextlib.closing(make()) as kind:
        kind.backend.set_cap(kind.backend.get_cap() if offloads and hdr_len else Features(0), hdr_len)
        came = 0
        for header, data in items:
            if data or kind.device_hdr_len:  # a record of no bytes says that the peer hung up
                with contextlib.suppress(netbe.FrameSizeError, netbe.BadHeaderError):
                    kind.arrive(data, header=header)
                    came += 1
        turn = 0
        while deliver(kind, ways[turn % len(ways)]) > 0:
            turn += 1
            assert turn < 1000
        stats = kind.backend.stats
        assert stats.rx_frames + sum(stats.rx_dropped.values()) >= came
        kind.arrive(frame(1, 2, "after"))
        assert (kind.backend.recv() or b"")[hdr_len:] == frame(1, 2, "after")
