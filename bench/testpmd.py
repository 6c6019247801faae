# SPDX-License-Identifier: BSD-2-Clause
"""DPDK's testpmd at both ends of a memif: one sends, one receives, each on one core."""

import os
import re
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from lab import missing

SETTLE = 0.3
"""Seconds between the first frame and the measurement."""

_PAGES = 64
"""Huge pages of 2 MiB that each of the two processes needs."""


def lacking() -> str:
    """Why there is none; empty when there is."""
    program = missing("dpdk-testpmd", "stdbuf")
    return program and f"{program} is not installed (Debian's dpdk-dev and librte-net-memif23)"


def huge_pages() -> bool:
    """Whether enough huge pages are free: without them the peer is slower, and a report has to say so."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = [int(line.split()[1]) for line in lines if line.startswith("HugePages_Free:")]
    return bool(free) and free[0] >= 2 * _PAGES


def received(size: int, seconds: float) -> float:
    """Millions of frames a second that arrive, by the receiver's own counters and clock."""
    huge = huge_pages()
    with tempfile.TemporaryDirectory(prefix="nb") as folder:
        socket = Path(folder) / "s"
        with Testpmd(1, f"role=server,socket={socket}", "--forward-mode=rxonly", huge=huge) as far:
            far.await_file(socket)
            with Testpmd(
                0, f"role=client,socket={socket}", "--forward-mode=txonly", f"--txpkts={size}", huge=huge
            ) as near:
                near.await_link()
                far.await_link()
                far.say("start")
                near.say("start")
                time.sleep(SETTLE)
                far.rate()
                time.sleep(seconds)
                pps = far.rate()
                # The sender first: one whose peer vanishes while it sends may crash.
                near.quit()
            far.quit()
    return pps / 1e6


class Testpmd:
    """One interactive testpmd; its main thread and its worker share a core."""

    def __init__(self, cpu: int, memif: str, *options: str, huge: bool) -> None:
        self._text = ""
        words = ["stdbuf", "-oL", "dpdk-testpmd", "--lcores", f"0@{cpu},1@{cpu}"]
        words += ["--in-memory", "-m", str(2 * _PAGES)] if huge else ["--no-huge", "-m", "512"]
        words += ["--no-pci", "--no-telemetry", "--log-level=3", f"--file-prefix=nb{os.getpid()}cpu{cpu}"]
        words += [f"--vdev=net_memif0,{memif},socket-abstract=no"]
        words += ["--", "-i", "--burst=64", "--total-num-mbufs=16384", *options]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()

    def say(self, command: str) -> None:
        """Type a command."""
        self._in.write(f"{command}\n".encode())
        self._in.flush()

    def expect(self, pattern: str, longest: float = 10) -> str:
        """Wait until it has printed this, and return the pattern's group; what came before is forgotten."""
        end = time.monotonic() + longest
        while (found := re.search(pattern, self._text)) is None:
            ready = select.select([self._out], [], [], max(0.0, end - time.monotonic()))[0]
            data = os.read(self._out.fileno(), 65536) if ready else b""
            if not data:
                raise RuntimeError(f"testpmd did not print {pattern!r}, but: {self._text[-600:]}")
            self._text += data.decode(errors="replace")
        self._text = self._text[found.end() :]
        return found[1]

    def await_file(self, path: Path) -> None:
        """Wait until it has made a file."""
        end = time.monotonic() + 10
        while not path.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                self.expect("(no such text)", 0)
            time.sleep(0.05)

    def await_link(self) -> None:
        """Wait until the other side is there."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            self.say("show port info 0")
            if self.expect(r"Link status: (\w+)") == "up":
                return
            time.sleep(0.05)
        raise RuntimeError("testpmd's memif has no link")

    def rate(self) -> float:
        """Frames received a second since this was asked last."""
        self.say("show port stats 0")
        return float(self.expect(r"Rx-pps: +(\d+)"))

    def quit(self) -> None:
        """Let it end."""
        self.say("stop")
        self.say("quit")
        self._process.communicate(timeout=10)
