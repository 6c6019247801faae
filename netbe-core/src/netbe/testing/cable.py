# SPDX-License-Identifier: BSD-2-Clause
"""A cable between a program and its test, and calls on its end that wait, but not for ever."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from netbe.backend import MAX_FRAME, Backend
from netbe.errors import BackendFull, NetbeTimeoutError
from netbe.iov import Buffers
from netbe.pair import DEFAULT_ROOM, PairEnd, make_pair

PATIENCE = 5.0
"""Seconds for what should happen at once, on a machine that does other things too."""

_PAUSE = 0.0005


@contextmanager
def pair(*, room: int = DEFAULT_ROOM, max_frame: int = MAX_FRAME) -> Iterator[tuple[PairEnd, PairEnd]]:
    """The two ends of a cable, closed at the end; arguments as for `netbe.make_pair`."""
    near, far = make_pair(room=room, max_frame=max_frame)
    with near, far:
        yield near, far


def receive(backend: Backend, timeout: float = PATIENCE) -> bytes:
    """The next frame, waiting for it.

    Raises:
        NetbeTimeoutError: none came within `timeout` seconds.
        BackendGone: and what else `Backend.recv` raises.
    """
    end = time.monotonic() + timeout
    while (frame := backend.recv()) is None:
        if not backend.wait(max(0.0, end - time.monotonic())):
            raise NetbeTimeoutError(f"{backend.name}: no frame within {timeout:g} s")
    return frame


def send(backend: Backend, *frames: Buffers, timeout: float = PATIENCE) -> None:
    """Send each frame, waiting for room.

    Raises:
        NetbeTimeoutError: there was none within `timeout` seconds.
        BackendGone: and what else `Backend.send` raises.
    """
    end = time.monotonic() + timeout
    for frame in frames:
        while True:
            try:
                backend.send(frame)
                break
            except BackendFull as full:
                if time.monotonic() > end:
                    raise NetbeTimeoutError(f"{backend.name}: no room within {timeout:g} s") from full
                time.sleep(_PAUSE)


def quiet(backend: Backend, seconds: float = 0.05) -> bool:
    """Whether no frame comes for so long."""
    return not backend.wait(seconds)
