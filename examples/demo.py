# SPDX-License-Identifier: BSD-2-Clause
"""Two processes on one switch: what netbe is for, in one screen, without privilege and without a kernel module.

this process ---- vale0:a ---- switch in shared memory ---- vale0:b ---- its child
"""

import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import netbe
from netbe.traffic import Generator, Sink

A = "vale0:a,provider=embedded,full=wait"  # a full receiver makes us wait; nothing is lost
B = "vale0:b,provider=embedded"
SECONDS = 2.0
SIZE = 60
PATIENCE = 10.0


def receive() -> None:
    """Be the child: count frames until told how many there are, and say what came."""
    with netbe.open(B) as backend, Sink(backend) as sink:
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            sink.receive(seconds=0.1)
        sent = int(sys.stdin.readline() or 0)
        sink.receive(max(0, sent - sink.received.frames), seconds=PATIENCE)
        got = sink.received
        print(got.frames, got.lost, got.duplicated, got.reordered, got.seconds, flush=True)


def demonstrate() -> bool:
    """Send numbered frames for two seconds, ask the child what it has, and print both; whether all is well."""
    command = [sys.executable, __file__, "receive"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        out = child.stdout
        if out is None or not select.select([out], [], [], PATIENCE)[0] or out.readline() != "ready\n":
            return False
        with netbe.open(A) as backend:
            with Generator(backend, size=SIZE) as generator:
                generator.send(seconds=SECONDS)
                sent = generator.sent
            said, _ = child.communicate(f"{sent}\n", timeout=2 * PATIENCE)
            dropped = backend.stats.dropped
    finally:
        child.kill()
        child.communicate()
    if child.returncode:
        return False
    received, lost, doubled, reordered, seconds = (float(word) for word in said.split())
    print(
        f"frames of {SIZE} bytes for {SECONDS:g} s, from process to process, over a switch in shared memory"
    )
    print(f"  sent      {sent:>12,}   by process {os.getpid()}, on vale0:a")
    print(f"  received  {received:>12,.0f}   by process {child.pid}, on vale0:b")
    print(
        f"  lost      {lost:>12,.0f}   dropped {dropped:,}, doubled {doubled:.0f}, out of order {reordered:.0f}"
    )
    print(f"  that is {received / max(seconds, 1e-9) / 1e6:.2f} million a second")
    return sent == received > 0 == lost + doubled + reordered


def main() -> None:
    """Do it on switches of our own, and leave nothing."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="netbe-demo-", dir=memory if memory.is_dir() else None)
    os.environ["NETBE_VALE_FOLDER"] = folder
    try:
        well = demonstrate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not well:
        sys.exit("the demo failed: not all frames came")


if __name__ == "__main__":
    receive() if sys.argv[1:] == ["receive"] else main()
