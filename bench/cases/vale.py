# SPDX-License-Identifier: BSD-2-Clause
"""Ports in shared memory: two processes, one core each; what the receiver received."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import testpmd
from lab import NATIVE, build, missing, run
from report import Case, Subject

NETBE = str(Path(sys.executable).parent / "netbe")
PYTHON = (sys.executable, str(Path(__file__).parent.parent / "vale_ports.py"))
SHARED = Path("/dev/shm")  # noqa: S108 - where the switch is to be
SIZES = (60, 1500)
UNITS = {str(size): f"Mpps at {size} bytes" for size in SIZES}
PORTS = 32
"""Pairs of the switch with all its ports in use."""

Words = Sequence[object]


@contextmanager
def case(*, quick: bool) -> Iterator[Case]:
    """One pair of ports, driven by the command and from Python, beside DPDK's memif."""
    seconds = 0.5 if quick else 2.0
    title = "Ports in shared memory, two processes with a core each, frames received"
    if lack := _lacking():
        yield Case("vale", title, [], {}, cannot=f"needs {lack}")
        return
    plain = build("ring_plain.c")
    gen, sink = (NETBE, "gen", "--json", "--duration", seconds), (NETBE, "sink", "--json", "--idle", "0.5")
    far = (*sink, "vale0:b")
    yield Case(
        "vale",
        title,
        [
            Subject(
                "netbe gen and sink, full=wait",
                _both(lambda size: (far, (*gen, "vale0:a,full=wait", "--size", size))),
            ),
            Subject(
                "netbe gen and sink, full=drop",
                _both(lambda size: (far, (*gen, "vale0:a,full=drop", "--size", size))),
            ),
            Subject(
                "Python's send_burst() of a prepared batch of 64, full=wait, and netbe sink",
                _both(lambda size: (far, (*PYTHON, "burst", "vale0:a,full=wait", size, seconds))),
            ),
            Subject(
                "Python's send(), one frame a call, full=wait, and netbe sink",
                _both(lambda size: (far, (*PYTHON, "send", "vale0:a,full=wait", size, seconds))),
            ),
            Subject(
                f"DPDK memif, testpmd txonly to rxonly, {'huge' if testpmd.huge_pages() else 'no huge'} pages",
                lambda: {str(size): testpmd.received(size, seconds) for size in SIZES},
                missing=testpmd.lacking(),
            ),
            Subject(
                "plain ring of slots, two threads, one copy in and one out",
                lambda: {str(size): json.loads(run(plain, size, seconds))["mpps"] for size in SIZES},
                limit=True,
            ),
        ],
        UNITS,
    )


@contextmanager
def full_switch(*, quick: bool) -> Iterator[Case]:
    """All ports of a switch: pair i sends from port si to port ri, by addresses that were learned."""
    seconds = 0.5 if quick else 2.0
    title = "A switch of 64 ports: one process sends on 32, one receives on 32; frames received by all"
    if lack := _lacking():
        yield Case("vale64", title, [], {}, cannot=f"needs {lack}")
        return

    library = build("many_ports.c", "-shared", "-fPIC", f"-I{NATIVE / 'include'}")

    def pairs(number: int) -> Callable[[], dict[str, float]]:
        return _both(
            lambda size: (
                (*PYTHON, "receivers", library, number),
                (*PYTHON, "senders", library, number, size, seconds),
            ),
        )

    yield Case(
        "vale64",
        title,
        [Subject(f"{PORTS} pairs", pairs(PORTS)), Subject("one pair", pairs(1))],
        UNITS,
    )


def _lacking() -> str:
    if importlib.util.find_spec("netbe_netmap") is None:
        return "netbe-netmap"
    if not {0, 1} <= os.sched_getaffinity(0):
        return "processors 0 and 1"
    return missing("taskset") or ("" if os.access(SHARED, os.W_OK) else str(SHARED))


def _both(words: Callable[[int], tuple[Words, Words]]) -> Callable[[], dict[str, float]]:
    """Receiver and sender for each size; the receiver's figure."""
    return lambda: {str(size): _received(*words(size)) for size in SIZES}


def _received(receiver: Words, sender: Words) -> float:
    """Millions of frames a second by the JSON that the receiver prints."""
    folder = Path(tempfile.mkdtemp(prefix="nb", dir=SHARED))
    environment = {**os.environ, "NETBE_VALE_FOLDER": str(folder)}
    try:
        with _pinned(1, receiver, environment) as far:
            end = time.monotonic() + 10
            while not any(folder.iterdir()):
                if far.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{receiver[0]} does not come to the switch")
                time.sleep(0.02)
            with _pinned(0, sender, environment) as near:
                near.communicate(timeout=60)
            text = far.communicate(timeout=30)[0]
        if near.returncode or far.returncode:
            raise RuntimeError(f"status {near.returncode} of {sender}, {far.returncode} of {receiver}")
        return float(json.loads(text)["pps"]) / 1e6
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _pinned(cpu: int, words: Words, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A program on one core, which ends with this at the latest."""
    process = subprocess.Popen(
        ["taskset", "-c", str(cpu), *map(str, words)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
