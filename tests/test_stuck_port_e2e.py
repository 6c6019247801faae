# SPDX-License-Identifier: BSD-2-Clause
"""A switch with a port whose reader has stopped: the others do not feel it."""

import contextlib
import socket
import statistics
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from needs import need_lab, need_programs
from wired import number_hosts, tap, udp_socket, v4

import netbe
from lab import Host, iperf

pytestmark = pytest.mark.e2e

PAIRS = 3
"""Runs with and without, alternating, before the first judgement."""

PAIRS_MAX = 7
"""Before the last: where the machine is busy with other things a few runs say little."""


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    need_lab()
    need_programs("iperf3", "ss")


@contextlib.contextmanager
def announcing(host: Host) -> Iterator[None]:
    """About a thousand broadcasts a second: for every port, the stuck one too."""
    ending = threading.Event()

    def send() -> None:
        with udp_socket(host, broadcast=True) as giving:
            while not ending.wait(0.001):
                giving.sendto(bytes(1000), ("10.9.0.255", 7001))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@pytest.mark.parametrize("on_full", ["drop", "wait"])
def test_a_port_that_takes_nothing_does_not_slow_the_others(on_full: Any) -> None:
    mine, unread = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        unread,
        Host("a") as a,
        Host("b") as b,
        Host("c") as c,
        netbe.open(tap(a)) as one,
        netbe.open(tap(b)) as other,
        netbe.open(tap(c)) as well,
        netbe.FdBackend("stuck", mine.detach()) as stuck,
    ):
        number_hosts(a, b)
        rates: dict[str, list[float]] = {well.name: [], stuck.name: []}

        def ratio() -> float:
            for third in (well, stuck):
                with netbe.Switch([one, other, third], on_full=on_full) as switch:
                    assert a.ping(v4(2), 1)
                    with announcing(a):
                        end = iperf(b, a, v4(2))
                    rates[third.name].append(end["sum_received"]["bits_per_second"])
                    drops = switch.stats().ports[third.name].tx_dropped
                    assert bool(drops.get(netbe.DropReason.FULL)) == (third is stuck)
            return statistics.median(rates[stuck.name]) / statistics.median(rates[well.name])

        ratios = [ratio() for _ in range(PAIRS)]
        while ratios[-1] < 0.8 and len(ratios) < PAIRS_MAX:
            ratios.append(ratio())
        assert ratios[-1] >= 0.8, rates
