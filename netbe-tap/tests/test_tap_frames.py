# SPDX-License-Identifier: BSD-2-Clause
"""Frames through a tap: both ways, every size, too little room, an interface that is down, one that nobody reads."""

import errno
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest
from taps import ETHERTYPE, IFF_NO_PI, IFF_TAP, frame, raw_tap, wire

import netbe
from lab import PATIENCE, Host
from netbe.stats import DropReason
from netbe_tap.backend import Tap

pytestmark = pytest.mark.e2e

Opener = Callable[..., Tap]

SIZES = [14, 15, 59, 60, 61, 1514, 1518, 9014, 65535]


def taken(backend: Tap) -> bytes | None:
    """The next frame, waiting for it."""
    return backend.recv() if backend.wait(PATIENCE) else None


def silent(fd: int) -> bool:
    """Whether the kernel says nothing of the descriptor."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return not poll.poll(0)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_sent_arrives_on_the_interface(size: int, host: Host, tap: Opener) -> None:
    backend = tap(mtu=65521)
    with wire(host) as kernel:
        assert backend.send(frame(size)) == size
        assert kernel.recv(1 << 17) == frame(size)


@pytest.mark.parametrize("size", SIZES)
def test_what_the_kernel_sends_is_received(size: int, host: Host, tap: Opener) -> None:
    backend = tap(mtu=65521)
    with wire(host) as kernel:
        kernel.send(frame(size))
        assert taken(backend) == frame(size)
        assert backend.recv() is None


@pytest.mark.parametrize("size", [0, 1, 13])
def test_less_than_an_ethernet_header_is_refused_as_the_driver_would(
    size: int, host: Host, tap: Opener
) -> None:
    backend = tap()
    with pytest.raises(netbe.FrameSizeError) as caught:
        backend.send(bytes(size))
    assert caught.value.errno == errno.EINVAL
    with host.entered(), raw_tap("tap1") as raw:
        host.ip("link", "set", "tap1", "up")
        with pytest.raises(OSError, match="Invalid argument"):
            os.write(raw, bytes(size))


def test_the_longest_frame_has_an_mtu_that_the_driver_does_not_even_have(host: Host, tap: Opener) -> None:
    backend = tap(mtu=65521)
    longest = backend.max_frame
    assert longest >= 65521 + 14
    assert backend.send(frame(longest)) == longest
    with pytest.raises(netbe.FrameSizeError) as caught:
        backend.send(frame(longest + 1))
    assert caught.value.errno == errno.EMSGSIZE
    assert host.link("tap0")["stats64"]["rx"]["packets"] == 1


def test_a_longer_write_than_ours_would_have_been_taken_by_the_driver(host: Host) -> None:
    with host.entered(), raw_tap("tap0") as raw:
        host.ip("link", "set", "tap0", "up")
        assert os.write(raw, frame(200_000)) == 200_000


@pytest.mark.parametrize("peeked", [False, True])
def test_too_little_room_keeps_the_frame_which_the_driver_would_have_cut(
    peeked: bool,  # noqa: FBT001
    host: Host,
    tap: Opener,
) -> None:
    backend = tap()
    with wire(host) as kernel:
        kernel.send(frame(1000, 1))
        kernel.send(frame(500, 2))
        assert backend.wait(PATIENCE)
        if peeked:
            assert backend.peek_recvlen() == 1000
        room = bytearray(999)
        for _ in range(2):
            with pytest.raises(netbe.FrameTooLong) as caught:
                backend.recv_into(room)
            assert (caught.value.needed, caught.value.errno) == (1000, errno.EMSGSIZE)
            assert not any(room)
        whole = bytearray(1000)
        assert backend.recv_into([memoryview(whole)[:1], memoryview(whole)[1:]]) == 1000
        assert whole == frame(1000, 1)
        assert taken(backend) == frame(500, 2)
        assert backend.stats.dropped == 0


def test_the_driver_itself_cuts_and_consumes(host: Host) -> None:
    with host.entered(), raw_tap("tap0", IFF_TAP | IFF_NO_PI) as raw:
        host.ip("link", "set", "tap0", "up")
        with wire(host) as kernel:
            kernel.send(frame(1000))
            select.select([raw], [], [], PATIENCE)
            assert os.read(raw, 100) == frame(1000)[:100]
            assert silent(raw)


def test_a_frame_that_was_looked_at_is_no_longer_told_by_the_descriptor(host: Host, tap: Opener) -> None:
    backend = tap()
    with wire(host) as kernel:
        kernel.send(frame(100))
        assert backend.wait(PATIENCE)
        assert backend.peek_recvlen() == backend.peek_recvlen() == 100
        assert silent(backend.fileno())
        assert backend.pending
        assert backend.wait(0), "it is told by who waits"
        assert backend.rx_discard() == 100
        assert not backend.pending
        assert not backend.wait(0)
        assert backend.stats.rx_dropped == {DropReason.DISCARDED: 1}


def test_many_frames_in_one_call_both_ways(host: Host, tap: Opener) -> None:
    backend = tap()
    frames = [frame(60 + number, number) for number in range(200)]
    with wire(host) as kernel:
        assert backend.send_burst(frames) == 200
        assert [kernel.recv(2000) for _ in frames] == frames
        for one in frames:
            kernel.send(one)
        batch = netbe.FrameBatch()
        received: list[bytes] = []
        while len(received) < 200 and backend.wait(PATIENCE):
            backend.recv_burst(batch)
            received.extend(bytes(one) for one in batch)
        assert received == frames
    stats = backend.stats
    assert (stats.rx_frames, stats.tx_frames) == (200, 200)
    assert stats.rx_bytes == stats.tx_bytes == sum(map(len, frames))


# --- an interface that is down


def test_an_interface_that_is_down_takes_nothing_and_comes_back(host: Host, tap: Opener) -> None:
    backend = tap()
    host.ip("link", "set", "tap0", "down")
    assert not backend.link_up
    with pytest.raises(netbe.LinkDownError, match="bring the interface up") as caught:
        backend.send(frame(60))
    assert caught.value.errno == errno.EIO
    assert backend.recv() is None
    assert backend.peek_recvlen() == 0
    begin = time.process_time()
    assert not backend.wait(0.2)
    assert time.process_time() - begin < 0.1, "it sleeps meanwhile"
    host.ip("link", "set", "tap0", "up")
    assert backend.link_up
    with wire(host) as kernel:
        backend.send(frame(60))
        assert kernel.recv(100) == frame(60)
        kernel.send(frame(61))
        assert taken(backend) == frame(61)


# --- what nobody reads


def flood(host: Host, count: int) -> None:
    """Send so many frames; each call returns when the driver has taken or dropped the frame."""
    with wire(host) as kernel:
        for number in range(count):
            kernel.send(frame(60, number))


# The contract: every frame that is dropped is counted, the kernel's own drops included.
def test_every_frame_that_the_kernel_drops_because_nobody_reads_is_counted(host: Host, tap: Opener) -> None:
    backend = tap()
    flood(host, 3000)
    received = 0
    while backend.recv() is not None:
        received += 1
    assert 0 < received < 3000
    assert backend.stats.rx_dropped == {DropReason.FULL: 3000 - received}
    assert backend.stats.rx_frames + backend.stats.dropped == 3000
    backend.close()
    assert backend.stats.rx_dropped == {DropReason.FULL: 3000 - received}, "the end forgets nothing"


def test_drops_before_the_open_are_not_ours(host: Host, tap: Opener) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap")
    first = tap()
    flood(host, 2000)
    assert first.stats.dropped > 0
    first.close()
    second = tap()
    assert second.stats.dropped == 0
    flood(host, 2000)
    lost = second.stats.dropped
    received = 0
    while second.recv() is not None:
        received += 1
    assert received + lost == 2000


def test_drops_are_counted_under_the_name_that_the_interface_has_now(host: Host, tap: Opener) -> None:
    backend = tap()
    host.ip("link", "set", "tap0", "down")
    host.ip("link", "set", "tap0", "name", "lan0")
    host.ip("link", "set", "lan0", "up")
    host.ip("tuntap", "add", "tap0", "mode", "tap")
    with wire(host, "lan0") as kernel:
        for number in range(2000):
            kernel.send(frame(60, number))
    received = 0
    while backend.recv() is not None:
        received += 1
    assert backend.stats.rx_dropped == {DropReason.FULL: 2000 - received}


def test_drops_stay_counted_when_the_interface_is_deleted(host: Host, tap: Opener) -> None:
    backend = tap()
    flood(host, 2000)
    lost = backend.stats.dropped
    host.ip("link", "delete", "tap0")
    assert backend.stats.dropped == lost > 0
    host.ip("tuntap", "add", "tap0", "mode", "tap")
    assert backend.stats.dropped == lost


# --- an interface that is deleted


# The contract: a backend whose other side is gone (its device deleted) raises on the next call.
def test_a_deleted_interface_is_gone_for_every_call(host: Host, tap: Opener) -> None:
    backend = tap()
    host.ip("link", "delete", "tap0")
    assert not backend.link_up
    calls: list[Callable[[], object]] = [
        backend.recv,
        backend.peek_recvlen,
        backend.rx_discard,
        lambda: backend.recv_into(bytearray(2000)),
        lambda: backend.recv_burst(netbe.FrameBatch()),
        lambda: backend.send(frame(60)),
        lambda: backend.send_burst([frame(60)]),
        lambda: backend.wait(0),
        lambda: backend.wait(None),
    ]
    for number, call in enumerate(calls * 2):
        with pytest.raises(netbe.BackendGone) as caught:
            call()
        assert caught.value.errno == errno.ENODEV, number
        assert "open it again" in str(caught.value)
    assert not backend.link_up
    backend.close()


def test_frames_that_were_held_are_given_before_the_end(host: Host, tap: Opener) -> None:
    backend = tap()
    with wire(host) as kernel:
        kernel.send(frame(100))
        assert backend.wait(PATIENCE)
    host.ip("link", "delete", "tap0")
    assert backend.recv() == frame(100)
    with pytest.raises(netbe.BackendGone):
        backend.recv()


@pytest.mark.parametrize("queues", [1, 3])
def test_who_waits_learns_of_the_deletion(queues: int, host: Host, tap: Opener) -> None:
    backend = tap(queues=queues)
    ended: list[BaseException] = []

    def waiting() -> None:
        try:
            backend.wait(PATIENCE)
        except netbe.NetbeError as error:
            ended.append(error)

    thread = threading.Thread(target=waiting)
    thread.start()
    host.ip("link", "delete", "tap0")
    thread.join(PATIENCE)
    assert [type(error) for error in ended] == [netbe.BackendGone]


def test_an_interface_of_the_same_name_is_another_one(host: Host, tap: Opener) -> None:
    backend = tap()
    host.ip("link", "delete", "tap0")
    again = tap()
    assert again.link_up
    assert not backend.link_up
    with pytest.raises(netbe.BackendGone):
        backend.send(frame(60))
    backend.close()
    assert again.link_up
    with wire(host) as kernel:
        kernel.send(frame(70))
        assert taken(again) == frame(70)


def test_padding_and_tags_are_left_as_they_are(host: Host, tap: Opener) -> None:
    backend = tap()
    tagged = frame(60)[:12] + struct.pack(">HH", 0x8100, 0x2005) + struct.pack(">H", ETHERTYPE) + bytes(3)
    with host.entered():
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with packets:
        packets.bind(("tap0", 0))
        packets.send(tagged)
        assert taken(backend) == tagged
