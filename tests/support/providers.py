# SPDX-License-Identifier: BSD-2-Clause
"""The two providers of netmap's names, with what differs between them by design, and frames for their tests.

The table in docs/explanation/vale.md has all differences; those that tests of both must tell apart are fields here.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from needs import need_in_a_virtual_machine

import netbe
from netbe import Backend
from netbe.testing import BROADCAST, ethernet, receive, station

__all__ = ["BROADCAST", "ethernet", "receive", "station"]

PATIENCE = 5.0
"""Seconds for something that should happen at once, on a machine that does other things too."""


@dataclass
class Provider:
    """Opens ports by name; closes them with the ``with``."""

    name: str
    same_port_twice_is_refused: bool
    """Without exclusive=on."""
    drops_are_counted: bool
    """Frames that a receiver on a switch had no room for."""
    waits_on_request: bool
    """full=wait on a switch."""
    honours_gso_size: bool
    pipe_waits_for_its_other_end: bool
    """One end alone refuses frames; else it takes a ring full of them."""
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)

    def __str__(self) -> str:
        return self.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, device: str, **options: Any) -> Backend:
        """A port of this provider."""
        return self._stack.enter_context(netbe.open(f"{device},provider={self.name}", **options))

    def ports(self, *names: str, switch: str = "vale0", **options: Any) -> list[Backend]:
        """Ports of one switch."""
        return [self.open(f"{switch}:{name}", **options) for name in names]


def embedded() -> Provider:
    """Shared memory, everywhere."""
    return Provider(
        "embedded",
        same_port_twice_is_refused=True,
        drops_are_counted=True,
        waits_on_request=True,
        honours_gso_size=True,
        pipe_waits_for_its_other_end=True,
    )


def kernel() -> Provider:
    """netmap's module."""
    need_in_a_virtual_machine(
        "/dev/netmap",
        there=os.access("/dev/netmap", os.R_OK | os.W_OK),
        why="netmap's module is in no distribution's kernel and cannot be loaded on a machine of the CI",
    )
    return Provider(
        "kernel",
        same_port_twice_is_refused=False,
        drops_are_counted=False,
        waits_on_request=False,
        honours_gso_size=False,
        pipe_waits_for_its_other_end=False,
    )


PROVIDERS: dict[str, Callable[[], Provider]] = {"embedded": embedded, "kernel": kernel}


def take(backend: Backend, count: int, timeout: float = PATIENCE) -> list[bytes]:
    """The next frames, waiting for each."""
    return [receive(backend, timeout) for _ in range(count)]


def drain(backend: Backend) -> list[bytes]:
    """All frames that are there, and those that come within a moment."""
    got = []
    while backend.wait(0.1):
        while (frame := backend.recv()) is not None:
            got.append(frame)
    return got


def send_all(backend: Backend, frames: Iterable[bytes], between: Callable[[], object] = lambda: None) -> None:
    """Send each, calling `between` while there is no room."""
    end = time.monotonic() + PATIENCE
    for frame in frames:
        while True:
            try:
                backend.send(frame)
                break
            except netbe.BackendFull:
                assert time.monotonic() < end, "there is never room"
                between()


def numbered(number: int, length: int, *, src: bytes = b"\x02\0\0\0\0\x01", dst: bytes = BROADCAST) -> bytes:
    """A frame of exactly so many bytes (18 at least), no two of which look alike, in no two places."""
    pattern = b"".join((number * 7919 + place).to_bytes(4) for place in range(length // 4 + 1))
    return (dst + src + b"\x88\xb5" + number.to_bytes(4) + pattern)[:length]


def descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:  # the one that lists them
            continue
    return sorted(found)


def mappings() -> int:
    """How many mappings of a provider's memory this process has."""
    return sum(
        ".so" not in line and any(part in line.split(maxsplit=5)[-1] for part in ("netmap", "/nbt"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if len(line.split(maxsplit=5)) == 6
    )
