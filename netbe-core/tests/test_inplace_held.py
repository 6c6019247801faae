# SPDX-License-Identifier: BSD-2-Clause
"""Frames in place while somebody has them: what else is refused meanwhile, and views that outlive everything."""

import contextlib
import gc
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

import pytest
from pumping import PATIENCE, descriptors, frame

import netbe
from netbe import BackendBusy, BackendClosed, BackendFull, Features
from netbe._native import ffi, lib

Cable = tuple[netbe.PortBackend, netbe.PortBackend]
MOST = 64
FIRST = bytes(range(14)) * 5


@pytest.fixture
def cable() -> Iterator[Cable]:
    near, far = netbe.make_pair("cable")
    with near, far:
        yield near, far


def all_of(backend: netbe.Backend) -> list[bytes]:
    return list(iter(backend.recv, None))


# --- meanwhile

SENDING: dict[str, Callable[[netbe.PortBackend], object]] = {
    "send": lambda be: be.send(FIRST),
    "send_burst": lambda be: be.send_burst([FIRST]),
    "reserve": lambda be: be.reserve(60),
    "set_cap": lambda be: be.set_cap(Features(0)),
}
RECEIVING: dict[str, Callable[[netbe.PortBackend], object]] = {
    "recv": lambda be: be.recv(),
    "recv_into": lambda be: be.recv_into(bytearray(2000)),
    "recv_burst": lambda be: be.recv_burst(netbe.FrameBatch(max_frames=4)),
    "peek_recvlen": lambda be: be.peek_recvlen(),
    "rx_discard": lambda be: be.rx_discard(),
    "lend": lambda be: be.lend(),
    "wait": lambda be: be.wait(0),
    "set_cap": lambda be: be.set_cap(Features(0)),
}


@pytest.mark.parametrize("call", SENDING)
def test_while_slots_are_out_other_sending_is_refused(cable: Cable, call: str) -> None:
    near, far = cable
    far.send(FIRST)
    with near.reserve(60):
        with pytest.raises(BackendBusy, match="commit or release"):
            SENDING[call](near)
        assert near.recv() == FIRST
    near.send(FIRST)
    assert far.recv() == FIRST


@pytest.mark.parametrize("call", RECEIVING)
def test_while_frames_are_out_other_receiving_is_refused(cable: Cable, call: str) -> None:
    near, far = cable
    far.send(FIRST)
    with near.lend():
        with pytest.raises(BackendBusy, match="release them"):
            RECEIVING[call](near)
        near.send(FIRST)
        near.reserve(60).commit()
        near.get_cap()
    assert near.recv() is None


@pytest.mark.parametrize("out", ["slots", "frames"])
def test_a_pump_does_not_take_what_is_in_somebodys_hands(cable: Cable, out: str) -> None:
    near, far = cable
    other, end = netbe.make_pair("other")
    near.set_cap(Features(0))  # else the pump's own set_cap is what is refused
    far.send(FIRST)
    with other, end:
        with near.reserve(60) if out == "slots" else near.lend() as held:
            with pytest.raises(BackendBusy):
                netbe.Bridge(near, other).start()
            assert len(held) == 1
            held[0]
        far.send(frame(2, 1))
        with netbe.Bridge(near, other):
            for call in (lambda: near.reserve(60), near.lend):
                with pytest.raises(BackendBusy, match="<bridge of"):
                    call()
            assert end.wait(PATIENCE)


def test_one_thread_fills_slots_while_another_looks_at_frames(cable: Cable) -> None:
    near, far = cable
    number, got = 3000, []

    def look() -> None:
        while len(got) < number and far.wait(PATIENCE):
            with far.lend() as frames:
                got.extend(int.from_bytes(view[14:18]) for view in frames)

    looker = threading.Thread(target=look)
    looker.start()
    sent = 0
    while sent < number:
        try:
            with near.reserve(200, min(32, number - sent)) as slots:
                for view in slots:
                    view[14:18] = sent.to_bytes(4)
                    sent += 1
                slots.commit()
        except BackendFull:
            armed = near.arm_send()
            assert armed is not None
            select.select([armed[0]], [], [], 0.1)
    looker.join(PATIENCE)
    assert got == list(range(number))


# --- the end


def test_everything_is_refused_after_the_end(cable: Cable) -> None:
    near, far = cable
    with near.reserve(60) as slots:
        view = slots[0]
    near.send(FIRST)
    with far.lend() as frames:
        lent = frames[0]
    for call in (
        lambda: slots[0],
        lambda: list(slots),
        slots.commit,
        lambda: frames[0],
        lambda: list(frames),
        lambda: frames.header(0),
        lambda: frames.pieces(0),
    ):
        with pytest.raises(ValueError, match="after its end"):
            call()
    for old in (view, lent):
        with pytest.raises(ValueError, match="released"):
            old[0]
    assert len(slots) == len(frames) == 0
    slots.release()
    frames.release()


def test_after_a_close_they_say_so_and_frames_that_were_out_are_counted(cable: Cable) -> None:
    near, far = cable
    far.send_burst([FIRST, FIRST])
    slots, frames = near.reserve(60), near.lend()
    view = frames[0]
    near.close()
    for call in (slots.commit, lambda: slots[0], lambda: frames[0], lambda: frames.header(0)):
        with pytest.raises(BackendClosed):
            call()
    with pytest.raises(ValueError, match="released"):
        view[0]
    slots.release()
    frames.release()
    assert near.stats.rx_dropped == {netbe.DropReason.STOPPED: 2}


def test_a_with_block_ends_quietly_when_the_backend_was_closed_in_it(cable: Cable) -> None:
    near, far = cable
    far.send(FIRST)
    with near.reserve(60), near.lend():
        near.close()


def test_slices_outlive_release_close_and_the_other_side() -> None:
    near, far = netbe.make_pair("cable")
    near.send(FIRST)
    slots, frames = near.reserve(60), far.lend()
    slots[0][:] = FIRST[:60]
    mine, other = slots[0][4:], frames[0][4:]
    slots.commit()
    frames.release()
    near.close()
    far.close()
    del slots, frames, near, far
    gc.collect()
    assert mine == FIRST[4:60]
    assert other == FIRST[4:]
    mine[:] = bytes(56)


def test_a_view_that_something_is_made_over_is_left_alone(cable: Cable) -> None:
    near, far = cable
    near.send(FIRST)
    with far.lend() as frames:
        over = ffi.from_buffer(frames[0])
    near.send(frame(2, 1))
    assert far.recv() == frame(2, 1)
    assert bytes(ffi.buffer(over)[0:4]) == FIRST[:4]


# In a process of its own: what else threads and tests take or give back of the address space is more than this.
MEMORY = """
import gc, os, netbe

room = 1 << 26  # beyond what malloc keeps for later

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")

def one():
    near, far = netbe.make_pair("cable", room=room)
    with near, far, near.reserve(60) as slots:
        return slots[0][:1]

one()
before = used()
kept = [one() for _ in range(4)]
held = used()
kept.clear()
gc.collect()
print((held - before) / room, (held - used()) / room)
"""


def test_memory_goes_with_the_last_view() -> None:
    command = [sys.executable, "-c", MEMORY]
    taken, given_back = map(
        float, subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE).stdout.split()
    )
    assert 4 <= taken < 5
    assert 4 <= given_back < 5


def test_nothing_is_left_behind() -> None:
    def one() -> None:
        near, far = netbe.make_pair("cable")
        with near, far:
            near.send(FIRST)
            slots, frames = near.reserve(60, 5), far.lend()
            assert len(slots[1:]) == len(frames) + 3

    one()
    gc.collect()
    before = descriptors(), len(gc.get_objects())
    for _ in range(100):
        one()
    gc.collect()
    assert descriptors() == before[0]
    assert len(gc.get_objects()) - before[1] < 50


def test_the_other_side_gone_is_told_when_slots_are_asked_for_and_frames_are_all_seen(cable: Cable) -> None:
    near, far = cable
    far.send(FIRST)
    far.close()
    with pytest.raises(netbe.BackendGone):
        near.reserve(60)
    with near.lend() as frames:
        assert list(frames) == [FIRST]
    with pytest.raises(netbe.BackendGone):
        near.lend()


def test_a_slot_that_is_written_after_its_time_costs_frames_and_nothing_else() -> None:
    near, far = netbe.make_pair("cable", room=1)
    with near, far:
        slots = near.reserve(60000)
        late = slots[0][:]
        slots.release()
        for value in (0, 1, 255):
            for _ in range(20):
                with contextlib.suppress(BackendFull):
                    near.send(bytes(1000))
            late[:] = bytes([value]) * len(late)
            with far.lend() as frames:
                assert all(14 <= len(view) <= 1000 for view in frames)
            while far.recv() is not None:
                pass
        assert far.stats.rx_dropped == {netbe.DropReason.ERROR: 3}
        near.send(FIRST)
        assert far.recv() == FIRST


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_they_are_refused_and_ended_without_a_trace(cable: Cable) -> None:
    near, far = cable
    far.send(FIRST)
    out, into = os.pipe()
    with near.reserve(60) as slots, near.lend() as frames:
        kept = frames[0][:]
        slots[0][:] = FIRST[:60]
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for call in (slots.commit, lambda: slots[0], lambda: frames[0], lambda: frames.header(0)):
                    with pytest.raises(netbe.ForkedError):
                        call()
                frames.release()
                slots.release()
                near.close()
                assert kept == FIRST
                code = 0
            except BaseException:  # noqa: BLE001 - told to the parent
                os.write(into, traceback.format_exc().encode())
            finally:
                os._exit(code)
        os.close(into)
        with os.fdopen(out) as told:
            if not select.select([told], [], [], PATIENCE)[0]:
                os.kill(child, signal.SIGKILL)
            error = told.read()
        assert (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), error) == (0, "")
        assert list(frames) == [FIRST]
        assert slots.commit() == 1
    assert far.recv() == FIRST[:60]
    assert near.stats.rx_frames == 1


def test_a_port_that_puts_frames_outside_its_memory_is_found_out(cable: Cable) -> None:
    near, far = cable
    port = far.port()
    assert port.rx_memory is not None
    near.send(FIRST)
    port.rx_memory.size = 8
    memory = near.port().tx_memory
    assert memory is not None
    memory.size = 20
    for call in (far.lend, lambda: near.reserve(60)):
        with pytest.raises(OSError, match="Bad address"):
            call()
    assert far.recv() == FIRST
    assert lib.nb_io_pending(far._path.ios[0]) == 0
