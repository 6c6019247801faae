# SPDX-License-Identifier: BSD-2-Clause
"""`FrameBatch`, and bursts of them."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import Kind, every_kind
from pumping import frame

import netbe
from netbe import Features, FrameBatch

ONE, TWO, THREE = frame(1, 2, "one"), frame(1, 2, "two") + bytes(100), frame(1, 2, "three") + bytes(1000)
frames = st.lists(st.binary(min_size=14, max_size=300), max_size=40)


def contents(batch: FrameBatch) -> list[bytes]:
    return [bytes(one) for one in batch]


# --- what it holds


@given(parts=st.lists(st.binary(max_size=300), max_size=40))
def test_made_of_frames_it_holds_just_those(parts: list[bytes]) -> None:
    batch = FrameBatch(parts)
    assert contents(batch) == parts
    assert (len(batch), batch.nbytes) == (len(parts), sum(map(len, parts)))
    assert not batch.fits(1)


def test_its_frames_may_be_iovs_and_any_iterable_of_them() -> None:
    assert contents(FrameBatch(iter([[b"ab", b"", b"c"], bytearray(b"de"), memoryview(b"f")]))) == [
        b"abc",
        b"de",
        b"f",
    ]


def test_made_with_a_capacity_it_is_empty() -> None:
    batch = FrameBatch(capacity=1000, max_frames=5)
    assert (len(batch), batch.nbytes, batch.capacity, batch.max_frames) == (0, 0, 1000, 5)
    assert list(batch) == []
    default = FrameBatch()
    assert (default.capacity, default.max_frames) == (1 << 18, 256)


@pytest.mark.parametrize("room", [{"capacity": 0}, {"max_frames": 0}, {"capacity": -5}])
def test_a_batch_without_room_is_refused(room: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        FrameBatch(**room)


@given(
    parts=st.lists(st.binary(max_size=100), max_size=40),
    capacity=st.integers(1, 2000),
    most=st.integers(1, 30),
)
def test_append_takes_what_fits_and_refuses_the_rest_unchanged(
    parts: list[bytes], capacity: int, most: int
) -> None:
    batch = FrameBatch(capacity=capacity, max_frames=most)
    kept: list[bytes] = []
    for part in parts:
        if batch.fits(len(part)):
            batch.append([part[:3], part[3:]])
            kept.append(part)
        else:
            with pytest.raises(ValueError, match="no room"):
                batch.append(part)
        assert contents(batch) == kept
        assert len(batch) <= most
        assert batch.capacity == capacity
    assert batch.clear() is batch
    assert contents(batch) == []
    assert batch.fits(capacity)
    assert not batch.fits(capacity + 1)


def test_a_batch_of_given_frames_takes_no_more() -> None:
    with pytest.raises(ValueError, match="no room"):
        FrameBatch([ONE]).append(b"")


def test_frames_are_indexed_and_sliced_like_a_list() -> None:
    parts = [ONE, TWO, THREE]
    batch = FrameBatch(parts)
    assert [bytes(batch[i]) for i in (0, 2, -1, -3)] == [ONE, THREE, THREE, ONE]
    for wrong in (3, -4, 100):
        with pytest.raises(IndexError):
            batch[wrong]
    for cut in (slice(1, None), slice(None, 2), slice(None, None, -1), slice(5, 9), slice(-2, None)):
        assert contents(batch[cut]) == parts[cut]
    assert "3 frames" in repr(batch)


def test_a_frame_shows_what_stands_in_the_buffer() -> None:
    batch = FrameBatch(capacity=100, max_frames=2)
    batch.append(b"first")
    view, kept = batch[0], bytes(batch[0])
    batch.clear().append(b"other")
    assert (bytes(view), kept) == (b"other", b"first")


def test_of_equal_cuts_bytes_into_frames_of_one_size() -> None:
    batch = FrameBatch.of_equal(ONE + ONE[::-1], 60)
    assert contents(batch) == [ONE, ONE[::-1]]
    assert (batch.capacity, batch.max_frames) == (120, 2)


@pytest.mark.parametrize(("length", "size"), [(61, 60), (59, 60), (0, 60), (60, 0), (60, -1)])
def test_of_equal_refuses_what_is_no_whole_number(length: int, size: int) -> None:
    with pytest.raises(ValueError, match="whole number"):
        FrameBatch.of_equal(bytes(length), size)


# --- bursts


@every_kind
@pytest.mark.parametrize("how", ["list", "batch", "slice", "generator"])
def test_a_burst_sends_what_single_calls_send(make: Callable[[], Kind], how: str) -> None:
    parts = [ONE, TWO, THREE] * 20
    with contextlib.closing(make()) as burst, contextlib.closing(make()) as single:
        burst.backend.set_cap(Features(0), 12)
        single.backend.set_cap(Features(0), 12)
        whole = [bytes(12) + part for part in parts]
        given_as = {
            "list": whole,
            "batch": FrameBatch(whole),
            "slice": FrameBatch([b"", *whole])[1:],
            "generator": iter(whole),
        }[how]
        assert burst.backend.send_burst(given_as) == 60
        for one in whole:
            single.backend.send(one)
        for _ in parts:
            assert burst.sent_whole() == single.sent_whole() is not None
        assert burst.sent() is None
        assert burst.backend.stats == single.backend.stats


@every_kind
def test_an_empty_burst_sends_nothing(make: Callable[[], Kind]) -> None:
    with contextlib.closing(make()) as kind:
        assert kind.backend.send_burst([]) == 0
        assert kind.backend.send_burst(FrameBatch()) == 0
        assert kind.sent() is None


@every_kind
@given(parts=frames, hdr_len=st.sampled_from([0, 10, 12]), most=st.integers(1, 50))
@settings(max_examples=25)
def test_bursts_receive_what_single_calls_receive(
    make: Callable[[], Kind], parts: list[bytes], hdr_len: int, most: int
) -> None:
    with contextlib.closing(make()) as burst, contextlib.closing(make()) as single:
        batch = FrameBatch(max_frames=most)
        for kind in (burst, single):
            kind.backend.set_cap(Features(0), hdr_len)
            kind.arrive(*parts)
        got: list[bytes] = []
        while (count := burst.backend.recv_burst(batch)) > 0:
            assert count == len(batch) <= most
            got += contents(batch)
        assert len(batch) == 0
        assert got == list(iter(single.backend.recv, None))
        assert [one[hdr_len:] for one in got] == parts
        assert burst.backend.stats == single.backend.stats


def test_what_does_not_fit_any_more_waits_for_the_next_burst(kind: Kind) -> None:
    kind.arrive(ONE, TWO, THREE, ONE)
    batch = FrameBatch(capacity=1200, max_frames=3)
    assert kind.backend.recv_burst(batch) == 2
    assert contents(batch) == [ONE, TWO]
    assert kind.backend.recv_burst(batch) == 2
    assert contents(batch) == [THREE, ONE]
    assert kind.backend.recv_burst(batch) == 0


def test_when_not_even_the_first_fits_the_burst_raises_and_keeps_it(kind: Kind) -> None:
    kind.arrive(THREE, ONE)
    batch = FrameBatch(capacity=len(THREE) - 1)
    batch.append(ONE)
    for _ in range(2):
        with pytest.raises(netbe.FrameTooLong) as caught:
            kind.backend.recv_burst(batch)
        assert caught.value.needed == len(THREE)
        assert len(batch) == 0
    assert kind.backend.recv() == THREE
    assert kind.backend.recv_burst(batch) == 1
    assert contents(batch) == [ONE]


def test_a_batch_that_was_received_can_be_sent_on(kind: Kind) -> None:
    kind.arrive(ONE, TWO, THREE)
    batch = FrameBatch()
    assert kind.backend.recv_burst(batch) == 3
    assert kind.backend.send_burst(batch) == 3
    assert [kind.sent(), kind.sent(), kind.sent(), kind.sent()] == [ONE, TWO, THREE, None]


def test_a_burst_received_into_a_batch_of_given_frames_is_refused(kind: Kind) -> None:
    original = bytes(ONE)
    kind.arrive(b"x" * 60)
    for batch in (FrameBatch([original]), FrameBatch.of_equal(original, 60)):
        with pytest.raises(ValueError, match="capacity"):
            kind.backend.recv_burst(batch)
        assert contents(batch) == [ONE]
    # Bytes never change: their memory may be somebody else's too.
    assert original == ONE
    assert kind.backend.recv() == b"x" * 60
