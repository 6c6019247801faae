# SPDX-License-Identifier: BSD-2-Clause
"""Checks every plugin by bringing it in, in a process of its own.

A thread could not be stopped if an import never ends, and an import that crashes would take the program with
it. So one helper process imports plugin after plugin and answers with a line of JSON for each. One that takes
too long, or takes the process with it, costs that process and its own answer; the next plugin gets a new one.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from netbe.registry import BackendInfo, OptionInfo, describe, index

_START = 20.0
"""Seconds that the helper process itself has to start, on top of what a plugin has."""

_COMMAND = (
    "import json, sys; asked = json.load(sys.stdin); sys.path[:] = asked['path']; "
    "from netbe.checking import answer; answer(asked['entries'])"
)


def check_all(infos: Sequence[BackendInfo], timeout: float) -> list[BackendInfo]:
    """Bring in the plugin of each, ``timeout`` seconds for one; what is wrong stands in ``error``."""
    checked: list[BackendInfo] = []
    while len(checked) < len(infos):
        try:
            checked.extend(_one_process(infos[len(checked) :], timeout))
        except OSError as exc:
            why = f"not checked: no process to check it in: {exc}"
            checked.extend(replace(info, error=why) for info in infos[len(checked) :])
    return checked


def _one_process(infos: Sequence[BackendInfo], timeout: float) -> Iterator[BackendInfo]:
    """Answers for the first of ``infos`` up to one that ends the process, at least one."""
    process = _start(infos)
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    lines = _Lines(process.stdout.fileno())
    try:
        if lines.next(_START) is None:
            yield replace(infos[0], error="not checked: the process to check it in did not start")
            return
        for info in infos:
            line = lines.next(timeout)
            if line is None:
                yield replace(info, error=_why_ended(process, lines, timeout))
                return
            yield _answered(info, line)
    finally:
        # Its own children too, if a plugin started some.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _start(infos: Sequence[BackendInfo]) -> "subprocess.Popen[bytes]":
    if not sys.executable or getattr(sys, "frozen", False):
        msg = "this program has no Python interpreter of its own to start"
        raise OSError(msg)
    asked = {
        "path": [entry for entry in sys.path if isinstance(entry, str)],
        "entries": [[info.prefix, info.distribution, info.value] for info in infos],
    }
    # A file, not a pipe: writing it cannot wait for somebody who reads.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        json.dump(asked, file)
        file.seek(0)
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _COMMAND],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


class _Lines:
    """Lines from a pipe, each within a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = b""
        self.ended = False

    def next(self, timeout: float) -> bytes | None:
        """The next line; None after ``timeout`` seconds, or when there are no more."""
        until = time.monotonic() + timeout
        while b"\n" not in self._held:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return None
            chunk = os.read(self._fd, 65536)
            if not chunk:
                self.ended = True
                return None
            self._held += chunk
        line, _, self._held = self._held.partition(b"\n")
        return line


def _why_ended(process: "subprocess.Popen[bytes]", lines: _Lines, timeout: float) -> str:
    if not lines.ended:
        return f"importing it was not done after {timeout:g} s; the check gave it up"
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        return "importing it closed the check's pipe and went on"
    if status < 0:
        return f"importing it ended the process with {signal.Signals(-status).name}"
    return f"importing it ended the process with exit status {status}"


def _answered(info: BackendInfo, line: bytes) -> BackendInfo:
    found = json.loads(line)
    options = tuple(OptionInfo(**option) for option in found["options"])
    return replace(
        info, error=found["error"], loaded=found["error"] is None, summary=found["summary"], options=options
    )


def answer(asked: list[list[str]]) -> None:
    """The helper process: bring in what is asked for, one line of JSON for each."""
    # Plugins may print; the answers go where they cannot reach.
    pipe = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    found = index()
    pipe.write("ready\n")
    for prefix, distribution, value in asked:
        info = BackendInfo(prefix, distribution, "", value, error="it is gone since the list was made")
        for entry in found.table.get(prefix, []):
            if (entry.distribution.name, entry.value) == (distribution, value):
                info = describe(entry, bring_in=True)
        pipe.write(json.dumps({key: asdict(info)[key] for key in ("error", "summary", "options")}) + "\n")
    pipe.flush()
    os._exit(0)  # threads that a plugin started would keep the process
