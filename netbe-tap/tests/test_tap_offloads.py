# SPDX-License-Identifier: BSD-2-Clause
"""Offloads with the kernel at the other end: segmentation frames whole when agreed, cut and summed when not."""

import hashlib
import os
import random
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gso_frames import NEEDS_CSUM, TCPV4, TCPV6, UFO, USO, Frame, Recipe
from needs import need_lab
from taps import checksums_are_right, frame, neighbour, quiet, send_cut, udp, wire

import netbe
from lab import PATIENCE, Host
from netbe import Features
from netbe.vnet import GsoType, VnetHeader
from netbe_tap.backend import Tap

pytestmark = pytest.mark.e2e

Opener = Callable[..., Tap]

EVERY = Features.offloads()
GUEST = Features.guest_offloads()
HOST = Features.host_offloads()
NONE = Features(0)
PAYLOAD = random.Random(1).randbytes(8000)
US = "02:00:00:00:00:b1"
"""The address to which `Recipe` sends."""
PEER_TO_US = bytes([192, 0, 2, 2, 192, 0, 2, 1])


def taken(backend: Tap) -> bytes:
    """The next frame; it has to come."""
    assert backend.wait(PATIENCE)
    received = backend.recv()
    assert received is not None
    return received


def the_eight(backend: Tap, frames: list[bytes]) -> None:
    """They are PAYLOAD in eight datagrams of 1000 bytes, each good as it is."""
    assert [len(one) for one in frames] == [1042] * 8
    assert all(checksums_are_right(one) for one in frames)
    assert b"".join(one[42:] for one in frames) == PAYLOAD
    assert backend.recv() is None


# --- from the kernel to us


# Defect 15 of the seed: a tap offered no offloads.
@pytest.mark.parametrize("length", [10, 12])
def test_what_is_agreed_comes_whole_and_says_what_is_to_be_done(length: int, host: Host, tap: Opener) -> None:
    backend = tap()
    backend.set_cap(EVERY, length)
    neighbour(host)
    with udp(host) as sock:
        send_cut(sock, PAYLOAD, 1000)
    received = taken(backend)
    header = VnetHeader.unpack(received, length)
    assert (header.gso_type, header.gso_size) == (GsoType.UDP_L4, 1000)
    assert (header.flags, header.csum_start, header.csum_offset) == (NEEDS_CSUM, 34, 6)
    assert len(received) == length + 42 + 8000
    assert received[length + 42 :] == PAYLOAD
    assert backend.recv() is None


@pytest.mark.parametrize("length", [0, 10, 12])
def test_without_agreement_it_comes_cut_with_right_checksums(length: int, host: Host, tap: Opener) -> None:
    backend = tap()
    backend.set_cap(EVERY, 12)
    backend.set_cap(NONE, length)
    neighbour(host)
    with udp(host) as sock:
        send_cut(sock, PAYLOAD, 1000)
    frames = [taken(backend) for _ in range(8)]
    for one in frames:
        assert not any(one[: min(length, 10)]), "nothing is asked"
    the_eight(backend, [one[length:] for one in frames])


def test_a_frame_that_was_queued_whole_is_cut_when_the_agreement_is_over(host: Host, tap: Opener) -> None:
    backend = tap()
    backend.set_cap(EVERY, 12)
    neighbour(host)
    with udp(host) as sock:
        send_cut(sock, PAYLOAD, 1000)
        backend.set_cap(NONE, 0)
        the_eight(backend, [taken(backend) for _ in range(8)])


def test_the_kernel_did_queue_it_whole_and_gives_it_so(host: Host, tap: Opener) -> None:
    backend = tap()
    backend.set_cap(EVERY, 12)
    neighbour(host)
    with udp(host) as sock:
        send_cut(sock, PAYLOAD, 1000)
    backend.set_cap(NONE, 0)
    data = os.read(backend.fds[0], 1 << 17)
    assert len(data) == 12 + 42 + 8000
    assert data[1] == GsoType.UDP_L4


def test_a_frame_that_was_looked_at_is_given_by_the_new_agreement(host: Host, tap: Opener) -> None:
    backend = tap()
    backend.set_cap(EVERY, 12)
    neighbour(host)
    with udp(host) as sock:
        send_cut(sock, PAYLOAD, 1000)
    assert backend.wait(PATIENCE)
    assert backend.peek_recvlen() == 12 + 42 + 8000
    backend.set_cap(NONE, 0)
    assert backend.peek_recvlen() == 1042
    the_eight(backend, [taken(backend) for _ in range(8)])


def test_a_checksum_alone_is_left_to_us_or_made(host: Host, tap: Opener) -> None:
    backend = tap()
    neighbour(host)
    with udp(host) as sock:
        backend.set_cap(Features.GUEST_CSUM, 12)
        sock.send(b"left to us")
        left = taken(backend)
        assert VnetHeader.unpack(left).flags == NEEDS_CSUM
        assert not checksums_are_right(left[12:])
        backend.set_cap(NONE, 0)
        sock.send(b"made")
        assert checksums_are_right(taken(backend))


def test_plain_frames_ask_nothing_under_any_agreement(host: Host, tap: Opener) -> None:
    backend = tap()
    with wire(host) as kernel:
        for features, length in ((EVERY, 12), (EVERY, 10), (NONE, 12), (NONE, 0)):
            backend.set_cap(features, length)
            kernel.send(frame(100))
            assert taken(backend) == VnetHeader().pack(length) + frame(100)


# --- from us to the kernel


def arrive(host: Host, tap: Opener) -> Tap:
    """A tap at whose interface 192.0.2.1 takes what `Recipe` sends."""
    backend = tap(mac=US, mtu=65521)
    neighbour(host)
    return backend


def segmented(gso_type: int, payload: bytes = PAYLOAD, **more: int) -> Frame:
    """From port 4000 of 192.0.2.2 to port 5000 of 192.0.2.1."""
    return Recipe(gso_type, payload=payload, addresses=PEER_TO_US + bytes(24), gso_size=1000, **more).build()


def received_by_kernel(host: Host, backend: Tap, one: Frame, length: int) -> tuple[list[bytes], int]:
    """The datagrams that a socket gets out of the frame, and as how many frames the interface had it."""
    before = host.link("tap0")["stats64"]["rx"]["packets"]
    with host.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.bind(("192.0.2.1", 5000))
        sock.settimeout(PATIENCE)
        data = one.header + (b"\1\0" if length == 12 else b"") + one.data
        assert backend.send(data) == len(data)
        got: list[bytes] = []
        while sum(map(len, got)) < len(PAYLOAD):
            got.append(sock.recv(1 << 17))
    return got, host.link("tap0")["stats64"]["rx"]["packets"] - before


@pytest.mark.parametrize("length", [10, 12])
@pytest.mark.parametrize(
    ("features", "frames"), [(HOST, 1), (NONE, 8), (Features.CSUM | Features.HOST_TSO4, 8)]
)
def test_the_kernel_gets_datagrams_whole_when_agreed_and_else_cut(
    features: Features, frames: int, length: int, host: Host, tap: Opener
) -> None:
    backend = arrive(host, tap)
    backend.set_cap(features, length)
    got, packets = received_by_kernel(host, backend, segmented(USO), length)
    assert got == [PAYLOAD[at : at + 1000] for at in range(0, 8000, 1000)]
    assert packets == frames


@pytest.mark.parametrize(("features", "frames"), [(HOST, 1), (NONE, 9)])
def test_one_long_datagram_arrives_as_one(features: Features, frames: int, host: Host, tap: Opener) -> None:
    backend = arrive(host, tap)
    backend.set_cap(features, 12)
    got, packets = received_by_kernel(host, backend, segmented(UFO, dont_fragment=False), 12)
    assert got == [PAYLOAD]
    assert packets == frames


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_a_checksum_that_is_not_made_yet_is_right_at_the_kernel(
    offloads: str, host: Host, tap: Opener
) -> None:
    backend = tap(mac=US, mtu=9000, offloads=offloads)
    neighbour(host)
    backend.set_cap(backend.get_cap() & HOST, 12)
    one = segmented(USO)
    plain = Frame(one.data, flags=NEEDS_CSUM, csum_start=one.csum_start, csum_offset=one.csum_offset)
    got, _ = received_by_kernel(host, backend, plain, 12)
    assert got == [PAYLOAD]


@pytest.mark.parametrize("version", [4, 6])
def test_the_longest_packet_fits_with_tags_and_header(version: int, host: Host, tap: Opener) -> None:
    backend = arrive(host, tap)
    backend.set_cap(HOST, 12)
    network = 40 if version == 4 else 60
    most = 65535 - network + (40 if version == 6 else 0)  # IPv6 does not count its own header
    tags = ((0x88A8, 1), (0x8100, 2))
    one = Recipe(
        TCPV4 if version == 4 else TCPV6, version=version, payload=bytes(most), gso_size=1448, tags=tags
    ).build()
    assert len(one.data) >= 65535 + 14 + 8
    before = host.link("tap0")["stats64"]["rx"]
    assert backend.send(one.header + b"\1\0" + one.data) == 12 + len(one.data)
    after = host.link("tap0")["stats64"]["rx"]
    assert (after["packets"] - before["packets"], after["errors"]) == (1, before["errors"])


def test_beyond_69632_bytes_nothing_is_sent(host: Host, tap: Opener) -> None:
    backend = arrive(host, tap)
    backend.set_cap(HOST, 12)
    one = segmented(USO)
    padded = one.data + bytes(69632 - 12 - len(one.data) + 1)
    with pytest.raises(netbe.FrameSizeError):
        backend.send(one.header + b"\1\0" + padded)
    assert backend.stats.tx_frames == 0


def test_a_header_that_does_not_fit_is_refused_before_the_kernel_sees_it(host: Host, tap: Opener) -> None:
    backend = arrive(host, tap)
    backend.set_cap(HOST, 12)
    before = host.link("tap0")["stats64"]["rx"]
    for header in (
        VnetHeader(flags=NEEDS_CSUM, csum_start=60, csum_offset=6),
        VnetHeader(flags=NEEDS_CSUM, gso_type=GsoType.TCPV6, gso_size=1000, csum_start=34, csum_offset=16),
        VnetHeader(gso_type=77, gso_size=1000),
    ):
        with pytest.raises(netbe.BadHeaderError):
            backend.send(header.pack() + frame(60))
    assert host.link("tap0")["stats64"]["rx"] == before


# --- TCP, both ways at once


@dataclass
class Cable:
    """Carries frames between two taps, and keeps what it saw."""

    ends: tuple[Tap, Tap]
    seen: list[bytes] = field(default_factory=list)
    failure: list[BaseException] = field(default_factory=list)

    def carry(self, source: Tap, target: Tap) -> None:
        try:
            while source.wait():
                while (one := source.recv()) is not None:
                    self.seen.append(one)
                    target.send(one)
        except netbe.BackendClosed:
            pass
        except BaseException as error:  # noqa: BLE001 - the test tells it
            self.failure.append(error)

    def start(self, stack: ExitStack) -> None:
        one, two = self.ends
        for pair in ((one, two), (two, one)):
            thread = threading.Thread(target=self.carry, args=pair)
            stack.callback(thread.join, PATIENCE)
            thread.start()
        stack.callback(lambda: [end.close() for end in self.ends])


def tcp(server: Host, client: Host, address: str, data: bytes) -> str:
    """Send it through the kernels of both; SHA-256 of what arrived."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server.entered():
        listening = socket.create_server((address, 7000), family=family)
    digest = hashlib.sha256()

    def serve() -> None:
        listening.settimeout(PATIENCE)
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(PATIENCE)
            while part := connection.recv(1 << 20):
                digest.update(part)

    with listening:
        thread = threading.Thread(target=serve)
        thread.start()
        with client.entered(), socket.create_connection((address, 7000), timeout=PATIENCE) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        thread.join(PATIENCE)
    return digest.hexdigest()


@pytest.mark.parametrize("address", ["192.0.2.1", "fd00::1"])
@pytest.mark.parametrize(
    ("caps", "whole"),
    [
        ([(EVERY, 12), (EVERY, 12)], True),
        ([(EVERY, 10), (NONE, 10)], True),
        ([(Features.GUEST_CSUM, 12), (HOST, 12)], False),
        ([(NONE, 0), (NONE, 0)], False),
    ],
    ids=["all", "one end", "checksums", "none"],
)
def test_tcp_arrives_unharmed_whole_or_cut(
    caps: list[tuple[Features, int]],
    whole: bool,  # noqa: FBT001
    address: str,
) -> None:
    need_lab()
    data = random.Random(2).randbytes(1 << 20)
    with Host() as server, Host() as client, ExitStack() as stack:
        quiet(server)
        quiet(client)
        ends = []
        for host, (features, length) in zip((client, server), caps, strict=True):
            end = netbe.open("tap0", netns=host.name, mtu=1500)
            stack.callback(end.close)
            end.set_cap(features, length)
            ends.append(end)
        for number, host in enumerate((server, client), 1):
            with host.entered():
                Path("/proc/sys/net/ipv6/conf/tap0/disable_ipv6").write_text("0", encoding="ascii")
            host.address("tap0", f"192.0.2.{number}/24", f"fd00::{number}/64")
        cable = Cable((ends[0], ends[1]))
        cable.start(stack)
        assert tcp(server, client, address, data) == hashlib.sha256(data).hexdigest()
        assert not cable.failure
        length = caps[0][1]
        longest = max(len(one) - length for one in cable.seen)
        kinds = {VnetHeader.unpack(one, length).gso_type & 0x7F for one in cable.seen}
        if whole:
            assert kinds == {GsoType.NONE, GsoType.TCPV6 if ":" in address else GsoType.TCPV4}
            assert longest > 1514
        else:
            assert kinds == {GsoType.NONE}
            assert longest == 1514
        if length == 0:
            assert all(checksums_are_right(one) for one in cable.seen if one[12:14] == b"\x08\0")
        assert not any(end.stats.dropped for end in ends)
