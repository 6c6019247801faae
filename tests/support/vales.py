# SPDX-License-Identifier: BSD-2-Clause
"""Ports of embedded switches for tests: a folder of one's own, numbered frames, members that are processes."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import netbe
from netbe._native import ffi
from netbe.backend import Backend
from netbe_netmap.embedded import EmbeddedPort, Request

PATIENCE = 15.0
"""Seconds for something that should happen at once, on a machine that does other things too."""

SOAK = float(os.environ.get("NETBE_SOAK_SECONDS", "0"))
"""How long the long tests are to take, when asked."""

EVERYBODY = b"\xff" * 6
SIZE = 64
LAP = 1 << 14
"""Numbered frames until the numbers begin again."""


def die_with_parent() -> None:
    """Be killed when the process that started this one ends, however it ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@contextlib.contextmanager
def fresh_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Switches are in a folder of the test's own while this lasts, and nothing is left there at its end."""
    before = descriptors()
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="nbv"))
    monkeypatch.setenv("NETBE_VALE_FOLDER", str(folder))
    try:
        yield folder
        assert left_in(folder) == []
        assert descriptors() == before
    finally:
        shutil.rmtree(folder)


def left_in(folder: Path) -> list[str]:
    """What there is below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def attach(port: str, switch: str = "vale0", **options: object) -> EmbeddedPort:
    """A port of a switch."""
    return EmbeddedPort(f"{switch}:{port}", Request(switch, port, **options))  # type: ignore[arg-type]


@contextlib.contextmanager
def ports(*names: str, **options: object) -> Iterator[list[EmbeddedPort]]:
    """Several ports of one switch."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(attach(name, **options)) for name in names]


def mac(number: int) -> bytes:
    """The address of station `number`."""
    return b"\x02\0\0\0" + number.to_bytes(2)


def frame(dst: bytes, src: int, text: bytes = b"", size: int = 60) -> bytes:
    """A frame from a station; its bytes tell it from others."""
    return (dst + mac(src) + b"\x88\xb5" + text).ljust(size, b".")


def until(condition: Callable[[], object], what: str = "", patience: float = PATIENCE) -> None:
    """Wait until something is so."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience:g} s: {what}"
        time.sleep(0.002)


def take(backend: Backend, timeout: float = PATIENCE) -> bytes | None:
    """The next frame, waiting for it."""
    return backend.recv() if backend.wait(timeout) else None


def drain(backend: Backend) -> list[bytes]:
    """All that is there now."""
    return list(iter(backend.recv, None))


def push(backend: Backend, frames: netbe.FrameBatch) -> None:
    """Send all of them, sleeping while there is no room."""
    import select

    sent, end = 0, time.monotonic() + 2 * PATIENCE
    poller: select.poll | None = None
    while sent < len(frames):
        rest = frames[sent:]
        try:
            sent += backend.send_burst(rest)
            continue
        except netbe.BackendFull:
            assert time.monotonic() < end, "no room"
        wait = backend.arm_send()
        assert wait is not None
        with contextlib.suppress(netbe.BackendFull):  # look again behind arming
            sent += backend.send_burst(rest)
            continue
        if poller is None:
            poller = select.poll()
            poller.register(wait[0], select.POLLIN)
        poller.poll(5000)


def numbered(dst: bytes, src: int, first: int = 0) -> bytes:
    """The frames of one lap, one behind the other, whose numbers begin with `first`."""
    head = dst + mac(src) + b"\x88\xb5"
    return b"".join((head + number.to_bytes(4) * 16)[:SIZE] for number in range(first, first + LAP))


class Checker:
    """What has come from one sender of numbered frames: each once and in order.

    Without gaps the same lap comes again and again; with gaps numbers go on, so that it can be told how far.
    """

    def __init__(self, dst: bytes, src: int, *, gaps: bool = False) -> None:
        self._lap = b"" if gaps else numbered(dst, src) * 2
        self._head = dst + mac(src) + b"\x88\xb5"
        self._gaps = gaps
        self._at = 0
        self.count = 0

    def run(self, data: "memoryview | ffi.buffer", n: int) -> None:
        """Check n frames that stand one behind the other."""
        begin = self._at * SIZE
        assert data[: n * SIZE] == self._lap[begin : begin + n * SIZE], f"frame {self.count} or one behind it"
        self._at = (self._at + n) % LAP
        self.count += n

    def one(self, got: bytes) -> None:
        """Check one frame, which with gaps may come behind lost ones, but never again nor before another."""
        number = int.from_bytes(got[14:18])
        assert got == (self._head + number.to_bytes(4) * 16)[:SIZE]
        assert number >= self._at if self._gaps else number == self._at, (
            f"{number} came where {self._at} was next"
        )
        self._at = number + 1 if self._gaps else (number + 1) % LAP
        self.count += 1


def bursts(backend: Backend) -> Callable[[], tuple[object, int]]:
    """A call that receives a burst of numbered frames: where they stand, and how many."""
    batch = netbe.FrameBatch(capacity=SIZE * 256, max_frames=256)
    data = ffi.buffer(batch._native()[0], SIZE * 256)

    def receive() -> tuple[object, int]:
        return data, backend.recv_burst(batch)

    return receive


def program(text: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """A Python program beside this one, with this module at hand; it can be spoken to."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


@contextlib.contextmanager
def running(text: str, *arguments: object, **options: object) -> Iterator[subprocess.Popen[str]]:
    """The same, killed at the end if it still runs."""
    child = program(text, *arguments, **options)
    try:
        yield child
    finally:
        end(child)


def end(child: subprocess.Popen[str]) -> None:
    """Kill a program and let go of its pipes."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def line(child: subprocess.Popen[str], patience: float = PATIENCE) -> str:
    """The next line that a program says."""
    import select

    assert child.stdout is not None
    said = b""
    while not said.endswith(b"\n"):  # byte by byte: what a buffer holds, select does not see
        ready, _, _ = select.select([child.stdout], [], [], patience)
        assert ready, f"the program says nothing behind {said!r}"
        byte = os.read(child.stdout.fileno(), 1)
        assert byte, f"the program has ended behind {said!r}"
        said += byte
    return said.decode().strip()
