# SPDX-License-Identifier: BSD-2-Clause
"""Members of an embedded switch in trouble: locked out, without room or permission, their memory cut short."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import need, need_programs
from vales import (
    EVERYBODY,
    attach,
    drain,
    frame,
    fresh_folder,
    left_in,
    line,
    ports,
    program,
    running,
    take,
    until,
)

import netbe
from netbe_netmap.embedded import members

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


def test_a_lock_that_is_never_let_go_is_an_error_after_five_seconds(folder: Path) -> None:
    text = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.readline()
"""
    with attach("a") as a, attach("b") as b:
        with running(text, folder / "vale0" / "control") as child:
            assert line(child) == "ready"
            os.kill(child.pid, signal.SIGSTOP)
            begin = time.monotonic()
            with pytest.raises(netbe.NetbeTimeoutError, match="does not let go"):
                attach("c")
            assert 4.5 < time.monotonic() - begin < 8
            a.send(ONE)
            assert b.recv() == ONE
        with attach("c"):
            pass


FULL = """
import os, subprocess, sys
from pathlib import Path
folder = Path(os.environ["NETBE_VALE_FOLDER"])
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sys.argv[1]}", "none", folder], check=True)
import netbe
from vales import attach, left_in
held = [attach(f"p{number}") for number in range(int(sys.argv[2]))]
before = left_in(folder)
try:
    attach("full", rings=int(sys.argv[3]))
except netbe.NetbeError as error:
    assert "no room" in str(error), error
else:
    raise AssertionError("there is room")
assert left_in(folder) == before, (before, left_in(folder))
for number, one in enumerate(held):
    one.send(b"\\xff" * 60)
for one in held:
    one.close()
assert left_in(folder) == []
print("right")
"""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("size", "held", "rings"), [("64k", 0, 1), ("4m", 0, 1), ("14m", 2, 1), ("20m", 1, 4)]
)
def test_shared_memory_without_room_is_an_error_at_once_that_leaves_nothing(
    size: str, held: int, rings: int
) -> None:
    need("root", there=os.geteuid() == 0)
    need_programs("unshare", "mount")
    environment = os.environ | {"PYTHONPATH": str(Path(program.__code__.co_filename).parent)}
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", FULL, size, str(held), str(rings)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("right\n", "")


OTHER_USER = """
import os, sys
from vales import *
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    with attach("other", mode=int(sys.argv[1], 8)) as port:
        port.send(frame(EVERYBODY, 2))
        print("joined", take(port) is not None, flush=True)
except netbe.NetbePermissionError as error:
    print("refused", flush=True)
"""


@pytest.mark.e2e
@pytest.mark.parametrize("mode", ["600", "666"])
def test_another_user_joins_only_a_switch_whose_mode_admits_them(mode: str, folder: Path) -> None:
    need("root", there=os.geteuid() == 0)
    folder.chmod(0o755)
    old = os.umask(0o077)
    try:
        with attach("a", mode=int(mode, 8)) as a:
            with running(OTHER_USER, mode) as child:
                if mode == "666":
                    assert take(a) == frame(EVERYBODY, 2)
                    a.send(ONE)
                assert line(child) == ("refused" if mode == "600" else "joined True")
                child.wait()
            assert (folder / "vale0" / "control").stat().st_mode & 0o777 == int(mode, 8)
            assert [one.port for one in members("vale0")] == ["a"]
    finally:
        os.umask(old)


@pytest.mark.parametrize("whose", ["r0.1", "r1.1", "control"])
@pytest.mark.parametrize("size", [0, 4096])
def test_files_cut_short_under_their_users_crash_nobody(whose: str, size: int, folder: Path) -> None:
    with ports("a", "b") as (a, b), ports("c", "d", switch="vale1") as (c, d):
        for one in (a, b):
            one.send(ONE)
        a.send(frame(EVERYBODY, 1, b"", 9000))
        os.truncate(folder / "vale0" / whose, size)
        for _ in range(2000):
            for one in (a, b):
                try:
                    one.send(ONE)
                    one.recv()
                    one.pending  # noqa: B018
                    one.wait(0)
                except netbe.NetbeError:
                    pass
        c.send(ONE)
        assert d.recv() == ONE


def test_those_whose_memory_is_whole_go_on_when_anothers_is_cut(folder: Path) -> None:
    with ports("a", "b", "c") as (a, b, c):
        for one in (a, b, c):
            one.send(ONE)
        drain(b)
        drain(c)
        os.truncate(folder / "vale0" / "r0.1", 0)
        for number in range(3000):
            sent = frame(EVERYBODY, 2, b"%d" % number)
            b.send(sent)
            assert drain(c) == [sent]
        drain(a)


@pytest.mark.parametrize("before", ["", "a = attach('a')"])
@pytest.mark.parametrize("handler", ["", "faulthandler.enable()"])
def test_a_bus_error_elsewhere_still_kills(before: str, handler: str) -> None:
    text = f"""
import faulthandler, mmap, os, sys, tempfile
from vales import *
{before}
{handler}
b = attach("b")
file = tempfile.TemporaryFile(dir="/dev/shm")
file.truncate(4096)
there = mmap.mmap(file.fileno(), 4096)
file.truncate(0)
there[0]
print("alive")
"""
    child = program(text, stderr=subprocess.DEVNULL)
    out, _ = child.communicate(timeout=30)
    assert (child.returncode, out) == (-signal.SIGBUS, "")
    attach("next").close()  # takes away what it left


def test_a_bus_error_that_was_sent_kills() -> None:
    with running(HOLDER, "a") as child:
        assert line(child) == "ready"
        os.kill(child.pid, signal.SIGBUS)
        assert child.wait(30) == -signal.SIGBUS
    attach("next").close()


def test_pythons_fault_handler_enabled_later_does_not_get_in_the_way() -> None:
    text = """
import faulthandler, os, sys
from vales import *
a, b = attach("a"), attach("b")
faulthandler.enable()
a.send(bytes(60))
folder = os.path.join(os.environ["NETBE_VALE_FOLDER"], "vale0")
with attach("c"):
    os.truncate(os.path.join(folder, "r0.1"), 0)
for _ in range(1000):
    for one in (a, b):
        try:
            one.send(bytes(60))
            one.recv()
        except netbe.NetbeError:
            pass
a.close()
b.close()
print("alive")
"""
    child = program(text, stderr=subprocess.PIPE)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, "alive\n"), err


LEAVING = """
import resource, sys
from vales import *
with attach("a") as a:
    a.send(frame(EVERYBODY, 1))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
print("left", flush=True)
sys.stdin.readline()
"""


def test_what_was_sent_by_who_leaves_without_descriptors_is_still_read(folder: Path) -> None:
    with attach("b") as b:
        with running(LEAVING) as child:
            assert line(child) == "left"
        assert drain(b) == [ONE]
        b.recv()
        assert len([name for name in left_in(folder) if "/r" in name]) == 1


def test_leftovers_of_a_crash_are_taken_away_by_who_comes_next(folder: Path) -> None:
    with running(HOLDER, "a", "b", "c") as child:
        assert line(child) == "ready"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert len(left_in(folder)) > 3
    with attach("d"):
        assert [one.port for one in members("vale0")] == ["d"]
        assert len(left_in(folder)) == 5  # the folder, control, region and two sockets


def test_files_of_who_was_killed_while_it_came_or_went_are_taken_away_by_who_comes_next(folder: Path) -> None:
    with attach("a"):
        mine = left_in(folder)
        for name in ("r0.99", "r7.1", "r63.4", "s7.1.0r", "s0.99.3t", "r70.1"):
            (folder / "vale0" / name).write_bytes(b"x")
        (folder / "vale0" / "somebody's").write_bytes(b"x")
        with attach("b"):
            pass
        assert left_in(folder) == sorted([*mine, "vale0/somebody's"])
        (folder / "vale0" / "somebody's").unlink()


@pytest.mark.parametrize("size", [0, 100, 1 << 20])
def test_a_control_file_that_is_none_is_refused_or_made_anew(size: int, folder: Path) -> None:
    (folder / "vale0").mkdir()
    with (folder / "vale0" / "control").open("wb") as file:
        file.write(b"x" * size)
    if size == 0:  # begun by somebody who was killed
        with attach("a"):
            return
    with pytest.raises(netbe.NotSupportedError):
        attach("a")
    (folder / "vale0" / "control").unlink()
    (folder / "vale0").rmdir()


def test_the_lock_is_free_while_nobody_comes_or_goes(folder: Path) -> None:
    with attach("a") as a:
        a.recv()
        with (folder / "vale0" / "control").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_reaping_is_also_done_by_a_sender_whose_receiver_died() -> None:
    with attach("a", wait=True) as a, attach("b", wait=True) as b:
        with running(HOLDER, "dead") as child:
            assert line(child) == "ready"
            while sends(a):
                drain(b)
        until(lambda: sends(a))
        assert [one.port for one in members("vale0")] == ["a", "b"]
        drain(b)


def sends(port: netbe.Backend) -> bool:
    try:
        port.send(ONE)
    except netbe.BackendFull:
        return False
    return True
