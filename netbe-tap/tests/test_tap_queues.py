# SPDX-License-Identifier: BSD-2-Clause
"""Taps with several queues: a port each, frames received from all, and interfaces made for another number."""

import errno
import select
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from taps import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, frame, neighbour, raw_tap, udp, wire

import netbe
from lab import PATIENCE, Host
from netbe import Features
from netbe.stats import DropReason
from netbe_tap.backend import Tap

pytestmark = pytest.mark.e2e

Opener = Callable[..., Tap]

FLOWS = 64


def many_flows(host: Host) -> set[bytes]:
    """Send a datagram of each of many flows, which the kernel spreads over the queues; their payloads."""
    sent = set()
    for number in range(FLOWS):
        with udp(host) as sock:
            sock.send(f"flow {number}".encode())
            sent.add(f"flow {number}".encode())
    return sent


def test_each_queue_is_a_port_and_the_interface_has_so_many(host: Host, tap: Opener) -> None:
    backend = tap(queues=3)
    assert backend.nports == 3
    assert len({backend.port(index).rx_fd for index in range(3)}) == 3
    data = host.link("tap0")["linkinfo"]["info_data"]
    assert (data["multi_queue"], data["numqueues"]) == (True, 3)
    for index in (-1, 3):
        with pytest.raises(netbe.NoNativePort, match="has 3 native ports"):
            backend.port(index)


def test_one_queue_is_one_port_of_a_plain_interface(host: Host, tap: Opener) -> None:
    assert tap().nports == 1
    assert tap("tap1,queues=1").nports == 1
    assert not host.link("tap1")["linkinfo"]["info_data"]["multi_queue"]


def test_frames_are_received_from_all_queues(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    neighbour(host)
    sent = many_flows(host)
    received = set()
    while len(received) < FLOWS and backend.wait(PATIENCE):
        one = backend.recv()
        assert one is not None
        received.add(one[42:])
    assert received == sent
    shares = [backend.port(index).stats.rx_frames for index in range(2)]
    assert min(shares) > 0, "the kernel used both"
    assert sum(shares) == backend.stats.rx_frames == FLOWS


@pytest.mark.parametrize("how", ["recv_into", "recv_burst", "rx_discard"])
def test_every_way_to_receive_reaches_every_queue(how: str, host: Host, tap: Opener) -> None:
    backend = tap(queues=4)
    neighbour(host)
    many_flows(host)
    batch, room, count = netbe.FrameBatch(), bytearray(2000), 0
    while backend.wait(0):
        if how == "recv_burst":
            count += backend.recv_burst(batch)
        else:
            count += 1
            assert (backend.recv_into(room) if how == "recv_into" else backend.rx_discard()) > 42
    assert count == FLOWS
    assert backend.recv() is None


def test_the_queues_take_turns(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    neighbour(host)
    many_flows(host)
    backend.wait(PATIENCE)
    shares = []
    for _ in range(16):
        backend.recv()
        shares.append(tuple(backend.port(index).stats.rx_frames for index in range(2)))
    assert shares[-1] == (8, 8)


def test_a_peek_is_of_the_frame_that_comes_next(host: Host, tap: Opener) -> None:
    backend = tap(queues=3)
    neighbour(host)
    for number in range(FLOWS):
        with udp(host) as sock:
            sock.send(bytes(number))
    seen = []
    while length := backend.peek_recvlen():
        assert backend.peek_recvlen() == length
        one = backend.recv()
        assert one is not None
        assert len(one) == length
        seen.append(length)
    assert sorted(seen) == [42 + number for number in range(FLOWS)]


def test_what_is_sent_goes_once(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    with wire(host) as kernel:
        backend.send_burst([frame(60, number) for number in range(10)])
        assert [kernel.recv(100) for _ in range(10)] == [frame(60, number) for number in range(10)]
        kernel.setblocking(False)
        with pytest.raises(BlockingIOError):
            kernel.recv(100)
    assert backend.stats.tx_frames == 10


def test_an_agreement_is_for_all_queues(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    backend.set_cap(Features.GUEST_CSUM, 12)
    neighbour(host)
    many_flows(host)
    for _ in range(FLOWS):
        one = backend.recv()
        assert one is not None
        assert one[0] == 1, "its checksum is left to us"
    assert all(backend.port(index).features == Features.GUEST_CSUM for index in range(2))
    assert min(backend.port(index).stats.rx_frames for index in range(2)) > 0


def test_drops_of_all_queues_are_counted_once(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    with wire(host) as kernel:
        for number in range(3000):
            kernel.send(frame(60, number))
    received = 0
    while backend.recv() is not None:
        received += 1
    assert received < 3000
    assert backend.stats.rx_dropped == {DropReason.FULL: 3000 - received}


# --- another number than the interface was made for


def test_several_queues_of_an_interface_made_for_one_are_explained(host: Host, tap: Opener) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap")
    with pytest.raises(netbe.NotSupportedError, match="tap0 exists and was made for one queue") as caught:
        tap(queues=2)
    assert caught.value.hint is not None
    assert "without queues=" in caught.value.hint
    assert tap().nports == 1


def test_one_queue_of_an_interface_made_for_several_is_explained(host: Host, tap: Opener) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap", "multi_queue")
    with pytest.raises(
        netbe.NotSupportedError, match="tap0 exists and was made for several queues"
    ) as caught:
        tap()
    assert caught.value.hint is not None
    assert "queues=2" in caught.value.hint
    assert tap(queues=2).nports == 2


def test_as_many_queues_as_there_are_can_be_had_and_one_more_is_explained(host: Host, tap: Opener) -> None:
    with ExitStack() as stack:
        with host.entered():
            for _ in range(255):
                stack.enter_context(raw_tap("tap0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE))
        with pytest.raises(netbe.BackendBusy, match="as many queues as it can have") as caught:
            tap(queues=2)
        assert caught.value.errno == errno.EBUSY
        assert host.link("tap0")["linkinfo"]["info_data"]["numqueues"] == 255, "our first is closed again"


def test_a_deleted_interface_is_gone_for_all_queues(host: Host, tap: Opener) -> None:
    backend = tap(queues=3)
    host.ip("link", "delete", "tap0")
    assert not backend.link_up
    for call in (backend.recv, backend.peek_recvlen, backend.rx_discard, lambda: backend.wait(0)):
        for _ in range(4):
            with pytest.raises(netbe.BackendGone):
                call()


def test_frames_of_every_queue_are_given_before_the_deletion_is_told(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    neighbour(host)
    many_flows(host)
    assert backend.wait(PATIENCE)
    for _ in range(2):  # a look at each queue
        backend.recv()
    host.ip("link", "delete", "tap0")
    for _ in range(FLOWS - 2):
        assert backend.recv()
    with pytest.raises(netbe.BackendGone):
        backend.recv()


def test_the_descriptor_of_several_queues_tells_of_each(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    neighbour(host)
    fd = backend.fileno()
    assert fd not in backend.fds
    told = 0
    for number in range(FLOWS):
        with udp(host) as sock:
            sock.send(str(number).encode())
        told += bool(select.select([fd], [], [], PATIENCE)[0])
        assert backend.recv() is not None
        assert not select.select([fd], [], [], 0)[0]
    assert told == FLOWS
    assert min(backend.port(index).stats.rx_frames for index in range(2)) > 0
