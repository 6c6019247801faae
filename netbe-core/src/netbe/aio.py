# SPDX-License-Identifier: BSD-2-Clause
"""Backends in asyncio: ``async with netbe.aio.open("tap0") as be: async for frame in be: ...``.

Every call takes or gives a frame in one step, between two awaits: a task that is cancelled while it waits
has neither lost nor duplicated one. Waiting is the event loop's own (``add_reader``, ``add_writer``), so a
thousand backends cost a thousand descriptors and no thread.

One task may receive while another sends; a second receiver, or a second sender, gets `BackendBusy`.
"""

import asyncio
import functools
import selectors
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any, Self

import netbe
from netbe.backend import Backend
from netbe.batch import FrameBatch
from netbe.errors import BackendBusy, BackendClosed, BackendFull
from netbe.iov import Buffers

__all__ = ["AsyncBackend", "open"]

# A task that always finds a frame would never let the loop run: it yields once in so many calls.
_CALLS_PER_TURN = 64

# Where a backend has no descriptor that tells of frames or of room: the shortest and the longest pause.
_SHORTEST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


def open(name: str, **options: Any) -> "_Opening":  # noqa: A001 - the public name is netbe.aio.open
    """Open the backend called `name`, in a worker thread: opening may wait for the kernel.

    The result is awaited (``be = await open(name)``) or entered (``async with open(name) as be``). It takes
    the options of `netbe.open` and raises what that raises.
    """
    return _Opening(name, options)


class _Opening:
    """What `open` returns: awaitable, and an asynchronous context manager."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self._name = name
        self._options = options
        self._opened: AsyncBackend | None = None

    def __await__(self) -> Generator[object, None, "AsyncBackend"]:
        return self._open().__await__()

    async def __aenter__(self) -> "AsyncBackend":
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.aclose()

    async def _open(self) -> "AsyncBackend":
        # Not a task: the end of asyncio.run() would cancel that, and nobody would close what is opened.
        opening = asyncio.get_running_loop().run_in_executor(
            None, functools.partial(netbe.open, self._name, **self._options)
        )
        try:
            return AsyncBackend(await asyncio.shield(opening))
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it opens has no owner any more.
            opening.add_done_callback(_close_orphan)
            raise


def _close_orphan(opening: "asyncio.Future[Backend]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class _Watch:
    """One descriptor in one loop; at most one task waits for it."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1
        self._writing = False
        self._closed = False

    async def wait(self, fd: int, event: int) -> None:
        """Return when the descriptor shows the event (one of `selectors.EVENT_READ`, `EVENT_WRITE`)."""
        if self._closed:  # the backend itself may be open yet: closing it takes a while
            raise _closed()
        if self._waiter is not None:
            raise BackendBusy("another task is waiting here; let one task receive and one task send")
        loop = asyncio.get_running_loop()
        writing = event == selectors.EVENT_WRITE
        if (loop, fd, writing) != (self._loop, self._fd, self._writing):
            self._unwatch()
            (loop.add_writer if writing else loop.add_reader)(fd, self._ready)
            self._loop, self._fd, self._writing = loop, fd, writing
        self._waiter = loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ready(self) -> None:
        if self._waiter is None or self._waiter.done():
            self._unwatch()  # nobody waits, and the loop would call again and again
        else:
            self._waiter.set_result(None)

    def _unwatch(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            (self._loop.remove_writer if self._writing else self._loop.remove_reader)(self._fd)
        self._loop, self._fd = None, -1

    def close(self) -> None:
        self._closed = True
        self._unwatch()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(_closed())


def _closed() -> BackendClosed:
    return BackendClosed("the backend was closed while a task waited on it", hint="open it again")


class AsyncBackend:
    """The contract's calls as coroutines, over a `netbe.Backend` that it owns from now on.

    `backend` is the backend itself, for what needs no waiting: `get_cap`, `set_cap`, `stats`, ...
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._rx = _Watch()
        self._tx = _Watch()
        self._calls = 0

    def __repr__(self) -> str:
        return f"<AsyncBackend of {self.backend!r}>"

    async def recv(self) -> bytes:
        """Take the next frame, waiting for it. Lengths and errors are those of `Backend.recv`."""
        await self._take_turns()
        while (frame := self.backend.recv()) is None:
            await self._wait_frame()
        return frame

    async def recv_burst(self, batch: FrameBatch) -> int:
        """Wait for a frame, then fill `batch` with those that are there; returns how many, at least 1."""
        await self._take_turns()
        while (count := self.backend.recv_burst(batch)) == 0:
            await self._wait_frame()
        return count

    async def send(self, iov: Buffers) -> int:
        """Send one frame, waiting while the backend is full; returns its length."""
        await self._take_turns()
        pause = _SHORTEST_PAUSE
        while True:
            try:
                return self.backend.send(iov)
            except BackendFull:
                armed = self.backend.arm_send()
            try:
                return self.backend.send(iov)  # room may have come before the wake-up was asked for
            except BackendFull:
                pause = await self._wait_room(armed, pause)

    async def send_burst(self, frames: FrameBatch | Iterable[Buffers]) -> int:
        """Send every frame, waiting while the backend is full; returns how many.

        A task that is cancelled in between has sent the first of them and not the rest; `backend.stats`
        tells how many.
        """
        batch = frames if isinstance(frames, FrameBatch) else FrameBatch(frames)
        await self._take_turns()
        pause = _SHORTEST_PAUSE
        sent = 0
        armed: tuple[int, int] | None = None
        looked_again = True
        while sent < len(batch):
            try:
                sent += self.backend.send_burst(batch[sent:] if sent else batch)
                looked_again, pause = True, _SHORTEST_PAUSE
            except BackendFull:
                if looked_again:
                    armed, looked_again = self.backend.arm_send(), False
                else:
                    pause = await self._wait_room(armed, pause)
                    looked_again = True
        return sent

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await self.recv()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the backend; tasks that wait on it get `BackendClosed`. May be called again."""
        self._rx.close()
        self._tx.close()
        # In a thread: removing a device may wait for the kernel. Shielded: cancelled or not, it closes.
        # Not a task, for the reason above.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self.backend.close))

    async def _take_turns(self) -> None:
        self._calls += 1
        if self._calls % _CALLS_PER_TURN == 0:
            await asyncio.sleep(0)

    async def _wait_frame(self) -> None:
        fd = self.backend.fileno()
        if fd < 0:
            await asyncio.sleep(_SHORTEST_PAUSE)
        elif not self.backend.pending:
            await self._rx.wait(fd, selectors.EVENT_READ)

    async def _wait_room(self, armed: tuple[int, int] | None, pause: float) -> float:
        if armed is not None:
            await self._tx.wait(*armed)
            return _SHORTEST_PAUSE
        await asyncio.sleep(pause)
        return min(pause * 2, _LONGEST_PAUSE)
