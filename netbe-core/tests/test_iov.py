# SPDX-License-Identifier: BSD-2-Clause
"""Scatter-gather lists: however bytes are split, they are the same bytes."""

import contextlib
import random
from array import array
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import Kind, every_kind
from pumping import take

import netbe
from netbe import Features, buf_to_iov, count_iov, iov_to_buf

splits = st.lists(st.integers(0, 60) | st.integers(0, 2000), max_size=20)
contents = st.builds(lambda seed, n: random.Random(seed).randbytes(n), st.integers(), st.integers(14, 2000))


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes in runs that begin at the cuts; some are empty."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def in_kinds(parts: list[bytes]) -> list[bytes | bytearray | memoryview]:
    kinds: list[Callable[[bytes], bytes | bytearray | memoryview]] = [bytes, bytearray, memoryview]
    return [kinds[number % 3](part) for number, part in enumerate(parts)]


@given(data=contents, cuts=splits)
def test_any_split_counts_and_gathers_the_same(data: bytes, cuts: list[int]) -> None:
    iov = in_kinds(split(data, cuts))
    assert count_iov(iov) == count_iov(data) == len(data)
    assert iov_to_buf(iov) == iov_to_buf(data) == data
    assert iov_to_buf(tuple(iov)) == data


@given(data=contents, cuts=splits, seek=st.integers(0, 2500), length=st.none() | st.integers(0, 2500))
def test_gathering_a_part_is_a_slice_of_the_whole(
    data: bytes, cuts: list[int], seek: int, length: int | None
) -> None:
    end = len(data) if length is None else seek + length
    assert iov_to_buf(split(data, cuts), seek, length) == data[seek:end]


# Defect 13 of the seed: the buffer's length was ignored and memory behind it was read.
@given(data=st.binary(max_size=2000), room=st.integers(0, 2500), cuts=splits, seek=st.integers(0, 2500))
def test_scattering_reads_no_more_than_the_buffer_and_writes_no_more_than_the_iov(
    data: bytes, room: int, cuts: list[int], seek: int
) -> None:
    iov = [bytearray(part) for part in split(b"#" * room, cuts)]
    sizes = [len(part) for part in iov]
    done = buf_to_iov(data, iov, seek)
    assert done == min(len(data), max(0, room - seek))
    want = bytearray(b"#" * room)
    want[seek : seek + done] = data[:done]
    assert b"".join(iov) == want
    assert [len(part) for part in iov] == sizes


@given(data=contents, cuts=splits, more=splits)
def test_scattered_and_gathered_again_it_is_the_same(data: bytes, cuts: list[int], more: list[int]) -> None:
    iov = [bytearray(len(part)) for part in split(data, cuts)]
    assert buf_to_iov(b"".join(split(data, more)), iov) == len(data)
    assert iov_to_buf(iov) == data


def test_runs_may_be_of_one_byte_each_and_many() -> None:
    data = random.Random(1).randbytes(1500)
    assert iov_to_buf([data[i : i + 1] for i in range(1500)]) == data
    iov = [bytearray(1) for _ in range(1500)]
    assert buf_to_iov(data, iov) == 1500
    assert b"".join(iov) == data


def test_one_run_of_bytes_is_an_iov_too() -> None:
    room = bytearray(5)
    assert buf_to_iov(b"abc", room, 1) == 3
    assert room == b"\0abc\0"
    assert buf_to_iov(b"xy", memoryview(room)[3:]) == 2
    assert room == b"\0abxy"
    assert iov_to_buf(memoryview(room)) == b"\0abxy"
    assert count_iov(()) == 0
    assert iov_to_buf([]) == b""
    assert buf_to_iov(b"abc", []) == 0


def test_lengths_are_of_bytes_also_where_elements_are_larger() -> None:
    words = memoryview(array("I", [1, 2, 3]))
    assert count_iov(words) == count_iov([words]) == 12
    assert iov_to_buf([words]) == words.tobytes()
    room = memoryview(array("I", [0, 0]))
    assert buf_to_iov(bytes(range(9)), room) == 8
    assert room.tobytes() == bytes(range(8))


def test_a_negative_place_is_refused() -> None:
    with pytest.raises(ValueError, match="seek"):
        buf_to_iov(b"abc", bytearray(5), -1)
    with pytest.raises(ValueError, match="seek"):
        iov_to_buf(b"abc", -1)
    with pytest.raises(ValueError, match="negative"):
        iov_to_buf(b"abc", 0, -1)


@every_kind
@given(data=contents, cuts=splits, hdr_len=st.sampled_from([0, 10, 12]))
@settings(max_examples=30)
def test_any_split_is_sent_as_the_whole(
    make: Callable[[], Kind], data: bytes, cuts: list[int], hdr_len: int
) -> None:
    with contextlib.closing(make()) as kind:
        kind.backend.set_cap(Features(0), hdr_len)
        assert kind.backend.send(in_kinds(split(bytes(hdr_len) + data, cuts))) == hdr_len + len(data)
        assert kind.backend.send_burst([in_kinds(split(bytes(hdr_len) + data, cuts))]) == 1
        assert [kind.sent(), kind.sent(), kind.sent()] == [data, data, None]


@every_kind
@given(data=contents, cuts=splits, extra=st.integers(-3, 100), hdr_len=st.sampled_from([0, 10, 12]))
@settings(max_examples=30)
def test_any_split_is_received_into_as_the_whole(
    make: Callable[[], Kind], data: bytes, cuts: list[int], extra: int, hdr_len: int
) -> None:
    with contextlib.closing(make()) as kind:
        kind.backend.set_cap(Features(0), hdr_len)
        kind.arrive(data, data)
        whole = take(kind.backend) or b""
        assert whole[hdr_len:] == data
        iov = [bytearray(part) for part in split(b"#" * (len(whole) + extra), cuts)]
        if extra < 0:
            with pytest.raises(netbe.FrameTooLong) as caught:
                kind.backend.recv_into(iov)
            assert caught.value.needed == len(whole)
            assert b"".join(iov) == b"#" * (len(whole) + extra)
            assert kind.backend.recv() == whole
        else:
            assert kind.backend.recv_into(iov) == len(whole)
            assert b"".join(iov) == whole + b"#" * extra
