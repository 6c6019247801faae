# SPDX-License-Identifier: BSD-2-Clause
"""`EventLoop` and other threads: silencing, waking, stopping and closing it from there, and signals."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Self

import pytest
from pumping import PATIENCE, descriptors, frame, until

import netbe
from netbe import Event, EventLoop

Cable = tuple[netbe.PortBackend, netbe.PortBackend]


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    with EventLoop() as one:
        yield one


@pytest.fixture
def cable() -> Iterator[Cable]:
    near, far = netbe.make_pair("cable")
    with near, far:
        yield near, far


class Running:
    """A loop on a thread of its own; ends with the ``with``."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.loop.run()
        except Exception as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.stop()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def test_disable_on_another_thread_waits_for_the_callback_that_runs(loop: EventLoop, cable: Cable) -> None:
    near, far = cable
    began, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(_: Event) -> None:
        began.set()
        assert go_on.wait(PATIENCE)
        order.append("callback")

    event = loop.add(near, slow)
    event.enable()
    far.send(frame(2, 1))
    with Running(loop):
        assert began.wait(PATIENCE)
        silencer = threading.Thread(target=lambda: (event.disable(), order.append("disabled")))
        silencer.start()
        silencer.join(0.03)
        assert silencer.is_alive()
        go_on.set()
        silencer.join(PATIENCE)
        assert order == ["callback", "disabled"]
        far.send(frame(2, 1))
    assert order == ["callback", "disabled"]


def test_no_call_begins_after_disable_however_threads_meet(loop: EventLoop, cable: Cable) -> None:
    near, far = cable
    allowed = threading.Event()
    wrong: list[str] = []
    calls = 0

    def callback(_: Event) -> None:
        nonlocal calls
        calls += 1
        if not allowed.is_set():
            wrong.append("called after disable")

    event = loop.add(near, callback)
    far.send(frame(2, 1))  # never taken: always ready
    with Running(loop):
        for n in range(300):
            allowed.set()
            event.enable()
            before = calls
            if n % 10 == 0:
                assert until(lambda: calls > before)  # noqa: B023 - asked at once
            event.disable()
            allowed.clear()
    assert wrong == []


def test_enable_on_another_thread_wakes_the_loop(loop: EventLoop, cable: Cable) -> None:
    near, far = cable
    called = threading.Event()
    event = loop.add(near, lambda one: (called.set(), one.disable()))
    far.send(frame(2, 1))
    near.peek_recvlen()  # now only the loop's own look can find it
    with Running(loop):
        assert not called.wait(0.02)
        event.enable()
        assert called.wait(PATIENCE)


def test_a_loop_runs_on_one_thread_only(loop: EventLoop) -> None:
    with Running(loop):
        assert until(lambda: loop._thread is not None)
        with pytest.raises(netbe.NetbeError, match="another thread"):
            loop.step()
    assert loop.step() == 0


def test_a_stop_before_the_run_is_not_lost(loop: EventLoop, cable: Cable) -> None:
    loop.stop()
    running = Running(loop)
    running.thread.start()
    running.thread.join(PATIENCE)
    assert not running.thread.is_alive()
    cable[1].send(frame(2, 1))
    loop.add(cable[0], lambda _: loop.stop()).enable()
    loop.run()  # the next one runs again


@pytest.mark.parametrize("where", ["another thread", "a callback"])
def test_closing_ends_a_run_and_leaves_nothing_open(cable: Cable, where: str) -> None:
    near, far = cable
    before = descriptors()
    loop = EventLoop()
    event = loop.add(near, lambda _: loop.close())
    with Running(loop) as running:
        assert until(lambda: loop._thread is not None)
        if where == "a callback":
            event.enable()
            far.send(frame(2, 1))
        else:
            loop.close()
        running.thread.join(PATIENCE)
        assert not running.thread.is_alive()
    assert running.error is None
    assert not event.enabled
    assert descriptors() == before
    loop.close()
    loop.stop()
    for refused in (loop.run, loop.step, event.enable):
        with pytest.raises(netbe.BackendClosed, match="loop is closed"):
            refused()


_PROGRAM = """
import netbe, signal
near, far = netbe.make_pair()
loop = netbe.EventLoop()
with near, far, loop:
    loop.add(near, print).enable()
    {setup}
    try:
        print("running", flush=True)
        loop.run()
        print("stopped", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(loop.step(), flush=True)
"""


@pytest.mark.parametrize(
    ("setup", "said"),
    [("", "interrupted"), ("signal.signal(signal.SIGINT, lambda *_: loop.stop())", "stopped")],
    ids=["Ctrl-C", "stop in a handler"],
)
def test_a_signal_ends_a_run_and_the_loop_works_afterwards(setup: str, said: str) -> None:
    command = [sys.executable, "-c", _PROGRAM.format(setup=setup)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert out == f"{said}\n0\n"
