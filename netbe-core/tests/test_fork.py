# SPDX-License-Identifier: BSD-2-Clause
"""After a fork: the child's calls are refused, what it closes is its own, and the parent goes on undisturbed."""

import os
import select
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pumping import PATIENCE, PythonBackend, descriptors, frame, packet_pair, take

import netbe
from netbe import EventLoop
from netbe.events import default_loop
from netbe.traffic import Generator, Sink

# The interpreter warns of threads that the child does not have (3.12); that is what some tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

Cable = tuple[netbe.PortBackend, netbe.PortBackend]


def in_child(check: Callable[[], object]) -> None:
    """Run it in a forked child; what fails there fails here."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            check()
            code = 0
        except BaseException:  # noqa: BLE001 - told to the parent
            os.write(into, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out) as told:
        if not select.select([told], [], [], 2 * PATIENCE)[0]:
            os.kill(child, 9)
        error = told.read()
    assert (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), error) == (0, "")


@pytest.fixture
def cable() -> Iterator[Cable]:
    near, far = netbe.make_pair("cable")
    with near, far:
        yield near, far


def backends() -> Iterator[tuple[str, netbe.Backend]]:
    near, far = netbe.make_pair("forked")
    packets, other = packet_pair()
    with near, far, packets, other, PythonBackend(descriptor=True) as python:
        yield from (("ring", near), ("descriptor", packets), ("python", python))


CALLS: dict[str, Callable[[netbe.Backend], object]] = {
    "send": lambda be: be.send(frame(2, 1)),
    "send_burst": lambda be: be.send_burst([frame(2, 1)]),
    "recv": lambda be: be.recv(),
    "recv_into": lambda be: be.recv_into(bytearray(2000)),
    "recv_burst": lambda be: be.recv_burst(netbe.FrameBatch(max_frames=1)),
    "peek_recvlen": lambda be: be.peek_recvlen(),
    "rx_discard": lambda be: be.rx_discard(),
    "wait": lambda be: be.wait(0),
    "get_cap": lambda be: be.get_cap(),
    "set_cap": lambda be: be.set_cap(netbe.Features(0)),
    "recv_enable": lambda be: be.recv_enable(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_childs_calls_say_that_it_was_forked(call: str) -> None:
    for kind, backend in backends():

        def check(backend: netbe.Backend = backend, kind: str = kind) -> None:
            with pytest.raises(netbe.ForkedError, match="open it in the child"):
                CALLS[call](backend)
            assert backend.stats.dropped == 0, kind

        in_child(check)
        CALLS["peek_recvlen"](backend)


def test_a_lock_that_another_thread_held_at_the_fork_does_not_stop_the_child(cable: Cable) -> None:
    near, _ = cable
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with near._alone(), near._wait_lock:
            held.set()
            let_go.wait(PATIENCE)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE)

    def check() -> None:
        for call in (near.recv, lambda: near.send(frame(2, 1)), lambda: near.wait(0)):
            with pytest.raises(netbe.ForkedError):
                call()
        near.close()

    try:
        in_child(check)
    finally:
        let_go.set()
        holder.join(PATIENCE)


def test_closing_in_the_child_frees_the_childs_own_and_the_parent_goes_on() -> None:
    for kind, backend in backends():

        def check(backend: netbe.Backend = backend, kind: str = kind) -> None:
            before = descriptors()
            backend.close()
            backend.close()
            assert backend.closed
            assert descriptors() < before or kind == "ring"  # whose descriptors both ends hold

        in_child(check)
        assert not backend.closed, kind
        assert backend.link_up, kind
        assert not backend.wait(0), kind
        backend.send(frame(2, 1))


def test_a_childs_close_does_not_wake_the_parents_sleepers(cable: Cable) -> None:
    near, far = cable
    assert near.recv() is None  # asleep from here on, as far as the other end knows
    in_child(lambda: (far.close(), near.close()))
    assert select.select([near.fileno()], [], [], 0)[0] == []
    far.send(frame(2, 1, "still there"))
    assert take(near) == frame(2, 1, "still there")
    assert near.recv() is None
    assert select.select([near.fileno()], [], [], 0)[0] == []


def test_frames_that_were_held_at_the_fork_are_the_parents(cable: Cable) -> None:
    near, far = cable
    for text in ("one", "two"):
        far.send(frame(2, 1, text))
    near.peek_recvlen()
    in_child(near.close)
    assert [near.recv(), near.recv(), near.recv()] == [frame(2, 1, "one"), frame(2, 1, "two"), None]


def test_a_child_opens_cables_of_its_own_also_by_a_name_that_the_parent_uses() -> None:
    with netbe.open("pair:family") as parents:

        def check() -> None:
            with netbe.open("pair:family") as one, netbe.open("pair:family") as two:
                one.send(frame(2, 1, "in the child"))
                assert two.recv() == frame(2, 1, "in the child")

        in_child(check)
        with netbe.open("pair:family") as other:
            assert parents.recv() is None
            other.send(frame(2, 1, "in the parent"))
            assert take(parents) == frame(2, 1, "in the parent")


@pytest.mark.parametrize("how", ["recv_disable", "close the backend", "close the loop", "delete", "stop"])
def test_a_childs_hand_on_a_loop_does_not_reach_the_parents(how: str) -> None:
    got: list[bytes | None] = []
    with EventLoop() as loop:
        near = netbe.open("pair:loop", callback=lambda be: got.append(be.recv()), loop=loop)
        with near, netbe.open("pair:loop") as far:
            near.recv_enable()
            assert near._event is not None

            def check() -> None:
                assert near._event is not None
                {
                    "recv_disable": near.recv_disable,
                    "close the backend": near.close,
                    "close the loop": loop.close,
                    "delete": near._event.delete,
                    "stop": loop.stop,
                }[how]()
                with pytest.raises(netbe.ForkedError, match="before this process was forked"):
                    loop.step()

            in_child(check)
            assert loop.step() == 0
            far.send(frame(2, 1))
            assert loop.step(PATIENCE) == 1
            assert got == [frame(2, 1)]


def test_a_child_has_a_default_loop_of_its_own() -> None:
    parents = default_loop()

    def check() -> None:
        assert default_loop() is not parents
        assert default_loop().step() == 0

    in_child(check)
    assert default_loop() is parents


def test_a_bridge_of_a_child_and_one_of_its_parent_do_not_meet(cable: Cable) -> None:
    other, third = netbe.make_pair("other")
    with other, third, netbe.Bridge(cable[1], other):

        def check() -> None:
            one, two = netbe.make_pair("child's")
            three, four = netbe.make_pair("child's too")
            with one, two, three, four, netbe.Bridge(two, three):
                one.send(frame(2, 1))
                assert take(four) == frame(2, 1)
            with pytest.raises(netbe.ForkedError):
                netbe.Bridge(cable[0], three).start()

        in_child(check)
        cable[0].send(frame(2, 1, "parent"))
        assert take(third) == frame(2, 1, "parent")


def test_descriptors_do_not_reach_a_program_that_is_started() -> None:
    mine, theirs = os.pipe()
    os.set_inheritable(mine, True)  # FdBackend makes what it is given close-on-exec
    before = _open_here()
    near, far = netbe.make_pair()
    third, fourth = netbe.make_pair()
    many = netbe.PortBackend("many", [near.port(), third.port()])
    python = PythonBackend(descriptor=False)
    with EventLoop() as loop, near, far, third, fourth, python, netbe.FdBackend("pipe", mine), many:
        many.fileno()
        loop.add(far, print).enable()
        with netbe.Bridge(far, python):
            made = _open_here() - before | {mine}
            assert len(made) > 10
            assert [fd for fd in made if _exists(fd) and os.get_inheritable(fd)] == []
            listed = subprocess.run(["ls", "/proc/self/fd"], close_fds=False, capture_output=True, check=True)
            there = {int(name) for name in listed.stdout.split()}
            assert len(there & made) <= 1  # the one by which it lists
    os.close(theirs)


def _open_here() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


def _exists(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:  # the directory's own, while it was listed
        return False
    return True


def test_a_child_that_ends_by_itself_disturbs_nobody(cable: Cable) -> None:
    """The interpreter's end collects what the child never closed."""
    program = """
import os, netbe
near, far = netbe.make_pair()
loop = netbe.EventLoop()
loop.add(near, print).enable()
other, third = netbe.make_pair()
with netbe.Bridge(far, other), loop:
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        third.send(bytes(60))
        assert near.wait(5) and near.recv() == bytes(60)
        print("both", flush=True)
for one in (near, far, other, third): one.close()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        timeout=20,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "both\n"), done.stderr


def test_a_child_drives_no_generator_or_sink_of_its_parent(cable: Cable) -> None:
    near, far = cable
    with Generator(near) as generator, Sink(far) as sink:
        assert generator.send(3, PATIENCE) == 3

        def check() -> None:
            with pytest.raises(netbe.ForkedError):
                generator.send(1)
            with pytest.raises(netbe.ForkedError):
                sink.receive(1)
            generator.close()
            sink.close()

        in_child(check)
        assert generator.send(1, PATIENCE) == 1
        assert sink.receive(4, PATIENCE) == 4
