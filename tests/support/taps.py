# SPDX-License-Identifier: BSD-2-Clause
"""What tests of taps share: the kernel's side of the cable, the driver's bare ioctls, checksums by the book."""

import contextlib
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gso_frames import ones_sum

from lab import PATIENCE, Host

ETHERTYPE = 0x88B5
"""IEEE 802, for local experiments: nothing on a machine answers it."""

MAC = "02:00:00:00:00:01"
"""Of the interface, where a test gives it one."""

PEER_MAC = "02:00:00:00:00:02"
"""Whom the interface's `neighbour` pretends to be: its frames come out of the tap."""

NOBODY = 65534

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
TUNSETPERSIST = 0x400454CB
TUNGETVNETHDRSZ, TUNSETVNETHDRSZ = 0x800454D7, 0x400454D8
TUNSETVNETLE, TUNGETVNETLE, TUNSETVNETBE = 0x400454DC, 0x800454DD, 0x400454DE
IFF_TUN, IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x0002, 0x0100, 0x1000, 0x4000
UDP_SEGMENT = 103


@contextlib.contextmanager
def raw_tap(ifname: str, flags: int = IFF_TAP | IFF_NO_PI) -> Iterator[int]:
    """A descriptor of the driver with nothing of ours around it; in this thread's network namespace."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", ifname.encode(), flags))
        yield fd
    finally:
        os.close(fd)


def get_int(fd: int, request: int) -> int:
    """What an ioctl that gives an ``int`` gives."""
    (value,) = struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))
    return int(value)


def set_int(fd: int, request: int, value: int) -> None:
    """An ioctl that takes a pointer to an ``int``."""
    fcntl.ioctl(fd, request, struct.pack("i", value))


def quiet(host: Host) -> None:
    """Interfaces made there from now on say nothing by themselves: no IPv6."""
    with host.entered():
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1", encoding="ascii")


def frame(size: int, tag: int = 0) -> bytes:
    """A frame of `size` bytes to everybody that nobody answers; begins alike, then differs by `tag`."""
    head = b"\xff" * 6 + bytes.fromhex("020000000002") + struct.pack(">HI", ETHERTYPE, tag)
    return (head + bytes(range(256)) * (size // 256 + 1))[:size]


@contextlib.contextmanager
def wire(host: Host, ifname: str = "tap0") -> Iterator[socket.socket]:
    """The kernel's side: what is sent comes out of the tap, what is written into the tap is received."""
    with host.entered():
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    with packets:
        packets.bind((ifname, ETHERTYPE))
        packets.settimeout(PATIENCE)
        yield packets


def neighbour(host: Host, ifname: str = "tap0") -> None:
    """The interface is 192.0.2.1, and behind it lives 192.0.2.2, whom nobody has to ask for."""
    host.address(ifname, "192.0.2.1/24")
    host.ip("neighbour", "replace", "192.0.2.2", "lladdr", PEER_MAC, "dev", ifname)


@contextlib.contextmanager
def udp(host: Host) -> Iterator[socket.socket]:
    """A socket inside that sends to `neighbour`."""
    with host.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(PATIENCE)
        sock.connect(("192.0.2.2", 5000))
        yield sock


def send_cut(sock: socket.socket, payload: bytes, size: int) -> None:
    """Send datagrams of `size` bytes with one call: one frame that is to be cut, if the device can."""
    sock.sendmsg([payload], [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("H", size))])


def device_features(host: Host, ifname: str = "tap0") -> dict[str, str]:
    """What ``ethtool -k`` says: the name of each feature, and ``on`` or ``off``."""
    lines = host.run("ethtool", "-k", ifname).splitlines()[1:]
    pairs = (line.strip().split(": ") for line in lines)
    return {name: value.split()[0] for name, value in pairs}


def checksums_are_right(data: bytes) -> bool:
    """Whether the IPv4 header's checksum and that of TCP or UDP are what the RFCs say."""
    packet = data[14:]
    head = (packet[0] & 15) * 4
    length = int.from_bytes(packet[2:4])
    protocol = packet[9]
    segment = packet[head:length]
    pseudo = packet[12:20] + struct.pack(">HH", protocol, len(segment))
    if protocol == socket.IPPROTO_UDP and segment[6:8] == b"\0\0":
        return False  # "none was made": not by who has to finish it
    return ones_sum(packet[:head]) == 0xFFFF and ones_sum(pseudo + segment) == 0xFFFF


_PREPARED = f"""
import contextlib, json, os, stat, subprocess, sys
import netbe
import pyroute2
import netbe_tap.backend, netbe_tap.settings
with contextlib.suppress(netbe.BadNameError):
    netbe.open("tapestry0")  # the plugin is loaded: the files may be root's alone
pyroute2.IPRoute().close()
# Open to users, as distributions have it; only this process sees it.
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/net"], check=True)
os.mknod("/dev/net/tun", stat.S_IFCHR | 0o666, os.makedev(10, 200))
os.chmod("/dev/net/tun", 0o666)
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
"""


def as_nobody(host: Host, code: str) -> Any:
    """Run `code` inside, as a user without any right; what its ``answer`` is."""
    script = f"{_PREPARED}\n{code}\njson.dump(answer, sys.stdout)\n"
    return json.loads(host.run(sys.executable, "-W", "error", "-c", script))


def refusal(name: str) -> str:
    """Code for `as_nobody`: the error of opening `name`, as class, errno and text."""
    return f"""
try:
    netbe.open({name!r}).close()
    answer = None
except netbe.NetbeError as error:
    answer = [type(error).__name__, error.errno, str(error)]
"""


def script(code: str, *arguments: object, **more: Any) -> subprocess.Popen[str]:
    """A Python process of its own; it ends when its standard input does, if it reads that."""
    words = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)


def unchanged(look: Callable[[], Any]) -> Callable[[], bool]:
    """A function that says whether `look` gives what it gives now."""
    before = look()
    return lambda: bool(look() == before)
