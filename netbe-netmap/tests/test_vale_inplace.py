# SPDX-License-Identifier: BSD-2-Clause
"""Slots and lent frames on the embedded switch: in shared memory, which others write to and which outlives members."""

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_fork import in_child
from vales import EVERYBODY, attach, descriptors, drain, frame, fresh_folder, mac, ports, take, until

import netbe
from netbe import BackendBusy, BackendFull, Features
from netbe.stats import DropReason
from netbe_netmap.embedded import EmbeddedPort

WINDOW = 64 * 16384 * 2112  # bytes of addresses that a ring has


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_folder(monkeypatch) as path:
        yield path
        gc.collect()


@contextlib.contextmanager
def pipe() -> Iterator[tuple[EmbeddedPort, EmbeddedPort]]:
    """The two ends of one."""
    with attach("p", "pipe", pipe=1) as master, attach("p", "pipe", pipe=2) as slave:
        yield master, slave


def addresses() -> int:
    """Bytes of addresses that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")


def test_what_is_written_to_slots_arrives_at_all_and_is_seen_where_it_was_written() -> None:
    with ports("a", "b", "c") as (a, b, c):
        with a.reserve(60, 3) as slots:
            for number, view in enumerate(slots):
                view[:] = frame(EVERYBODY, 1, bytes([number]))
            assert slots.commit() == 3
        for receiver in (b, c):
            with receiver.lend() as frames:
                assert list(frames) == [frame(EVERYBODY, 1, bytes([n])) for n in range(3)]
                assert all(view.readonly for view in frames)
        assert (a.stats.tx_frames, a.stats.tx_bytes) == (3, 180)
        assert (b.stats.rx_frames, b.stats.rx_bytes) == (3, 180)


def test_slots_and_frames_go_round_the_rings_many_times() -> None:
    number, seen = 0, 0
    with ports("a", "b", slots=64, wait=True) as (a, b):
        while seen < 3000:
            with contextlib.suppress(BackendFull), a.reserve(1500, 1 + number % 40) as slots:
                lengths = [14 + (number + i) * 37 % 1487 for i in range(len(slots))]
                for i, view in enumerate(slots):
                    view[:18] = EVERYBODY + mac(1) + b"\x88\xb5" + (number + i).to_bytes(4)
                number += slots.commit(lengths=lengths)
            with b.lend(1 + number % 64) as frames:
                for view in frames:
                    assert len(view) == 14 + seen * 37 % 1487
                    assert view[14:18] == seen.to_bytes(4)[: len(view) - 14]
                    seen += 1
        assert a.stats.tx_dropped == b.stats.rx_dropped == {}


def test_a_commit_to_a_full_pipe_says_how_many_went_and_nothing_waits_in_the_ring() -> None:
    with pipe() as (near, far):
        sent = 0
        with contextlib.suppress(BackendFull):
            while True:
                with near.reserve(60, 50) as slots:
                    for i, view in enumerate(slots):
                        view[:] = frame(EVERYBODY, 1, (sent + i).to_bytes(4))
                    sent += slots.commit()
        assert near.stats.tx_frames == sent > 500
        assert [got[14:18] for got in drain(far)] == [n.to_bytes(4) for n in range(sent)]


def test_a_commit_that_finds_no_room_can_be_made_again() -> None:
    with pipe() as (near, far):
        with pytest.raises(BackendFull):  # noqa: PT012 - it is not known which is the first
            while True:
                near.send(frame(EVERYBODY, 1))
        with near.reserve(60, 2) as slots:
            for view in slots:
                view[:] = frame(EVERYBODY, 1, b"again")
            with pytest.raises(BackendFull):
                slots.commit()
            with pytest.raises(BackendBusy):
                near.send(frame(EVERYBODY, 1))
            drain(far)
            assert slots.commit() == 2
        assert drain(far) == [frame(EVERYBODY, 1, b"again")] * 2


def test_a_frame_longer_than_a_slot_is_refused_and_shown_in_pieces_when_it_comes() -> None:
    with ports("a", "b") as (a, b):
        with pytest.raises(netbe.FrameSizeError, match="send"):
            a.reserve(2101)
        a.reserve(2100).release()
        long = frame(EVERYBODY, 1, os.urandom(8000), 9000)
        a.send(long)
        a.send(frame(EVERYBODY, 1))
        with b.lend() as frames:
            pieces = frames.pieces(0)
            assert len(pieces) > 1
            assert b"".join(pieces) == frames[0] == long
            assert frames.pieces(1) == (frames[1],)
            kept = pieces[1][:]
        with pytest.raises(ValueError, match="released"):
            pieces[0][0]
        assert kept[:4] == long[2112:2116]


def test_headers_are_beside_the_frames_and_slots_have_none() -> None:
    with ports("a", "b") as (a, b):
        a.set_cap(Features.offloads(), 12)
        b.set_cap(Features.offloads(), 10)
        with a.reserve(60) as slots:
            slots[0][:] = frame(EVERYBODY, 1)
            slots.commit()
        header = bytes([1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 1, 0])
        a.send(header + frame(EVERYBODY, 1))
        with b.lend() as frames:
            assert list(frames) == [frame(EVERYBODY, 1)] * 2
            assert [frames.header(0), frames.header(1)] == [bytes(10), header[:10]]


def test_views_outlive_their_port_the_sender_and_the_switch(folder: Path) -> None:
    before = addresses()
    a, b = attach("a"), attach("b")
    a.send(frame(EVERYBODY, 1, b"kept"))
    frames, slots = b.lend(), a.reserve(60)
    shown, room = frames[0][14:18], slots[0][:]
    a.close()
    assert shown == b"kept"
    b.close()
    assert list(folder.rglob("*")) == []
    assert shown == b"kept"
    room[:] = bytes(60)
    assert addresses() - before > 1.9 * WINDOW
    del shown, room, frames, slots
    gc.collect()
    assert addresses() - before < WINDOW


def test_views_outlive_a_sender_that_is_killed_and_replaced() -> None:
    told, tell = os.pipe()
    with attach("b") as b:
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                a = attach("a")
                a.send(frame(EVERYBODY, 1, b"mine"))
                os.write(tell, b".")
                signal.pause()
            os._exit(1)
        os.read(told, 1)
        until(lambda: b.peek_recvlen() > 0)
        with b.lend() as frames:
            kept = frames[0][:]
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            assert kept == frame(EVERYBODY, 1, b"mine")
            with attach("a") as again:
                again.send(frame(EVERYBODY, 1, b"other"))
            assert frames[0] == frame(EVERYBODY, 1, b"mine")
        assert take(b) == frame(EVERYBODY, 1, b"other")
        assert len(bytes(kept)) == 60
    os.close(told)
    os.close(tell)


def test_a_slot_that_is_written_after_its_time_spoils_contents_and_nothing_else() -> None:
    with ports("a", "b") as (a, b):
        with a.reserve(2000, 64) as slots:
            late = [view[:] for view in slots]
        for value in (0, 255):
            for _ in range(300):
                with contextlib.suppress(BackendFull):
                    a.send(frame(EVERYBODY, 1))
                for view in late:
                    view[:] = bytes([value]) * len(view)
            with b.lend() as frames:
                assert {len(view) for view in frames} == {60}
            drain(b)
        a.send(frame(EVERYBODY, 1, b"sound"))
        assert take(b) == frame(EVERYBODY, 1, b"sound")


def test_a_close_while_frames_are_out_counts_them_and_gives_them_back() -> None:
    with attach("a") as a:
        b = attach("b")
        a.send(frame(EVERYBODY, 1))
        with b.lend(), b.reserve(60):
            b.close()
        assert b.stats.rx_dropped == {DropReason.STOPPED: 1}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_what_is_out_is_refused_and_ends_without_touching_the_parents_port() -> None:
    with ports("a", "b") as (a, b):
        a.send(frame(EVERYBODY, 1))
        with b.lend() as frames, a.reserve(60) as slots:
            slots[0][:] = frame(EVERYBODY, 1, b"parent")

            def check() -> None:
                for call in (slots.commit, lambda: slots[0], lambda: frames[0]):
                    with pytest.raises(netbe.ForkedError):
                        call()
                frames.release()
                slots.release()
                a.close()
                b.close()

            in_child(check)
            assert list(frames) == [frame(EVERYBODY, 1)]
            assert slots.commit() == 1
        assert (b.stats.rx_frames, take(b)) == (1, frame(EVERYBODY, 1, b"parent"))


def test_a_pump_between_ports_is_refused_while_something_is_out() -> None:
    with ports("a", "b") as (a, b), attach("c", "vale1") as c:
        with a.reserve(60), pytest.raises(BackendBusy):
            netbe.Bridge(a, c).start()
        b.send(frame(EVERYBODY, 2))
        with a.lend() as frames:
            with pytest.raises(BackendBusy):
                netbe.Bridge(a, c).start()
            assert len(frames) == 1


def test_nothing_is_left_behind() -> None:
    def one() -> None:
        with ports("a", "b") as (a, b):
            a.send(frame(EVERYBODY, 1))
            slots, frames = a.reserve(60, 5), b.lend()
            assert len(slots) == len(frames) + 4

    one()
    gc.collect()
    before = descriptors(), addresses()
    for _ in range(20):
        one()
    gc.collect()
    assert descriptors() == before[0]
    assert addresses() - before[1] < WINDOW
