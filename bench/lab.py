# SPDX-License-Identifier: BSD-2-Clause
"""Two network namespaces with an interface in each, iperf3 across, C programs built when they are needed."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

HERE = Path(__file__).parent
NATIVE = HERE.parent / "netbe-core" / "src" / "netbe"
ADDRESSES = ("192.0.2.1", "192.0.2.2")


def run(*command: object) -> str:
    """Run a program to its end; its output."""
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def build(source: str, *more: object) -> Path:
    """Compile a C program of bench/peers; returns where it is."""
    out = Path(tempfile.mkdtemp(prefix="netbe-bench-")) / Path(source).stem
    run(
        os.environ.get("CC", "cc"),
        "-O2",
        "-pthread",
        "-D_GNU_SOURCE",
        "-o",
        out,
        HERE / "peers" / source,
        *more,
    )
    return out


def missing(*programs: str) -> str:
    """Which of these programs are not installed; empty when all are."""
    return ", ".join(program for program in programs if shutil.which(program) is None)


class Lab:
    """Two namespaces and the means to measure between them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.names = tuple(f"nbbench{os.getpid()}{side}" for side in "ab")
        self.scratch = Path(tempfile.mkdtemp(prefix="netbe-bench-"))

    def __enter__(self) -> Self:
        for name in self.names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def adopt(self, *interfaces: str) -> None:
        """Move interfaces of this namespace into the two, one each."""
        for name, interface in zip(self.names, interfaces, strict=True):
            run("ip", "link", "set", interface, "netns", name)

    def address(self, *interfaces: str) -> None:
        """Give the two interfaces their addresses and bring them up."""
        for name, interface, address in zip(self.names, interfaces, ADDRESSES, strict=True):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", interface)
            run("ip", "-n", name, "link", "set", interface, "up")
        run("ip", "netns", "exec", self.names[0], "ping", "-q", "-c", "1", "-w", "5", ADDRESSES[1])

    def throughput(self) -> dict[str, float]:
        """TCP in Gbit/s, 16-byte UDP received in thousands of datagrams a second."""
        tcp = self._iperf()["sum_received"]["bits_per_second"] / 1e9
        udp = self._iperf("-u", "-b", "0", "-l", "16")["sum"]
        received = (udp["packets"] - udp["lost_packets"]) / udp["seconds"] / 1e3
        return {"TCP": tcp, "UDP": received}

    def _iperf(self, *options: str) -> dict[str, dict[str, float]]:
        server = subprocess.Popen(
            ["ip", "netns", "exec", self.names[1], "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
        )
        try:
            time.sleep(0.3)
            words = ("ip", "netns", "exec", self.names[0], "iperf3", "-c", ADDRESSES[1], "-J")
            text = run(*words, "-t", self.seconds, *options)
        finally:
            server.terminate()
            server.wait()
        end: dict[str, dict[str, float]] = json.loads(text)["end"]
        return end


@contextmanager
def program(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs while this lasts."""
    process = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        time.sleep(1.2)
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended at once, with status {process.returncode}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
