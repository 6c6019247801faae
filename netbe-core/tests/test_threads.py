# SPDX-License-Identifier: BSD-2-Clause
"""Threads on one backend: one sends while one receives, `set_cap` and `close` exclude both, close wakes."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pumping import PATIENCE, PythonBackend, frame, packet_pair, send_all, take, until

import netbe
from netbe import Bridge, Features

KINDS = ["ring", "descriptor", "python", "blind"]


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest) -> Iterator[netbe.Backend]:
    """One of each kind, with nothing to receive."""
    if request.param == "ring":
        near, far = netbe.make_pair("ring")
        with near, far:
            yield near
    elif request.param == "descriptor":
        packets, other = packet_pair()
        with packets, other:
            yield packets
    else:
        with PythonBackend(descriptor=request.param == "python") as python:
            yield python


class Caller:
    """A call on another thread: its result or error, once it has ended."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.result: object = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    @property
    def going_on(self) -> bool:
        return self.thread.is_alive()

    def end(self) -> "Caller":
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        return self


@pytest.mark.parametrize("timeout", [None, 2 * PATIENCE])
def test_close_wakes_who_waits_on_another_thread(backend: netbe.Backend, timeout: float | None) -> None:
    waiting = [Caller(lambda: backend.wait(timeout)) for _ in range(2)]
    assert until(lambda: len(backend._wakers) == 2)
    time.sleep(0.01)
    began = time.monotonic()
    backend.close()
    for one in waiting:
        assert isinstance(one.end().error, netbe.BackendClosed)
    assert time.monotonic() - began < 1
    with pytest.raises(netbe.BackendClosed):
        backend.wait(0)


def test_close_meets_a_wait_wherever_it_is() -> None:
    for n in range(300):
        near, far = netbe.make_pair()
        waiting = Caller(lambda: near.wait(PATIENCE))  # noqa: B023 - ended in this turn
        if n % 3:
            until(lambda: bool(near._wakers))  # noqa: B023
        near.close()
        assert isinstance(waiting.end().error, netbe.BackendClosed)
        far.close()


def test_a_wait_ends_with_a_frame_or_with_its_time(backend: netbe.Backend) -> None:
    began = time.monotonic()
    assert backend.wait(0.02) is False
    assert backend.wait(0) is False
    assert time.monotonic() - began >= 0.02


def test_one_thread_receives_while_another_sends_on_the_same_backend() -> None:
    near, far = netbe.make_pair(room=1 << 10)
    frames = [frame(2, 1, str(n)) for n in range(5000)]
    back = [frame(1, 2, str(n)) for n in range(5000)]
    with near, far:
        got: dict[netbe.Backend, list[bytes | None]] = {near: [], far: []}

        def receive(end: netbe.Backend) -> None:
            got[end] += [take(end) for _ in range(5000)]

        callers = [
            Caller(lambda: send_all(near, frames)),
            Caller(lambda: send_all(far, back)),
            Caller(lambda: receive(near)),
            Caller(lambda: receive(far)),
        ]
        for one in callers:
            assert one.end().error is None
        assert got == {near: back, far: frames}


def test_many_threads_may_send_and_each_ones_frames_stay_in_order() -> None:
    near, far = netbe.make_pair()
    with near, far:
        flows = [[frame(2, n, str(i)) for i in range(500)] for n in range(4)]
        callers = [Caller(lambda flow=flow: send_all(near, flow)) for flow in flows]
        got = [take(far) or b"" for _ in range(2000)]
        for n, flow in enumerate(flows):
            assert [one for one in got if one[11] == n] == flow
        for one in callers:
            assert one.end().error is None


class Slow(PythonBackend):
    """Its author's methods say when they have begun, and wait until they may go on."""

    def __init__(self) -> None:
        super().__init__("slow", descriptor=False)
        self.began, self.go_on = threading.Event(), threading.Event()
        self.order: list[str] = []

    def _slow(self, what: str) -> None:
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        self.order.append(what)

    def _transmit(self, frame: bytes) -> None:
        self._slow("transmit")

    def _receive(self) -> bytes | None:
        self._slow("receive")
        return None

    def _negotiate(self, features: Features, vnet_hdr_len: int) -> None:
        self.order.append("set_cap")

    def _shutdown(self) -> None:
        self.order.append("close")


@pytest.mark.parametrize("late", ["set_cap", "close"])
@pytest.mark.parametrize("running", ["transmit", "receive"])
def test_set_cap_and_close_wait_for_a_running_call(running: str, late: str) -> None:
    with Slow() as backend:
        calls: dict[str, Callable[[], object]] = {
            "transmit": lambda: backend.send(frame(2, 1)),
            "receive": backend.recv,
            "set_cap": lambda: backend.set_cap(Features(0)),
            "close": backend.close,
        }
        first = Caller(calls[running])
        assert backend.began.wait(PATIENCE)
        second = Caller(calls[late])
        second.thread.join(0.02)
        assert second.going_on
        backend.go_on.set()
        assert first.end().error is None
        assert second.end().error is None
        assert backend.order == [running, late]


@pytest.mark.parametrize("call", ["send", "send_burst"])
def test_a_send_over_a_port_waits_for_set_cap_and_goes_by_the_new_agreement(call: str) -> None:
    near, far = netbe.make_pair()
    began, go_on = threading.Event(), threading.Event()

    def negotiate(features: Features, vnet_hdr_len: int) -> None:
        began.set()
        assert go_on.wait(PATIENCE)

    with near, far:
        near._negotiate = negotiate
        agreeing = Caller(lambda: near.set_cap(Features(0), 12))
        assert began.wait(PATIENCE)
        headed = bytes(12) + frame(2, 1)
        calls = {"send": lambda: near.send(headed), "send_burst": lambda: near.send_burst([headed])}
        sending = Caller(calls[call])
        sending.thread.join(0.02)
        assert sending.going_on
        assert far.recv() is None
        go_on.set()
        assert agreeing.end().error is None
        assert sending.end().error is None
        assert far.recv() == frame(2, 1)


def test_sending_does_not_wait_for_receiving() -> None:
    with Slow() as backend:
        receiving = Caller(backend.recv)
        assert backend.began.wait(PATIENCE)
        backend.began.clear()
        sending = Caller(lambda: backend.send(frame(2, 1)))
        assert backend.began.wait(PATIENCE)  # the author's _transmit runs beside his _receive
        backend.go_on.set()
        receiving.end()
        sending.end()


def test_close_in_the_middle_of_everything_ends_every_call() -> None:
    """Ring memory is freed by close: a call that got through afterwards would be a crash."""
    for _ in range(30):
        near, far = netbe.make_pair()
        stop = threading.Event()
        batch = netbe.FrameBatch(max_frames=8)
        calls: list[Callable[[], object]] = [
            lambda: near.send(frame(2, 1)),  # noqa: B023 - ended in this turn
            near.recv,
            lambda: near.recv_burst(batch),  # noqa: B023
            lambda: near.wait(0.001),  # noqa: B023
            lambda: (near.pending, near.link_up, near.stats),  # noqa: B023
            near.fileno,
            lambda: far.send(frame(1, 2)),  # noqa: B023
        ]

        def again(call: Callable[[], object], stop: threading.Event = stop) -> None:
            while not stop.is_set():
                try:
                    call()
                except netbe.BackendFull:
                    pass
                except (netbe.BackendClosed, netbe.BackendGone):
                    return

        callers = [Caller(lambda call=call: again(call)) for call in calls]
        time.sleep(0.001)
        near.close()
        stop.set()
        for one in callers:
            assert one.end().error is None
        far.close()


@pytest.mark.parametrize("kind", ["ring", "python"])
def test_closing_a_backend_that_a_pump_has_stops_the_pump_and_wakes_its_joiner(kind: str) -> None:
    near, far = netbe.make_pair("near")
    other, third = netbe.make_pair("other")
    python = PythonBackend()
    with near, far, other, third, python:
        member: netbe.Backend = near if kind == "ring" else python
        bridge = Bridge(member, other)
        bridge.start()
        joining = Caller(bridge.join)
        closers = [Caller(member.close) for _ in range(3)]
        for one in closers:
            assert one.end().error is None
        assert joining.end().result is True
        assert not bridge.running
        assert bridge.error is None
        other.send(frame(2, 1))
        assert take(third) == frame(2, 1)


def test_pumps_started_at_once_on_one_backend_leave_it_to_one_of_them() -> None:
    shared, far = netbe.make_pair("shared")
    others = [netbe.make_pair(f"other {n}") for n in range(3)]
    with shared, far:
        for _ in range(20):
            bridges = [Bridge(shared, near) for near, _ in others]
            barrier = threading.Barrier(len(bridges))
            callers = [Caller(lambda one=one: (barrier.wait(PATIENCE), one.start())) for one in bridges]  # noqa: B023
            errors = [one.end().error for one in callers]
            assert sum(error is None for error in errors) == 1
            assert all(error is None or isinstance(error, netbe.BackendBusy) for error in errors)
            for bridge in bridges:
                bridge.stop()
            shared.send(frame(2, 1))
            for near, _ in others:  # and who lost has let go of its other backend
                assert near.recv() is None
            assert take(far) == frame(2, 1)
    for end in itertools.chain(*others):
        end.close()
