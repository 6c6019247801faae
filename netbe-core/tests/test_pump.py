# SPDX-License-Identifier: BSD-2-Clause
"""Pumps as their users meet them: what a bridge brings, what it leaves, how it ends."""

import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pumping import PATIENCE, descriptors, frame, packet_pair, quiet, send_all, take, until

import netbe
from netbe import Bridge, DropReason, Features


class Cables:
    """Two cables; a pump joins their inner ends b and c."""

    def __init__(self) -> None:
        self.a, self.b = netbe.make_pair("left")
        self.c, self.d = netbe.make_pair("right")

    def close(self) -> None:
        for end in (self.a, self.b, self.c, self.d):
            end.close()


@pytest.fixture
def cables() -> Iterator[Cables]:
    both = Cables()
    yield both
    both.close()


def test_a_bridge_brings_frames_both_ways_and_in_order(cables: Cables) -> None:
    there = [frame(2, 1, f"there {n}") for n in range(3000)]
    back = [frame(1, 2, f"back {n}") for n in range(3000)]
    with Bridge(cables.b, cables.c) as bridge:
        senders = [
            threading.Thread(target=send_all, args=(cables.a, there)),
            threading.Thread(target=send_all, args=(cables.d, back)),
        ]
        for sender in senders:
            sender.start()
        got_there, got_back = [], []
        for _ in range(3000):
            got_there.append(take(cables.d))
            got_back.append(take(cables.a))
        for sender in senders:
            sender.join()
        stats = bridge.stats()
    assert got_there == there
    assert got_back == back
    assert stats.ports["left/b"].rx_frames == stats.ports["right/a"].tx_frames == 3000
    assert stats.total.rx_bytes == stats.total.tx_bytes == 6000 * 60
    assert stats.total.dropped == 0


def test_while_a_pump_has_a_backend_its_own_calls_are_busy_and_afterwards_not(cables: Cables) -> None:
    with Bridge(cables.b, cables.c) as bridge:
        for call in (
            lambda: cables.b.send(frame(1, 2)),
            cables.b.recv,
            cables.c.peek_recvlen,
            cables.c.rx_discard,
        ):
            with pytest.raises(netbe.BackendBusy, match=r"bridge of left/b, right/a"):
                call()
        with pytest.raises(netbe.BackendBusy):
            cables.b.set_cap(Features(0), 0)
        with pytest.raises(netbe.BackendBusy):
            Bridge(cables.b, cables.d).start()
        assert bridge.running
        # The one that was refused has taken nothing.
        cables.a.send(frame(2, 1, "still"))
        assert take(cables.d) == frame(2, 1, "still")
    assert not bridge.running
    assert bridge.error is None
    cables.a.send(frame(2, 1, "again"))
    assert take(cables.b) == frame(2, 1, "again")


def test_frames_that_were_looked_at_before_come_first(cables: Cables) -> None:
    frames = [frame(2, 1, str(n)) for n in range(10)]
    for one in frames:
        cables.a.send(one)
    assert cables.b.recv() == frames[0]
    assert cables.b.peek_recvlen() == 60
    with Bridge(cables.b, cables.c):
        assert [take(cables.d) for _ in range(9)] == frames[1:]


def test_the_rest_of_a_frame_that_was_received_in_pieces_comes_first(cables: Cables) -> None:
    header, large = _large(5000, 1000)
    cables.a.set_cap(Features.offloads(), 12)
    cables.a.send(header + large)
    cables.a.send(bytes(12) + frame(2, 1, "behind"))
    first = cables.b.recv()
    with Bridge(cables.b, cables.c):
        pieces = [first or b"", *(take(cables.d) or b"" for _ in range(4))]
        assert take(cables.d) == frame(2, 1, "behind")
    assert b"".join(piece[54:] for piece in pieces) == large[54:]
    assert [int.from_bytes(piece[38:42]) for piece in pieces] == [0, 1000, 2000, 3000, 4000]


def test_what_is_held_when_it_stops_is_received_as_if_it_had_never_run() -> None:
    a, b = netbe.make_pair("left")
    c, other = packet_pair()
    frames = [frame(2, 1, str(n)) for n in range(2000)]
    with a, b, c, other:
        bridge = Bridge(b, c, wait=60)
        bridge.start()
        sender = threading.Thread(target=send_all, args=(a, frames))
        sender.start()
        # Nobody reads: the socket is full, and then the cable.
        assert until(lambda: bridge.stats().ports["packets"].tx_frames > 0)
        time.sleep(0.05)
        begin = time.monotonic()
        bridge.stop()
        assert time.monotonic() - begin < 0.1
        got = []
        other.setblocking(False)
        while True:
            try:
                got.append(other.recv(2000))
            except BlockingIOError:
                break
        while len(got) < len(frames):
            got.append(take(b) or b"")
        sender.join()
    assert got == frames
    assert bridge.stats().total.dropped == 0


def test_a_backend_nobody_agreed_with_does_all_it_can_meanwhile_and_the_same_as_before_afterwards(
    cables: Cables,
) -> None:
    header, large = _large(5000, 1000)
    cables.a.set_cap(Features.offloads(), 12)
    cables.d.set_cap(Features.offloads(), 12)
    with Bridge(cables.b, cables.c):
        cables.a.send(header + large)
        assert take(cables.d) == header + large  # whole: nothing had to be cut
    assert (cables.b.features, cables.b.vnet_hdr_len) == (Features(0), 0)
    cables.a.send(header + large)
    assert len(take(cables.b) or b"") == 1054


def test_what_was_agreed_with_a_backend_holds_in_the_pump_too(cables: Cables) -> None:
    header, large = _large(5000, 1000)
    cables.a.set_cap(Features.offloads(), 12)
    cables.d.set_cap(Features.offloads(), 12)
    cables.c.set_cap(Features.CSUM, 12)  # so it takes nothing that is to be cut
    with Bridge(cables.b, cables.c):
        cables.a.send(header + large)
        pieces = [take(cables.d) or b"" for _ in range(5)]
    assert b"".join(piece[12 + 54 :] for piece in pieces) == large[54:]
    assert (cables.c.features, cables.c.vnet_hdr_len) == (Features.CSUM, 12)


def test_a_bridge_ends_when_a_backend_is_gone_and_has_brought_over_what_was_there(cables: Cables) -> None:
    bridge = Bridge(cables.b, cables.c)
    frames = [frame(2, 1, str(n)) for n in range(500)]
    bridge.start()
    for one in frames:
        cables.a.send(one)
    cables.a.close()
    assert bridge.join(PATIENCE)
    assert not bridge.running
    assert isinstance(bridge.error, netbe.BackendGone)
    assert "left/b" in str(bridge.error)
    assert list(bridge.errors) == ["left/b"]
    assert [cables.d.recv() for _ in range(500)] == frames
    cables.c.send(frame(1, 2, "free again"))
    assert cables.d.recv() == frame(1, 2, "free again")


def test_closing_a_backend_stops_its_pump_first(cables: Cables) -> None:
    bridge = Bridge(cables.b, cables.c)
    bridge.start()
    cables.b.close()
    assert not bridge.running
    assert bridge.error is None
    assert bridge.stats().ports["left/b"].rx_frames == 0
    assert cables.c.recv() is None


def test_a_pump_that_nobody_holds_stops(cables: Cables) -> None:
    Bridge(cables.b, cables.c).start()
    gc.collect()
    assert cables.b.recv() is None


def test_it_can_be_started_again_and_counts_anew(cables: Cables) -> None:
    bridge = Bridge(cables.b, cables.c)
    for text in ("one", "two"):
        with bridge:
            with pytest.raises(RuntimeError, match="started already"):
                bridge.start()
            cables.a.send(frame(2, 1, text))
            assert take(cables.d) == frame(2, 1, text)
        assert bridge.stats().total.rx_frames == 1
        assert bridge.stats().seconds > 0


def test_a_full_backend_that_is_not_waited_for_loses_frames_and_they_are_counted() -> None:
    a, b = netbe.make_pair("left")
    c, other = packet_pair()
    with a, b, c, other, Bridge(b, c, on_full="drop") as bridge:
        send_all(a, [frame(2, 1, str(n)) for n in range(2000)])
        assert until(lambda: bridge.stats().ports["left/b"].rx_frames == 2000)
        stats = bridge.stats().ports["packets"]
    assert stats.tx_dropped[DropReason.FULL] == 2000 - stats.tx_frames > 0


def test_a_stuck_backend_is_waited_for_once_and_the_other_way_goes_on() -> None:
    a, b = netbe.make_pair("left")
    c, other = packet_pair()
    with a, b, c, other, Bridge(b, c, wait=0.1) as bridge:
        send_all(a, [frame(2, 1, str(n)) for n in range(1000)])
        other.send(frame(1, 2, "meanwhile"))
        assert take(a) == frame(1, 2, "meanwhile")
        assert until(lambda: bridge.stats().ports["left/b"].rx_frames == 1000)
        sent = bridge.stats().ports["packets"].tx_frames
        assert bridge.stats().ports["packets"].tx_dropped == {DropReason.FULL: 1000 - sent}


def test_a_partner_that_closes_under_load_ends_the_bridge_with_nothing_uncounted() -> None:
    a, b = netbe.make_pair("left")
    c, other = packet_pair()
    with a, b, c:
        bridge = Bridge(b, c)
        bridge.start()
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                try:
                    a.send(frame(2, 1))
                except netbe.BackendFull:
                    time.sleep(0.0001)

        loader = threading.Thread(target=load)
        loader.start()
        for _ in range(100):
            assert other.recv(2000)
        other.close()
        assert bridge.join(PATIENCE)
        stop.set()
        loader.join()
        assert isinstance(bridge.error, netbe.BackendGone)
        stats = bridge.stats()
        sent, received = stats.ports["packets"], stats.ports["left/b"]
        assert received.rx_frames == sent.tx_frames + sum(sent.tx_dropped.values())


def test_a_thousand_cycles_leak_no_thread_descriptor_or_memory(cables: Cables) -> None:
    def cycle(times: int) -> None:
        for _ in range(times):
            with Bridge(cables.b, cables.c):
                cables.a.send(frame(2, 1))
            cables.d.rx_discard()
            cables.b.rx_discard()

    cycle(100)
    gc.collect()
    threads, fds, memory = threading.active_count(), descriptors(), _resident()
    cycle(1000)
    gc.collect()
    assert threading.active_count() == threads
    assert descriptors() == fds
    assert _resident() - memory < 4 << 20


def test_several_queues_have_a_thread_each_and_their_flows_stay_in_order() -> None:
    inner, outer = [], []
    for n in range(3):
        near, far = netbe.make_pair(f"queue {n}")
        inner.append(near)
        outer.append(far)
    many = netbe.PortBackend("many", [end.port() for end in inner])
    a, b = netbe.make_pair("single")
    flows = [[frame(2, n, f"{n} {i}") for i in range(500)] for n in range(3)]
    bridge = Bridge(many, b)
    bridge.start()
    assert sum(thread.name.startswith("netbe bridge") for thread in threading.enumerate()) == 3
    senders = [
        threading.Thread(target=send_all, args=(end, flow)) for end, flow in zip(outer, flows, strict=True)
    ]
    for sender in senders:
        sender.start()
    got = [take(a) or b"" for _ in range(1500)]
    for n, flow in enumerate(flows):
        assert [one for one in got if one[11] == n] == flow
    bridge.stop()
    assert bridge.stats().ports["many"].rx_frames == 1500
    for one in (*inner, *outer, many, a, b):
        one.close()


def test_an_idle_pump_costs_no_time(cables: Cables) -> None:
    with Bridge(cables.b, cables.c):
        cables.a.send(frame(2, 1))
        assert take(cables.d)
        time.sleep(0.02)
        before = resource.getrusage(resource.RUSAGE_SELF)
        time.sleep(0.3)
        after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.03


def test_a_program_that_ends_without_stopping_its_pump_ends() -> None:
    program = """
import netbe
a, b = netbe.make_pair(); c, d = netbe.make_pair()
pump = netbe.Bridge(b, c); pump.start()
a.send(bytes(60)); d.wait(5)
print("there", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=20, text=True, check=True
    )
    assert done.stdout == "there\n"


def test_control_c_interrupts_a_join_and_the_pump_can_be_stopped() -> None:
    program = """
import netbe
a, b = netbe.make_pair(); c, d = netbe.make_pair()
with netbe.Bridge(b, c) as pump:
    print("joining", flush=True)
    try:
        pump.join()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
for end in (a, b, c, d): end.close()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "joining\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(PATIENCE) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_its_parents_pump_alone(cables: Cables) -> None:
    with Bridge(cables.b, cables.c) as bridge:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                bridge.stop()
                code = 0 if not bridge.running and bridge.join(0) and bridge.stats().ports else 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        cables.a.send(frame(2, 1, "on it goes"))
        assert take(cables.d) == frame(2, 1, "on it goes")


def test_names_that_occur_twice_are_told_apart() -> None:
    a, b = netbe.make_pair()
    c, d = netbe.make_pair()
    bridge = Bridge(a, c)
    assert list(bridge.stats().ports) == ["pair/a", "pair/a#2"]
    assert "not running" in repr(bridge)
    for end in (a, b, c, d):
        end.close()


def test_counters_are_ready_for_json(cables: Cables) -> None:
    with Bridge(cables.b, cables.c) as bridge:
        numbers = bridge.stats().as_dict()
    assert list(numbers) == ["seconds", "ports", "total", "flooded", "table_full"]
    assert netbe.Bridge(cables.b, cables.c).join()


@pytest.mark.parametrize(
    "options", [{"on_full": "maybe"}, {"wait": -1}, {"spin": -1}, {"threads": 0}, {"threads": 65}]
)
def test_senseless_options_are_refused(cables: Cables, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"maybe|seconds|threads"):
        Bridge(cables.b, cables.c, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="twice"):
        Bridge(cables.b, cables.b)


def test_a_closed_backend_is_refused_and_the_other_given_back(cables: Cables) -> None:
    cables.c.close()
    with pytest.raises(netbe.BackendClosed):
        Bridge(cables.b, cables.c).start()
    assert cables.b.recv() is None
    assert quiet(cables.b)


def _large(payload: int, size: int) -> tuple[bytes, bytes]:
    """A TCP/IPv4 frame with its virtio-net header, to be cut into pieces of `size` bytes."""
    ip = (
        bytes.fromhex("4500") + (40 + payload).to_bytes(2) + bytes.fromhex("00000000400600000a0000010a000002")
    )
    tcp = bytes.fromhex("03e803e9000000000000000050100000") + bytes(4)
    data = bytes(n % 251 for n in range(payload))
    header = bytes([1, 1]) + b"".join(n.to_bytes(2, "little") for n in (54, size, 34, 16, 1))
    return header, bytes.fromhex("020000000002020000000001") + b"\x08\x00" + ip + tcp + data


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
