# SPDX-License-Identifier: BSD-2-Clause
"""The `netbe` command as its users have it: a process with a status, two streams and signals.

`wires` makes a plugin for it whose backends are descriptors that the process inherits: a test holds the
other ends.
"""

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fakedist import files_of, write
from typer.testing import CliRunner

from netbe_cli.main import app

NETBE = (sys.executable, "-m", "netbe_cli")
PATIENCE = 20.0
"""Seconds for something that should happen at once, on a machine that does other things too."""

_PLUGIN = """
import time

from netbe import Backend, BackendSpec, BadNameError, FdBackend, hookimpl


class Stuck(Backend):
    def _transmit(self, frame):
        print("stuck", flush=True)
        while True:
            time.sleep(1)

    def _receive(self):
        return None


def open_wire(name):
    return FdBackend(name.text, int(name.rest))


def open_stuck(name):
    return Stuck(name.text)


def open_faulty(name):
    raise OSError(5, "the device has caught fire")


@hookimpl
def netbe_backends():
    return [
        BackendSpec("wire", open_wire, "a descriptor that was inherited"),
        BackendSpec("stuck", open_stuck, "one that takes a frame for ever"),
        BackendSpec("faulty", open_faulty, "one that cannot be opened"),
    ]
"""


def wires(folder: Path) -> dict[str, str]:
    """Put a distribution into a folder; returns the environment in which it is installed."""
    write(folder, files_of("netbe-wire", ("wire", "stuck", "faulty"), _PLUGIN))
    return {"PYTHONPATH": str(folder)}


@dataclass
class Wire:
    """A cable of packets between this process and a `netbe` that is given `name`."""

    ours: socket.socket
    theirs: socket.socket
    name: str = ""
    """What it is opened by."""

    def __post_init__(self) -> None:
        self.name = self.name or f"wire{self.theirs.fileno()}"

    @classmethod
    def make(cls) -> Self:
        """A new one; what waits for a frame on it gives up after some time."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(PATIENCE)
        return cls(ours, theirs)

    def drained(self) -> bool:
        """Whether `netbe` has taken everything that was sent to it."""
        (left,) = struct.unpack("i", fcntl.ioctl(self.ours, termios.TIOCOUTQ, bytes(4)))
        return bool(left == 0)

    def close(self) -> None:
        """Both ends."""
        self.ours.close()
        self.theirs.close()


MakeWire = Callable[[], Wire]
"""What the fixture `make_wire` is."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line that it printed, which is JSON."""
        return json.loads(self.out.splitlines()[-1])


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without what would change what is printed, and `more`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NETBE_", "_NETBE", "TYPER_"))
        and name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONPATH")
    }
    if more and "PYTHONPATH" in more and "PYTHONPATH" in os.environ:
        more = {**more, "PYTHONPATH": os.pathsep.join((more["PYTHONPATH"], os.environ["PYTHONPATH"]))}
    elif "PYTHONPATH" in os.environ:
        kept["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return {**kept, **(more or {})}


class Netbe:
    """The command, running; it is gone when the ``with`` ends. Its input is empty."""

    def __init__(self, *words: object, env: Mapping[str, str] | None = None, **more: Any) -> None:
        descriptors = [word.theirs.fileno() for word in words if isinstance(word, Wire)]
        self.words = [word.name if isinstance(word, Wire) else str(word) for word in words]
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "pass_fds": descriptors,
        }
        self._options: dict[str, Any] = {**streams, **more, "env": environment(env)}

    def __enter__(self) -> Self:
        self.process = subprocess.Popen([*NETBE, *self.words], text=True, **self._options)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        end = time.monotonic() + PATIENCE
        text = b""
        while not text.endswith(b"\n"):
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            assert readable, f"{self.words} printed no line within {PATIENCE:g} s"
            # By single bytes: what comes after is left to `done`.
            byte = os.read(self.process.stdout.fileno(), 1)
            assert byte, f"{self.words} ended after {text!r}"
            text += byte
        return text.decode().rstrip("\n")

    def signal(self, which: signal.Signals) -> None:
        """Send it one."""
        self.process.send_signal(which)

    def done(self) -> Done:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return Done(self.process.returncode, out or "", err or "")


def netbe(*words: object, env: Mapping[str, str] | None = None, **more: Any) -> Done:
    """Run the command to its end."""
    with Netbe(*words, env=env, **more) as running:
        return running.done()


def in_process(*words: str) -> Done:
    """Run it to its end without a process: for what needs neither signals nor streams of its own."""
    result = CliRunner().invoke(app, list(words), prog_name="netbe")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)
