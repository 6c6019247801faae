# SPDX-License-Identifier: BSD-2-Clause
"""`EventLoop`: add disabled, enable, disable, delete; what is held counts, and after disable nothing is called."""

import gc
import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest
from pumping import PATIENCE, PythonBackend, descriptors, frame, packet_pair

import netbe
from netbe import Event, EventLoop
from netbe.events import WRITE, default_loop

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


# --- The four states ---------------------------------------------------------------------------------------


def test_an_event_is_added_disabled_and_called_while_it_is_enabled_and_ready(
    loop: EventLoop, cable: Cable
) -> None:
    near, far = cable
    calls: list[Event] = []
    event = loop.add(near, calls.append)
    far.send(frame(2, 1))
    assert loop.step() == 0
    assert not event.enabled
    event.enable()
    event.enable()
    assert loop.step() == loop.step() == 1  # the frame was not taken: it is ready still
    assert calls == [event, event]
    near.recv()
    assert loop.step() == 0
    far.send(frame(2, 1))
    event.disable()
    event.disable()
    assert loop.step() == 0
    event.enable()
    assert loop.step() == 1
    event.delete()
    event.delete()
    assert loop.step() == 0
    with pytest.raises(netbe.BackendClosed, match="add a new one"):
        event.enable()


def test_an_event_says_what_it_is(loop: EventLoop, cable: Cable) -> None:
    event = loop.add(cable[0], print)
    assert "cable/a" in repr(event)
    assert repr(event).endswith("disabled>")
    event.enable()
    assert repr(event).endswith("enabled>")
    event.delete()
    assert repr(event).endswith("deleted>")


def test_a_step_waits_no_longer_than_it_is_told(loop: EventLoop, cable: Cable) -> None:
    loop.add(cable[0], print).enable()
    assert loop.step(0.02) == 0
    assert loop.step(-1) == 0


def test_a_step_without_a_timeout_waits_for_a_frame(loop: EventLoop, cable: Cable) -> None:
    near, far = cable
    loop.add(near, lambda _: near.recv()).enable()
    sender = threading.Timer(0.02, far.send, [frame(2, 1)])
    sender.start()
    assert loop.step(None) == 1
    sender.join()


def test_descriptors_are_sources_too_and_several_events_share_one(loop: EventLoop) -> None:
    here, there = socket.socketpair()
    with here, there:
        calls: list[str] = []
        read = loop.add(here.fileno(), lambda _: calls.append("read"))
        again = loop.add(here.fileno(), lambda _: calls.append("again"))
        write = loop.add(here.fileno(), lambda _: calls.append("write"), WRITE)
        for event in (read, again, write):
            event.enable()
        assert loop.step() == 1
        there.send(b"x")
        assert loop.step() == 3
        assert sorted(calls) == ["again", "read", "write", "write"]
        write.disable()
        again.delete()
        assert loop.step() == 1
        assert calls[-1] == "read"
        read.disable()


def test_what_is_no_source_is_refused_and_changes_nothing(loop: EventLoop) -> None:
    with pytest.raises(ValueError, match="READ or WRITE"):
        loop.add(0, print, 3)
    with pytest.raises(ValueError, match="no descriptor"):
        loop.add(-1, print)
    closed, other = netbe.make_pair()
    closed.close()
    with PythonBackend(descriptor=False) as blind, other:
        gone = os.dup(0)
        os.close(gone)
        for event in (loop.add(gone, print), loop.add(closed, print), loop.add(blind, print, WRITE)):
            with pytest.raises(OSError, match=r"descriptor|closed"):
                event.enable()
            assert not event.enabled
            event.delete()
    assert loop.step() == 0


# --- Frames that epoll does not see -------------------------------------------------------------------------


def test_frames_held_in_user_space_count_though_the_descriptor_is_silent(loop: EventLoop) -> None:
    backend, other = packet_pair()
    with backend, other:
        for n in range(3):
            other.send(frame(2, 1, str(n)))
        assert backend.peek_recvlen() == 60  # takes all three out of the kernel
        assert backend.pending
        got: list[bytes | None] = []
        loop.add(backend, lambda _: got.append(backend.recv())).enable()
        assert select.select([backend.fileno()], [], [], 0)[0] == []
        assert [loop.step(PATIENCE) for _ in range(3)] == [1, 1, 1]
        assert got == [frame(2, 1, str(n)) for n in range(3)]
        assert loop.step() == 0


def test_recv_enable_with_frames_held_calls_back(loop: EventLoop) -> None:
    got: list[bytes | None] = []
    near = netbe.open("pair:held", callback=lambda be: got.append(be.recv()), loop=loop)
    far = netbe.open("pair:held")
    with near, far:
        far.send(frame(2, 1, "held"))
        far.send(frame(2, 1, "next"))
        near.peek_recvlen()
        assert loop.step() == 0  # disabled at first
        near.recv_enable()
        assert loop.step(PATIENCE) == 1
        assert loop.step(PATIENCE) == 1
        assert got == [frame(2, 1, "held"), frame(2, 1, "next")]


@pytest.mark.parametrize("descriptor", [True, False])
def test_a_python_backend_is_seen_with_a_descriptor_and_without(
    loop: EventLoop,
    descriptor: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    with PythonBackend(descriptor=descriptor) as backend:
        got: list[bytes | None] = []
        loop.add(backend, lambda _: got.append(backend.recv())).enable()
        assert loop.step(0.02) == 0
        backend.arrive(frame(2, 1, "one"), frame(2, 1, "two"))
        assert loop.step(PATIENCE) == 1
        backend.peek_recvlen()
        assert loop.step(PATIENCE) == 1
        assert got == [frame(2, 1, "one"), frame(2, 1, "two")]


def test_a_backend_without_a_descriptor_that_fails_calls_back_to_be_asked(loop: EventLoop) -> None:
    with PythonBackend(descriptor=False) as backend:
        met: list[str] = []

        def ask(event: Event) -> None:
            with pytest.raises(netbe.BackendGone) as caught:
                backend.recv()
            met.append(str(caught.value))
            event.delete()

        loop.add(backend, ask).enable()
        backend.receive_error = netbe.BackendGone("unplugged")
        assert loop.step(PATIENCE) == 1
        assert "unplugged" in met[0]


def test_recv_enable_without_a_callback_says_what_to_do(cable: Cable) -> None:
    with pytest.raises(netbe.NotSupportedError, match="callback="):
        cable[0].recv_enable()
    cable[0].recv_disable()


# --- After disable, nothing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["disable", "delete", "recv_disable", "close"])
def test_nothing_is_called_after_disable_not_even_for_what_was_queued_in_the_same_step(
    loop: EventLoop, how: str
) -> None:
    """The contract's defect 12: a later backend of bhyve's enabled where it should disable, and a stale event fired."""
    called: list[netbe.Backend] = []

    def first(backend: netbe.Backend) -> None:
        called.append(backend)
        for end in ends:  # whichever comes first silences the other, whose wake-up is queued already
            if end is not backend:
                silence(end)

    def silence(end: netbe.Backend) -> None:
        assert end._event is not None
        {
            "disable": end._event.disable,
            "delete": end._event.delete,
            "recv_disable": end.recv_disable,
            "close": end.close,
        }[how]()

    ends = [netbe.open(f"pair:stale{n}", callback=first, loop=loop) for n in range(2)]
    others = [netbe.open(f"pair:stale{n}") for n in range(2)]
    for end, other in zip(ends, others, strict=True):
        end.recv_enable()
        other.send(frame(2, 1))
    assert loop.step(PATIENCE) == 1
    assert len(called) == 1
    assert loop.step() == 1  # the one that silenced
    assert called[0] is called[1]
    for end in (*ends, *others):
        end.close()


def test_a_wake_up_queued_before_disable_and_enable_is_stale(loop: EventLoop, cable: Cable) -> None:
    """As a frontend's queue reset does it: off, emptied, on; the queued wake-up is not for what comes then."""
    near, far = cable
    second, third = netbe.make_pair("second")
    with second, third:
        events: list[Event] = []
        called: list[Event] = []

        def reset(event: Event) -> None:
            called.append(event)
            for one in events:
                one.disable()
            near.recv()
            second.recv()
            for one in events:
                one.enable()

        events += [loop.add(near, reset), loop.add(second, reset)]
        for event in events:
            event.enable()
        far.send(frame(2, 1))
        third.send(frame(2, 1))
        assert loop.step(PATIENCE) == 1
        assert loop.step() == 0
        far.send(frame(2, 1))
        assert loop.step(PATIENCE) == 1
        assert called[-1] is events[0]


# --- Changes from inside callbacks --------------------------------------------------------------------------


def test_a_callback_may_disable_or_delete_its_own_event(loop: EventLoop, cable: Cable) -> None:
    near, far = cable
    far.send(frame(2, 1))
    disabled = loop.add(near, Event.disable)
    deleted = loop.add(near, Event.delete)
    disabled.enable()
    deleted.enable()
    assert loop.step() == 2
    assert loop.step() == 0
    disabled.enable()
    assert loop.step() == 1


def test_a_callback_may_add_and_enable_others_which_wait_for_their_turn(
    loop: EventLoop, cable: Cable
) -> None:
    near, far = cable
    calls: list[str] = []

    def add_another(event: Event) -> None:
        calls.append("first")
        event.disable()
        loop.add(near, lambda _: calls.append("second")).enable()

    loop.add(near, add_another).enable()
    far.send(frame(2, 1))
    assert loop.step() == 1
    assert calls == ["first"]
    assert loop.step() == 1
    assert calls == ["first", "second"]


def test_a_callback_may_close_its_backend(loop: EventLoop) -> None:
    near = netbe.open("pair:closing", callback=netbe.Backend.close, loop=loop)
    with netbe.open("pair:closing") as far:
        near.recv_enable()
        far.send(frame(2, 1))
        assert loop.step(PATIENCE) == 1
        assert near.closed
        assert loop.step() == 0


def test_a_callback_may_step_its_own_loop(loop: EventLoop, cable: Cable) -> None:
    near, far = cable
    got: list[int] = []

    def nested(event: Event) -> None:
        event.disable()
        got.append(loop.step())

    far.send(frame(2, 1))
    loop.add(near, nested).enable()
    assert loop.step() == 1
    assert got == [0]


def test_what_a_callback_raises_comes_out_and_the_loop_can_go_on(loop: EventLoop, cable: Cable) -> None:
    near, far = cable
    got: list[bytes | None] = []

    def fail_once(_: Event) -> None:
        got.append(near.recv())
        if len(got) == 1:
            raise ZeroDivisionError
        loop.stop()

    loop.add(near, fail_once).enable()
    far.send(frame(2, 1, "one"))
    far.send(frame(2, 1, "two"))
    with pytest.raises(ZeroDivisionError):
        loop.run()
    loop.run()
    assert got == [frame(2, 1, "one"), frame(2, 1, "two")]


# --- The loop


def test_a_loop_that_nobody_holds_leaves_nothing_open(cable: Cable) -> None:
    gc.collect()
    before = descriptors()
    loop = EventLoop()
    loop.add(cable[0], print).enable()
    del loop
    gc.collect()
    assert descriptors() == before


def test_an_idle_loop_sleeps(loop: EventLoop, cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = loop._held

    def counted() -> list[tuple[Event, int]]:
        nonlocal looks
        looks += 1
        return look()

    monkeypatch.setattr(loop, "_held", counted)
    near, far = cable
    loop.add(near, lambda _: near.recv()).enable()
    far.send(frame(2, 1))
    assert loop.step(PATIENCE) == 1
    assert loop.step(0.05) == 0
    assert looks < 6


def test_the_process_has_a_loop_of_its_own_for_who_gives_none() -> None:
    got: list[bytes | None] = []
    near = netbe.open("pair:default", callback=lambda be: got.append(be.recv()))
    with near, netbe.open("pair:default") as far:
        near.recv_enable()
        far.send(frame(2, 1))
        assert default_loop() is default_loop()
        assert default_loop().step(PATIENCE) == 1
    assert got == [frame(2, 1)]


# --- While a pump has the backend ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pair", "python", "blind"])
def test_the_callback_is_quiet_while_a_pump_has_the_backend_and_goes_on_afterwards(
    loop: EventLoop, cable: Cable, kind: str
) -> None:
    got: list[bytes | None] = []
    near, far = netbe.make_pair("watched")
    python = PythonBackend(descriptor=kind == "python")
    backend: netbe.Backend = near if kind == "pair" else python
    arrive = far.send if kind == "pair" else python.arrive
    backend._attach_callback(lambda be: got.append(be.recv()), loop)
    with near, far, python:
        backend.recv_enable()
        with netbe.Bridge(backend, cable[0]):
            arrive(frame(2, 1, "for the pump"))
            assert cable[1].wait(PATIENCE)
            assert loop.step(0.02) == 0
            backend.recv_disable()
            backend.recv_enable()
            assert loop.step(0.02) == 0
        assert cable[1].recv() == frame(2, 1, "for the pump")
        arrive(frame(2, 1, "for me"))
        assert loop.step(PATIENCE) == 1
        assert got == [frame(2, 1, "for me")]


def test_a_callback_may_run_a_pump_over_its_backend(loop: EventLoop, cable: Cable) -> None:
    near, far = netbe.make_pair("inner")

    def pump(backend: netbe.Backend) -> None:
        with netbe.Bridge(backend, cable[0]):
            assert cable[1].wait(PATIENCE)

    near._attach_callback(pump, loop)
    with near, far:
        near.recv_enable()
        far.send(frame(2, 1))
        assert loop.step(PATIENCE) == 1
        assert cable[1].recv() == frame(2, 1)
        assert loop.step() == 0
