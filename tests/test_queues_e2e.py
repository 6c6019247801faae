# SPDX-License-Identifier: BSD-2-Clause
"""Taps with several queues: a pump thread for each, and every flow in order."""

import contextlib
import select
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import need_lab, need_programs
from wired import Cable, bridged, number_hosts, tap, udp_socket, v4, v6

import netbe
from lab import PATIENCE, Host, iperf, transfer, until

pytestmark = pytest.mark.e2e

FLOWS, BURST, ROUNDS = 8, 20, 100
"""A round's frames have room in the taps' own queues (500 frames and more): none may be lost."""


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    need_lab()
    need_programs("ping", "iperf3", "ss")


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with bridged(a={"queues": 2}, b={"queues": 2}) as made:
        assert made.a.ping(v4(2), 1)
        assert made.a.ping(v6(2), 1)
        yield made


def flows_are_in_order(sender: Host, receiver: Host, address: str) -> None:
    """Bursts of numbered datagrams in several flows: all come, each flow's in order."""
    with contextlib.ExitStack() as stack:
        taking = [stack.enter_context(udp_socket(receiver, address, 7100 + flow)) for flow in range(FLOWS)]
        giving = [stack.enter_context(udp_socket(sender)) for _ in range(FLOWS)]
        for flow, one in enumerate(giving):
            one.connect((address, 7100 + flow))
        came: list[list[int]] = [[] for _ in range(FLOWS)]
        for sent in range(0, ROUNDS * BURST, BURST):
            for number in range(sent, sent + BURST):
                for one in giving:
                    one.send(struct.pack("!I", number) + bytes(number % 1000))
            end = time.monotonic() + PATIENCE
            while any(len(numbers) < sent + BURST for numbers in came) and time.monotonic() < end:
                for one in select.select(taking, [], [], PATIENCE)[0]:
                    came[taking.index(one)].append(struct.unpack("!I", one.recv(2048)[:4])[0])
    assert came == [list(range(ROUNDS * BURST))] * FLOWS


def test_a_thread_pumps_each_queue_and_flows_keep_their_order() -> None:
    with (
        Host("a") as a,
        Host("b") as b,
        netbe.open(tap(a, queues=2)) as one,
        netbe.open(tap(b, queues=2)) as other,
        netbe.Bridge(one, other),
    ):
        number_hosts(a, b)
        assert a.ping(v4(2), 1)  # the kernel does not keep what waits for ARP in order
        pumps = [thread for thread in threading.enumerate() if thread.name.startswith("netbe bridge")]
        assert len(pumps) == 2
        clocks = [time.pthread_getcpuclockid(thread.ident) for thread in pumps if thread.ident is not None]
        before = [time.clock_gettime(clock) for clock in clocks]
        flows_are_in_order(a, b, v4(2))
        flows_are_in_order(b, a, v4(1))
        spent = [time.clock_gettime(clock) - was for clock, was in zip(clocks, before, strict=True)]
        assert min(spent) > 0.1 * max(spent), spent


def test_the_command_has_a_thread_for_each_queue(cable: Cable) -> None:
    assert cable.netbe is not None
    tasks = Path(f"/proc/{cable.netbe.process.pid}/task")
    until(lambda: sum(1 for _ in tasks.iterdir()) == 3, "the main thread and two pumps")


def test_parallel_connections_pass(cable: Cable) -> None:
    for options in ((), ("--reverse",)):
        end = iperf(cable.b, cable.a, v4(2), "--parallel", 4, *options)
        assert end["sum_received"]["bits_per_second"] > 20e6
        assert all(stream["receiver"]["bytes"] > 0 for stream in end["streams"])


def test_what_tcp_carries_is_unharmed(cable: Cable) -> None:
    for sender, receiver, number in cable.both_ways():
        transfer(receiver, sender, v4(number), 5_000_000)
        transfer(receiver, sender, v6(number), 5_000_000)


@pytest.mark.parametrize("kind", ["bridge", "switch"])
def test_a_tap_with_one_queue_and_one_with_three_keep_flows_in_order(kind: str) -> None:
    with (
        Host("a") as a,
        Host("b") as b,
        netbe.open(tap(a, queues=3)) as one,
        netbe.open(tap(b)) as other,
        netbe.Bridge(one, other) if kind == "bridge" else netbe.Switch([one, other]),
    ):
        number_hosts(a, b)
        assert a.ping(v4(2), 1)
        flows_are_in_order(a, b, v4(2))
        flows_are_in_order(b, a, v4(1))
