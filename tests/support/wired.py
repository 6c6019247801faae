# SPDX-License-Identifier: BSD-2-Clause
"""Hosts with a tap each, and what is sent between them: sockets inside the hosts, frames seen on a tap."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from lab import PATIENCE, Host, Netbe, until

ETH_P_ALL = 3
"""linux/if_ether.h"""

SO_RCVBUFFORCE = 33
"""asm-generic/socket.h; it goes beyond what the system allows others"""

SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 16
"""linux/if_packet.h"""

TCP, UDP = 6, 17


def v4(number: int, net: int = 0) -> str:
    """The IPv4 address of host `number` on a network of its own."""
    return f"10.9.{net}.{number}"


def v6(number: int, net: int = 0) -> str:
    """Its IPv6 address."""
    return f"fd09:{net}::{number}"


def mac(number: int) -> str:
    """The Ethernet address that the tests give host `number`."""
    return f"02:00:00:00:00:{number:02x}"


def tap(host: Host, ifname: str = "tap0", **options: object) -> str:
    """The backend's name of a tap in a host."""
    return f"tap:{ifname},netns={host.name}" + "".join(f",{key}={value}" for key, value in options.items())


def number_hosts(*hosts: Host, ifname: str = "tap0") -> None:
    """Give the hosts' interfaces their addresses, from 1."""
    for number, host in enumerate(hosts, 1):
        host.address(ifname, f"{v4(number)}/24", f"{v6(number)}/64")


@dataclass
class Cable:
    """Two hosts whose tap0 are joined."""

    a: Host
    b: Host
    netbe: Netbe | None = None

    def both_ways(self) -> Iterator[tuple[Host, Host, int]]:
        """Sender, receiver and the receiver's number."""
        yield self.a, self.b, 2
        yield self.b, self.a, 1


@contextlib.contextmanager
def bridged(
    *words: object, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None
) -> Iterator[Cable]:
    """Two hosts, `netbe bridge` between them; `a` and `b` are their taps' options."""
    with (
        Host("a") as one,
        Host("b") as other,
        Netbe("bridge", tap(one, **(a or {})), tap(other, **(b or {})), *words) as netbe,
    ):
        netbe.wait_for(one, "tap0")
        netbe.wait_for(other, "tap0")
        number_hosts(one, other)
        yield Cable(one, other, netbe)


def udp_socket(host: Host, address: str = "", port: int = 0, *, broadcast: bool = False) -> socket.socket:
    """A UDP socket inside a host, bound where an address is given."""
    with host.entered():
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    if broadcast:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if address:
        made.bind((address, port))
    return made


class Seen:
    """The frames that arrive on an interface of a host, or leave it; begins to collect when it is made."""

    def __init__(self, host: Host, ifname: str = "tap0") -> None:
        with host.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self._socket.bind((ifname, ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        """Send a frame out of the interface."""
        self._socket.send(frame)

    def arrived(self) -> list[bytes]:
        """What has arrived until now and was not asked for before; what left is not in it."""
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, extra, _, origin = self._socket.recvmsg(1 << 17, 64, socket.MSG_DONTWAIT)
                if origin[2] != socket.PACKET_OUTGOING:
                    frames.append(_with_tag(frame, extra[0][2]))
        return frames

    def wait_all(self, of: bytes, count: int = 1) -> list[bytes]:
        """All that arrive until `count` frames with these bytes in them have."""
        frames: list[bytes] = []

        def enough() -> bool:
            frames.extend(self.arrived())
            return sum(of in frame for frame in frames) >= count

        until(enough, f"{count} frames with {of!r}")
        return frames

    def wait(self, of: bytes, count: int = 1) -> list[bytes]:
        """Until `count` frames with these bytes in them have arrived; returns those that have."""
        return [frame for frame in self.wait_all(of, count) if of in frame]


def _with_tag(frame: bytes, auxdata: bytes) -> bytes:
    """The frame as it was before the kernel took its tag off (``struct tpacket_auxdata``)."""
    status, *_, tci, tpid = struct.unpack("=IIIHHHH", auxdata)
    if not status & TP_STATUS_VLAN_VALID:
        return frame
    return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]


def plain_frame(dst: str, src: str, text: bytes, *, tag: int | None = None) -> bytes:
    """An Ethernet frame of an experimental type, with an 802.1Q tag where one is given."""
    vlan = b"" if tag is None else struct.pack("!HH", 0x8100, tag)
    head = bytes.fromhex((dst + src).replace(":", "")) + vlan + b"\x88\xb5"
    return (head + text).ljust(60, b"\0")


def transport(frame: bytes) -> tuple[int, bytes, bytes] | None:
    """Protocol, pseudo-header and transport segment of a frame that is unfragmented IP; else None."""
    kind, ip = frame[12:14], frame[14:]
    if kind == b"\x08\x00" and not struct.unpack("!H", ip[6:8])[0] & 0x3FFF:
        segment = ip[(ip[0] & 15) * 4 : struct.unpack("!H", ip[2:4])[0]]
        return ip[9], ip[12:20] + struct.pack("!HH", ip[9], len(segment)), segment
    if kind == b"\x86\xdd" and ip[6] in (TCP, UDP):
        segment = ip[40 : 40 + struct.unpack("!H", ip[4:6])[0]]
        return ip[6], ip[8:40] + struct.pack("!II", len(segment), ip[6]), segment
    return None


def sums_up(frame: bytes) -> bool:
    """Whether the checksum of a TCP or UDP frame is right (RFC 1071)."""
    found = transport(frame)
    assert found is not None
    data = found[1] + found[2]
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    return sum(words) % 0xFFFF == 0


def ports_of(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The ports' counters in a summary, in the order given."""
    return list(summary["ports"].values())


def dropped(port: dict[str, Any]) -> int:
    """All drops of a port, both ways."""
    return sum(port["rx_dropped"].values()) + sum(port["tx_dropped"].values())
