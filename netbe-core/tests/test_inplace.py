# SPDX-License-Identifier: BSD-2-Clause
"""Frames in place: slots that are filled and sent, lent frames that are looked at, views that outlive everything."""

import contextlib
import gc
import os
import select
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator

import pytest
from pumping import PATIENCE, PythonBackend, descriptors, frame, packet_pair

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


# --- slots


def test_what_is_written_to_slots_arrives_when_it_is_committed(cable: Cable) -> None:
    near, far = cable
    with near.reserve(60, count=3) as slots:
        assert [len(view) for view in slots] == [60] * 3
        assert not slots[0].readonly
        slots[0][:] = frame(2, 1, "one")
        slots[-1][:] = frame(2, 1, "three")
        slots[1:2][0][:] = frame(2, 1, "two")
        assert far.recv() is None
        assert slots.commit() == 3
    assert all_of(far) == [frame(2, 1, text) for text in ("one", "two", "three")]
    assert (near.stats.tx_frames, near.stats.tx_bytes) == (3, 180)


def test_the_first_slots_are_sent_in_the_lengths_that_are_said_and_the_others_given_up(cable: Cable) -> None:
    near, far = cable
    for round_ in range(2000):  # several times around the ring
        text = bytes([round_ & 255]) * 1500
        with near.reserve(1500, count=1 + round_ % 5) as slots:
            for view in slots:
                view[:] = text
            lengths = [14 + (round_ * 7 + i) % 1486 for i in range(max(1, len(slots) - 1))]
            assert slots.commit(lengths=lengths) == len(lengths)
        assert all_of(far) == [text[:length] for length in lengths]


def test_slots_that_are_not_committed_are_not_sent(cable: Cable) -> None:
    near, far = cable
    with near.reserve(60) as slots:
        slots[0][:] = FIRST[:60]
    with contextlib.suppress(ZeroDivisionError), near.reserve(60) as slots:
        raise ZeroDivisionError
    slots = near.reserve(60, 4)
    assert slots.commit(0) == 0
    near.send(frame(2, 1))
    assert all_of(far) == [frame(2, 1)]


def test_a_full_ring_gives_fewer_slots_and_then_none(cable: Cable) -> None:
    near, far = cable
    sent, given = 0, [MOST]
    with contextlib.suppress(BackendFull):
        while True:
            with near.reserve(9000, MOST) as slots:
                given.append(len(slots))
                sent += slots.commit()
    assert min(given) >= 1
    assert 20 < sent == sum(given) - MOST
    with pytest.raises(BackendFull):
        near.reserve(9000)
    assert len(all_of(far)) == sent
    assert near.reserve(9000).commit() == 1


def test_at_most_64_slots_are_given(cable: Cable) -> None:
    with cable[0].reserve(60, 1000) as slots:
        assert len(slots) == MOST


def test_lengths_that_no_frame_has_are_refused(cable: Cable) -> None:
    near, _ = cable
    for length in (-1, 0, near.min_frame - 1, near.max_frame + 1):
        with pytest.raises(netbe.FrameSizeError):
            near.reserve(length)
    with pytest.raises(ValueError, match="0 slots"):
        near.reserve(60, 0)
    near.reserve(near.max_frame).release()


def test_a_commit_that_is_refused_leaves_the_slots_as_they_were(cable: Cable) -> None:
    near, far = cable
    with near.reserve(100, 2) as slots:
        slots[0][:] = slots[1][:] = bytes(100)
        for lengths in ([101], [13], [60, 101], [-1]):
            with pytest.raises(netbe.FrameSizeError, match="slot of 100"):
                slots.commit(lengths=lengths)
        for wrong in ({"count": 3}, {"count": -1}, {"count": 1, "lengths": [60, 60]}):
            with pytest.raises(ValueError, match="cannot commit"):
                slots.commit(**wrong)
        assert far.recv() is None
        assert slots.commit() == 2
    assert len(all_of(far)) == 2


def test_slots_are_plain_frames_also_where_a_header_was_agreed_on(cable: Cable) -> None:
    near, far = cable
    near.set_cap(Features.offloads(), 12)
    far.set_cap(Features.offloads(), 10)
    with near.reserve(60) as slots:
        slots[0][:] = FIRST[:60]
        slots.commit()
    assert far.recv() == bytes(10) + FIRST[:60]


# --- lent frames


def test_lent_frames_are_shown_where_they_lie_and_are_received_when_released(cable: Cable) -> None:
    near, far = cable
    texts = [frame(2, 1, str(i)) for i in range(5)]
    near.send_burst(texts)
    with far.lend() as frames:
        assert list(frames) == texts
        assert frames[4].readonly
        assert frames.pieces(0) == (frames[0],)
        assert far.stats.rx_frames == 0
        near.send(FIRST)
    assert (far.stats.rx_frames, far.stats.rx_bytes) == (5, 300)
    assert all_of(far) == [FIRST]


def test_the_oldest_can_be_released_alone(cable: Cable) -> None:
    near, far = cable
    near.send_burst([frame(2, 1, str(i)) for i in range(5)])
    frames = far.lend(4)
    assert len(frames) == 4
    first = frames[0]
    frames.release(2)
    assert far.stats.rx_frames == 2
    assert list(frames) == [frame(2, 1, "2"), frame(2, 1, "3")]
    with pytest.raises(ValueError, match="released"):
        bytes(first)
    with pytest.raises(ValueError, match="cannot release 3"):
        frames.release(3)
    frames.release(2)
    assert all_of(far) == [frame(2, 1, "4")]
    frames.release()


def test_a_row_of_none_holds_nothing_up(cable: Cable) -> None:
    near, far = cable
    frames = far.lend()
    assert len(frames) == 0
    assert list(frames) == []
    near.send(FIRST)
    assert far.wait(PATIENCE)
    assert far.recv() == FIRST


def test_frames_of_all_lengths_come_round_the_ring(cable: Cable) -> None:
    near, far = cable
    number, got = 0, 0
    while got < 3000:
        with contextlib.suppress(BackendFull):
            for _ in range(40):
                near.send(bytes([number & 255]) * (14 + number * 37 % 3000))
                number += 1
        with far.lend(1 + got % MOST) as frames:
            for i, view in enumerate(frames, got):
                assert view == bytes([i & 255]) * (14 + i * 37 % 3000)
            frames.release(len(frames) // 2)
            got += len(frames)
            frames.release()
        got = far.stats.rx_frames
    assert near.stats.tx_dropped == far.stats.rx_dropped == {}


def test_lending_finds_frames_that_came_after_a_peek(cable: Cable) -> None:
    near, far = cable
    near.send(FIRST)
    assert far.peek_recvlen() == len(FIRST)
    near.send(frame(2, 1))
    with far.lend() as frames:
        assert list(frames) == [FIRST, frame(2, 1)]


def test_lent_frames_have_their_headers_beside_them(cable: Cable) -> None:
    near, far = cable
    near.set_cap(Features.offloads(), 12)
    header = bytes([1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0])  # NEEDS_CSUM
    near.send(header + bytes(60))
    near.send(bytes(12) + bytes(61))
    far.set_cap(Features.offloads(), 10)
    with far.lend() as frames:
        assert [len(view) for view in frames] == [60, 61]
        assert [frames.header(i) for i in (0, 1, -1)] == [header[:10], bytes(10), bytes(10)]
        frames.release(1)
        assert frames.header(0) == bytes(10)
        with pytest.raises(IndexError):
            frames.header(1)


def tcp_frame(payload: int) -> bytes:
    ip = (
        bytes.fromhex("4500")
        + (40 + payload).to_bytes(2)
        + bytes.fromhex("0001000040060000 0a000001 0a000002")
    )
    return bytes(12) + b"\x08\x00" + ip + bytes(12) + b"\x50\x10" + bytes(6) + bytes(payload)


def test_what_is_cut_for_this_receiver_comes_as_copies_in_its_place(cable: Cable) -> None:
    near, far = cable
    near.set_cap(Features.offloads(), 12)
    segmented = bytes([1, 1, 54, 0, 232, 3, 34, 0, 16, 0, 0, 0])  # TCPv4, 1000 bytes a segment
    near.send(bytes(12) + FIRST)
    near.send(segmented + tcp_frame(2500))
    near.send(bytes(12) + frame(2, 1))
    rows = []
    while True:
        with far.lend() as frames:
            if not frames:
                break
            rows.append([len(view) for view in frames])
            assert all(view.readonly for view in frames)
            assert frames.header(0) == b""
    assert rows == [[len(FIRST)], [1054, 1054, 554], [60]]
    assert far.stats.rx_frames == 5


def test_copies_can_be_taken_one_by_one(cable: Cable) -> None:
    near, far = cable
    near.set_cap(Features.offloads(), 12)
    near.send(bytes([1, 1, 54, 0, 232, 3, 34, 0, 16, 0, 0, 0]) + tcp_frame(2500))
    far.set_cap(Features(0), 12)
    assert [len(far.lend(1)[0]) for _ in range(2)] == [1054, 1054]
    frames = far.lend()
    assert [len(view) for view in frames] == [554]
    assert frames.header(0)[:10] == bytes(10)
    frames.release()


def test_a_header_that_does_not_fit_its_frame_is_dropped_between_lent_ones() -> None:
    mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with other, netbe.FdBackend("packets", mine.detach(), device_hdr_len=12) as backend:
        for header in (bytes(12), b"\x01" + bytes(5) + b"\xff\xff" + bytes(4), bytes(12)):
            other.send(header + FIRST)
        with backend.lend() as frames:
            assert list(frames) == [FIRST]  # the bad one ends the row
        with backend.lend() as frames:
            assert list(frames) == [FIRST]
        assert backend.stats.rx_dropped == {netbe.DropReason.BAD_HEADER: 1}


def test_a_descriptors_frames_are_lent_and_its_slots_refused() -> None:
    backend, other = packet_pair()
    with backend, other:
        other.send(FIRST)
        assert backend.wait(PATIENCE)
        with backend.lend() as frames:
            assert list(frames) == [FIRST]
            kept = frames[0][1:]
        with pytest.raises(netbe.NotSupportedError, match="send"):
            backend.reserve(60)
    assert kept == FIRST[1:]


def test_a_row_is_of_one_queue_and_the_next_of_the_next() -> None:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    with netbe.FdBackend("queues", [mine.detach() for mine, _ in pairs]) as backend:
        for number, (_, other) in enumerate(pairs):
            other.send(frame(2, number))
            other.send(frame(3, number))
        rows = []
        for _ in pairs:
            with backend.lend() as frames:
                with pytest.raises(BackendBusy):
                    backend.recv()
                rows.append([bytes(view) for view in frames])
        assert rows == [[frame(2, n), frame(3, n)] for n in (0, 1)]
        for _, other in pairs:
            other.close()


def test_a_backend_in_python_has_neither() -> None:
    with PythonBackend() as backend:
        with pytest.raises(netbe.NotSupportedError):
            backend.reserve(60)
        with pytest.raises(netbe.NotSupportedError):
            backend.lend()


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


def test_memory_goes_with_the_last_view() -> None:
    room = 1 << 26  # beyond what malloc keeps for later

    def used() -> int:
        with open("/proc/self/statm") as file:  # noqa: PTH123 - a number of pages
            return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")

    def one() -> memoryview:
        near, far = netbe.make_pair("cable", room=room)
        with near, far, near.reserve(60) as slots:
            return slots[0][:1]

    one()
    before = used()
    kept = [one() for _ in range(4)]
    assert used() - before >= 4 * room
    kept.clear()
    gc.collect()
    assert used() - before < room


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
