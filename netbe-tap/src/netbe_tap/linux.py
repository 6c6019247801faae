# SPDX-License-Identifier: BSD-2-Clause
"""Linux's tap driver: /dev/net/tun and its ioctls, as functions over a descriptor.

Numbers are those of linux/if_tun.h and linux/if.h. A tap's header size and offloads belong to the device and
not to the descriptor: one queue's change is its siblings' change, and a persistent tap keeps them.
"""

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

from netbe.errors import (
    BackendBusy,
    BadNameError,
    DeviceNotFoundError,
    NetbeError,
    NetbePermissionError,
    NotSupportedError,
    OptionError,
)
from netbe.features import Features

DEVICE = "/dev/net/tun"
IFNAMSIZ = 16
HEADER = 12
"""Bytes of virtio-net header that our descriptors always have."""

TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
TUNSETOWNER = 0x400454CC
TUNSETGROUP = 0x400454CE
TUNSETOFFLOAD = 0x400454D0
TUNGETIFF = 0x800454D2
TUNGETVNETHDRSZ = 0x800454D7
TUNSETVNETHDRSZ = 0x400454D8
TUNSETVNETLE = 0x400454DC
TUNGETVNETLE = 0x800454DD

IFF_TAP = 0x0002
IFF_MULTI_QUEUE = 0x0100
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000

# What the kernel may hand to who reads: TUN_F_* by virtio's GUEST_*.
_OFFLOADS: tuple[tuple[Features, int], ...] = (
    (Features.GUEST_CSUM, 0x01),
    (Features.GUEST_TSO4, 0x02),
    (Features.GUEST_TSO6, 0x04),
    (Features.GUEST_ECN, 0x08),
    (Features.GUEST_UFO, 0x10),
    (Features.GUEST_USO4, 0x20),
    (Features.GUEST_USO6, 0x40),
)
_USO = Features.GUEST_USO4 | Features.GUEST_USO6

_IFREQ = struct.Struct("16sH22x")


def open_device() -> int:
    """A new descriptor of /dev/net/tun, attached to nothing yet."""
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise NetbePermissionError(
            f"no permission to open {DEVICE}",
            errno=error.errno,
            hint=f"run as root, or let this user open it (chmod a+rw {DEVICE})",
        ) from error
    except OSError as error:
        raise DeviceNotFoundError(
            f"{DEVICE} cannot be opened ({error.strerror})",
            errno=error.errno,
            hint="load the driver (modprobe tun); in a container, pass the device in (--device /dev/net/tun)",
        ) from error


def attach(fd: int, ifname: str, *, multi_queue: bool) -> str:
    """Make or attach to the interface; returns its name, which the kernel chose when it had a ``%d``."""
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if multi_queue else 0)
    request = bytearray(_IFREQ.pack(ifname.encode(), flags))
    try:
        fcntl.ioctl(fd, TUNSETIFF, request)
    except OSError as error:
        raise _why_not(ifname, error, multi_queue=multi_queue) from error
    return _name(request)


def attached_to(fd: int) -> str | None:
    """The interface's name, which may have changed since; None once it was deleted."""
    request = bytearray(_IFREQ.size)
    try:
        fcntl.ioctl(fd, TUNGETIFF, request)
    except OSError:
        return None
    return _name(request)


def _name(request: bytearray) -> str:
    name: bytes = _IFREQ.unpack(request)[0]
    return name.partition(b"\0")[0].decode()


def _why_not(ifname: str, error: OSError, *, multi_queue: bool) -> NetbeError:  # noqa: PLR0911 - one for each cause
    """TUNSETIFF says EINVAL for four different things; find out which."""
    if error.errno == errno.EPERM:
        if exists(ifname):
            return NetbePermissionError(
                f"no permission to use {ifname}",
                hint="run with CAP_NET_ADMIN, or have its administrator give it to you (ip tuntap add ... user NAME)",
            )
        return NetbePermissionError(
            f"no permission to make {ifname}",
            hint="run with CAP_NET_ADMIN (root), or use a persistent tap that belongs to you: "
            f"ip tuntap add {ifname} mode tap user NAME",
        )
    if error.errno == errno.EBUSY:
        return BackendBusy(
            f"{ifname} is in use by another program", hint="close it there, or take another name"
        )
    if error.errno == errno.E2BIG:
        return BackendBusy(f"{ifname} has as many queues as it can have", hint="ask for fewer queues")
    if error.errno == errno.EINVAL and exists(ifname):
        flags = tap_flags(ifname)
        if flags is None:
            return BadNameError(
                f"{ifname} exists and is no tap",
                hint="take another name, or open it with a backend of its kind",
            )
        if not flags & IFF_TAP:
            return BadNameError(f"{ifname} is a tun, which carries no Ethernet", hint="make it with mode tap")
        if multi_queue and not flags & IFF_MULTI_QUEUE:
            return NotSupportedError(
                f"{ifname} exists and was made for one queue",
                hint="open it without queues=, or make it anew with several (ip tuntap add ... multi_queue)",
            )
        if not multi_queue and flags & IFF_MULTI_QUEUE:
            return NotSupportedError(
                f"{ifname} exists and was made for several queues", hint="open it with queues=2 or more"
            )
    return NetbeError(f"{ifname} cannot be opened: {error.strerror}", errno=error.errno)


def exists(ifname: str) -> bool:
    """Whether this thread's network namespace has an interface of that name."""
    try:
        socket.if_nametoindex(ifname)
    except OSError:
        return False
    return True


def tap_flags(ifname: str) -> int | None:
    """The IFF_* flags that a tun or tap was made with; None for another kind of interface."""
    from pyroute2 import IPRoute  # noqa: PLC0415 - slow to import, and only where something is wrong

    with IPRoute() as route:
        for link in route.get_links(ifname=ifname):
            info = link.get_attr("IFLA_LINKINFO")
            if info is None or info.get_attr("IFLA_INFO_KIND") != "tun":
                return None
            data = info.get_attr("IFLA_INFO_DATA")
            flags = IFF_TAP if data.get_attr("IFLA_TUN_TYPE") == IFF_TAP else 0
            return flags | (IFF_MULTI_QUEUE if data.get_attr("IFLA_TUN_MULTI_QUEUE") else 0)
    return None


def set_header(fd: int) -> None:
    """Make the header 12 bytes and little-endian, whatever the interface had; checked by reading it back."""
    _set_int(fd, TUNSETVNETLE, 1)
    _set_int(fd, TUNSETVNETHDRSZ, HEADER)
    if _get_int(fd, TUNGETVNETHDRSZ) != HEADER or _get_int(fd, TUNGETVNETLE) != 1:
        raise NotSupportedError(
            "this kernel does not give a tap a virtio-net header of 12 bytes, little-endian"
        )


def set_offloads(fd: int, features: Features) -> None:
    """Let the kernel hand out frames that ask these GUEST_* things; all others off. OSError if it can't."""
    flags = 0
    for feature, flag in _OFFLOADS:
        if features & feature:
            flags |= flag
    fcntl.ioctl(fd, TUNSETOFFLOAD, flags)


def probe_capabilities(fd: int) -> Features:
    """What this kernel's taps can do. Leaves all offloads off.

    What a writer may send (HOST_*) the kernel takes always, from the frame's header. USO came with 6.2, both
    ways at once.
    """
    every = Features.offloads()
    try:
        set_offloads(fd, _USO | Features.GUEST_CSUM)
    except OSError:
        every &= ~(_USO | Features.HOST_USO)
    set_offloads(fd, Features(0))
    return every


def set_persistent(fd: int, *, persistent: bool) -> None:
    """Whether the interface stays when its last descriptor is closed."""
    fcntl.ioctl(fd, TUNSETPERSIST, int(persistent))


def set_owner(fd: int, uid: int) -> None:
    """Let this user attach without privilege."""
    _give_to(fd, TUNSETOWNER, "owner", uid)


def set_group(fd: int, gid: int) -> None:
    """Let members of this group attach without privilege."""
    _give_to(fd, TUNSETGROUP, "group", gid)


def _give_to(fd: int, request: int, option: str, number: int) -> None:
    try:
        fcntl.ioctl(fd, request, number)
    except OSError as error:
        raise OptionError(
            f"a tap here does not take {option}={number}: {error.strerror}",
            errno=error.errno,
            hint="in a user namespace only mapped ones will do",
        ) from error


def open_counters() -> int:
    """A descriptor from which `kernel_drops` reads, bound to this thread's network namespace."""
    return os.open("/proc/thread-self/net/dev", os.O_RDONLY | os.O_CLOEXEC)


def kernel_drops(counters: int, ifname: str) -> int:
    """How many frames the kernel had for the tap's reader and dropped (``tx_dropped``); 0 when it is not there."""
    text = b""
    while part := os.pread(counters, 1 << 16, len(text)):
        text += part
    for line in text.decode().splitlines():
        name, colon, fields = line.partition(":")
        if colon and name.strip() == ifname:
            return int(fields.split()[11])  # after the eight of RX: bytes packets errs drop
    return 0


def available() -> bool:
    """Whether this machine has the driver's device."""
    return Path(DEVICE).exists()


def _set_int(fd: int, request: int, value: int) -> None:
    fcntl.ioctl(fd, request, struct.pack("i", value))


def _get_int(fd: int, request: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))[0])
