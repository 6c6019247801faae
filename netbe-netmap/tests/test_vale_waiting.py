# SPDX-License-Identifier: BSD-2-Clause
"""Receivers that are full: with `wait` nothing is lost and sleepers are woken; without it, drops are counted."""

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vales import (
    EVERYBODY,
    PATIENCE,
    SIZE,
    SOAK,
    Checker,
    attach,
    bursts,
    drain,
    frame,
    fresh_folder,
    line,
    mac,
    numbered,
    ports,
    running,
    take,
)

import netbe

SENDER = """
import sys, netbe
from vales import *
dst, src, laps, options = mac(int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), eval(sys.argv[4])
with attach("sender", **options) as a:
    print("ready", flush=True)
    sys.stdin.readline()
    lap = netbe.FrameBatch.of_equal(numbered(dst, src), SIZE)
    for _ in range(laps):
        for begin in range(0, LAP, 256):
            push(a, lap[begin : begin + 256])
    print(a.stats.tx_frames, a.stats.dropped, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_folder(monkeypatch) as path:
        yield path


def read_all(backend: netbe.Backend, checker: Checker, count: int) -> None:
    """Receive until so many have come, sleeping while there are none."""
    receive = bursts(backend)
    end = time.monotonic() + 4 * PATIENCE
    while checker.count < count:
        data, n = receive()
        if n:
            checker.run(data, n)
        else:
            backend.wait(1)
            assert time.monotonic() < end, f"{checker.count} of {count} have come"


@pytest.mark.parametrize("pipe", [0, 1, 2])
def test_nothing_is_lost_between_two_processes_when_the_sender_waits(pipe: int) -> None:
    laps = 8 if pipe else 32  # half a million frames
    laps *= 1 + int(SOAK)
    other = {0: 0, 1: 2, 2: 1}[pipe]
    options = {"wait": True, "pipe": other} if pipe else {"wait": True}
    with attach("receiver", wait=True, pipe=pipe) as b, running(SENDER, 2, 1, laps, options) as child:
        assert line(child) == "ready"
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        checker = Checker(mac(2), 1)
        read_all(b, checker, laps << 14)
        assert line(child) == f"{laps << 14} 0"
        assert drain(b) == []
        assert b.stats.rx_frames == laps << 14


def test_a_slow_reader_gets_all_of_it_and_wakes_the_sender_each_time() -> None:
    with attach("receiver", slots=64) as b, running(SENDER, 2, 1, 1, {"wait": True, "slots": 64}) as child:
        assert line(child) == "ready"
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        checker = Checker(mac(2), 1)
        begin = time.monotonic()
        while checker.count < 1 << 14:
            one = take(b)
            assert one is not None, f"{checker.count} have come"
            checker.one(one)
            if checker.count % 500 == 0:
                time.sleep(0.002)
        # With timers for wake-ups, 250 ms each, it would take ten times as long.
        assert time.monotonic() - begin < 5
        assert line(child) == f"{1 << 14} 0"


def fill(sender: netbe.Backend, one: bytes) -> int:
    """Send until there is no room; how many went."""
    for sent in range(10_000):
        try:
            sender.send(one)
        except netbe.BackendFull:
            return sent
    pytest.fail("there is always room")


def sleeps(sender: netbe.Backend, one: bytes) -> int:
    """It asks for a wake-up, and there is still no room; what it would sleep on."""
    wait = sender.arm_send()
    assert wait is not None
    with pytest.raises(netbe.BackendFull):
        sender.send(one)
    return wait[0]


def woken(descriptor: int) -> bool:
    """Sooner than any timer."""
    return bool(select.select([descriptor], [], [], 0.1)[0])


@pytest.mark.parametrize("pipe", [0, 1])
def test_a_full_receiver_makes_the_sender_wait_and_wakes_it_when_it_has_read(pipe: int) -> None:
    one = frame(EVERYBODY, 1)
    with attach("a", wait=True, pipe=pipe) as a, attach("b", pipe=2 if pipe else 0) as b:
        sent = fill(a, one)
        assert 100 < sent <= 2048
        for _ in range(20):
            asleep = sleeps(a, one)
            assert not select.select([asleep], [], [], 0)[0]
            assert len(drain(b)) == sent
            assert woken(asleep)
            sent = fill(a, one)
        drain(b)
        assert a.stats.dropped == b.stats.dropped == 0


def test_a_pipe_without_its_other_end_pushes_back_and_loses_nothing() -> None:
    one = frame(EVERYBODY, 1)
    with attach("m", pipe=1) as a:
        with pytest.raises(netbe.BackendFull):
            a.send(one)
        with pytest.raises(netbe.BackendBusy):
            attach("m", pipe=1)
        with pytest.raises(netbe.NotSupportedError):
            attach("m")
        with attach("s", pipe=2) as b:
            a.send(one)
            assert b.recv() == one
            b.send(one)
            assert a.recv() == one
        with pytest.raises(netbe.BackendFull):
            a.send(one)


def test_a_waiting_sender_goes_on_when_the_full_receiver_leaves() -> None:
    with ports("a", "b", "c", wait=True) as (a, b, c):
        sent = fill(a, frame(EVERYBODY, 1))
        assert len(drain(b)) == sent
        with pytest.raises(netbe.BackendFull):
            a.send(frame(EVERYBODY, 1))
        c.close()
        a.send(frame(EVERYBODY, 1))
        assert len(drain(b)) == 1


def test_every_drop_is_counted() -> None:
    one = frame(EVERYBODY, 1)
    with ports("a", "b") as (a, b):
        for _ in range(5000):
            a.send(one)
        received = len(drain(b))
        assert 0 < received < 5000
        assert a.stats.tx_dropped == {"full": 5000 - received}
        assert b.stats.rx_frames == received


def test_a_frame_that_is_longer_than_the_receivers_ring_is_dropped_and_counted() -> None:
    with ports("a", "b") as (a, b):
        a.send(frame(EVERYBODY, 1, b"", 65_000))
        a.send(frame(EVERYBODY, 1))
        assert [len(one) for one in drain(b)] == [65_000, 60]
        assert a.stats.dropped == 0


def test_buffers_come_back_however_often_the_receiver_is_full() -> None:
    one = frame(EVERYBODY, 1)
    with ports("a", "b") as (a, b):
        held = []
        for _ in range(20):
            for _ in range(1500):
                a.send(one)
            held.append(len(drain(b)))
        assert min(held) == max(held) >= 256


def rate(a: netbe.Backend, b: netbe.Backend, size: int) -> float:
    """Frames from a to b in a second of this process's time, in bursts of which all must arrive."""
    burst = netbe.FrameBatch.of_equal(frame(mac(2), 1) * size, 60)
    batch = netbe.FrameBatch(max_frames=64)
    best = 0.0
    for _ in range(4):
        begin = time.process_time()
        for _ in range(300):
            assert a.send_burst(burst) == size
            assert b.recv_burst(batch) == size
            assert b.recv_burst(batch) == 0
        best = max(best, 300 * size / (time.process_time() - begin))
    return best


@pytest.mark.parametrize("flood", [True, False])
def test_receivers_that_do_not_read_stop_nobody(flood: bool) -> None:  # noqa: FBT001
    names = [f"p{number}" for number in range(62)]
    with ports("a", "b") as (a, b), contextlib.ExitStack() as stack:
        b.send(frame(EVERYBODY, 2))
        drain(a)
        # Bursts of 16 are kept for everybody, however many buffers the others hold back.
        alone = rate(a, b, 16)
        stuck = [stack.enter_context(attach(name)) for name in names]
        for number, one in enumerate(stuck, 10):
            one.send(frame(EVERYBODY, number))
        # One after the other: each takes what the ones before have left.
        for number in range(10, 72):
            for _ in range(600):
                a.send(frame(EVERYBODY if flood else mac(number), 1))
        drain(b)
        dropped = a.stats.tx_dropped["full"]
        assert dropped > 600
        assert rate(a, b, 16) > alone / 4
        assert a.stats.tx_dropped["full"] == dropped
        # And those who begin to read again get all that they were sent.
        assert all(len(drain(one)) >= 16 for one in stuck)
        drain(b)
        assert rate(a, b, 64) > alone / 2


def test_a_sender_that_waits_for_one_of_many_is_woken() -> None:
    names = [f"p{number}" for number in range(20)]
    with ports("a", *names, wait=True) as (a, *others):
        for number, one in enumerate(others, 10):
            one.send(frame(EVERYBODY, number))
        for one in others:
            drain(one)
        drain(a)
        for number in range(10, 29):
            fill(a, frame(mac(number), 1))
        long = frame(mac(29), 1, b"", 65_000)
        assert fill(a, long) == 0
        # Its receiver has nothing to read: buffers that another gives back let it go.
        asleep = sleeps(a, long)
        drain(others[0])
        assert woken(asleep)
        a.send(long)
        assert drain(others[-1]) == [long]
        for one in others:
            drain(one)


def test_a_wake_up_is_never_lost_in_ping_pong() -> None:
    text = """
import sys
from vales import *
with attach("echo", wait=True) as b:
    print("ready", flush=True)
    while True:
        one = take(b)
        if one is None or one[14:18] == b"stop":
            break
        b.send(one[6:12] + one[:6] + one[12:])
    print("done", flush=True)
    sys.stdin.readline()
"""
    with attach("a", wait=True) as a, running(text) as child:
        assert line(child) == "ready"
        slow = 0
        for number in range(5000):
            begin = time.monotonic()
            a.send(mac(2) + mac(1) + b"\x88\xb5" + number.to_bytes(46))
            assert take(a) == mac(1) + mac(2) + b"\x88\xb5" + number.to_bytes(46)
            slow += time.monotonic() - begin > 0.2  # a timer's wake-up
        assert slow <= 3
        a.send(frame(mac(2), 1, b"stop"))
        assert line(child) == "done"


def lose_wake_ups(folder: Path) -> None:
    """Take away what tells this process's receivers of frames, as a look that comes at the wrong time does."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        if not entry.is_socket():
            continue
        with socket.socket(fileno=os.dup(int(entry.name))) as one:
            name = str(one.getsockname())
            if name.startswith(f"{folder}/") and name.endswith("r"):
                with contextlib.suppress(BlockingIOError):
                    found += len(one.recv(1, socket.MSG_DONTWAIT))
    assert found == 1


def test_an_event_loop_is_told_of_frames_that_a_look_left_to_the_next_one(folder: Path) -> None:
    sent = [frame(EVERYBODY, 1, number.to_bytes(2)) for number in range(200)]
    got: list[bytes | None] = []
    with ports("a", "b") as (a, b), netbe.EventLoop() as loop:
        event = loop.add(b, lambda _: got.append(b.recv()))
        event.enable()
        assert loop.step(0) == 0
        assert not b.pending
        for one in sent:
            a.send(one)
        lose_wake_ups(folder)
        got.append(b.recv())
        while loop.step(0):
            assert b.pending == (len(got) < len(sent))
        assert got == sent
        assert not b.pending
    assert b.stats.dropped == 0


def test_sizes_here_agree() -> None:
    assert len(numbered(mac(1), 2)) == SIZE << 14
