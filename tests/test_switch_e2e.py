# SPDX-License-Identifier: BSD-2-Clause
"""Three hosts and more on `netbe switch`: who gets a frame, and who does not."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from needs import need_lab, need_programs
from tagging import tag_all
from wired import Seen, mac, number_hosts, plain_frame, ports_of, tap, v4, v6

import netbe
from lab import PATIENCE, Host, Netbe, transfer, until

pytestmark = pytest.mark.e2e

EVERYBODY = "ff:ff:ff:ff:ff:ff"


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    need_lab()
    need_programs("ping")


@dataclass
class Lan:
    hosts: list[Host]
    seen: list[Seen]
    netbe: Netbe

    def name(self, number: int) -> str:
        return tap(self.hosts[number])

    def settle(self, sender: int, receivers: Sequence[int]) -> list[list[bytes]]:
        """What came to each, up to a broadcast that is sent now: so that nothing is still on its way."""
        mark = b"settled %d" % time.monotonic_ns()
        self.seen[sender].send(plain_frame(EVERYBODY, mac(0xEE), mark))
        return [self.seen[number].wait_all(mark) for number in receivers]


@contextlib.contextmanager
def switched(count: int, *words: object) -> Iterator[Lan]:
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(Host(tag)) for tag in "abcdef"[:count]]
        running = stack.enter_context(Netbe("switch", *(tap(host) for host in hosts), *words))
        for host in hosts:
            running.wait_for(host, "tap0")
        number_hosts(*hosts)
        yield Lan(hosts, [stack.enter_context(Seen(host)) for host in hosts], running)


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    with switched(3) as made:
        yield made


def having(text: bytes, frames: list[bytes]) -> int:
    return sum(text in frame for frame in frames)


def test_every_host_reaches_every_other(lan: Lan) -> None:
    for number, sender in enumerate(lan.hosts, 1):
        for other, receiver in enumerate(lan.hosts, 1):
            if other != number:
                assert sender.ping(v4(other), 1)
                assert sender.ping(v6(other), 1)
                transfer(receiver, sender, v4(other), 1_000_000)


def test_a_frame_for_a_known_address_reaches_one_port_only(lan: Lan) -> None:
    a, b, _ = lan.seen
    b.send(plain_frame(EVERYBODY, mac(0x22), b"here I am"))
    a.wait(b"here I am")
    for _ in range(50):
        a.send(plain_frame(mac(0x22), mac(0x11), b"for one"))
    at_b, at_c = lan.settle(0, (1, 2))
    assert having(b"for one", at_b) == 50
    assert having(b"for one", at_c) == 0


def test_broadcast_multicast_and_unknown_addresses_reach_all_others_and_never_the_sender(lan: Lan) -> None:
    for to in (EVERYBODY, "01:00:5e:00:00:fb", "33:33:00:00:00:fb", mac(0x77)):
        lan.seen[0].send(plain_frame(to, mac(0x11), f"for {to}".encode()))
    at_b, at_c = lan.settle(0, (1, 2))
    (at_a,) = lan.settle(1, (0,))
    for to in (EVERYBODY, "01:00:5e:00:00:fb", "33:33:00:00:00:fb", mac(0x77)):
        assert [having(f"for {to}".encode(), frames) for frames in (at_a, at_b, at_c)] == [0, 1, 1]


def test_an_address_that_moved_is_found_at_its_new_place(lan: Lan) -> None:
    a, b, c = lan.seen
    for place, other in ((b, c), (c, b), (b, c)):
        place.send(plain_frame(EVERYBODY, mac(0x33), b"I moved"))
        a.wait(b"I moved")
        other.arrived()
        a.send(plain_frame(mac(0x33), mac(0x11), b"where are you"))
        place.wait(b"where are you")
        numbers = (1, 2) if other is c else (2, 1)
        _, elsewhere = lan.settle(0, numbers)
        assert having(b"where are you", elsewhere) == 0


def test_an_ip_address_that_moved_with_its_interfaces_address_is_reached(lan: Lan) -> None:
    a, b, c = lan.hosts
    b.ip("link", "set", "tap0", "address", mac(0x55))
    b.ip("address", "add", "10.9.0.55/24", "dev", "tap0")
    assert a.ping("10.9.0.55", 1)
    b.ip("address", "delete", "10.9.0.55/24", "dev", "tap0")
    b.ip("link", "set", "tap0", "address", mac(0x56))
    c.ip("link", "set", "tap0", "address", mac(0x55))
    c.ip("address", "add", "10.9.0.55/24", "dev", "tap0")
    assert c.ping(v4(1), 1)
    assert a.ping("10.9.0.55", 20) == 20


def test_frames_for_the_bridge_itself_go_nowhere(lan: Lan) -> None:
    lan.seen[0].send(plain_frame("01:80:c2:00:00:00", mac(0x11), b"spanning tree"))
    assert [having(b"spanning tree", frames) for frames in lan.settle(0, (1, 2))] == [0, 0]


def test_an_address_that_is_silent_is_forgotten_after_the_ageing_time() -> None:
    with switched(3, "--ageing", 1) as lan:
        a, b, c = lan.seen
        b.send(plain_frame(EVERYBODY, mac(0x22), b"here I am"))
        c.wait(b"here I am")
        heard = time.monotonic()
        a.send(plain_frame(mac(0x22), mac(0x11), b"known"))
        assert having(b"known", lan.settle(0, (2,))[0]) == 0

        def flooded() -> bool:
            a.send(plain_frame(mac(0x22), mac(0x11), b"forgotten"))
            time.sleep(0.02)  # sent at a gentle pace
            return having(b"forgotten", c.arrived()) > 0

        until(flooded, "the address is forgotten")
        assert 0.9 < time.monotonic() - heard < 4


def test_its_table_says_who_is_where() -> None:
    with switched(3, "--json", "--table") as lan:
        for number in range(3):
            lan.seen[number].send(plain_frame(EVERYBODY, mac(0x40 + number), b"hello"))
            lan.settle(number, [other for other in range(3) if other != number])
        summary = lan.netbe.end()
        found = {entry["mac"]: entry["port"] for entry in summary["table"]}
        assert {mac(0x40 + number): lan.name(number) for number in range(3)}.items() <= found.items()
        assert all(0 <= entry["age"] < 60 for entry in summary["table"])


def test_its_summary_adds_up() -> None:
    with switched(3, "--json") as lan:
        assert lan.hosts[0].ping(v4(2), 20) == 20
        summary = lan.netbe.end()
    ports = ports_of(summary)
    sent = sum(port["tx_frames"] + sum(port["tx_dropped"].values()) for port in ports)
    forwarded = sum(port["rx_frames"] - sum(port["rx_dropped"].values()) for port in ports)
    assert summary["flooded"] > 0
    assert sent == forwarded + summary["flooded"]  # a flooded one goes to two of three
    assert list(summary["ports"]) == [lan.name(number) for number in range(3)]


def test_a_deleted_tap_costs_only_its_own_port_and_is_told_of_at_the_end() -> None:
    with switched(3) as lan:
        lan.hosts[2].ip("link", "delete", "tap0")
        assert lan.hosts[0].ping(v4(2), 20) == 20
        lan.netbe.process.terminate()
        _, err = lan.netbe.process.communicate(timeout=PATIENCE)
        assert lan.netbe.process.returncode == 1
        assert len(err.splitlines()) == 1, err
        assert lan.name(2) in err


def test_the_table_of_a_running_switch_can_be_asked_for() -> None:
    with (
        Host("a") as a,
        Host("b") as b,
        netbe.open(tap(a)) as one,
        netbe.open(tap(b)) as other,
        netbe.Switch([one, netbe.SwitchPort(other, name="second")]) as switch,
    ):
        number_hosts(a, b)
        assert a.ping(v4(2), 1)
        found = {entry.mac: entry.port for entry in switch.table()}
        assert found[a.link("tap0")["address"]] == one.name
        assert found[b.link("tap0")["address"]] == "second"


@pytest.fixture(scope="module")
def vlans() -> Iterator[Lan]:
    """Hosts 0 and 1 in VLAN 10, 2 in VLAN 20, 3 the trunk of both."""
    with switched(
        4, "--access", "1=10", "--access", "2=10", "--access", "3=20", "--trunk", "4=10,20"
    ) as made:
        yield made


def test_a_vlan_stays_in_its_ports(vlans: Lan) -> None:
    a, b, c, _ = vlans.hosts
    assert a.ping(v4(2), 3) == 3
    assert a.ping(v4(3), 1, wait=0.3) == 0
    assert c.ping(v4(1), 1, wait=0.3) == 0
    transfer(b, a, v4(2), 1_000_000)
    vlans.seen[0].send(plain_frame(EVERYBODY, mac(0x11), b"to all of 10"))
    vlans.seen[2].send(plain_frame(EVERYBODY, mac(0x12), b"to all of 20"))
    at_b = vlans.seen[1].wait(b"to all of 10")
    assert at_b[0][12:14] == b"\x88\xb5"
    at_trunk = vlans.seen[3].wait(b"to all of 20")[0]
    assert at_trunk[12:16] == b"\x81\x00\x00\x14"
    assert having(b"to all", vlans.seen[2].arrived()) == 0


def test_a_trunk_carries_its_vlans_tagged_and_nothing_else(vlans: Lan) -> None:
    a, b, c, d = vlans.seen
    for tag in (10, 20, 30, None):
        d.send(plain_frame(EVERYBODY, mac(0x44), b"tag %d;" % (tag or 0), tag=tag))
    d.send(plain_frame(EVERYBODY, mac(0x44), b"last", tag=10))
    d.send(plain_frame(EVERYBODY, mac(0x44), b"last", tag=20))
    for seen, own in ((a, 10), (b, 10), (c, 20)):
        frames = [frame for frame in seen.wait_all(b"last") if b"tag " in frame]
        assert [frame[12:14] for frame in frames] == [b"\x88\xb5"]
        assert b"tag %d;" % own in frames[0]


def test_what_tcp_carries_over_a_trunk_is_unharmed(vlans: Lan) -> None:
    a, _, _, d = vlans.hosts
    tag_all(d, "tap0", 10)
    assert a.ping(v4(4), 1)
    transfer(d, a, v4(4), 5_000_000)
    transfer(a, d, v4(1), 5_000_000)
    transfer(a, d, v6(1), 5_000_000)
