# SPDX-License-Identifier: BSD-2-Clause
"""The kinds of backends that the contract is tested on, each with what stands at its other side."""

import abc
import contextlib
import errno
import socket
from collections.abc import Callable

import pytest
from pumping import PythonBackend

import netbe
from netbe import Backend, Features
from netbe.backend import MAX_FRAME

OFFLOADS = Features.offloads()


class Kind(abc.ABC):
    """A backend, and its other side, where frames have a virtio-net header of 12 bytes or none."""

    backend: Backend
    device_hdr_len = 0

    @abc.abstractmethod
    def arrive(self, *frames: bytes, header: bytes = bytes(12)) -> None:
        """Let frames come from the other side; their header goes as far as the device has one."""

    def sent(self) -> bytes | None:
        """The next frame that reached the other side."""
        whole = self.sent_whole()
        return whole if whole is None else whole[self.device_hdr_len :]

    @abc.abstractmethod
    def sent_whole(self) -> bytes | None:
        """The same with the device's header."""

    @abc.abstractmethod
    def hang_up(self) -> None:
        """The other side goes for good."""

    def make_room(self) -> None:
        """Let the other side take what fills the backend."""
        while self.sent_whole() is not None:
            pass

    def close(self) -> None:
        """The end of the test."""
        self.backend.close()


class PairKind(Kind):
    """An in-process cable: its other end is a backend too, which takes and hands out every offload."""

    device_hdr_len = 12

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.backend, self.far = netbe.make_pair(max_frame=max_frame)
        self.far.set_cap(OFFLOADS, 12)

    def arrive(self, *frames: bytes, header: bytes = bytes(12)) -> None:
        for frame in frames:
            self.far.send(header + frame)

    def sent_whole(self) -> bytes | None:
        return self.far.recv()

    def hang_up(self) -> None:
        self.far.close()

    def close(self) -> None:
        self.far.close()
        self.backend.close()


class PacketsKind(Kind):
    """A packet socket of which the other end is held by hand."""

    def __init__(self, device_hdr_len: int = 0, max_frame: int = MAX_FRAME) -> None:
        self.device_hdr_len = device_hdr_len
        mine, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.far.setblocking(False)
        self.backend = netbe.FdBackend(
            "packets",
            mine.detach(),
            device_hdr_len=device_hdr_len,
            capabilities=OFFLOADS if device_hdr_len else Features(0),
            max_frame=max_frame,
        )

    def arrive(self, *frames: bytes, header: bytes = bytes(12)) -> None:
        for frame in frames:
            self.far.send(header[: self.device_hdr_len] + frame)

    def sent_whole(self) -> bytes | None:
        with contextlib.suppress(BlockingIOError):
            return self.far.recv(1 << 17)
        return None

    def hang_up(self) -> None:
        self.far.close()

    def close(self) -> None:
        self.far.close()
        self.backend.close()


class GoingBackend(PythonBackend):
    """A backend in Python whose other side can go; what it raises then is a plain OSError."""

    def __init__(self, device_hdr_len: int, max_frame: int) -> None:
        self.device_hdr_len = device_hdr_len
        self.capabilities = OFFLOADS if device_hdr_len else Features(0)
        self.max_frame = max_frame
        super().__init__()

    def _link_up(self) -> bool:
        return self.receive_error is None


class PythonKind(Kind):
    """A backend of which no part is in C."""

    backend: GoingBackend

    def __init__(self, device_hdr_len: int = 0, max_frame: int = MAX_FRAME) -> None:
        self.device_hdr_len = device_hdr_len
        self.backend = GoingBackend(device_hdr_len, max_frame)
        self.backend.room = 64

    def arrive(self, *frames: bytes, header: bytes = bytes(12)) -> None:
        self.backend.arrive(*(header[: self.device_hdr_len] + frame for frame in frames))

    def sent_whole(self) -> bytes | None:
        return self.backend.sent.pop(0) if self.backend.sent else None

    def hang_up(self) -> None:
        self.backend.receive_error = self.backend.transmit_error = OSError(errno.ENODEV, "gone")


KINDS: dict[str, Callable[..., Kind]] = {
    "pair": PairKind,
    "packets": PacketsKind,
    "packets-10": lambda **more: PacketsKind(10, **more),
    "packets-12": lambda **more: PacketsKind(12, **more),
    "python": PythonKind,
    "python-10": lambda **more: PythonKind(10, **more),
    "python-12": lambda **more: PythonKind(12, **more),
}

every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
"""For tests that make and close a backend for each example."""
