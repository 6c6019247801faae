# SPDX-License-Identifier: BSD-2-Clause
"""Frames in place: slots that are filled and sent, lent frames that are looked at, views that outlive everything."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from pumping import PATIENCE, PythonBackend, frame, packet_pair

import netbe
from netbe import BackendBusy, BackendFull, Features

Cable = tuple[netbe.PortBackend, netbe.PortBackend]
MOST = 64
FIRST = bytes(range(14)) * 5


@pytest.fixture
def cable() -> Iterator[Cable]:
    near, far = netbe.make_pair("cable")
    with near, far:
        yield near, far


def all_of(backend: netbe.Backend) -> list[bytes]:
    return list(iter(backend.recv, None))


# --- slots


def test_what_is_written_to_slots_arrives_when_it_is_committed(cable: Cable) -> None:
    near, far = cable
    with near.reserve(60, count=3) as slots:
        assert [len(view) for view in slots] == [60] * 3
        assert not slots[0].readonly
        slots[0][:] = frame(2, 1, "one")
        slots[-1][:] = frame(2, 1, "three")
        slots[1:2][0][:] = frame(2, 1, "two")
        assert far.recv() is None
        assert slots.commit() == 3
    assert all_of(far) == [frame(2, 1, text) for text in ("one", "two", "three")]
    assert (near.stats.tx_frames, near.stats.tx_bytes) == (3, 180)


def test_the_first_slots_are_sent_in_the_lengths_that_are_said_and_the_others_given_up(cable: Cable) -> None:
    near, far = cable
    for round_ in range(2000):  # several times around the ring
        text = bytes([round_ & 255]) * 1500
        with near.reserve(1500, count=1 + round_ % 5) as slots:
            for view in slots:
                view[:] = text
            lengths = [14 + (round_ * 7 + i) % 1486 for i in range(max(1, len(slots) - 1))]
            assert slots.commit(lengths=lengths) == len(lengths)
        assert all_of(far) == [text[:length] for length in lengths]


def test_slots_that_are_not_committed_are_not_sent(cable: Cable) -> None:
    near, far = cable
    with near.reserve(60) as slots:
        slots[0][:] = FIRST[:60]
    with contextlib.suppress(ZeroDivisionError), near.reserve(60) as slots:
        raise ZeroDivisionError
    slots = near.reserve(60, 4)
    assert slots.commit(0) == 0
    near.send(frame(2, 1))
    assert all_of(far) == [frame(2, 1)]


def test_a_full_ring_gives_fewer_slots_and_then_none(cable: Cable) -> None:
    near, far = cable
    sent, given = 0, [MOST]
    with contextlib.suppress(BackendFull):
        while True:
            with near.reserve(9000, MOST) as slots:
                given.append(len(slots))
                sent += slots.commit()
    assert min(given) >= 1
    assert 20 < sent == sum(given) - MOST
    with pytest.raises(BackendFull):
        near.reserve(9000)
    assert len(all_of(far)) == sent
    assert near.reserve(9000).commit() == 1


def test_at_most_64_slots_are_given(cable: Cable) -> None:
    with cable[0].reserve(60, 1000) as slots:
        assert len(slots) == MOST


def test_lengths_that_no_frame_has_are_refused(cable: Cable) -> None:
    near, _ = cable
    for length in (-1, 0, near.min_frame - 1, near.max_frame + 1):
        with pytest.raises(netbe.FrameSizeError):
            near.reserve(length)
    with pytest.raises(ValueError, match="0 slots"):
        near.reserve(60, 0)
    near.reserve(near.max_frame).release()


def test_a_commit_that_is_refused_leaves_the_slots_as_they_were(cable: Cable) -> None:
    near, far = cable
    with near.reserve(100, 2) as slots:
        slots[0][:] = slots[1][:] = bytes(100)
        for lengths in ([101], [13], [60, 101], [-1]):
            with pytest.raises(netbe.FrameSizeError, match="slot of 100"):
                slots.commit(lengths=lengths)
        for wrong in ({"count": 3}, {"count": -1}, {"count": 1, "lengths": [60, 60]}):
            with pytest.raises(ValueError, match="cannot commit"):
                slots.commit(**wrong)
        assert far.recv() is None
        assert slots.commit() == 2
    assert len(all_of(far)) == 2


def test_slots_are_plain_frames_also_where_a_header_was_agreed_on(cable: Cable) -> None:
    near, far = cable
    near.set_cap(Features.offloads(), 12)
    far.set_cap(Features.offloads(), 10)
    with near.reserve(60) as slots:
        slots[0][:] = FIRST[:60]
        slots.commit()
    assert far.recv() == bytes(10) + FIRST[:60]


# --- lent frames


def test_lent_frames_are_shown_where_they_lie_and_are_received_when_released(cable: Cable) -> None:
    near, far = cable
    texts = [frame(2, 1, str(i)) for i in range(5)]
    near.send_burst(texts)
    with far.lend() as frames:
        assert list(frames) == texts
        assert frames[4].readonly
        assert frames.pieces(0) == (frames[0],)
        assert far.stats.rx_frames == 0
        near.send(FIRST)
    assert (far.stats.rx_frames, far.stats.rx_bytes) == (5, 300)
    assert all_of(far) == [FIRST]


def test_the_oldest_can_be_released_alone(cable: Cable) -> None:
    near, far = cable
    near.send_burst([frame(2, 1, str(i)) for i in range(5)])
    frames = far.lend(4)
    assert len(frames) == 4
    first = frames[0]
    frames.release(2)
    assert far.stats.rx_frames == 2
    assert list(frames) == [frame(2, 1, "2"), frame(2, 1, "3")]
    with pytest.raises(ValueError, match="released"):
        bytes(first)
    with pytest.raises(ValueError, match="cannot release 3"):
        frames.release(3)
    frames.release(2)
    assert all_of(far) == [frame(2, 1, "4")]
    frames.release()


def test_a_row_of_none_holds_nothing_up(cable: Cable) -> None:
    near, far = cable
    frames = far.lend()
    assert len(frames) == 0
    assert list(frames) == []
    near.send(FIRST)
    assert far.wait(PATIENCE)
    assert far.recv() == FIRST


def test_frames_of_all_lengths_come_round_the_ring(cable: Cable) -> None:
    near, far = cable
    number, got = 0, 0
    while got < 3000:
        with contextlib.suppress(BackendFull):
            for _ in range(40):
                near.send(bytes([number & 255]) * (14 + number * 37 % 3000))
                number += 1
        with far.lend(1 + got % MOST) as frames:
            for i, view in enumerate(frames, got):
                assert view == bytes([i & 255]) * (14 + i * 37 % 3000)
            frames.release(len(frames) // 2)
            got += len(frames)
            frames.release()
        got = far.stats.rx_frames
    assert near.stats.tx_dropped == far.stats.rx_dropped == {}


def test_lending_finds_frames_that_came_after_a_peek(cable: Cable) -> None:
    near, far = cable
    near.send(FIRST)
    assert far.peek_recvlen() == len(FIRST)
    near.send(frame(2, 1))
    with far.lend() as frames:
        assert list(frames) == [FIRST, frame(2, 1)]


def test_lent_frames_have_their_headers_beside_them(cable: Cable) -> None:
    near, far = cable
    near.set_cap(Features.offloads(), 12)
    header = bytes([1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0])  # NEEDS_CSUM
    near.send(header + bytes(60))
    near.send(bytes(12) + bytes(61))
    far.set_cap(Features.offloads(), 10)
    with far.lend() as frames:
        assert [len(view) for view in frames] == [60, 61]
        assert [frames.header(i) for i in (0, 1, -1)] == [header[:10], bytes(10), bytes(10)]
        frames.release(1)
        assert frames.header(0) == bytes(10)
        with pytest.raises(IndexError):
            frames.header(1)


def tcp_frame(payload: int) -> bytes:
    ip = (
        bytes.fromhex("4500")
        + (40 + payload).to_bytes(2)
        + bytes.fromhex("0001000040060000 0a000001 0a000002")
    )
    return bytes(12) + b"\x08\x00" + ip + bytes(12) + b"\x50\x10" + bytes(6) + bytes(payload)


def test_what_is_cut_for_this_receiver_comes_as_copies_in_its_place(cable: Cable) -> None:
    near, far = cable
    near.set_cap(Features.offloads(), 12)
    segmented = bytes([1, 1, 54, 0, 232, 3, 34, 0, 16, 0, 0, 0])  # TCPv4, 1000 bytes a segment
    near.send(bytes(12) + FIRST)
    near.send(segmented + tcp_frame(2500))
    near.send(bytes(12) + frame(2, 1))
    rows = []
    while True:
        with far.lend() as frames:
            if not frames:
                break
            rows.append([len(view) for view in frames])
            assert all(view.readonly for view in frames)
            assert frames.header(0) == b""
    assert rows == [[len(FIRST)], [1054, 1054, 554], [60]]
    assert far.stats.rx_frames == 5


def test_copies_can_be_taken_one_by_one(cable: Cable) -> None:
    near, far = cable
    near.set_cap(Features.offloads(), 12)
    near.send(bytes([1, 1, 54, 0, 232, 3, 34, 0, 16, 0, 0, 0]) + tcp_frame(2500))
    far.set_cap(Features(0), 12)
    assert [len(far.lend(1)[0]) for _ in range(2)] == [1054, 1054]
    frames = far.lend()
    assert [len(view) for view in frames] == [554]
    assert frames.header(0)[:10] == bytes(10)
    frames.release()


def test_a_header_that_does_not_fit_its_frame_is_dropped_between_lent_ones() -> None:
    mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with other, netbe.FdBackend("packets", mine.detach(), device_hdr_len=12) as backend:
        for header in (bytes(12), b"\x01" + bytes(5) + b"\xff\xff" + bytes(4), bytes(12)):
            other.send(header + FIRST)
        with backend.lend() as frames:
            assert list(frames) == [FIRST]  # the bad one ends the row
        with backend.lend() as frames:
            assert list(frames) == [FIRST]
        assert backend.stats.rx_dropped == {netbe.DropReason.BAD_HEADER: 1}


def test_a_descriptors_frames_are_lent_and_its_slots_refused() -> None:
    backend, other = packet_pair()
    with backend, other:
        other.send(FIRST)
        assert backend.wait(PATIENCE)
        with backend.lend() as frames:
            assert list(frames) == [FIRST]
            kept = frames[0][1:]
        with pytest.raises(netbe.NotSupportedError, match="send"):
            backend.reserve(60)
    assert kept == FIRST[1:]


def test_a_row_is_of_one_queue_and_the_next_of_the_next() -> None:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    with netbe.FdBackend("queues", [mine.detach() for mine, _ in pairs]) as backend:
        for number, (_, other) in enumerate(pairs):
            other.send(frame(2, number))
            other.send(frame(3, number))
        rows = []
        for _ in pairs:
            with backend.lend() as frames:
                with pytest.raises(BackendBusy):
                    backend.recv()
                rows.append([bytes(view) for view in frames])
        assert rows == [[frame(2, n), frame(3, n)] for n in (0, 1)]
        for _, other in pairs:
            other.close()


def test_a_backend_in_python_has_neither() -> None:
    with PythonBackend() as backend:
        with pytest.raises(netbe.NotSupportedError):
            backend.reserve(60)
        with pytest.raises(netbe.NotSupportedError):
            backend.lend()
