# SPDX-License-Identifier: BSD-2-Clause
"""A member of an embedded switch that scribbles over everything it shares with others.

It can take frames from them and deny them the switch; it can make nobody crash, hang or stay deaf.
NETBE_SOAK_SECONDS makes it last longer; beyond 300, with `-o faulthandler_timeout=0`.
"""

import contextlib
import mmap
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vales import EVERYBODY, SOAK, attach, end, frame, line, program, running, until

import netbe

BUFFERS_AT = 1_200_000
"""Behind it there are only frames."""

VICTIM = """
import random, select, sys, time
from vales import *

rings, pipe, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
begin, worst, attached, received = time.monotonic(), 0.0, 0, 0
print("ready", flush=True)

def timed(call, *arguments):
    global worst
    start = time.monotonic()
    try:
        return call(*arguments)
    except netbe.NetbeError:
        return None
    finally:
        worst = max(worst, time.monotonic() - start)

random.seed(rings)
batch = netbe.FrameBatch(capacity=1 << 20)
while time.monotonic() - begin < seconds:
    mine = []
    for number in range(2 if pipe else 3):
        options = {"pipe": number + 1} if pipe else {"rings": rings, "wait": bool(number)}
        one = timed(lambda: attach(f"v{number}", **options))
        if one is not None:
            mine.append(one)
            attached += 1
            with contextlib.suppress(netbe.NetbeError):
                one.set_cap(netbe.Features.offloads() if number else netbe.Features(0), random.choice([0, 10, 12]))
    for _ in range(300 if mine else 0):
        for number, one in enumerate(mine):
            size = random.choice([60, 60, 60, 1514, 9000, 65000])
            sent = bytes(one.vnet_hdr_len) + frame(random.choice([EVERYBODY, mac(0), mac(1)]), number, b"", size)
            timed(one.send, sent)
            timed(one.send_burst, [sent] * 20 if size < 100 else [sent])
            timed(one.arm_send)
            timed(one.peek_recvlen)
            for _ in range(30):
                got = timed(one.recv)
                if got is None:
                    break
                received += 1
            got = timed(one.recv_burst, batch)
            received += got or 0
            timed(one.wait, 0)
            timed(lambda: one.pending)
            timed(lambda: one.stats)
    for one in mine:
        timed(one.close)
    if not mine:
        time.sleep(0.05)
print("worst", worst, attached, received, flush=True)
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As others' but that the one who comes last may be unable to clear it."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="nbh"))
    monkeypatch.setenv("NETBE_VALE_FOLDER", str(path))
    try:
        yield path
    finally:
        shutil.rmtree(path)


class Scribbler:
    """Writes over the words of a switch's files, the frames in the buffers aside."""

    def __init__(self, folder: Path, seed: int, *, control: bool = True) -> None:
        self._folder = folder
        self._control = control
        self._random = random.Random(seed)
        self._words: dict[tuple[str, int], memoryview] = {}
        self.written = 0

    def look(self) -> None:
        """See which files there are."""
        words = {}
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            names = [path.name for path in self._folder.iterdir()]
        for path in (self._folder / name for name in names):
            if path.name[0] != "r" and not (self._control and path.name == "control"):
                continue
            with contextlib.suppress(OSError, ValueError), path.open("r+b") as file:
                status = os.fstat(file.fileno())
                key = path.name, status.st_ino
                words[key] = self._words.get(key) or memoryview(
                    mmap.mmap(file.fileno(), min(status.st_size, BUFFERS_AT) // 8 * 8)
                ).cast("I")
        self._words = words

    def write(self) -> None:
        """Some thousand words: anything, or nearly what was there."""
        draw = self._random.random
        for words in self._words.values():
            size = len(words)
            kind = self._random.choice(("any", "near", "zero", "head", "all"))
            if kind == "all":
                at = int(draw() * size)
                count = min(size - at, 4096)
                words[at : at + count] = memoryview(self._random.randbytes(4 * count)).cast("I")
                self.written += count
                continue
            for _ in range(2000):
                at = int(draw() * (min(size, 16384) if kind == "head" else size))
                if kind == "near":
                    words[at] = (words[at] + int(draw() * 9) - 4) & 0xFFFFFFFF
                elif kind == "zero":
                    words[at] = 0
                else:
                    words[at] = int(draw() * (1 << 32)) if draw() < 0.5 else int(draw() * 2048)
            self.written += 2000


@pytest.mark.parametrize(("rings", "pipe", "control"), [(1, 0, True), (4, 0, False), (1, 1, False)])
def test_scribbling_over_every_shared_word_crashes_and_stops_nobody(
    rings: int,
    pipe: int,
    control: bool,  # noqa: FBT001
    folder: Path,
) -> None:
    seconds = (SOAK or 9) / 3
    seed = int(time.time())
    scribbler = Scribbler(folder / "vale0", seed, control=control)
    with running(VICTIM, rings, pipe, seconds) as child:
        assert line(child) == "ready"
        finish = time.monotonic() + seconds + 15
        while child.poll() is None:
            assert time.monotonic() < finish, f"a victim hangs (seed {seed})"
            scribbler.look()
            for _ in range(5):
                scribbler.write()
            if control and not (folder / "vale0" / "control").exists():
                continue
            if control and scribbler.written % 7 == 0:
                # What nobody can join any more is cleared away by hand.
                shutil.rmtree(folder / "vale0", ignore_errors=True)
        assert child.returncode == 0, f"seed {seed}"
        words = line(child).split()
        assert words[0] == "worst"
        assert float(words[1]) < 8, f"a call took {words[1]} s (seed {seed})"
        assert int(words[2]) > 0
        assert scribbler.written > 10_000
        if not control:
            assert int(words[3]) > 0


@pytest.mark.parametrize("wait", [False, True])
def test_who_was_scribbled_over_hears_and_speaks_again_when_that_ends(folder: Path, wait: bool) -> None:  # noqa: FBT001
    with attach("a", wait=wait) as a, attach("b", wait=wait) as b:
        scribbler = Scribbler(folder / "vale0", 5, control=False)
        scribbler.look()
        for _ in range(100):
            scribbler.write()
            for one in (a, b):
                for _ in range(50):
                    with contextlib.suppress(netbe.NetbeError):
                        one.send(frame(EVERYBODY, 1))
                    with contextlib.suppress(netbe.NetbeError):
                        one.recv()
        for one, other in ((a, b), (b, a)):
            until(lambda one=one, other=other: hears(one, other), f"{other} hears {one}")  # type: ignore[misc]


def hears(one: netbe.Backend, other: netbe.Backend) -> bool:
    """Whether a hundred frames in a row arrive as they were sent."""
    for number in range(100):
        sent = frame(EVERYBODY, 1, b"again %d" % number)
        try:
            one.send(sent)
        except netbe.NetbeError:
            other.wait(0.02)
            while other.recv() is not None:
                pass
            return False
        got = other.recv()
        if got != sent:
            while other.recv() is not None:
                pass
            return False
    return True


def test_a_neighbour_that_floods_the_wake_up_sockets_keeps_nobody_from_anything(folder: Path) -> None:
    text = """
import os, socket, sys
from vales import *
names = sorted(os.path.join(sys.argv[1], name) for name in os.listdir(sys.argv[1]) if name[0] == "s")
out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
out.setblocking(False)
print("ready", flush=True)
while True:
    for name in names:
        with contextlib.suppress(OSError):
            out.sendto(b"x" * 1000, name)
"""
    with attach("a", wait=True) as a, attach("b", wait=True) as b:
        child = program(text, folder / "vale0")
        try:
            assert line(child) == "ready"
            for number in range(500):
                sent = frame(EVERYBODY, 1, b"%d" % number)
                a.send(sent)
                until(lambda: b.wait(0.1))
                assert b.recv() == sent
        finally:
            end(child)
