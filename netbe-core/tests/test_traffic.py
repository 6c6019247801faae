# SPDX-License-Identifier: BSD-2-Clause
"""Numbered frames: what a `Generator` sends, what a `Sink` makes of it, and that the backend is whole afterwards."""

import contextlib
import gc
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from gso_frames import TCPV4, Recipe
from kinds import OFFLOADS, Kind
from pumping import PATIENCE, frame, take, until

import netbe
from netbe.traffic import STAMPED, Generator, Received, Sink

STAMP = struct.Struct(">6sHQQ")
LARGE = Recipe(TCPV4, payload=bytes(range(250)) * 16, gso_size=1000).build()

Cable = tuple[netbe.PortBackend, netbe.PortBackend]


def stamped(number: int, stream: int = 0, size: int = 60) -> bytes:
    head = b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x88\xb5" + STAMP.pack(b"netbe\1", stream, number, 0)
    return head.ljust(size, b"\0")


def sent(kind: Kind) -> Iterator[bytes]:
    """All that reached the other side."""
    while (one := kind.sent()) is not None:
        yield one


@pytest.fixture
def cable() -> Iterator[Cable]:
    near, far = netbe.make_pair("cable")
    with near, far:
        yield near, far


# --- What is sent


@pytest.mark.parametrize("agreed", [0, 12])
@pytest.mark.parametrize("size", [14, STAMPED - 1, STAMPED, 60, 65, 1514])
def test_frames_have_addresses_size_stream_number_and_time(kind: Kind, size: int, agreed: int) -> None:
    kind.backend.set_cap(netbe.Features(0), agreed)
    before = time.time_ns()
    with Generator(
        kind.backend, destination=b"\2\0\0\0\0\xaa", source=b"\2\0\0\0\0\xbb", size=size, stream=515
    ) as generator:
        assert generator.send(20, PATIENCE) == 20
        assert generator.send(10, PATIENCE) == 10
        assert (generator.sent, generator.full) == (30, 0)
    frames = list(sent(kind))
    assert len(frames) == 30
    assert {(len(one), one[:14]) for one in frames} == {
        (size, bytes.fromhex("0200000000aa 0200000000bb 88b5"))
    }
    if size < STAMPED:
        assert {one[14:] for one in frames} == {bytes(size - 14)}
        return
    stamps = [STAMP.unpack_from(one, 14) for one in frames]
    assert [stamp[:3] for stamp in stamps] == [(b"netbe\1", 515, number) for number in range(30)]
    times = [stamp[3] for stamp in stamps]
    assert before <= times[0]
    assert times == sorted(times)
    assert times[-1] <= time.time_ns()
    assert {one[STAMPED:] for one in frames} == {bytes(size - STAMPED)}


def test_no_more_is_sent_than_asked_for(kind: Kind) -> None:
    with Generator(kind.backend) as generator:
        assert generator.send(0) == 0
        assert generator.send(1) == 1
        assert kind.sent() is not None
        assert kind.sent() is None


def test_a_generator_waits_for_room_and_goes_on(kind: Kind) -> None:
    numbers: list[int] = []
    with Generator(kind.backend, size=1000) as generator:
        while generator.send(None, 0.01):
            pass
        assert generator.full > 0
        before = generator.sent
        numbers += [STAMP.unpack_from(one, 14)[2] for one in sent(kind)]
        assert len(numbers) == before
        assert generator.send(5, PATIENCE) == 5
        numbers += [STAMP.unpack_from(one, 14)[2] for one in sent(kind)]
    assert numbers == list(range(before + 5))


def test_room_wakes_a_generator_that_sleeps(cable: Cable) -> None:
    near, far = cable
    with Generator(near, size=60000) as generator:
        while generator.send(None, 0.01):
            pass
        timer = threading.Timer(0.05, lambda: [far.recv() for _ in range(2)])
        timer.start()
        begin = time.monotonic()
        assert generator.send(1, PATIENCE) == 1
        assert time.monotonic() - begin < PATIENCE / 2
        timer.join()


def test_sending_ends_when_the_time_is_up(kind: Kind) -> None:
    with Generator(kind.backend, size=1000) as generator:
        begin = time.monotonic()
        generator.send(None, 0.1)  # it becomes full
        assert 0.1 <= time.monotonic() - begin < PATIENCE


@pytest.mark.parametrize(("size", "error"), [(13, "shorter"), (70000, "longer")])
def test_a_size_that_the_backend_does_not_take_is_refused_and_nothing_is_held(
    kind: Kind, size: int, error: str
) -> None:
    with pytest.raises(netbe.FrameSizeError, match=error):
        Generator(kind.backend, size=size)
    kind.backend.send(frame(1, 2))


def test_an_address_has_six_bytes(kind: Kind) -> None:
    with pytest.raises(ValueError, match="six bytes"):
        Generator(kind.backend, source=b"\2\0\0\0\0")


# --- What is received


@pytest.mark.parametrize("agreed", [0, 10])
def test_a_sink_counts_frames_bytes_and_numbers(kind: Kind, agreed: int) -> None:
    kind.backend.set_cap(netbe.Features(0), agreed)
    before = time.monotonic()
    kind.arrive(stamped(0), stamped(1, size=1514), bytes(60), stamped(4), bytes(14))
    with Sink(kind.backend) as sink:
        assert sink.received == Received()
        assert sink.receive(5, PATIENCE) == 5
        found = sink.received
    assert (found.frames, found.bytes, found.numbered, found.lost) == (5, 60 + 1514 + 60 + 60 + 14, 3, 2)
    assert before <= found.first <= found.last <= time.monotonic()
    assert found.seconds == found.last - found.first


@pytest.mark.parametrize(
    ("numbers", "lost", "doubled", "reordered"),
    [
        (list(range(50)), 0, 0, 0),
        (list(range(1000, 1050)), 0, 0, 0),
        ([0, 1, 4, 5, 9], 5, 0, 0),
        ([0, 1, 1, 2, 2, 2], 0, 3, 0),
        ([0, 2, 1, 3, 6, 5, 4], 0, 0, 3),
        ([10, 11, 13, 12, 12, 15], 1, 1, 1),
        ([5, 4, 0, 6], 0, 2, 0),
        ([0, 1 << 40, 1 << 40, (1 << 40) - 1, 1], (1 << 40) - 2, 2, 1),
    ],
)
def test_lost_doubled_and_late_frames_are_told_apart(
    kind: Kind, numbers: list[int], lost: int, doubled: int, reordered: int
) -> None:
    for number in numbers:
        kind.arrive(stamped(number, stream=3))
        kind.arrive(stamped(number * 2 + 1, stream=4))
    with Sink(kind.backend) as sink:
        assert sink.receive(2 * len(numbers), PATIENCE) == 2 * len(numbers)
        both = sink.received
    alone = netbe.make_pair()
    with alone[0], alone[1], Sink(alone[1]) as sink:
        alone[0].send_burst([stamped(number) for number in numbers])
        sink.receive(len(numbers), PATIENCE)
        one = sink.received
    assert (one.lost, one.duplicated, one.reordered) == (lost, doubled, reordered)
    # The other stream has a gap behind each, so that nothing of it is in order.
    assert both.numbered == 2 * len(numbers)
    assert both.duplicated == 2 * doubled
    assert both.reordered == 2 * reordered


def test_a_sink_may_leave_numbers_alone(kind: Kind) -> None:
    kind.arrive(stamped(0), stamped(9))
    with Sink(kind.backend, numbers=False) as sink:
        assert sink.receive(2, PATIENCE) == 2
        assert (sink.received.frames, sink.received.numbered, sink.received.lost) == (2, 0, 0)


def test_no_more_is_taken_than_asked_for_and_the_rest_stays(kind: Kind) -> None:
    frames = [stamped(number) for number in range(10)]
    kind.arrive(*frames)
    with Sink(kind.backend) as sink:
        assert sink.receive(0) == 0
        assert sink.receive(3, PATIENCE) == 3
        assert sink.receive(4, PATIENCE) == 4
    assert [take(kind.backend) for _ in range(3)] == frames[7:]


def test_what_was_peeked_at_is_counted_and_in_order(kind: Kind) -> None:
    frames = [stamped(number) for number in range(6)]
    kind.arrive(*frames)
    assert kind.backend.wait(PATIENCE)
    assert take(kind.backend) == frames[0]
    assert kind.backend.peek_recvlen() == 60
    with Sink(kind.backend) as sink:
        assert sink.receive(3, PATIENCE) == 3
        assert (sink.received.numbered, sink.received.lost) == (3, 0)
    assert [take(kind.backend) for _ in range(2)] == frames[4:]


def test_receiving_ends_when_the_time_is_up(kind: Kind) -> None:
    with Sink(kind.backend) as sink:
        begin = time.monotonic()
        assert sink.receive(None, 0.1) == 0
        assert 0.1 <= time.monotonic() - begin < PATIENCE


def test_a_frame_wakes_a_sink_that_sleeps(kind: Kind) -> None:
    timer = threading.Timer(0.05, kind.arrive, (stamped(0),))
    with Sink(kind.backend) as sink:
        timer.start()
        begin = time.monotonic()
        assert sink.receive(1, PATIENCE) == 1
        assert time.monotonic() - begin < PATIENCE / 2
    timer.join()


def test_what_came_before_the_other_side_went_is_counted(kind: Kind) -> None:
    kind.arrive(stamped(0), stamped(1))
    kind.hang_up()
    with Sink(kind.backend) as sink:
        assert sink.receive(None, PATIENCE) == 2
        with pytest.raises(netbe.BackendGone):
            sink.receive(None, PATIENCE)
        assert sink.received.frames == 2


def test_a_generator_says_that_the_other_side_is_gone(kind: Kind) -> None:
    with Generator(kind.backend) as generator:
        assert generator.send(1, PATIENCE) == 1
        kind.hang_up()
        with pytest.raises(netbe.NetbeError):
            generator.send(1, PATIENCE)
        assert generator.sent == 1


def test_a_sink_takes_the_frames_of_all_queues() -> None:
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
        backend = stack.enter_context(netbe.FdBackend("queues", [mine.detach() for mine, _ in pairs]))
        ends = [stack.enter_context(other) for _, other in pairs]
        for stream, other in enumerate(ends):
            for number in range(20):
                other.send(stamped(number, stream))
        sink = stack.enter_context(Sink(backend))
        assert sink.receive(60, PATIENCE) == 60
        assert (sink.received.numbered, sink.received.lost, sink.received.duplicated) == (60, 0, 0)
        timer = threading.Timer(0.05, ends[2].send, (stamped(20, 2),))
        timer.start()
        assert sink.receive(1, PATIENCE) == 1
        timer.join()


def test_a_frame_that_asks_for_segmentation_is_counted_whole(cable: Cable) -> None:
    near, far = cable
    near.set_cap(OFFLOADS, 12)
    near.send(LARGE.header + bytes(2) + LARGE.data)
    with Sink(far) as sink:
        assert sink.receive(1, PATIENCE) == 1
        assert sink.received.bytes == len(LARGE.data)
        assert sink.receive(1, 0.02) == 0


def test_the_rest_of_a_frame_that_was_received_in_part_is_not_lost(cable: Cable) -> None:
    near, far = cable
    near.set_cap(OFFLOADS, 12)
    near.send(LARGE.header + bytes(2) + LARGE.data)
    near.send(bytes(12) + stamped(0))
    assert take(far) is not None  # the first of four
    with Sink(far) as sink:
        assert sink.receive(2, PATIENCE) == 2
        assert (sink.received.bytes, sink.received.numbered) == (2 * 1054, 0)
    fourth = take(far)
    assert fourth is not None
    assert len(fourth) == 1054
    with Sink(far) as sink:
        assert sink.receive(None, 0.02) == 1
        assert sink.received.numbered == 1


def test_a_generator_and_a_sink_agree_over_a_cable(cable: Cable) -> None:
    near, far = cable
    with Generator(near) as generator, Sink(far) as sink:
        thread = threading.Thread(target=generator.send, args=(300_000, 4 * PATIENCE))
        thread.start()
        assert sink.receive(300_000, 4 * PATIENCE) == 300_000
        thread.join()
        found = sink.received
    assert (found.numbered, found.lost, found.duplicated, found.reordered) == (300_000, 0, 0, 0)
    assert found.bytes == 60 * 300_000
    assert (near.stats.tx_frames, far.stats.rx_frames) == (300_000, 300_000)


# --- The backend meanwhile, and afterwards

USERS: list[Callable[[netbe.Backend], Generator | Sink]] = [Generator, Sink]


@pytest.mark.parametrize("user", USERS)
def test_the_backends_own_calls_say_that_it_is_busy_until_it_is_given_back(
    cable: Cable, user: Callable[[netbe.Backend], Generator | Sink]
) -> None:
    near, far = cable
    with user(near) as one:
        with pytest.raises(netbe.BackendBusy, match=type(one).__name__):
            near.send(frame(1, 2))
        with pytest.raises(netbe.BackendBusy):
            near.recv()
        with pytest.raises(netbe.BackendBusy):
            Sink(near)
        with pytest.raises(netbe.BackendBusy):
            netbe.Bridge(near, far).start()
    near.send(frame(1, 2))
    assert take(far) == frame(1, 2)
    one.close()
    with pytest.raises(ValueError, match="was closed"):
        one._run(1, 0)


@pytest.mark.parametrize("user", USERS)
def test_one_that_nobody_holds_any_more_gives_the_backend_back(
    cable: Cable, user: Callable[[netbe.Backend], Generator | Sink]
) -> None:
    near, _ = cable
    user(near)
    gc.collect()
    near.send(frame(1, 2))


def test_closing_the_backend_ends_a_running_one(kind: Kind) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        with Sink(kind.backend) as sink:
            running.set()
            try:
                sink.receive(None, 10 * PATIENCE)
            except netbe.NetbeError as error:
                errors.append(error)

    running = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert running.wait(PATIENCE)
    kind.backend.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert [type(error) for error in errors] == [netbe.BackendClosed]


@pytest.mark.parametrize("user", USERS)
def test_a_closed_backend_is_refused(kind: Kind, user: Callable[[netbe.Backend], Generator | Sink]) -> None:
    kind.backend.close()
    with pytest.raises(netbe.BackendClosed):
        user(kind.backend)


def test_counters_can_be_read_while_it_runs(cable: Cable) -> None:
    near, far = cable
    with Generator(near) as generator, Sink(far) as sink:
        threads = [
            threading.Thread(target=generator.send, args=(None, 0.3)),
            threading.Thread(target=sink.receive, args=(None, 0.4)),
        ]
        for thread in threads:
            thread.start()
        assert until(lambda: sink.received.frames > 0)
        before = sink.received.frames
        assert until(lambda: sink.received.frames > before)
        for thread in threads:
            thread.join()
        sink.receive(generator.sent - sink.received.frames, PATIENCE)
        assert (sink.received.frames, sink.received.lost) == (generator.sent, 0)
