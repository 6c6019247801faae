# SPDX-License-Identifier: BSD-2-Clause
"""A NIC through netmap's module: its rings, the host's, and what becomes of a link; a cable is the NIC."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from needs import need_programs
from providers import BROADCAST, Provider, kernel, numbered, receive

import netbe
from lab import run, until
from netbe import Backend

pytestmark = pytest.mark.e2e

NIC = f"nbt{os.getpid() % 100000}"
PEER = f"{NIC}p"
SO_RCVBUFFORCE = 33
"""asm-generic/socket.h"""


@pytest.fixture
def module() -> Iterator[Provider]:
    with kernel() as one:
        need_programs("ip")
        yield one


@pytest.fixture
def cable(module: Provider) -> Iterator[None]:
    """Both ends up, and the host's own stack silent on both."""
    run("ip", "link", "add", NIC, "type", "veth", "peer", PEER)
    try:
        for end in (NIC, PEER):
            quiet = Path(f"/proc/sys/net/ipv6/conf/{end}/disable_ipv6")
            if quiet.exists():
                quiet.write_text("1")
            run("ip", "link", "set", end, "up")
        yield
    finally:
        module._stack.close()  # an interface is deleted when netmap has let go of it
        run("ip", "link", "delete", NIC, check=False)


class Host:
    """The kernel's side of an interface: what its own stack sends and receives there."""

    def __init__(self, ifname: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x88B5)
        self.socket.bind((ifname, 0x88B5))
        self.socket.settimeout(5)
        # netmap's packets count as several times their length.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, frame: bytes) -> None:
        self.socket.send(frame)

    def receive(self) -> bytes:
        while True:
            data, (_, _, kind, *_) = self.socket.recvfrom(65536)
            if kind != socket.PACKET_OUTGOING:
                return data


def opened(module: Provider, name: str) -> Backend:
    backend = module.open(name)
    until(lambda: backend.link_up, "the link is up")
    return backend


@pytest.mark.parametrize("suffix", ["", "-0"])
def test_a_nics_rings_carry_frames_to_and_from_the_far_end_of_its_cable(
    module: Provider, cable: None, suffix: str
) -> None:
    nic = opened(module, f"netmap:{NIC}{suffix}")
    assert (nic.nports, nic.min_frame, nic.max_frame) == (1, 14, 1518)
    with Host(PEER) as far:
        for length in (60, 61, 500, 1514):
            frame = numbered(length, length)
            assert nic.send(frame) == length
            assert far.receive() == frame
            far.send(frame)
            assert receive(nic) == frame
        sent = [numbered(number, 100 + number) for number in range(100)]
        assert nic.send_burst(sent) == 100
        assert [far.receive() for _ in sent] == sent
        for frame in sent:
            far.send(frame)
        assert [receive(nic) for _ in sent] == sent


def test_two_nics_of_one_cable_reach_each_other(module: Provider, cable: None) -> None:
    near, far = opened(module, f"netmap:{NIC}"), opened(module, f"netmap:{PEER}")
    for one, two in ((near, far), (far, near)):
        for number in range(300):
            one.send(numbered(number, 60 + number))
            assert receive(two) == numbered(number, 60 + number)


def test_host_rings_are_the_hosts_own_stack(module: Provider, cable: None) -> None:
    host_rings = opened(module, f"netmap:{NIC}^")
    # What the host sends goes by the NIC's own rings as long as netmap does not have those.
    opened(module, f"netmap:{NIC}")
    with Host(NIC) as stack:
        stack.send(numbered(1, 60))
        assert receive(host_rings) == numbered(1, 60)
        host_rings.send(numbered(2, 600))
        assert stack.receive() == numbered(2, 600)


def test_both_kinds_of_rings_are_received_from(module: Provider, cable: None) -> None:
    both = opened(module, f"netmap:{NIC}*")
    assert both.nports == 2
    with Host(NIC) as stack, Host(PEER) as far:
        stack.send(numbered(1, 60))
        far.send(numbered(2, 60))
        assert {receive(both), receive(both)} == {numbered(1, 60), numbered(2, 60)}
        both.send(numbered(3, 60))
        assert far.receive() == numbered(3, 60)


def test_a_bridge_of_nic_and_host_rings_gives_the_host_its_network_back(
    module: Provider, cable: None
) -> None:
    nic, host_rings = opened(module, f"netmap:{NIC}"), opened(module, f"netmap:{NIC}^")
    with netbe.Bridge(nic, host_rings), Host(NIC) as stack, Host(PEER) as far:
        stack.send(numbered(1, 60))
        assert far.receive() == numbered(1, 60)
        far.send(numbered(2, 1000))
        assert stack.receive() == numbered(2, 1000)


def test_a_ring_that_a_nic_does_not_have_is_an_error_that_says_so(module: Provider, cable: None) -> None:
    with pytest.raises(netbe.DeviceNotFoundError, match="no ring 9"):
        module.open(f"netmap:{NIC}-9")


def test_an_mtu_beyond_netmaps_buffers_is_an_error_that_says_so(module: Provider, cable: None) -> None:
    run("ip", "link", "set", NIC, "mtu", "9000")
    with pytest.raises(netbe.NotSupportedError, match="mtu 1500"):
        module.open(f"netmap:{NIC}")


def test_no_frame_is_longer_than_the_mtu(module: Provider, cable: None) -> None:
    for end in (NIC, PEER):
        run("ip", "link", "set", end, "mtu", "1900")
    nic = opened(module, f"netmap:{NIC}")
    with pytest.raises(netbe.FrameSizeError):
        nic.send(BROADCAST + bytes(1913))
    assert nic.max_frame == 1918
    with Host(PEER) as far:
        nic.send(numbered(1, nic.max_frame - 4))
        assert far.receive() == numbered(1, nic.max_frame - 4)
        far.send(numbered(2, 1514))
        assert receive(nic) == numbered(2, 1514)


def test_a_link_that_goes_down_hangs_nothing_and_works_again_when_it_is_up(
    module: Provider, cable: None
) -> None:
    nic = opened(module, f"netmap:{NIC}")
    with Host(PEER) as far:
        nic.send(numbered(1, 60))
        assert far.receive() == numbered(1, 60)
        run("ip", "link", "set", NIC, "down")
        assert not nic.link_up
        begin = time.monotonic()
        with pytest.raises(netbe.LinkDownError):
            nic.send(numbered(2, 60))
        assert nic.recv() is None
        assert nic.wait(0.2) is False
        assert time.monotonic() - begin < 3
        run("ip", "link", "set", NIC, "up")
        until(lambda: nic.link_up, "the link is up")
        nic.send(numbered(3, 60))
        assert far.receive() == numbered(3, 60)
        far.send(numbered(4, 60))
        assert receive(nic) == numbered(4, 60)


def test_a_sleeper_sleeps_on_while_the_link_goes_down_and_up(module: Provider, cable: None) -> None:
    nic = opened(module, f"netmap:{NIC}")
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(receive(nic, 30)))
    thread.start()
    for _ in range(3):
        run("ip", "link", "set", NIC, "down")
        time.sleep(0.05)
        run("ip", "link", "set", NIC, "up")
        until(lambda: nic.link_up, "the link is up")
    with Host(PEER) as far:
        far.send(numbered(1, 60))
        thread.join(20)
    assert got == [numbered(1, 60)]


def test_a_nic_that_was_down_when_it_was_opened_works_when_it_is_up(module: Provider, cable: None) -> None:
    run("ip", "link", "set", NIC, "down")
    nic = module.open(f"netmap:{NIC}")
    assert not nic.link_up
    assert nic.wait(0.1) is False
    run("ip", "link", "set", NIC, "up")
    until(lambda: nic.link_up, "the link is up")
    with Host(PEER) as far:
        far.send(numbered(1, 60))
        assert receive(nic) == numbered(1, 60)


def test_a_nic_whose_link_is_down_can_be_closed(module: Provider, cable: None) -> None:
    nic = opened(module, f"netmap:{NIC}")
    run("ip", "link", "set", NIC, "down")
    nic.close()
    run("ip", "link", "set", NIC, "up")


def test_an_interface_that_is_deleted_is_gone_for_good(module: Provider, cable: None) -> None:
    nic = opened(module, f"netmap:{NIC}")
    deleting = threading.Thread(target=run, args=("ip", "link", "delete", NIC))
    deleting.start()  # it waits until netmap's descriptor is closed
    try:
        until(lambda: not nic.link_up, "the interface goes")
        with pytest.raises((netbe.BackendGone, netbe.LinkDownError)):
            nic.send(numbered(1, 60))
        assert nic.stats.tx_frames == 0
    finally:
        nic.close()
        deleting.join()


def test_the_hosts_network_is_its_own_again_when_the_rings_are_closed(module: Provider, cable: None) -> None:
    nic = opened(module, f"netmap:{NIC}")
    nic.close()
    with Host(NIC) as near, Host(PEER) as far:
        near.send(numbered(1, 60))
        assert far.receive() == numbered(1, 60)
