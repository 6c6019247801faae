# SPDX-License-Identifier: BSD-2-Clause
"""The agreement on features and header, and what it means for each frame, the same on every kind of backend."""

import contextlib
from collections.abc import Callable

import pytest
from gso_frames import ECN, TCPV4, TCPV6, UFO, USO, Frame, Recipe, cut, recipes
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, OFFLOADS, Kind, PairKind, every_kind
from pumping import PythonBackend, frame

import netbe
from netbe import Backend, DropReason, Features, FrameBatch

ONE, TWO = frame(1, 2, "one"), frame(1, 2, "two") + bytes(100)
PLAIN = {0: b"", 10: bytes(10), 12: bytes(10) + b"\x01\x00"}
LARGE = Recipe(TCPV4, payload=bytes(range(250)) * 40, gso_size=1448).build()
WITHOUT_HEADER = ["packets", "python"]
WITH_HEADER = [name for name in KINDS if name not in WITHOUT_HEADER]


@pytest.fixture(params=WITH_HEADER)
def able(request: pytest.FixtureRequest) -> Kind:
    """Those that have a header below and do every offload."""
    with contextlib.closing(KINDS[request.param]()) as one:
        yield one


def agreement(backend: Backend) -> tuple[Features, int]:
    return backend.features, backend.vnet_hdr_len


def everything(backend: Backend) -> list[bytes]:
    return list(iter(backend.recv, None))


def all_sent(kind: Kind) -> list[bytes]:
    return list(iter(kind.sent_whole, None))


# --- the transaction


def test_at_first_nothing_is_agreed(kind: Kind) -> None:
    assert agreement(kind.backend) == (Features(0), 0)


@pytest.mark.parametrize("hdr_len", [0, 10, 12])
def test_a_header_of_0_10_and_12_bytes_is_agreed_by_every_backend(kind: Kind, hdr_len: int) -> None:
    kind.backend.set_cap(Features(0), hdr_len)
    assert agreement(kind.backend) == (Features(0), hdr_len)


# Defect 8 of the seed: the length was stored before the backend had accepted it, and then asserted.
@pytest.mark.parametrize("hdr_len", [-1, 1, 2, 4, 8, 9, 11, 13, 14, 16, 20, 24, 1 << 40])
def test_no_other_length_is_and_nothing_has_changed(kind: Kind, hdr_len: int) -> None:
    kind.backend.set_cap(kind.backend.get_cap(), 12)
    before = agreement(kind.backend)
    with pytest.raises(netbe.NotSupportedError, match="0, 10 or 12"):
        kind.backend.set_cap(Features(0), hdr_len)
    assert agreement(kind.backend) == before
    kind.arrive(ONE)
    assert kind.backend.recv() == PLAIN[12] + ONE


@pytest.mark.parametrize(
    "features",
    [Features.MQ, Features.CSUM | Features.MRG_RXBUF, Features(1 << 50), Features.VERSION_1 | Features.CSUM],
)
def test_a_feature_that_get_cap_lacks_is_refused_and_nothing_has_changed(
    kind: Kind, features: Features
) -> None:
    kind.backend.set_cap(Features(0), 10)
    with pytest.raises(netbe.NotSupportedError, match="cannot do"):
        kind.backend.set_cap(features, 12)
    assert agreement(kind.backend) == (Features(0), 10)
    kind.arrive(ONE)
    assert kind.backend.recv() == PLAIN[10] + ONE


@pytest.mark.parametrize("name", WITHOUT_HEADER)
@pytest.mark.parametrize("feature", list(OFFLOADS))
def test_a_device_without_header_takes_no_offload(name: str, feature: Features) -> None:
    with contextlib.closing(KINDS[name]()) as kind:
        assert kind.backend.get_cap() == Features(0)
        with pytest.raises(netbe.NotSupportedError, match=str(feature.name)):
            kind.backend.set_cap(feature, 12)
        assert agreement(kind.backend) == (Features(0), 0)


def test_offloads_need_a_header_to_be_told_in(able: Kind) -> None:
    able.backend.set_cap(Features.CSUM, 12)
    with pytest.raises(netbe.NotSupportedError, match="header of 10 or 12"):
        able.backend.set_cap(Features.CSUM, 0)
    assert agreement(able.backend) == (Features.CSUM, 12)


def test_a_feature_without_the_one_it_needs_is_refused_and_nothing_has_changed(able: Kind) -> None:
    able.backend.set_cap(Features.CSUM, 12)
    with pytest.raises(netbe.NotSupportedError, match="HOST_TSO4 needs CSUM"):
        able.backend.set_cap(Features.HOST_TSO4, 10)
    assert agreement(able.backend) == (Features.CSUM, 12)


class Reluctant(PythonBackend):
    """Its device refuses when it is asked."""

    device_hdr_len = 12
    capabilities = OFFLOADS

    def _negotiate(self, features: Features, vnet_hdr_len: int) -> None:
        if features & Features.HOST_UFO:
            raise netbe.NotSupportedError("this kernel has no UFO")


# Defect 8 of the seed.
def test_when_the_device_itself_refuses_nothing_has_changed() -> None:
    with Reluctant() as backend:
        backend.set_cap(Features.CSUM, 10)
        with pytest.raises(netbe.NotSupportedError, match="no UFO"):
            backend.set_cap(Features.CSUM | Features.HOST_UFO, 12)
        assert agreement(backend) == (Features.CSUM, 10)
        backend.arrive(bytes(12) + ONE)
        assert backend.recv() == PLAIN[10] + ONE


def test_set_cap_switches_off_what_is_not_asked_for(able: Kind) -> None:
    able.backend.set_cap(OFFLOADS, 12)
    able.backend.set_cap(Features(0), 0)
    assert agreement(able.backend) == (Features(0), 0)
    able.arrive(LARGE.data, header=LARGE.header + b"\1\0")
    assert everything(able.backend) == cut(LARGE)


# --- the header


# The contract: after `set_cap` the header has the length asked for, whatever the device's, and lengths
# include it.
@pytest.mark.parametrize("hdr_len", [0, 10, 12])
def test_the_header_at_the_contract_is_the_agreed_one_and_lengths_count_it(kind: Kind, hdr_len: int) -> None:
    kind.backend.set_cap(Features(0), hdr_len)
    kind.arrive(ONE, ONE, ONE, TWO)
    want = PLAIN[hdr_len] + ONE
    assert kind.backend.peek_recvlen() == len(want)
    assert kind.backend.recv() == want
    with pytest.raises(netbe.FrameTooLong) as caught:
        kind.backend.recv_into(bytearray(len(want) - 1))
    assert caught.value.needed == len(want)
    room = [bytearray(3), bytearray(8), bytearray(len(want) - 11)]
    assert kind.backend.recv_into(room) == len(want)
    assert b"".join(room) == want
    assert kind.backend.rx_discard() == len(want)
    batch = FrameBatch()
    assert kind.backend.recv_burst(batch) == 1
    assert bytes(batch[0]) == PLAIN[hdr_len] + TWO
    assert kind.backend.send(want) == len(want)
    assert kind.backend.send_burst([want, PLAIN[hdr_len] + TWO]) == 2
    assert [kind.sent(), kind.sent(), kind.sent(), kind.sent()] == [ONE, ONE, TWO, None]
    stats = kind.backend.stats
    assert (stats.rx_bytes, stats.tx_bytes) == (2 * len(ONE) + len(TWO), 2 * len(ONE) + len(TWO))


@pytest.mark.parametrize("old", [0, 10, 12])
@pytest.mark.parametrize("new", [0, 10, 12])
def test_a_frame_that_is_held_is_given_by_the_new_agreement(kind: Kind, old: int, new: int) -> None:
    kind.backend.set_cap(Features(0), old)
    kind.arrive(ONE, TWO)
    assert kind.backend.peek_recvlen() == old + len(ONE)
    kind.backend.set_cap(Features(0), new)
    assert kind.backend.peek_recvlen() == new + len(ONE)
    assert kind.backend.recv() == PLAIN[new] + ONE
    assert kind.backend.recv() == PLAIN[new] + TWO


def test_what_goes_to_a_device_has_its_header_and_one_buffer(able: Kind) -> None:
    able.backend.set_cap(Features(0), 10)
    able.backend.send(bytes(10) + ONE)
    assert (able.sent_whole() or b"")[10 : able.device_hdr_len] in (b"", b"\1\0", b"\0\0")


# --- a frame's needs, judged by its own header


# The contract: a frame's needs are judged by its own header, never by the mode that was set.
@pytest.mark.parametrize("hdr_len", [10, 12])
def test_a_checksum_that_was_not_agreed_is_finished_in_software(kind: Kind, hdr_len: int) -> None:
    small = Recipe(TCPV4, payload=b"abc").build()
    asks = Frame(small.data, flags=1, csum_start=small.csum_start, csum_offset=small.csum_offset)
    kind.backend.set_cap(Features(0), hdr_len)
    kind.backend.send((asks.header + b"\1\0")[:hdr_len] + asks.data)
    assert kind.sent() == cut(asks)[0] != asks.data
    kind.arrive(asks.data, header=asks.header + b"\1\0")
    if kind.device_hdr_len:
        assert kind.backend.recv() == PLAIN[hdr_len] + cut(asks)[0]


@pytest.mark.parametrize("hdr_len", [10, 12])
def test_segmentation_that_was_not_agreed_is_done_in_software(kind: Kind, hdr_len: int) -> None:
    kind.backend.set_cap(Features(0), hdr_len)
    whole = (LARGE.header + b"\1\0")[:hdr_len] + LARGE.data
    assert kind.backend.send(whole) == len(whole)
    sent = [one[kind.device_hdr_len :] for one in all_sent(kind)]
    assert sent == cut(LARGE)
    assert len(sent) == 7
    stats = kind.backend.stats
    assert (stats.tx_frames, stats.tx_bytes) == (7, sum(map(len, sent)))


def test_what_was_agreed_goes_through_untouched_both_ways(able: Kind) -> None:
    able.backend.set_cap(OFFLOADS, 12)
    whole = LARGE.header + b"\1\0" + LARGE.data
    able.backend.send(whole)
    sent = able.sent_whole() or b""
    assert sent[:10] == LARGE.header
    assert sent[able.device_hdr_len :] == LARGE.data
    able.arrive(LARGE.data, header=LARGE.header + b"\1\0")
    assert able.backend.recv() == whole


@pytest.mark.parametrize("taking", ["recv", "recv_into", "recv_burst", "rx_discard"])
def test_a_frame_that_is_cut_on_the_way_in_is_counted_by_its_pieces(able: Kind, taking: str) -> None:
    pieces = cut(LARGE)
    able.arrive(LARGE.data, header=LARGE.header + b"\1\0")
    able.arrive(ONE)
    backend = able.backend
    if taking == "rx_discard":
        assert [backend.rx_discard() for _ in pieces] == list(map(len, pieces))
        assert backend.stats.rx_dropped == {DropReason.DISCARDED: len(pieces)}
        assert (backend.stats.rx_frames, backend.stats.rx_bytes) == (0, 0)
        return
    for piece in pieces[:3]:
        assert backend.peek_recvlen() == len(piece)
        assert backend.pending
        if taking == "recv":
            assert backend.recv() == piece
        elif taking == "recv_into":
            room = bytearray(len(piece))
            assert backend.recv_into(room) == len(piece)
            assert room == piece
        else:
            assert backend.recv_burst(FrameBatch(capacity=4096, max_frames=1)) == 1
    assert everything(backend) == [*pieces[3:], ONE]
    assert not backend.pending
    assert backend.stats.rx_frames == len(pieces) + 1
    assert backend.stats.rx_bytes == sum(map(len, pieces)) + len(ONE)


def test_what_is_held_when_it_closes_is_counted(kind: Kind) -> None:
    kind.arrive(ONE)
    kind.backend.peek_recvlen()
    kind.backend.close()
    assert kind.backend.stats.rx_dropped == {DropReason.STOPPED: 1}
    assert kind.backend.stats.rx_frames == 0


BAD = {
    "checksum beyond the frame": bytes([1, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0]),
    "checksum field beyond the frame": bytes([1, 0, 0, 0, 0, 0, 20, 0, 0xFF, 0x7F]),
    "unknown segmentation": bytes([1, 0x77, 0, 0, 100, 0, 34, 0, 16, 0]),
    "unknown flags": bytes([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    "segmentation of what is no TCP": bytes([1, 1, 0, 0, 100, 0, 34, 0, 16, 0]),
    "segments of no size": bytes([1, 1, 0, 0, 0, 0, 34, 0, 16, 0]),
}


# Defect 14 of the seed: the vnet header was never checked.
@pytest.mark.parametrize("header", BAD.values(), ids=BAD)
@pytest.mark.parametrize("agreed", ["nothing", "everything"])
def test_a_header_that_does_not_fit_its_frame_is_an_error_before_anything_is_sent(
    kind: Kind, header: bytes, agreed: str
) -> None:
    kind.backend.set_cap(kind.backend.get_cap() if agreed == "everything" else Features(0), 12)
    with pytest.raises(netbe.BadHeaderError, match="does not fit"):
        kind.backend.send(header + b"\1\0" + TWO)
    with pytest.raises(netbe.BadHeaderError):
        kind.backend.send_burst([header + b"\1\0" + TWO, bytes(12) + TWO])
    assert kind.sent() is None
    stats = kind.backend.stats
    assert stats.tx_frames == 0
    assert stats.tx_dropped == {DropReason.BAD_HEADER: 2}
    assert kind.backend.send(bytes(12) + TWO)
    assert kind.sent() == TWO


# --- all kinds do the same, for frames drawn at random


def padded(one: Frame) -> bytes:
    return one.header + b"\1\0" + one.data


some_features = st.sampled_from(
    [
        Features(0),
        Features.CSUM,
        Features.CSUM | Features.HOST_TSO4,
        Features.CSUM | Features.HOST_TSO6 | Features.HOST_USO,
        Features.host_offloads(),
    ]
)
large = recipes(gso_types=(TCPV4, TCPV6, USO))


@every_kind
@given(recipe=large, features=some_features)
@settings(max_examples=25)
def test_any_large_frame_leaves_as_its_receiver_can_take_it(
    make: Callable[[], Kind], recipe: Recipe, features: Features
) -> None:
    one = recipe.build()
    with contextlib.closing(make()) as kind:
        if isinstance(kind, PairKind):
            kind.close()
            kind.backend, kind.far = netbe.make_pair(room=1 << 22)
            kind.far.set_cap(OFFLOADS, 12)
        features &= kind.backend.get_cap()
        kind.backend.set_cap(features, 12)
        want = cut(one, features=int(features))
        parts = []
        try:
            kind.backend.send(padded(one))
        finally:
            parts = [part[kind.device_hdr_len :] for part in all_sent(kind)]
        dropped = sum(kind.backend.stats.tx_dropped.values())
        # What found no room behind the first segment is counted.
        assert parts == want[: len(parts)]
        assert len(parts) + dropped == len(want)
        assert kind.backend.stats.tx_frames == len(parts)


@pytest.mark.parametrize("name", WITH_HEADER)
@given(recipe=large, features=some_features)
@settings(max_examples=25)
def test_any_large_frame_arrives_as_its_receiver_agreed(
    name: str, recipe: Recipe, features: Features
) -> None:
    one = recipe.build()
    with contextlib.closing(KINDS[name]()) as kind:
        kind.backend.set_cap(features.mirrored(), 12)
        kind.arrive(one.data, header=one.header + b"\1\0")
        got = everything(kind.backend)
        assert [part[12:] for part in got] == cut(one, features=int(features))
        assert kind.backend.stats.rx_frames == len(got)


@pytest.mark.parametrize("size", [8, 9, 15, 1479])
def test_fragments_of_any_size_asked_for_are_sent(kind: Kind, size: int) -> None:
    one = Recipe(UFO, payload=bytes(400), gso_size=size).build()
    kind.backend.set_cap(Features(0), 12)
    kind.backend.send(padded(one))
    sent = [part[kind.device_hdr_len :] for part in all_sent(kind)]
    assert [part[:18] + part[20:24] + part[26:] for part in sent] == [
        part[:18] + part[20:24] + part[26:] for part in cut(one)
    ]
    assert kind.backend.stats.tx_dropped == {}


def test_long_headers_before_small_segments_are_no_trouble(kind: Kind) -> None:
    extensions = ((60, 60), (60, 60), (60, 60))
    one = Recipe(
        TCPV6, version=6, payload=bytes(3000), gso_size=100, extensions=extensions, tcp_flags=0x10
    ).build()
    kind.backend.set_cap(Features(0), 12)
    kind.backend.send(padded(one))
    assert [part[kind.device_hdr_len :] for part in all_sent(kind)] == cut(one)


def test_a_congestion_mark_is_agreed_apart(able: Kind) -> None:
    one = Recipe(TCPV4 | ECN, payload=bytes(3000), gso_size=1000, tcp_flags=0x90).build()
    able.backend.set_cap(Features.CSUM | Features.HOST_TSO4, 12)
    able.backend.send(padded(one))
    assert [part[able.device_hdr_len :] for part in all_sent(able)] == cut(one)
    able.backend.set_cap(Features.CSUM | Features.HOST_TSO4 | Features.HOST_ECN, 12)
    able.backend.send(padded(one))
    assert [part[able.device_hdr_len :] for part in all_sent(able)] == [one.data]
