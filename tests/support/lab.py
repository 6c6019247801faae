# SPDX-License-Identifier: BSD-2-Clause
"""Hosts made of network namespaces, the `netbe` command as a process, and a transfer that is checked.

Names begin with ``nbt`` and the process's number: what a killed run leaves behind can be told apart.
"""

import contextlib
import ctypes
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

CLONE_NEWNET = 0x40000000
"""linux/sched.h"""

PATIENCE = 15.0
"""Seconds for something that should happen at once, on a machine that does other things too."""

_numbers = itertools.count()


def run(*command: object, check: bool = True, timeout: float = 60) -> str:
    """Run a program to its end; returns its output, and says what it printed when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until something is so."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience:g} s: {what}"
        time.sleep(0.01)


class Host:
    """A network namespace with a name. It goes, with what is in it, when the ``with`` ends."""

    def __init__(self, tag: str = "") -> None:
        self.name = f"nbt{os.getpid()}-{next(_numbers)}{tag}"

    def __enter__(self) -> Self:
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        run("ip", "netns", "delete", self.name, check=False)

    def ip(self, *words: object) -> str:
        """``ip`` inside it."""
        return run("ip", "-n", self.name, *words)

    def run(self, *command: object, check: bool = True, timeout: float = 60) -> str:
        """A program inside it, to its end."""
        return run("ip", "netns", "exec", self.name, *command, check=check, timeout=timeout)

    def start(self, *command: object, **more: Any) -> subprocess.Popen[str]:
        """A program inside it, which goes on running."""
        words = ["ip", "netns", "exec", self.name, *(str(word) for word in command)]
        return subprocess.Popen(words, text=True, **more)

    def interfaces(self) -> list[str]:
        """Names of its interfaces."""
        return [link["ifname"] for link in json.loads(self.ip("-j", "link", "show"))]

    def link(self, ifname: str) -> dict[str, Any]:
        """What ``ip -d -s -j link`` says of one interface."""
        found: dict[str, Any] = json.loads(self.ip("-d", "-s", "-j", "link", "show", "dev", ifname))[0]
        return found

    def address(self, ifname: str, *addresses: str) -> None:
        """Give an interface its addresses and bring it up; IPv6 ones can be used at once."""
        for address in addresses:
            self.ip("address", "add", address, "dev", ifname, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", ifname, "up")

    def ping(self, address: str, count: int = 1, *, wait: float = 5, options: tuple[str, ...] = ()) -> int:
        """How many of `count` were answered; the first gets a second chance, for ARP."""
        text = self.run("ping", "-n", "-c", count, "-i", "0.01", "-w", wait, *options, address, check=False)
        return sum("bytes from" in line for line in text.splitlines())

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is inside while it lasts: sockets made then belong to the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(f"/var/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            assert libc.setns(inside, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            yield
        finally:
            assert libc.setns(before, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            os.close(before)
            os.close(inside)


class Netbe:
    """The `netbe` command, running; ends with the ``with``. Its standard output is kept for `result`."""

    def __init__(self, *words: object, ready: bool = True) -> None:
        self.words = [sys.executable, "-m", "netbe_cli", *(str(word) for word in words)]
        self._ready = ready

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait_for(self, host: Host, *interfaces: str) -> None:
        """Until it has made its interfaces there."""
        until(
            lambda: self.process.poll() is not None or set(interfaces) <= set(host.interfaces()),
            f"{self.words[3:]} makes {interfaces}",
        )
        assert self.process.poll() is None, self.process.communicate()

    def end(self, how: signal.Signals = signal.SIGINT) -> dict[str, Any]:
        """Tell it to end; returns the JSON that it printed last. Its status must be 0."""
        self.process.send_signal(how)
        return self.result()

    def result(self) -> dict[str, Any]:
        """Wait for its end; the JSON that it printed last."""
        out, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, (self.process.returncode, out, err)
        assert err == "", err
        last: dict[str, Any] = json.loads(out[out.index("{") :])
        return last


def iperf(server: Host, client: Host, address: str, *options: object, seconds: float = 1) -> dict[str, Any]:
    """What ``iperf3 --json`` says at its end."""
    listening = server.start("iperf3", "--server", "--one-off", stdout=subprocess.DEVNULL)
    try:
        until(lambda: ":5201" in server.run("ss", "-Htln"), "iperf3 listens")
        words = ("iperf3", "--client", address, "--json", "--time", seconds, *options)
        end: dict[str, Any] = json.loads(client.run(*words))["end"]
        return end
    finally:
        listening.terminate()
        listening.wait()


_SERVE = """
import hashlib, socket, sys
listening = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
connection, _ = listening.accept()
digest = hashlib.sha256()
while part := connection.recv(1 << 20):
    digest.update(part)
print(digest.hexdigest(), flush=True)
"""

_SEND = """
import hashlib, random, socket, sys
data = random.Random(1).randbytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 7000), timeout=20) as connection:
    connection.sendall(data)
print(hashlib.sha256(data).hexdigest())
"""


def transfer(server: Host, client: Host, address: str, size: int) -> None:
    """Send `size` random bytes by TCP; the server's SHA-256 of them must be the client's."""
    listening = server.start(sys.executable, "-c", _SERVE, stdout=subprocess.PIPE)
    assert listening.stdout is not None
    with listening:
        try:
            assert listening.stdout.readline() == "listening\n"
            sent = client.run(sys.executable, "-c", _SEND, address, size)
            assert listening.stdout.readline() == sent
        finally:
            listening.kill()
