# SPDX-License-Identifier: BSD-2-Clause
"""Traffic of the kernel through a bridge of two taps: offloads on both, on one, and cut in software."""

import contextlib
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from needs import need_lab, need_programs
from tagging import tag_all
from wired import TCP, Cable, Seen, bridged, number_hosts, sums_up, tap, transport, udp_socket, v4, v6

import netbe
from lab import Host, iperf, transfer

pytestmark = pytest.mark.e2e

SOL_UDP, UDP_SEGMENT = 17, 103
"""linux/udp.h"""


@contextlib.contextmanager
def _cut_in_software() -> Iterator[Cable]:
    with Host("a") as a, Host("b") as b, netbe.open(tap(a)) as one, netbe.open(tap(b)) as other:
        other.set_cap(netbe.Features(0), 0)
        number_hosts(a, b)
        with netbe.Bridge(one, other):
            yield Cable(a, b)


WAYS: dict[str, Callable[[], AbstractContextManager[Cable]]] = {
    "both": bridged,
    "one": lambda: bridged(b={"offloads": "off"}),
    "software": _cut_in_software,
}


@pytest.fixture(scope="module", params=WAYS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    need_lab()
    need_programs("ping", "iperf3", "ss")


@pytest.fixture(scope="module")
def cable(kind: str) -> Iterator[Cable]:
    with WAYS[kind]() as made:
        yield made


def test_a_hundred_pings_lose_none(cable: Cable) -> None:
    assert cable.a.ping(v4(2), 1)
    said = cable.a.run("ping", "-n", "-q", "-c", 100, "-i", "0.01", "-W", 2, v4(2))
    assert "100 packets transmitted, 100 received" in said
    assert cable.b.ping(v6(1), 1)
    said = cable.b.run("ping", "-n", "-q", "-c", 20, "-i", "0.01", "-W", 2, v6(1))
    assert "20 packets transmitted, 20 received" in said


@pytest.mark.parametrize("address", [v4, v6], ids=["IPv4", "IPv6"])
def test_what_tcp_carries_is_unharmed_both_ways(cable: Cable, address: Any) -> None:
    for sender, receiver, number in cable.both_ways():
        transfer(receiver, sender, address(number), 20_000_000)


def test_iperf_works(cable: Cable) -> None:
    end = iperf(cable.b, cable.a, v4(2))
    assert end["sum_received"]["bits_per_second"] > 20e6


def test_frames_reach_the_kernel_whole_where_it_cuts_them_itself_and_else_cut_with_right_checksums(
    cable: Cable, kind: str
) -> None:
    with Seen(cable.b) as seen:
        transfer(cable.b, cable.a, v4(2), 300_000)
        transfer(cable.b, cable.a, v6(2), 300_000)
        frames = [frame for frame in seen.arrived() if (found := transport(frame)) and found[0] == TCP]
    assert sum(map(len, frames)) > 600_000
    if kind == "both":
        assert max(map(len, frames)) > 3000
    else:
        assert max(map(len, frames)) <= 1514
        assert [frame for frame in frames if not sums_up(frame)] == []


@pytest.mark.parametrize("address", [v4, v6], ids=["IPv4", "IPv6"])
def test_large_datagrams_come_whole(cable: Cable, address: Any) -> None:
    for sender, _, number in cable.both_ways():
        receiver = cable.b if number == 2 else cable.a
        with (
            udp_socket(receiver, address(number), 7001) as taking,
            udp_socket(sender, address(3 - number)) as giving,
        ):
            for size in (1473, 9000, 60_000):
                data = random.Random(size).randbytes(size)
                giving.sendto(data, (address(number), 7001))
                assert taking.recv(65536) == data


@pytest.mark.parametrize("address", [v4, v6], ids=["IPv4", "IPv6"])
def test_a_segmented_udp_send_comes_as_its_datagrams(cable: Cable, address: Any) -> None:
    for sender, receiver, number in cable.both_ways():
        data = random.Random(number).randbytes(40 * 1200 + 77)
        with (
            udp_socket(receiver, address(number), 7001) as taking,
            udp_socket(sender, address(3 - number)) as giving,
        ):
            giving.setsockopt(SOL_UDP, UDP_SEGMENT, struct.pack("i", 1200))
            giving.sendto(data, (address(number), 7001))
            pieces = [taking.recv(65536) for _ in range(41)]
        assert [len(piece) for piece in pieces] == [1200] * 40 + [77]
        assert b"".join(pieces) == data


def test_jumbo_frames_pass(cable: Cable) -> None:
    for host in (cable.a, cable.b):
        host.ip("link", "set", "tap0", "mtu", 9000)
    try:
        assert cable.a.ping(v4(2), 3, options=("-M", "do", "-s", "8972")) == 3
        assert cable.a.ping(v6(2), 3, options=("-M", "do", "-s", "8952")) == 3
        for sender, receiver, number in cable.both_ways():
            transfer(receiver, sender, v4(number), 5_000_000)
    finally:
        for host in (cable.a, cable.b):
            host.ip("link", "set", "tap0", "mtu", 1500)


def test_an_interface_that_was_down_carries_frames_again(cable: Cable) -> None:
    cable.b.ip("link", "set", "tap0", "down")
    with udp_socket(cable.a, v4(1)) as giving:
        for _ in range(100):
            with contextlib.suppress(OSError):  # no route to it any more
                giving.sendto(bytes(100), (v4(2), 7001))
    cable.b.ip("link", "set", "tap0", "up")
    assert cable.b.ping(v4(1), 20, wait=10) == 20
    transfer(cable.a, cable.b, v4(1), 1_000_000)


def test_the_largest_mtu_passes(cable: Cable) -> None:
    for host in (cable.a, cable.b):
        host.ip("link", "set", "tap0", "mtu", 65521)
    try:
        assert cable.a.ping(v4(2), 3, options=("-M", "do", "-s", str(65521 - 28))) == 3
        transfer(cable.b, cable.a, v4(2), 5_000_000)
    finally:
        for host in (cable.a, cable.b):
            host.ip("link", "set", "tap0", "mtu", 1500)


def test_tagged_traffic_has_its_offloads_too(kind: str) -> None:
    with WAYS[kind]() as cable:
        assert cable.a.ping(v4(2), 1)
        tag_all(cable.a, "tap0", 5)
        assert cable.a.ping(v4(2), 1, wait=0.3) == 0
        tag_all(cable.b, "tap0", 5)
        assert cable.a.ping(v4(2), 1)
        for sender, receiver, number in cable.both_ways():
            transfer(receiver, sender, v4(number), 5_000_000)
            transfer(receiver, sender, v6(number), 5_000_000)
