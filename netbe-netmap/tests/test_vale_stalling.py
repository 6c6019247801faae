# SPDX-License-Identifier: BSD-2-Clause
"""A member of an embedded switch that does with its files what makes others wait."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vales import EVERYBODY, attach, frame, fresh_folder, line, running, take

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

LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)  # a call to give it up
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
sys.stdin.readline()
"""

REPLACED = """
import fcntl, os, sys, time
def another():
    file = os.open(sys.argv[1] + ".new", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    return file
held = another()
print("ready", flush=True)
for _ in range(10):
    time.sleep(2)
    last, held = held, another()
    os.close(last)
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_folder(monkeypatch) as path:
        yield path


def test_a_lease_of_a_members_file_keeps_nobody_waiting(folder: Path) -> None:
    with attach("a") as a:
        with running(HOLDER, "dead") as child:
            assert line(child) == "ready"
        with running(LEASE, folder / "vale0" / "r1.1") as thief:
            assert line(thief) == "ready"
            begin = time.monotonic()
            a.send(ONE)
            assert a.recv() is None
            assert [one.port for one in members("vale0")] == ["a", "dead"]
            with attach("b") as b:
                a.send(ONE)
                assert take(b) == ONE
            assert time.monotonic() - begin < 5
        with attach("c"):
            assert [one.port for one in members("vale0")] == ["a", "c"]


@pytest.mark.parametrize("how", [LEASE, REPLACED], ids=["leased", "replaced"])
def test_a_control_file_that_is_not_to_be_had_is_an_error_after_five_seconds(how: str, folder: Path) -> None:
    (folder / "vale0").mkdir()
    with running(how, folder / "vale0" / "control") as child:
        assert line(child) == "ready"
        begin = time.monotonic()
        with pytest.raises(netbe.NetbeTimeoutError, match="does not let go"):
            attach("a")
        assert 4.5 < time.monotonic() - begin < 8
    with attach("a"):
        pass
