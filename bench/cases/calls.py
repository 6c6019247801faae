# SPDX-License-Identifier: BSD-2-Clause
"""What a frame costs from Python: single calls, bursts, and a bridge between two cables."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import netbe
from report import Case, Subject

SIZE = 60
BURST = 64
ROUND = 2000
"""Frames that fit the cable."""

_FRAME = bytes(SIZE)
_BATCH = netbe.FrameBatch([_FRAME] * BURST)
_ROOM = netbe.FrameBatch(capacity=1 << 20, max_frames=4096)

Step = Callable[[netbe.Backend, netbe.Backend], tuple[int, float]]


@contextmanager
def case(*, quick: bool) -> Iterator[Case]:
    """Millions of frames a second; the first line is single calls."""
    seconds = 0.3 if quick else 1.0
    yield Case(
        "calls",
        "Frames of 60 bytes from Python, one process",
        [
            Subject("send(), one frame a call", _timed(_send, seconds)),
            Subject("recv(), one frame a call", _timed(_recv, seconds)),
            Subject("send_burst() of a prepared batch of 64", _timed(_send_burst, seconds)),
            Subject("recv_burst()", _timed(_recv_burst, seconds)),
            Subject("reserve() of 64 slots, filled one by one", _timed(_reserve, seconds)),
            Subject("lend(), each frame looked at", _timed(_lend, seconds)),
            Subject("through a Bridge, in bursts, one thread at both ends", lambda: _bridge(seconds)),
        ],
        {"rate": "million frames/s"},
    )


def _timed(step: Step, seconds: float) -> Callable[[], dict[str, float]]:
    """`step` returns frames and the seconds that count; it is repeated until the time is over."""

    def once() -> dict[str, float]:
        frames, spent = 0, 0.0
        here, there = netbe.make_pair()
        with here, there:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                count, took = step(here, there)
                frames += count
                spent += took
        return {"rate": frames / spent / 1e6}

    return once


def _send(here: netbe.Backend, there: netbe.Backend) -> tuple[int, float]:
    send, frame = here.send, _FRAME
    began = time.perf_counter()
    for _ in range(ROUND):
        send(frame)
    took = time.perf_counter() - began
    there.recv_burst(_ROOM)
    return ROUND, took


def _recv(here: netbe.Backend, there: netbe.Backend) -> tuple[int, float]:
    for _ in range(ROUND // BURST):
        here.send_burst(_BATCH)
    recv, count = there.recv, 0
    began = time.perf_counter()
    while recv() is not None:
        count += 1
    return count, time.perf_counter() - began


def _send_burst(here: netbe.Backend, there: netbe.Backend) -> tuple[int, float]:
    began = time.perf_counter()
    for _ in range(ROUND // BURST):
        here.send_burst(_BATCH)
    took = time.perf_counter() - began
    there.recv_burst(_ROOM)
    return ROUND // BURST * BURST, took


def _recv_burst(here: netbe.Backend, there: netbe.Backend) -> tuple[int, float]:
    for _ in range(ROUND // BURST):
        here.send_burst(_BATCH)
    began = time.perf_counter()
    count = there.recv_burst(_ROOM)
    return count, time.perf_counter() - began


def _reserve(here: netbe.Backend, there: netbe.Backend) -> tuple[int, float]:
    frame = _FRAME
    began = time.perf_counter()
    for _ in range(ROUND // BURST):
        with here.reserve(SIZE, BURST) as slots:
            for view in slots:
                view[:] = frame
            slots.commit()
    took = time.perf_counter() - began
    there.recv_burst(_ROOM)
    return ROUND // BURST * BURST, took


def _lend(here: netbe.Backend, there: netbe.Backend) -> tuple[int, float]:
    for _ in range(ROUND // BURST):
        here.send_burst(_BATCH)
    count = 0
    began = time.perf_counter()
    while True:
        with there.lend() as frames:
            if not frames:
                return count, time.perf_counter() - began
            for view in frames:
                count += view.nbytes == SIZE


def _bridge(seconds: float) -> dict[str, float]:
    near, a = netbe.make_pair()
    b, far = netbe.make_pair()
    received = 0
    with near, a, b, far, netbe.Bridge(a, b):
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            with suppress(netbe.BackendFull):
                near.send_burst(_BATCH)
            received += far.recv_burst(_ROOM)
        spent = time.perf_counter() - began
    return {"rate": received / spent / 1e6}
