# SPDX-License-Identifier: BSD-2-Clause
"""A clean end: SIGINT, SIGTERM and a duration all set one flag that the command waits on."""

import math
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Ending:
    """When to end.

    A signal's handler runs in the middle of anything that the main thread does, so what it sets has no lock:
    with a `threading.Event` it would wait for ever where it interrupts the event's own methods.
    """

    def __init__(self, duration: float | None) -> None:
        self._asked = False
        self._awake, self._wake = os.pipe()
        self.began = time.monotonic()
        self._deadline = None if duration is None else self.began + duration

    @property
    def due(self) -> bool:
        """Whether the time has come, or somebody has asked."""
        return self._asked or (self._deadline is not None and time.monotonic() >= self._deadline)

    @property
    def elapsed(self) -> float:
        """Seconds since the begin."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds until the time has come; infinite where there is no duration."""
        return math.inf if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def restart(self) -> None:
        """Count the duration from now."""
        now = time.monotonic()
        if self._deadline is not None:
            self._deadline += now - self.began
        self.began = now

    def sleep(self, seconds: float) -> bool:
        """Sleep for so long, or until it is due; returns `due`. What has passed meanwhile (below 0) is no sleep."""
        if not self._asked:
            select.select([self._awake], [], [], max(0.0, min(seconds, self.left)))
        return self.due

    def ask(self) -> None:
        """End as soon as may be."""
        if not self._asked:
            self._asked = True
            os.write(self._wake, b"!")

    def close(self) -> None:
        """Give its descriptors back."""
        os.close(self._awake)
        os.close(self._wake)


@contextmanager
def ending(duration: float | None) -> Iterator[Ending]:
    """An `Ending` that the first SIGINT or SIGTERM sets; the second acts as it always does."""
    end = Ending(duration)
    before: dict[int, object] = {}

    def asked(number: int, _: FrameType | None) -> None:
        end.ask()
        signal.signal(number, before[number])  # type: ignore[arg-type] # what signal.signal gave

    for which in (signal.SIGINT, signal.SIGTERM):
        before[which] = signal.getsignal(which)
        signal.signal(which, asked)
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        end.close()
