# SPDX-License-Identifier: BSD-2-Clause
"""`netbe.aio`: waiting without threads, back-pressure, closing, and cancellation that costs no frame."""

import asyncio
import contextlib
import gc
import resource
import threading
from collections.abc import Awaitable
from typing import Any

import pytest
from pumping import PATIENCE, PythonBackend, descriptors, frame, packet_pair, until

import netbe
import netbe.aio
from netbe.aio import AsyncBackend


def pair(**options: int) -> tuple[AsyncBackend, AsyncBackend]:
    near, far = netbe.make_pair("aio", **options)
    return AsyncBackend(near), AsyncBackend(far)


async def soon(what: Awaitable[Any]) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await what


async def turns(number: int = 5) -> None:
    """Let the other tasks go on until they wait."""
    for _ in range(number):
        await asyncio.sleep(0)


# --- Calls --------------------------------------------------------------------------------------------------


def test_a_frame_is_awaited_and_arrives() -> None:
    async def main() -> None:
        async with netbe.aio.open("pair:aio-one") as here, await netbe.aio.open("pair:aio-one") as there:
            receiving = asyncio.create_task(there.recv())
            await turns()
            assert not receiving.done()
            assert await soon(here.send(frame(2, 1, "hello"))) == 60
            assert await soon(receiving) == frame(2, 1, "hello")
        assert here.backend.closed
        assert there.backend.closed

    asyncio.run(main())


def test_options_and_errors_are_those_of_open() -> None:
    async def main() -> None:
        with pytest.raises(netbe.UnknownPrefixError):
            await netbe.aio.open("nosuchthing0")
        with pytest.raises(netbe.OptionError):
            async with netbe.aio.open("pair:aio-two", no_such_option=1):
                raise AssertionError
        async with netbe.aio.open("pair:aio-two", max_frame=100) as one:
            assert one.backend.max_frame == 100
            assert "pair:aio-two" in repr(one)

    asyncio.run(main())


def test_frames_are_iterated_until_the_other_side_is_gone() -> None:
    async def main() -> None:
        here, there = pair()
        frames = [frame(2, 1, str(n)) for n in range(200)]
        async with there:
            async with here:
                for one in frames:
                    await here.send(one)
            got = []
            with contextlib.suppress(netbe.BackendGone):
                async for one in there:
                    got.append(one)  # noqa: PERF401 - what came before the error counts
            assert got == frames
            with pytest.raises(netbe.BackendGone):
                await there.recv()

    asyncio.run(main())


def test_bursts_go_and_come_whole_though_there_is_room_for_a_part_only() -> None:
    async def main() -> None:
        here, there = pair(room=1 << 12, max_frame=1500)
        frames = [frame(2, 1, str(n)) for n in range(500)]
        async with here, there:
            sending = asyncio.create_task(here.send_burst(frames))
            got: list[bytes] = []
            batch = netbe.FrameBatch(max_frames=16)
            while len(got) < len(frames):
                assert await soon(there.recv_burst(batch)) == len(batch) > 0
                got += [bytes(one) for one in batch]
            assert await soon(sending) == len(frames)
            assert got == frames
            assert await here.send_burst([]) == 0

    asyncio.run(main())


def test_a_task_that_always_finds_a_frame_lets_the_others_run() -> None:
    async def main() -> None:
        here, there = pair()
        async with here, there:
            others_turn = asyncio.create_task(turns(1))
            for _ in range(200):
                await here.send(frame(2, 1))
                await there.recv()
            assert others_turn.done()

    asyncio.run(main())


def test_errors_of_the_contract_come_through() -> None:
    async def main() -> None:
        here, there = pair()
        async with here, there:
            with pytest.raises(netbe.FrameSizeError):
                await here.send(b"short")
            with pytest.raises(netbe.FrameSizeError):
                await here.send_burst([b"short"])
            await here.send(frame(2, 1))
            with pytest.raises(netbe.FrameTooLong):
                await there.recv_burst(netbe.FrameBatch(max_frames=1, capacity=20))
            assert await there.recv() == frame(2, 1)

    asyncio.run(main())


# --- A full backend -----------------------------------------------------------------------------------------


def fill(one: AsyncBackend) -> int:
    """Send until it is full; how many went."""
    sent = 0
    while True:
        try:
            one.backend.send(frame(2, 1, str(sent)))
        except netbe.BackendFull:
            return sent
        sent += 1


def test_sending_to_a_full_backend_waits_for_room_and_wakes() -> None:
    async def main() -> None:
        here, there = pair(room=1 << 12, max_frame=1500)
        async with here, there:
            sent = fill(here)
            sending = asyncio.create_task(here.send(frame(2, 1, "last")))
            await asyncio.sleep(0.01)
            assert not sending.done()
            got = [await soon(there.recv()) for _ in range(sent)]
            await soon(sending)
            assert got == [frame(2, 1, str(n)) for n in range(sent)]
            assert await soon(there.recv()) == frame(2, 1, "last")

    asyncio.run(main())


def test_a_full_descriptor_is_waited_for() -> None:
    async def main() -> None:
        backend, other = packet_pair()
        async with AsyncBackend(backend) as one:
            with other:
                sent = fill(one)
                sending = asyncio.create_task(one.send(frame(2, 1, "last")))
                await asyncio.sleep(0.01)
                assert not sending.done()
                for _ in range(sent):
                    other.recv(100)
                await soon(sending)
                assert other.recv(100) == frame(2, 1, "last")

    asyncio.run(main())


def test_one_task_sends_while_another_receives_on_the_same_backend() -> None:
    async def main() -> None:
        here, there = pair(room=1 << 12, max_frame=1500)
        frames = [frame(2, 1, str(n)) for n in range(300)]

        async def echo() -> None:
            async for one in there:
                await there.send(one)

        async with here, there:
            echoing = asyncio.create_task(echo())
            sending = asyncio.create_task(here.send_burst(frames))
            assert [await soon(here.recv()) for _ in frames] == frames
            await soon(sending)
            echoing.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("descriptor", [True, False])
def test_a_python_backend_works_with_a_descriptor_and_without(
    descriptor: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    async def main() -> None:
        backend = PythonBackend(descriptor=descriptor)
        async with AsyncBackend(backend) as one:
            receiving = asyncio.create_task(one.recv())
            await asyncio.sleep(0.005)
            backend.arrive(frame(2, 1, "a"), frame(2, 1, "b"))
            assert await soon(receiving) == frame(2, 1, "a")
            assert await soon(one.recv()) == frame(2, 1, "b")
            backend.room = 1
            await one.send(frame(1, 2, "c"))
            sending = asyncio.create_task(one.send_burst([frame(1, 2, "d"), frame(1, 2, "e")]))
            await asyncio.sleep(0.005)
            assert not sending.done()
            backend.room = 3
            assert await soon(sending) == 2
            assert backend.sent == [frame(1, 2, text) for text in "cde"]

    asyncio.run(main())


def test_waiting_costs_no_time() -> None:
    async def main() -> None:
        here, there = pair(room=1 << 12, max_frame=1500)
        async with here, there:
            fill(here)
            tasks = [asyncio.create_task(here.send(frame(2, 1))), asyncio.create_task(here.recv())]
            await asyncio.sleep(0.02)
            before = resource.getrusage(resource.RUSAGE_THREAD)
            await asyncio.sleep(0.2)
            after = resource.getrusage(resource.RUSAGE_THREAD)
            assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.03
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


# --- Two at once, and the end ---------------------------------------------------------------------------------


def test_a_second_receiver_and_a_second_sender_are_busy_and_the_first_goes_on() -> None:
    async def main() -> None:
        here, there = pair(room=1 << 12, max_frame=1500)
        async with here, there:
            receiving = asyncio.create_task(there.recv())
            await turns()
            with pytest.raises(netbe.BackendBusy, match="one task receive"):
                await soon(there.recv())
            await here.send(frame(2, 1, "for the first"))
            assert await soon(receiving) == frame(2, 1, "for the first")
            fill(here)
            sending = asyncio.create_task(here.send(frame(2, 1)))
            await turns()
            with pytest.raises(netbe.BackendBusy, match="one task send"):
                await soon(here.send(frame(2, 1)))
            await soon(there.recv())
            await soon(sending)

    asyncio.run(main())


def test_aclose_wakes_those_who_wait() -> None:
    async def main() -> None:
        here, there = pair(room=1 << 12, max_frame=1500)
        async with there:
            fill(here)
            waiting = [
                asyncio.create_task(here.recv()),
                asyncio.create_task(here.send(frame(2, 1))),
            ]
            await turns()
            await here.aclose()
            await here.aclose()
            for task in waiting:
                with pytest.raises(netbe.BackendClosed):
                    await soon(task)
            with pytest.raises(netbe.BackendClosed):
                await here.recv()

    asyncio.run(main())


def test_a_task_that_begins_to_wait_while_it_closes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        here, there = pair()
        go_on = threading.Event()
        close = here.backend.close

        def slow_close() -> None:
            assert go_on.wait(PATIENCE)
            close()

        monkeypatch.setattr(here.backend, "close", slow_close)
        async with there:
            closing = asyncio.create_task(here.aclose())
            await turns()
            with pytest.raises(netbe.BackendClosed, match="while a task waited"):
                await soon(here.recv())
            go_on.set()
            await soon(closing)

    asyncio.run(main())


def test_a_close_that_is_cancelled_closes_all_the_same() -> None:
    before = descriptors()

    async def main() -> None:
        here, there = pair()
        for one in (here, there):
            closing = asyncio.create_task(one.aclose())
            await asyncio.sleep(0)
            closing.cancel()

    asyncio.run(main())
    gc.collect()
    assert descriptors() == before


class Gate:
    """A backend's factory that takes its time."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()
        self.opened: list[PythonBackend] = []

    def open(self, name: str) -> PythonBackend:
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        self.opened.append(PythonBackend(name))
        return self.opened[0]


@pytest.mark.parametrize("what", ["a task", "the whole loop"])
def test_what_an_opening_that_was_cancelled_opens_is_closed(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    gate = Gate()
    monkeypatch.setattr(netbe, "open", gate.open)

    async def main() -> None:
        opening = asyncio.ensure_future(netbe.aio.open("slow")._open())
        assert await asyncio.to_thread(gate.began.wait, PATIENCE)
        if what == "a task":
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        threading.Timer(0.02, gate.go_on.set).start()
        if what == "a task":
            await asyncio.to_thread(until, lambda: bool(gate.opened) and gate.opened[0].closed)
            assert gate.opened[0].closed

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert until(lambda: bool(gate.opened) and gate.opened[0].closed)


def test_a_backend_moves_to_another_loop() -> None:
    here, there = pair()

    async def one_frame(text: str) -> None:
        receiving = asyncio.create_task(there.recv())
        await turns()
        await here.send(frame(2, 1, text))
        assert await soon(receiving) == frame(2, 1, text)

    asyncio.run(one_frame("first"))
    asyncio.run(one_frame("second"))

    async def close() -> None:
        await here.aclose()
        await there.aclose()

    asyncio.run(close())
