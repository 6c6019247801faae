# SPDX-License-Identifier: BSD-2-Clause
"""Members of an embedded switch that are killed at any moment, under load: the others go on, with nothing amiss.

NETBE_SOAK_SECONDS makes it last longer; beyond 300, with `-o faulthandler_timeout=0`.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vales import (
    EVERYBODY,
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
    running,
    until,
)

import netbe
from netbe_netmap.embedded import members

HOLDER = """
import sys
from vales import *
held = attach(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
"""

MEMBERS_AT, MEMBER_BYTES, GEN, LEFT = 24, 88, 0, 20
"""Of the control file's table, as in vale_layout.h."""

HUB = 0xFFFE
SURVIVOR = 0xFFFD

ZYGOTE = """
import contextlib, os, random, signal, sys, time
from vales import *

die_with_parent()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
hub = mac(0xFFFE)

def survive():
    lap = netbe.FrameBatch.of_equal(numbered(hub, 0xFFFD), SIZE)
    with attach("survivor", wait=True) as port:
        while True:
            for begin in range(0, LAP, 128):
                push(port, lap[begin : begin + 128])

def send(number, wait):
    first = 0
    with attach(f"s{number}", wait=wait) as port:
        while True:
            lap = netbe.FrameBatch.of_equal(numbered(hub, number, first), SIZE)
            first += LAP
            for begin in range(0, LAP, 128):
                if wait:
                    push(port, lap[begin : begin + 128])
                else:
                    port.send_burst(lap[begin : begin + 128])
                    time.sleep(0.001)

def receive(number, name="r"):
    with attach(f"{name}{number}", rings=random.choice([1, 2])) as port:
        port.send(frame(EVERYBODY, number, b"hello"))
        batch = netbe.FrameBatch()
        while True:
            if not port.recv_burst(batch):
                port.wait(1)
            assert all(one[12:14] == b"\\x88\\xb5" for one in batch)

def stuck(number):
    with attach(f"t{number}") as port:
        port.send(frame(EVERYBODY, number, b"hello"))
        time.sleep(1000)

def come_and_go(number):
    while True:
        try:
            with attach(f"c{number}", rings=random.choice([1, 4])) as port:
                port.send(frame(EVERYBODY, number, b"hello"))
        except netbe.BackendBusy:
            time.sleep(0.01)

kinds = {"survive": lambda n: survive(), "send": lambda n: send(n, False), "wait": lambda n: send(n, True), "receive": receive, "stuck": stuck,
         "come": come_and_go}
for words in sys.stdin:
    kind, number = words.split()
    child = os.fork()
    if child == 0:
        try:
            die_with_parent()
            random.seed(int(number))
            kinds[kind](int(number))
        except BaseException as error:
            with open(os.environ["NETBE_VALE_FOLDER"] + "/wrong", "a") as file:
                print(kind, number, repr(error), file=file)
        finally:
            os._exit(1)
    print(child, flush=True)
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_folder(monkeypatch) as path:
        yield path


class Victims:
    """Processes that are started and killed."""

    def __init__(self, zygote: subprocess.Popen[str]) -> None:
        self._zygote = zygote
        self._number = 0
        self.alive: list[int] = []
        self.killed = 0

    def start(self, kind: str) -> int:
        self._number += 1
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(f"{kind} {self._number}\n")
        self._zygote.stdin.flush()
        child = int(line(self._zygote))
        self.alive.append(child)
        return child

    def kill(self, child: int) -> None:
        self.alive.remove(child)
        with contextlib.suppress(ProcessLookupError):  # why it has ended, it has written down
            os.kill(child, signal.SIGKILL)
        self.killed += 1


class Hub:
    """The receiver that survives: every sender's frames come in order, and no frame is other than it was sent."""

    def __init__(self, port: netbe.Backend) -> None:
        self.port = port
        self._receive = bursts(port)
        self._checkers: dict[int, Checker] = {SURVIVOR: Checker(mac(HUB), SURVIVOR)}
        self._broadcast = netbe.FrameBatch.of_equal(frame(EVERYBODY, HUB, b"from the hub", SIZE) * 16, SIZE)

    @property
    def from_survivor(self) -> int:
        return self._checkers[SURVIVOR].count

    @property
    def total(self) -> int:
        return sum(one.count for one in self._checkers.values())

    def step(self) -> None:
        data, count = self._receive()
        view = memoryview(data)
        for at in range(0, count * SIZE, SIZE):
            one = bytes(view[at : at + SIZE])
            if one[:6] != mac(HUB):
                assert one[14:19] == b"hello", one
                continue
            source = int.from_bytes(one[10:12])
            checker = self._checkers.get(source)
            if checker is None:
                checker = self._checkers[source] = Checker(mac(HUB), source, gaps=True)
            checker.one(one)
        self.port.send_burst(self._broadcast)
        if not count:
            self.port.wait(0.01)


def test_members_killed_at_random_under_load_harm_no_survivor(folder: Path) -> None:
    seed = int(time.time())
    chance = random.Random(seed)
    with attach("hub", wait=False) as port, running(ZYGOTE) as zygote:
        victims = Victims(zygote)
        hub = Hub(port)
        try:
            port.send(frame(EVERYBODY, HUB, b"hub", SIZE))
            survivor = start_survivor(zygote)
            for _ in range(8):
                victims.start(chance.choice(KINDS))
            seconds = SOAK or 10
            begin, last, seen = time.monotonic(), time.monotonic(), 0
            kill_at = begin
            while time.monotonic() - begin < seconds:
                hub.step()
                now = time.monotonic()
                if hub.from_survivor != seen:
                    last, seen = now, hub.from_survivor
                assert now - last < 5, f"the survivor's frames have stopped (seed {seed})"
                if now >= kill_at:
                    victims.kill(chance.choice(victims.alive))
                    victims.start(chance.choice(KINDS))
                    kill_at = now + chance.uniform(0, 0.05)
            assert victims.killed > seconds
            assert hub.from_survivor > 100 * min(seconds, 10)
            assert hub.total > hub.from_survivor
        finally:
            for child in list(victims.alive):
                victims.kill(child)
            os.kill(survivor, signal.SIGKILL)
            zygote.kill()
            zygote.wait()
        wrong = folder / "wrong"
        assert not wrong.exists(), wrong.read_text()
        until(lambda: [one.port for one in members("vale0") if one.alive] == ["hub"])
        with attach("last"):
            assert sorted(one.port for one in members("vale0")) == ["hub", "last"]
            assert len(list((folder / "vale0").glob("r*"))) <= 2 + 8  # and what those who left had sent


KINDS = ["send", "send", "wait", "receive", "receive", "stuck", "come", "come"]


def start_survivor(zygote: subprocess.Popen[str]) -> int:
    assert zygote.stdin is not None
    zygote.stdin.write("survive 0\n")
    zygote.stdin.flush()
    return int(line(zygote))


def test_members_killed_while_they_come_and_go_leave_a_switch_that_works(folder: Path) -> None:
    chance = random.Random(3)
    with running(ZYGOTE) as zygote:
        victims = Victims(zygote)
        begin = time.monotonic()
        while time.monotonic() - begin < (SOAK or 4):
            # Nobody stays: it is the last one out, too, who is killed.
            for _ in range(2):
                victims.start("come")
            time.sleep(chance.uniform(0.005, 0.06))
            for child in list(victims.alive):
                victims.kill(child)
        assert victims.killed > 20
        wrong = folder / "wrong"
        assert not wrong.exists(), wrong.read_text()
        until(lambda: not any(one.alive for one in members("vale0")))
        with attach("a") as a, attach("b") as b:
            a.send(frame(EVERYBODY, 1))
            assert b.recv() == frame(EVERYBODY, 1)
            assert sorted(one.port for one in members("vale0")) == ["a", "b"]


@pytest.mark.parametrize(("word", "more"), [(GEN, 1), (LEFT, 1)], ids=["removed", "left"])
def test_who_was_killed_before_it_told_of_a_change_of_the_table_blocks_no_sender(
    word: int, more: int, folder: Path
) -> None:
    with attach("a", wait=True) as a, attach("b", wait=True) as b:
        with running(HOLDER, "dead") as child:
            assert line(child) == "ready"
            while sends(a):
                drain(b)
        with (folder / "vale0" / "control").open("r+b") as file:
            file.seek(MEMBERS_AT + 2 * MEMBER_BYTES + word)
            was = int.from_bytes(file.read(4), sys.byteorder)
            assert was == (1 if word == GEN else 0)
            file.seek(-4, os.SEEK_CUR)
            file.write((was + more).to_bytes(4, sys.byteorder))
        until(lambda: sends(a))
        drain(b)
        for number in range(1000):
            a.send(frame(EVERYBODY, number))
            assert b.recv() == frame(EVERYBODY, number)
        with attach("next"):
            assert [one.port for one in members("vale0")] == ["a", "b", "next"]


def sends(port: netbe.Backend) -> bool:
    try:
        port.send(frame(EVERYBODY, 1))
    except netbe.BackendFull:
        return False
    return True
