# SPDX-License-Identifier: BSD-2-Clause
"""The contract's calls, the same on every kind of backend."""

import contextlib
import errno
import gc
import select
import socket
import time

import pytest
from kinds import Kind
from pumping import frame, take

import netbe
from netbe import DropReason, Features, FrameBatch
from netbe.backend import MAX_FRAME, MIN_FRAME

ONE, TWO, THREE = frame(1, 2, "one"), frame(1, 2, "two") + bytes(100), frame(1, 2, "three") + bytes(1000)


def fill(kind: Kind, text: bytes = bytes(2000)) -> int:
    """Send until there is no room; how many frames that took."""
    for count in range(10_000):
        try:
            kind.backend.send(frame(1, 2, str(count)) + text)
        except netbe.BackendFull:
            return count
    raise AssertionError("it never gets full")


# --- sending


def test_send_gathers_one_frame_and_returns_its_length(kind: Kind) -> None:
    whole = THREE
    assert kind.backend.send(whole) == len(whole)
    assert kind.backend.send([whole[:3], b"", bytearray(whole[3:500]), memoryview(whole)[500:]]) == len(whole)
    assert [kind.sent(), kind.sent(), kind.sent()] == [whole, whole, None]


@pytest.mark.parametrize("length", [MIN_FRAME, 60, 1514, 9014, MAX_FRAME])
def test_a_frame_within_the_bounds_goes_both_ways(kind: Kind, length: int) -> None:
    data = frame(1, 2)[:MIN_FRAME].ljust(length, b"x")
    assert kind.backend.send(data) == length
    assert kind.sent() == data
    kind.arrive(data)
    assert take(kind.backend) == data


# The contract: a frame outside `min_frame` and `max_frame` is an error before anything is sent.
@pytest.mark.parametrize("length", [0, 1, MIN_FRAME - 1])
@pytest.mark.parametrize("hdr_len", [0, 10, 12])
def test_a_frame_below_min_frame_is_an_error_before_anything_is_sent(
    kind: Kind, length: int, hdr_len: int
) -> None:
    kind.backend.set_cap(Features(0), hdr_len)
    assert kind.backend.min_frame == MIN_FRAME
    with pytest.raises(netbe.FrameSizeError, match="shorter") as caught:
        kind.backend.send(bytes(hdr_len + length))
    assert caught.value.errno == errno.EINVAL
    assert kind.sent() is None


# The contract: a frame outside `min_frame` and `max_frame` is an error before anything is sent.
@pytest.mark.parametrize("length", [MAX_FRAME + 1, 69632, 69633, 200_000])
@pytest.mark.parametrize("hdr_len", [0, 12])
def test_a_frame_above_max_frame_is_an_error_before_anything_is_sent(
    kind: Kind, length: int, hdr_len: int
) -> None:
    kind.backend.set_cap(Features(0), hdr_len)
    assert kind.backend.max_frame == MAX_FRAME
    with pytest.raises(netbe.FrameSizeError, match="longer") as caught:
        kind.backend.send(bytes(hdr_len + length))
    assert caught.value.errno == errno.EMSGSIZE
    with pytest.raises(netbe.FrameSizeError, match="longer"):
        kind.backend.send_burst([bytes(hdr_len + length)])
    assert kind.sent() is None


# Defect 4 of the seed: a full backend dropped the frame and returned 0.
# The contract: a full backend raises `BackendFull` (EAGAIN) from `send`.
def test_a_full_backend_raises_and_sends_nothing(kind: Kind) -> None:
    count = fill(kind)
    with pytest.raises(netbe.BackendFull) as caught:
        kind.backend.send(bytes(2000))
    assert caught.value.errno == errno.EAGAIN
    assert isinstance(caught.value, BlockingIOError)
    assert kind.backend.stats.tx_frames == count
    got = [kind.sent() for _ in range(count)]
    assert got == [frame(1, 2, str(n)) + bytes(2000) for n in range(count)]
    assert kind.sent() is None
    assert kind.backend.send(ONE) == len(ONE)


# The contract: a burst raises only when its first frame fails.
def test_a_burst_raises_only_when_its_first_frame_fails(kind: Kind) -> None:
    long = bytes(MAX_FRAME + 1)
    assert kind.backend.send_burst([ONE, TWO, long, THREE]) == 2
    with pytest.raises(netbe.FrameSizeError):
        kind.backend.send_burst([long, THREE])
    assert [kind.sent(), kind.sent(), kind.sent()] == [ONE, TWO, None]


# The contract: a burst that stops later returns how many went, and the next call raises.
def test_a_burst_that_meets_no_room_tells_how_many_went_and_the_next_call_raises(kind: Kind) -> None:
    frames = [frame(1, 2, str(n)) + bytes(4000) for n in range(1000)]
    went = kind.backend.send_burst(frames)
    assert 0 < went < 1000
    with pytest.raises(netbe.BackendFull):
        kind.backend.send_burst(frames[went:])
    assert kind.backend.stats.tx_frames == went
    assert [kind.sent() for _ in range(went + 1)] == [*frames[:went], None]


def test_a_full_backend_says_what_to_wait_for(kind: Kind) -> None:
    fill(kind)
    wanted = kind.backend.arm_send()
    if wanted is None:  # tried again after a pause
        assert isinstance(kind.backend, netbe.Backend)
        assert not isinstance(kind.backend, netbe.PortBackend)
        return
    fd, events = wanted
    poll = select.poll()
    poll.register(fd, select.POLLIN if events == 1 else select.POLLOUT)
    with pytest.raises(netbe.BackendFull):
        kind.backend.send(bytes(2000))
    assert poll.poll(0) == []
    kind.make_room()
    assert poll.poll(5000)
    assert kind.backend.send(ONE) == len(ONE)


# --- receiving


def test_nothing_there_is_told_as_none_and_zero(kind: Kind) -> None:
    assert kind.backend.recv() is None
    assert kind.backend.recv_into(bytearray(100)) == 0
    assert kind.backend.peek_recvlen() == 0
    assert kind.backend.rx_discard() == 0
    assert kind.backend.recv_burst(FrameBatch()) == 0
    assert kind.backend.wait(0) is False
    assert kind.backend.link_up


def test_peeking_again_gives_the_same_answer(kind: Kind) -> None:
    kind.arrive(TWO, ONE)
    assert [kind.backend.peek_recvlen() for _ in range(5)] == [len(TWO)] * 5
    assert kind.backend.recv() == TWO
    assert [kind.backend.peek_recvlen() for _ in range(5)] == [len(ONE)] * 5
    assert kind.backend.recv() == ONE
    assert kind.backend.peek_recvlen() == 0


@pytest.mark.parametrize("peeked", [False, True])
def test_recv_into_scatters_and_leaves_the_rest_of_the_room_alone(kind: Kind, peeked: bool) -> None:  # noqa: FBT001
    kind.arrive(TWO)
    if peeked:
        assert kind.backend.peek_recvlen() == len(TWO)
    first, second, third = bytearray(b"#" * 7), bytearray(b"#" * (len(TWO) - 7)), bytearray(b"#" * 9)
    assert kind.backend.recv_into([first, bytearray(), second, third]) == len(TWO)
    assert bytes(first + second) == TWO
    assert third == b"#" * 9


# Defects 2 and 6 of the seed: a frame was cut to the room, or met again for ever, by whether it was peeked at.
# The contract: `recv_into` with too little room raises EMSGSIZE, tells the length needed and keeps the frame,
# peeked or not.
@pytest.mark.parametrize("peeked", [False, True])
@pytest.mark.parametrize("missing", [1, 60, len(THREE)])
def test_too_little_room_raises_tells_the_length_and_keeps_the_frame(
    kind: Kind,
    peeked: bool,  # noqa: FBT001
    missing: int,
) -> None:
    kind.arrive(THREE, ONE)
    if peeked:
        assert kind.backend.peek_recvlen() == len(THREE)
    room = bytearray(b"#" * (len(THREE) - missing))
    for _ in range(3):
        with pytest.raises(netbe.FrameTooLong, match="rx_discard") as caught:
            kind.backend.recv_into([room[:10], room[10:]])
        assert caught.value.errno == errno.EMSGSIZE
        assert caught.value.needed == len(THREE)
    assert room == b"#" * len(room)
    assert kind.backend.stats.rx_frames == 0
    whole = bytearray(caught.value.needed)
    assert kind.backend.recv_into(whole) == len(THREE)
    assert whole == THREE
    assert kind.backend.recv() == ONE


# The contract: `rx_discard` takes out a frame for which there was too little room.
@pytest.mark.parametrize("peeked", [False, True])
def test_a_frame_that_does_not_fit_is_taken_out_by_rx_discard(kind: Kind, peeked: bool) -> None:  # noqa: FBT001
    kind.arrive(THREE, ONE)
    if peeked:
        kind.backend.peek_recvlen()
    with pytest.raises(netbe.FrameTooLong):
        kind.backend.recv_into(bytearray(10))
    assert kind.backend.rx_discard() == len(THREE)
    assert kind.backend.recv() == ONE


# A segmentation fault, where the collector met a view before what C had made of it.
def test_an_error_that_is_part_of_a_cycle_is_collected_with_the_room_that_it_saw(kind: Kind) -> None:
    kind.arrive(THREE)
    for _ in range(10):
        try:
            kind.backend.recv_into([bytearray(10), bytearray(20)])
        except netbe.FrameTooLong as error:
            error.itself = error  # type: ignore[attr-defined]
        gc.collect()
    assert kind.backend.recv() == THREE


def test_room_that_cannot_be_written_is_an_error_and_the_frame_is_kept(kind: Kind) -> None:
    kind.arrive(ONE)
    with pytest.raises((TypeError, BufferError)):
        kind.backend.recv_into(bytes(100))
    assert kind.backend.recv() == ONE


def test_rx_discard_takes_one_frame_and_counts_it(kind: Kind) -> None:
    kind.arrive(ONE, TWO, THREE)
    assert kind.backend.rx_discard() == len(ONE)
    assert kind.backend.peek_recvlen() == len(TWO)
    assert kind.backend.rx_discard() == len(TWO)
    assert kind.backend.recv() == THREE
    assert kind.backend.rx_discard() == 0
    stats = kind.backend.stats
    assert stats.rx_dropped == {DropReason.DISCARDED: 2}
    assert (stats.rx_frames, stats.rx_bytes) == (1, len(THREE))


def test_a_frame_that_waits_makes_the_descriptor_readable_and_ends_a_wait(kind: Kind) -> None:
    poll = select.poll()
    poll.register(kind.backend.fileno(), select.POLLIN)
    assert kind.backend.peek_recvlen() == 0
    assert poll.poll(0) == []
    kind.arrive(ONE)
    assert poll.poll(5000)
    start = time.monotonic()
    assert kind.backend.wait(5.0) is True
    assert kind.backend.wait() is True
    assert time.monotonic() - start < 5
    assert kind.backend.recv() == ONE
    assert kind.backend.wait(0.01) is False


def test_pending_tells_of_frames_that_the_descriptor_is_silent_about(kind: Kind) -> None:
    assert not kind.backend.pending
    kind.arrive(ONE, TWO)
    assert kind.backend.peek_recvlen() == len(ONE)
    assert kind.backend.pending
    kind.backend.recv()
    # Whichever side of the read the second frame is on, one of the two tells of it.
    poll = select.poll()
    poll.register(kind.backend.fileno(), select.POLLIN)
    assert kind.backend.pending or poll.poll(0) or kind.backend.peek_recvlen()
    kind.backend.recv()
    assert kind.backend.recv() is None
    assert not kind.backend.pending


# --- the other side is gone


# Defect 7 of the seed: end of file looked like "no frame".
# The contract: a backend whose other side is gone raises on the next call and reports link down.
def test_who_hung_up_never_looks_like_no_frame(kind: Kind) -> None:
    kind.hang_up()
    for _ in range(3):
        for call in (
            kind.backend.recv,
            kind.backend.peek_recvlen,
            kind.backend.rx_discard,
            lambda: kind.backend.recv_into(bytearray(100)),
            lambda: kind.backend.recv_burst(FrameBatch()),
            lambda: kind.backend.wait(5.0),
            lambda: kind.backend.send(ONE),
            lambda: kind.backend.send_burst([ONE, TWO]),
        ):
            with pytest.raises(netbe.BackendGone) as caught:
                call()
            assert caught.value.errno in (errno.EPIPE, errno.ENODEV)
            assert isinstance(caught.value, ConnectionError)
        assert not kind.backend.link_up


@pytest.mark.parametrize("peeked", [False, True])
def test_what_came_before_the_other_side_hung_up_is_received_first(kind: Kind, peeked: bool) -> None:  # noqa: FBT001
    kind.arrive(ONE, TWO, THREE)
    if peeked:
        assert kind.backend.peek_recvlen() == len(ONE)
    kind.hang_up()
    assert kind.backend.recv() == ONE
    assert kind.backend.recv_into(bytearray(2000)) == len(TWO)
    batch = FrameBatch()
    assert kind.backend.recv_burst(batch) == 1
    assert bytes(batch[0]) == THREE
    with pytest.raises(netbe.BackendGone):
        kind.backend.recv()


# --- counters


def test_counters_add_up_to_what_was_done(kind: Kind) -> None:
    backend = kind.backend
    backend.send(ONE)
    backend.send_burst([TWO, THREE])
    kind.arrive(ONE, TWO, THREE, ONE, TWO)
    backend.recv()
    backend.recv_into(bytearray(2000))
    backend.rx_discard()
    backend.recv_burst(FrameBatch())
    stats = backend.stats
    assert (stats.tx_frames, stats.tx_bytes) == (3, len(ONE) + len(TWO) + len(THREE))
    assert (stats.rx_frames, stats.rx_bytes) == (4, 2 * (len(ONE) + len(TWO)))
    assert (stats.rx_dropped, stats.tx_dropped) == ({DropReason.DISCARDED: 1}, {})
    assert stats.dropped == 1


# The contract: every frame that is dropped is counted where a user can read it.
@pytest.mark.parametrize("name", ["packets", "packets-12", "python", "python-12"])
def test_what_comes_in_and_is_no_frame_is_counted_with_its_reason(name: str) -> None:
    from kinds import KINDS

    kind = KINDS[name](max_frame=1514)
    try:
        kind.arrive(b"x", bytes(13), bytes(1515), ONE)
        bad = 0
        if kind.device_hdr_len:
            kind.arrive(TWO, header=b"\x01\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00")
            kind.arrive(TWO, header=b"\x00\x77" + bytes(10))
            bad = 2
        kind.arrive(THREE)
        assert [kind.backend.recv(), kind.backend.recv(), kind.backend.recv()] == [ONE, THREE, None]
        assert kind.backend.stats.rx_frames == 2
        assert kind.backend.stats.rx_dropped == {
            DropReason.TOO_SHORT: 2,
            DropReason.TOO_LONG: 1,
            **({DropReason.BAD_HEADER: bad} if bad else {}),
        }
    finally:
        kind.close()


def test_counters_can_be_read_after_close(kind: Kind) -> None:
    kind.backend.send(ONE)
    kind.backend.close()
    assert (kind.backend.stats.tx_frames, kind.backend.stats.tx_bytes) == (1, len(ONE))


# --- the end


def test_a_with_statement_closes_it(kind: Kind) -> None:
    with kind.backend as backend:
        assert backend is kind.backend
        assert not backend.closed
    assert backend.closed
    assert "closed" in repr(backend)


def test_closing_twice_is_fine(kind: Kind) -> None:
    kind.backend.close()
    kind.backend.close()
    assert kind.backend.closed


def test_after_close_every_call_raises_and_the_link_is_down(kind: Kind) -> None:
    kind.arrive(ONE, TWO)
    kind.backend.peek_recvlen()
    kind.backend.close()
    for call in (
        kind.backend.recv,
        kind.backend.peek_recvlen,
        kind.backend.rx_discard,
        kind.backend.wait,
        kind.backend.get_cap,
        kind.backend.recv_enable,
        lambda: kind.backend.recv_into(bytearray(100)),
        lambda: kind.backend.recv_burst(FrameBatch()),
        lambda: kind.backend.send(ONE),
        lambda: kind.backend.send_burst([ONE]),
        lambda: kind.backend.send_burst([]),
        lambda: kind.backend.set_cap(Features(0), 12),
    ):
        with pytest.raises(netbe.BackendClosed) as caught:
            call()
        assert caught.value.errno == errno.EBADF
        assert isinstance(caught.value, ValueError)
    kind.backend.recv_disable()
    assert not kind.backend.link_up
    assert not kind.backend.pending


# --- what only some kinds have


def test_a_backend_of_several_queues_gives_the_frames_of_all_and_peeks_the_same() -> None:
    mine, theirs = zip(
        *(socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)), strict=True
    )
    with contextlib.ExitStack() as stack:
        for one in theirs:
            stack.enter_context(one)
        backend = stack.enter_context(netbe.FdBackend("queues", [one.detach() for one in mine]))
        assert backend.nports == 3
        sent = [frame(1, queue, str(number)) for number in range(5) for queue in range(3)]
        for number, data in enumerate(sent):
            theirs[number % 3].send(data)
        got = []
        for _ in sent:
            length = backend.peek_recvlen()
            assert backend.wait(1)
            assert [backend.peek_recvlen() for _ in range(3)] == [length] * 3
            got.append(backend.recv())
        assert backend.recv() is None
        assert sorted(filter(None, got)) == sorted(sent)
        # Each queue keeps its order.
        assert all([one for one in got if one and one[11] == queue] == sent[queue::3] for queue in range(3))
        assert backend.stats.rx_frames == len(sent)
        theirs[1].send(ONE)
        assert select.select([backend.fileno()], [], [], 5)[0]


def test_a_descriptor_without_header_can_have_no_offloads() -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, theirs:
        with pytest.raises(ValueError, match="device_hdr_len"):
            netbe.FdBackend("odd", mine.fileno(), capabilities=Features.CSUM)
        assert mine.fileno() >= 0
        mine.send(ONE)
        assert theirs.recv(100) == ONE


@pytest.mark.parametrize("hdr_len", [-1, 1, 11, 14])
def test_a_descriptors_header_has_0_10_or_12_bytes_too(hdr_len: int) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, theirs:
        with pytest.raises((OSError, ValueError, OverflowError)):
            netbe.FdBackend("odd", mine.fileno(), device_hdr_len=hdr_len)
        mine.send(ONE)
        assert theirs.recv(100) == ONE


def test_bounds_that_no_frame_can_keep_are_refused() -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, theirs:
        for bounds in ({"min_frame": 100, "max_frame": 99}, {"max_frame": 69632 - 11}):
            with pytest.raises(OSError, match="Invalid argument"):
                netbe.FdBackend("odd", mine.fileno(), **bounds)
