# SPDX-License-Identifier: BSD-2-Clause
"""How members of an embedded switch come and go: in order, by fork, killed, without room or permission."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from vales import (
    EVERYBODY,
    attach,
    descriptors,
    drain,
    frame,
    fresh_folder,
    left_in,
    line,
    ports,
    running,
    take,
    until,
)

import netbe
from netbe_netmap.embedded import members, switches

ONE = frame(EVERYBODY, 1)

HOLDER = """
import sys
from vales import *
held = [attach(name) for name in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_folder(monkeypatch) as path:
        yield path


def test_a_port_is_there_once() -> None:
    with attach("a"):
        with pytest.raises(netbe.BackendBusy, match="in use"):
            attach("a")
        with attach("a", "vale1"), attach("b"):
            assert [one.port for one in members("vale0")] == ["a", "b"]
    with attach("a"):
        pass


def test_a_port_of_another_process_is_busy_until_it_is_killed(folder: Path) -> None:
    with running(HOLDER, "a") as child:
        assert line(child) == "ready"
        with pytest.raises(netbe.BackendBusy):
            attach("a")
        child.kill()
        child.wait()
        with attach("a") as a:
            assert a.stats.tx_frames == 0
            assert len([name for name in left_in(folder) if "/r" in name]) == 1


def test_members_are_listed_with_their_owners_and_counters() -> None:
    assert switches() == []
    assert list(members("vale0")) == []
    with attach("a", slots=64, rings=2) as a, attach("b"):
        a.send(ONE)
        assert switches() == ["vale0"]
        one, other = members("vale0")
        assert (one.port, one.pid, one.alive, one.rings, one.slots) == ("a", os.getpid(), True, 2, 64)
        assert (one.stats.tx_frames, other.stats.tx_frames) == (1, 0)


def test_closing_takes_the_port_away_and_the_last_one_the_folder(folder: Path) -> None:
    a, b = attach("a"), attach("b")
    a.close()
    a.close()
    assert [one.port for one in members("vale0")] == ["b"]
    b.close()
    assert left_in(folder) == []


def test_ports_that_left_unread_frames_do_not_pile_up(folder: Path) -> None:
    with attach("reader") as reader:
        for number in range(100):
            with attach("a") as a:
                a.send(frame(EVERYBODY, 1, b"%d" % number))
        assert len([name for name in left_in(folder) if "/r" in name]) <= 9
        assert drain(reader) == [frame(EVERYBODY, 1, b"%d" % number) for number in range(92, 100)]
        assert len([name for name in left_in(folder) if "/r" in name]) == 1
        assert [one.port for one in members("vale0")] == ["reader"]


def test_nothing_is_kept_for_a_reader_that_leaves_too(folder: Path) -> None:
    with attach("other"):
        with attach("reader"), attach("a") as a:
            a.send(ONE)
        with attach("b"):
            assert len([name for name in left_in(folder) if "/r" in name]) <= 3


def test_what_is_lent_outlives_its_sender() -> None:
    with attach("b") as b:
        a = attach("a")
        a.send(ONE)
        assert b.peek_recvlen() == 60
        a.close()
        with attach("c") as c:
            c.send(frame(EVERYBODY, 3))
            assert drain(b) == [ONE, frame(EVERYBODY, 3)]


def test_attaching_and_leaving_again_and_again_costs_nothing() -> None:
    with attach("stays") as stays:
        before = descriptors()
        maps = len(Path("/proc/self/maps").read_text().splitlines())
        for _ in range(200):
            with attach("a", rings=2) as a:
                a.send(ONE)
                assert stays.recv() == ONE
                stays.send(ONE)
                assert a.recv() == ONE
        assert descriptors() == before
        assert len(Path("/proc/self/maps").read_text().splitlines()) < maps + 100


def test_threads_attach_and_leave_at_once(folder: Path) -> None:
    wrong: list[BaseException] = []

    def come_and_go(name: str) -> None:
        try:
            for _ in range(30):
                with attach(name) as port:
                    port.send(ONE)
                    drain(port)
        except BaseException as error:  # noqa: BLE001 - told by the test
            wrong.append(error)

    threads = [threading.Thread(target=come_and_go, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert left_in(folder) == []


def test_a_folder_taken_away_while_it_is_made_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times = 0
    chmod = Path.chmod

    def late(path: Path, mode: int) -> None:
        nonlocal times
        times += 1
        if times < 4:
            path.rmdir()
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", late)
    with attach("a"):
        assert times == 4


# --- fork


def in_child(body: object) -> int:
    """Call it in a forked child; the child's exit status, 0 when it returned true."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if body() else 2  # type: ignore[operator]
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def refused(call: object) -> bool:
    try:
        call()  # type: ignore[operator]
    except netbe.ForkedError:
        return True
    return False


def test_a_forked_childs_calls_are_refused_and_the_parents_port_lives_on() -> None:
    with ports("a", "b") as (a, b):
        b.send(frame(EVERYBODY, 2))

        def child() -> bool:
            ok = refused(lambda: a.send(ONE)) and refused(a.recv) and refused(lambda: a.wait(0))
            a.close()
            b.close()
            return ok

        assert in_child(child) == 0
        assert [one.alive for one in members("vale0")] == [True, True]
        a.send(ONE)
        assert b.recv() == ONE
        assert a.recv() == frame(EVERYBODY, 2)


def test_a_forked_child_has_ports_of_its_own() -> None:
    with attach("a") as a:

        def child() -> bool:
            with attach("child") as port:
                port.send(ONE)
                return take(port) == frame(EVERYBODY, 2)

        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if child() else 2
            finally:
                os._exit(status)
        assert take(a) == ONE
        a.send(frame(EVERYBODY, 2))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert [one.port for one in members("vale0")] == ["a"]


def attaches(name: str) -> bool:
    try:
        attach(name).close()
    except netbe.BackendBusy:
        return False
    return True


FORKS = """
import os, sys, time
from vales import *
a = attach("a", rings=2)
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
sys.stdin.readline()
"""


def test_a_port_is_dead_when_its_owner_is_though_a_forked_child_lives() -> None:
    with running(FORKS) as parent:
        child = int(line(parent))
        try:
            with pytest.raises(netbe.BackendBusy):
                attach("a")
            parent.kill()
            parent.wait()
            until(lambda: attaches("a"))  # the child may have to begin to run
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_fork_while_another_thread_attaches_leaves_no_lock_behind() -> None:
    text = """
import os, sys, threading, time
from vales import *
def come_and_go():
    while True:
        with attach("t"):
            pass
keep = attach("keep")
threading.Thread(target=come_and_go, daemon=True).start()
children = []
for _ in range(100):
    child = os.fork()
    if child == 0:
        os.closerange(0, 3)
        time.sleep(60)
        os._exit(0)
    children.append(child)
print(*children, flush=True)
sys.stdin.readline()
"""
    with running(text) as parent:
        children = [int(child) for child in line(parent).split()]
        try:
            parent.kill()
            parent.wait()
            until(lambda: attaches("keep"))
            with attach("keep"), attach("t"):
                assert sorted(one.port for one in members("vale0")) == ["keep", "t"]
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
