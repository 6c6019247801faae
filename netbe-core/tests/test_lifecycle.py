# SPDX-License-Identifier: BSD-2-Clause
"""Opening and closing a thousand times leaves nothing; who forgets to close is told; pumps hand back what they held."""

import asyncio
import contextlib
import ctypes
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pumping import PythonBackend, descriptors, frame, packet_pair, send_all, take, until

import netbe
import netbe.aio
from netbe import Bridge, EventLoop, Features, Switch

_CYCLES = 1000
_GROWTH = 1 << 20
"""Bytes that the resident memory may grow in five hundred cycles: half a page's leak in each."""


def _resident() -> int:
    """Bytes in memory; what the C library keeps for later, for each thread that there has been, is given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _tasks() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def cycle_pair_names() -> None:
    with netbe.open("pair:cycle") as near, netbe.open("pair:cycle") as far:
        near.send(frame(2, 1))
        assert far.recv() == frame(2, 1)


def cycle_one_end() -> None:
    with netbe.open("pair:alone") as near:
        near.send(frame(2, 1))


def cycle_descriptor() -> None:
    backend, other = packet_pair()
    with backend, other:
        other.send(frame(2, 1))
        assert backend.peek_recvlen() == 60  # closed with a frame held


def cycle_python() -> None:
    with PythonBackend() as backend:
        backend.arrive(frame(2, 1))
        assert backend.wait(1)


def cycle_multiqueue() -> None:
    with contextlib.ExitStack() as stack:
        ends = [netbe.make_pair(f"queue {n}") for n in range(2)]
        for near, far in ends:
            stack.enter_context(near)
            stack.enter_context(far)
        many = netbe.PortBackend("many", [near.port() for near, _ in ends])
        stack.enter_context(many)
        ends[1][1].send(frame(2, 1))
        assert many.wait(1)


def cycle_bridge() -> None:
    near, far = netbe.make_pair()
    other, third = netbe.make_pair()
    with near, far, other, third, Bridge(far, other):
        near.send(frame(2, 1))
        assert take(third) == frame(2, 1)


def cycle_bridge_of_python() -> None:
    other, third = netbe.make_pair()
    with PythonBackend() as python, other, third, Bridge(python, other):
        third.send(frame(2, 1))


def cycle_switch() -> None:
    with contextlib.ExitStack() as stack:
        ends = [netbe.make_pair(f"plug {n}") for n in range(3)]
        for near, far in ends:
            stack.enter_context(near)
            stack.enter_context(far)
        with Switch([near for near, _ in ends]):
            ends[0][1].send(frame(255, 1))
            assert take(ends[2][1]) == frame(255, 1)


def cycle_failed_open() -> None:
    for name in ("pair:", "pair:x,room=none", "nosuchthing0"):
        with pytest.raises(netbe.NetbeError):
            netbe.open(name)
    with pytest.raises(OSError, match="Bad file descriptor"):
        netbe.FdBackend("none", 1 << 20)


def cycle_events() -> None:
    with EventLoop() as loop:
        near = netbe.open("pair:events", callback=lambda be: be.recv(), loop=loop)
        with near, netbe.open("pair:events") as far:
            near.recv_enable()
            far.send(frame(2, 1))
            assert loop.step(1) == 1


CYCLES: dict[str, Callable[[], None]] = {
    name.removeprefix("cycle_"): cycle
    for name, cycle in globals().copy().items()
    if name.startswith("cycle_")
}


def check_leaves_nothing(cycle: Callable[[], object], times: int = _CYCLES) -> None:
    for _ in range(times // 5):
        cycle()
    gc.collect()
    before = threading.enumerate(), _tasks(), descriptors()
    memory = []
    for _ in range(10):
        for _ in range(times // 10):
            cycle()
        memory.append(_resident())
    assert (threading.enumerate(), _tasks(), descriptors()) == before
    assert min(memory[5:]) - min(memory[:5]) < _GROWTH


@pytest.mark.parametrize("name", CYCLES)
def test_a_thousand_cycles_leave_no_thread_descriptor_or_memory(name: str) -> None:
    check_leaves_nothing(CYCLES[name])


def test_a_thousand_cycles_in_asyncio_leave_nothing() -> None:
    async def cycles() -> None:
        async with netbe.aio.open("pair:aio-cycle") as near, netbe.aio.open("pair:aio-cycle") as far:
            receiving = asyncio.create_task(far.recv())
            await asyncio.sleep(0)
            await near.send(frame(2, 1))
            assert await receiving == frame(2, 1)

    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(ThreadPoolExecutor(1))  # else it grows as it likes
        check_leaves_nothing(lambda: runner.run(cycles()), 500)


# --- Never closed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pair:", "first end only", "descriptor", "python"])
def test_a_backend_that_is_collected_unclosed_warns_and_is_closed(kind: str) -> None:
    gc.collect()
    before = descriptors()

    def forget() -> None:
        if kind == "descriptor":
            packet_pair()[1].close()
        elif kind == "python":
            PythonBackend("packets")
        else:
            first = netbe.open("pair:packets")
            if kind == "pair:":
                netbe.open(first.name).close()

    def collect() -> None:
        forget()
        gc.collect()

    with pytest.warns(ResourceWarning, match="packets.* was never closed"):
        collect()
    assert descriptors() == before


def test_an_end_that_was_collected_does_not_meet_who_opens_the_name_next() -> None:
    def lose() -> None:
        netbe.open("pair:again").send(frame(2, 1, "lost"))
        gc.collect()

    with pytest.warns(ResourceWarning, match="never closed"):
        lose()
    with netbe.open("pair:again") as near, netbe.open("pair:again") as far:
        far.send(frame(2, 1, "new"))
        assert far.recv() is None
        assert near.recv() == frame(2, 1, "new")


def test_a_backend_whose_opening_failed_warns_of_nothing() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        netbe.FdBackend("none", 1 << 20)
    gc.collect()


def test_close_may_be_called_again_and_calls_afterwards_say_so() -> None:
    near, far = netbe.make_pair()
    near.close()
    near.close()
    assert near.closed
    assert not near.link_up
    assert not near.pending
    assert near.stats.rx_frames == 0
    for call in (near.recv, near.peek_recvlen, near.rx_discard, near.fileno, near.get_cap, near.arm_send):
        with pytest.raises(netbe.BackendClosed, match="open it again"):
            call()
    with pytest.raises(netbe.BackendClosed):
        near.send(frame(2, 1))
    far.close()


# --- With a pump, and afterwards ---------------------------------------------------------------------------------


@pytest.fixture(params=["ring", "descriptor", "python", "blind"])
def station(request: pytest.FixtureRequest) -> Iterator[tuple[netbe.Backend, Callable[[list[bytes]], None]]]:
    """A backend, and what makes frames come to it."""
    if request.param == "ring":
        near, far = netbe.make_pair("ring")
        with near, far:
            yield near, lambda frames: send_all(far, frames)
    elif request.param == "descriptor":
        packets, other = packet_pair()
        with packets, other:
            yield packets, lambda frames: [other.send(one) for one in frames] and None
    else:
        with PythonBackend(descriptor=request.param == "python") as python:
            yield python, lambda frames: python.arrive(*frames)


Station = tuple[netbe.Backend, Callable[[list[bytes]], None]]


def test_what_is_held_in_user_space_goes_over_with_a_bridge_and_arrives_once(station: Station) -> None:
    backend, arrive = station
    near, far = netbe.make_pair("cable")
    frames = [frame(2, 1, str(n)) for n in range(60)]
    with near, far:
        arrive(frames[:30])
        assert [backend.recv() for _ in range(5)] == frames[:5]
        assert backend.peek_recvlen() == 60
        with pytest.raises(netbe.FrameTooLong):
            backend.recv_into(bytearray(10))
        with Bridge(backend, near):
            with pytest.raises(netbe.BackendBusy):
                backend.recv()
            arrive(frames[30:50])
            assert [take(far) for _ in range(45)] == frames[5:50]
        assert far.recv() is None
        assert backend.recv() is None
        arrive(frames[50:])
        assert [take(backend) for _ in range(10)] == frames[50:]
        backend.send(frame(1, 2))
        assert near.recv() is None
        stats = backend.stats
        assert (stats.rx_frames, stats.dropped) == (60, 0)


def test_a_backend_goes_from_pump_to_pump_and_each_frame_to_one_place(station: Station) -> None:
    backend, arrive = station
    near, far = netbe.make_pair("cable")
    frames = [frame(2, 1, str(n)) for n in range(200)]
    got: list[bytes | None] = []
    with near, far:
        for n in range(0, 200, 20):
            arrive(frames[n : n + 20])
            got.append(backend.recv())
            backend.peek_recvlen()
            with Bridge(backend, near):
                pass  # ends wherever it is: what it had brought on is there, the rest is here
            while (one := far.recv()) is not None:
                got.append(one)
            while (one := backend.recv()) is not None:
                got.append(one)
        assert got == frames


def test_a_frame_that_was_received_in_pieces_goes_over_with_its_rest() -> None:
    sender, backend = netbe.make_pair("cut")
    near, far = netbe.make_pair("cable")
    with sender, backend, near, far:
        sender.set_cap(sender.get_cap(), 12)
        payload = bytes(range(256)) * 16
        ip = bytes.fromhex("45000000 00004000 40110000 0a000001 0a000002")
        ip = ip[:2] + (28 + len(payload)).to_bytes(2) + ip[4:]
        udp = (1000).to_bytes(2) + (2000).to_bytes(2) + (8 + len(payload)).to_bytes(2) + bytes(2)
        header = bytes([1, 5]) + b"".join(n.to_bytes(2, "little") for n in (42, 1024, 34, 6, 0))
        sender.send(header + frame(2, 1)[:12] + b"\x08\x00" + ip + udp + payload)
        sender.send(bytes(12) + frame(2, 1, "next"))
        first = backend.recv()  # USO: cut into four, of which one is taken here
        assert first is not None
        with Bridge(backend, near):
            rest = [take(far) for _ in range(4)]
        assert rest[3] == frame(2, 1, "next")
        pieces = [first, *(one or b"" for one in rest[:3])]
        assert b"".join(one[42:] for one in pieces) == payload
        assert far.recv() is None


def test_features_are_as_before_when_the_pump_has_ended(station: Station) -> None:
    backend, arrive = station
    near, far = netbe.make_pair("cable")
    with near, far:
        with Bridge(backend, near):
            arrive([frame(2, 1)])
            assert take(far) == frame(2, 1)
        assert (backend.features, backend.vnet_hdr_len) == (Features(0), 0)
        assert until(lambda: threading.active_count() == 1)
