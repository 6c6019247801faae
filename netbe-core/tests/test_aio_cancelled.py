# SPDX-License-Identifier: BSD-2-Clause
"""A thousand backends in one asyncio loop, whose tasks are cancelled anywhere: no frame is lost or doubled."""

import asyncio
import contextlib
import random
import resource
import threading

import pytest
from needs import need
from pumping import PATIENCE, frame

import netbe
from netbe.aio import AsyncBackend

_CABLES = 500  # of two backends each
_FRAMES = 30
_ROUNDS = 10
_PADDING = bytes(24000)  # some ten of them fill a cable: senders wait too


def numbered(line: int, number: int) -> bytes:
    return frame(2, 1, f"{line} {number}") + (_PADDING if number % 4 else b"")


class Line:
    """A cable and what has gone over it. Its tasks may be cancelled and started again at any time."""

    def __init__(self, number: int, near: netbe.Backend, far: netbe.Backend, chance: random.Random) -> None:
        self.number = number
        self.near, self.far = AsyncBackend(near), AsyncBackend(far)
        self.chance = chance
        self.sent = self.got = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def pause(self) -> None:
        for _ in range(self.chance.randrange(3)):
            await asyncio.sleep(0)

    async def send(self) -> None:
        while self.sent < _FRAMES:
            await self.near.send(numbered(self.number, self.sent))
            self.sent += 1  # no await between: sent and counted, or neither
            await self.pause()

    async def send_burst(self) -> None:
        while self.sent < _FRAMES:
            frames = [numbered(self.number, n) for n in range(self.sent, min(self.sent + 16, _FRAMES))]
            before = self.near.backend.stats.tx_frames
            try:
                await self.near.send_burst(frames)
            finally:
                self.sent += self.near.backend.stats.tx_frames - before
            await self.pause()

    def arrived(self, one: bytes) -> None:
        assert one == numbered(self.number, self.got)
        self.got += 1

    async def recv(self) -> None:
        while self.got < _FRAMES:
            await self.pause()
            self.arrived(await self.far.recv())

    async def recv_burst(self) -> None:
        batch = netbe.FrameBatch(max_frames=4)
        while self.got < _FRAMES:
            await self.pause()
            await self.far.recv_burst(batch)
            for one in batch:
                self.arrived(bytes(one))

    def start(self) -> None:
        self.tasks = [
            asyncio.create_task(self.chance.choice((self.send, self.send_burst))()),
            asyncio.create_task(self.chance.choice((self.recv, self.recv_burst))()),
        ]

    def strike(self, share: float) -> int:
        """Cancel each task with this chance; returns how many were still at it."""
        return sum(task.cancel() for task in self.tasks if self.chance.random() < share)

    async def end(self) -> None:
        for result in await asyncio.gather(*self.tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result

    async def check(self) -> None:
        assert self.sent == self.got == _FRAMES
        assert self.far.backend.recv() is None
        stats = self.far.backend.stats
        assert (stats.rx_frames, stats.dropped) == (_FRAMES, 0)
        await self.near.aclose()
        await self.far.aclose()


def make_line(kind: str, number: int, chance: random.Random) -> Line:
    if kind == "make_pair":
        near, far = netbe.make_pair(f"line {number}")
        return Line(number, near, far, chance)
    name = f"pair:line{number}"
    return Line(number, netbe.open(name), netbe.open(name), chance)


async def strike_at_random(lines: list[Line], chance: random.Random) -> int:
    cancelled = 0
    for _ in range(_ROUNDS):
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        struck = chance.sample(lines, len(lines) // 4)
        cancelled += sum(line.strike(0.7) for line in struck)
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        cancelled += sum(line.strike(1) for line in struck)
        await asyncio.gather(*(line.end() for line in struck))
        for line in struck:
            line.start()
    return cancelled


@pytest.mark.parametrize("kind", ["make_pair", "names"])
def test_a_thousand_backends_lose_and_double_nothing_when_tasks_are_cancelled_anywhere(kind: str) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    need("6000 descriptors (ulimit -Hn)", there=most == resource.RLIM_INFINITY or most >= 6000)
    chance = random.Random(20260101)

    async def main() -> None:
        lines = [make_line(kind, number, chance) for number in range(_CABLES)]
        threads = threading.active_count()
        for line in lines:
            line.start()
        cancelled = await strike_at_random(lines, chance)
        async with asyncio.timeout(4 * PATIENCE):
            for line in lines:
                await line.end()
        assert threading.active_count() == threads
        for line in lines:
            await line.check()
        assert cancelled > 500

    asyncio.run(main())


def test_a_receive_that_is_cancelled_in_the_turn_in_which_the_frame_comes_leaves_it_there() -> None:
    async def main() -> None:
        near, far = netbe.make_pair()
        async with AsyncBackend(near) as here, AsyncBackend(far) as there:
            for turns in range(6):
                receiving = asyncio.create_task(there.recv())
                for _ in range(3):
                    await asyncio.sleep(0)
                await here.send(frame(2, 1, str(turns)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                receiving.cancel()
                got = None
                with contextlib.suppress(asyncio.CancelledError):
                    got = await receiving
                if got is None:
                    got = there.backend.recv()
                assert got == frame(2, 1, str(turns))
                assert there.backend.recv() is None

    asyncio.run(main())
