# SPDX-License-Identifier: BSD-2-Clause
"""Helpers for the tests of pumps: stations at the far ends of cables, and a backend written in Python."""

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import netbe
from netbe.backend import Backend

PATIENCE = 5.0
"""Seconds for something that should happen at once, on a machine that does other things too."""


def frame(dst: int, src: int, text: str = "", *, tag: int | None = None) -> bytes:
    """A frame between two stations (255: everybody), with an 802.1Q tag where one is given."""
    to = b"\xff" * 6 if dst == 255 else bytes([2, 0, 0, 0, 0, dst])
    vlan = b"" if tag is None else b"\x81\x00" + tag.to_bytes(2)
    return to + bytes([2, 0, 0, 0, 0, src]) + vlan + b"\x88\xb5" + text.encode().ljust(46, b"\0")


def take(backend: Backend, timeout: float = PATIENCE) -> bytes | None:
    """The next frame, waiting for it."""
    return backend.recv() if backend.wait(timeout) else None


def quiet(backend: Backend) -> bool:
    """Whether no frame comes for a moment."""
    return not backend.wait(0.03)


def until(condition: Callable[[], bool]) -> bool:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def send_all(backend: Backend, frames: list[bytes]) -> None:
    """Send, waiting for room."""
    end = time.monotonic() + PATIENCE
    for one in frames:
        while True:
            try:
                backend.send(one)
                break
            except netbe.BackendFull:
                assert time.monotonic() < end
                time.sleep(0.0005)


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def packet_pair() -> tuple[netbe.FdBackend, socket.socket]:
    """A backend over one end of a packet socket pair, and its other end."""
    mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    other.settimeout(PATIENCE)
    return netbe.FdBackend("packets", mine.detach()), other


class PythonBackend(Backend):
    """A backend of which no part is in C: what is put in `arriving` is received, what is sent is in `sent`."""

    def __init__(self, name: str = "python", *, descriptor: bool = True) -> None:
        self.arriving: deque[bytes] = deque()
        self.sent: list[bytes] = []
        self.room = 1 << 30
        self.receive_error: Exception | None = None
        self.transmit_error: Exception | None = None
        self.looks = 0
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if descriptor else -1
        super().__init__(name)

    def arrive(self, *frames: bytes) -> None:
        self.arriving.extend(frames)
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    def _transmit(self, frame: bytes) -> None:
        if self.transmit_error is not None:
            raise self.transmit_error
        if len(self.sent) >= self.room:
            raise netbe.BackendFull("no room")
        self.sent.append(frame)

    def _receive(self) -> bytes | None:
        self.looks += 1
        if self.arriving:
            return self.arriving.popleft()
        if self._wake >= 0:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            if self.arriving:
                return self.arriving.popleft()
        if self.receive_error is not None:
            raise self.receive_error
        return None

    def fileno(self) -> int:
        return self._wake

    def _shutdown(self) -> None:
        if self._wake >= 0:
            os.close(self._wake)
