# SPDX-License-Identifier: BSD-2-Clause
"""Rings of netmap's kernel module: registered, mapped, made into ports.

`System` is all that touches the operating system from Python; the syncs are made by ``_native/kernel.c``.
The C behind it has FreeBSD's differences in it, but has been built and run on Linux alone, and so has this.
"""

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netbe.backend import MAX_FRAME
from netbe.errors import (
    BackendBusy,
    DeviceNotFoundError,
    NetbeError,
    NetbePermissionError,
    NotSupportedError,
    OptionError,
)
from netbe.native import Port
from netbe_netmap._native import ffi, lib
from netbe_netmap.backend import Device, NetmapBackend
from netbe_netmap.names import PortName, Rings

if TYPE_CHECKING:
    from netbe_netmap._native import CData

DEVICE = "/dev/netmap"


class System:
    """The calls that are made to the operating system; tests have one of their own."""

    sync: "CData" = ffi.NULL
    """What stands for ``ioctl`` in the ports' syncs; NULL is itself."""

    def open(self) -> int:
        """A descriptor of the device."""
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)

    def close(self, fd: int) -> None:
        """Close it."""
        os.close(fd)

    def control(self, fd: int, request: int, name: str, body: "CData") -> None:
        """One NIOCCTRL; `body` is read and written."""
        _raise(lib.nm_kernel_control(fd, request, name.encode(), body))

    def map(self, fd: int, size: int) -> "CData":
        """The region, mapped."""
        base = lib.nm_kernel_map(fd, size)
        if base == ffi.NULL:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        return base

    def unmap(self, base: "CData", size: int) -> None:
        """Take the region away; its addresses stay, for views of frames that somebody kept."""
        _raise(lib.nm_kernel_blank(base, size))

    def forget(self, base: "CData", size: int) -> None:
        """The last view is gone: the addresses too."""
        lib.nm_kernel_unmap(base, size)


def _raise(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def available() -> bool:
    """Whether this user can open the device; its name may be there without the module."""
    system = System()
    try:
        system.close(system.open())
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Wishes:
    """What was asked for besides the name."""

    slots: int | None = None
    rings: int | None = None
    exclusive: bool = False


@dataclass(frozen=True)
class Binding:
    """What one descriptor was registered for."""

    fd: int
    base: "CData"
    size: int
    offset: int
    rings: tuple[tuple[int, bool], ...]
    """The numbers of the rings, and whether they are the host's."""


class KernelDevice(Device):
    """The descriptors and mappings behind one backend."""

    def __init__(self, port: PortName, system: System | None = None) -> None:
        self.port = port
        self.system = System() if system is None else system
        self._fds: list[int] = []
        self._maps: list[tuple[CData, int]] = []

    def bind(self, mode: int, wishes: Wishes, ring: int = 0) -> Binding:
        """Register one descriptor and map its region."""
        try:
            fd = self.system.open()
        except OSError as error:
            raise explained(error, self.port) from error
        self._fds.append(fd)
        body = ffi.new("struct nmreq_register *")
        body.nr_mode, body.nr_ringid = mode, ring
        body.nr_tx_slots = body.nr_rx_slots = wishes.slots or 0
        if self.port.nic is None:
            body.nr_tx_rings = body.nr_rx_rings = wishes.rings or 0
        # Every sync is our own, so a poll for frames need not send; a port may have its header already.
        body.nr_flags = lib.NM_FLAG_NO_TX_POLL | lib.NM_FLAG_ACCEPT_VNET_HDR
        if wishes.exclusive:
            body.nr_flags |= lib.NM_FLAG_EXCLUSIVE
        try:
            self.system.control(fd, lib.NM_REQ_REGISTER, self.port.request, body)
            base = self.system.map(fd, body.nr_memsize)
        except OSError as error:
            raise explained(error, self.port, wishes) from error
        base = self._owned(base, int(body.nr_memsize))
        self._maps.append((base, body.nr_memsize))
        return self._look_at(fd, base, body, mode)

    def _owned(self, base: "CData", size: int) -> "CData":
        forget = self.system.forget
        return ffi.gc(base, lambda gone: forget(gone, size))

    def _look_at(self, fd: int, base: "CData", body: "CData", mode: int) -> Binding:
        info = ffi.new("struct nm_kernel_info *")
        if lib.nm_kernel_info(base, body.nr_memsize, body.nr_offset, info) < 0:
            raise _not_as_known(self.port)
        nic, host = (info.tx_rings, info.rx_rings), (info.host_tx_rings, info.host_rx_rings)
        if mode == lib.NM_MODE_ONE_NIC:
            numbers: tuple[tuple[int, bool], ...] = ((int(body.nr_ringid), False),)
        else:
            transmit, receive = host if mode == lib.NM_MODE_SW else nic
            if transmit != receive:
                raise NotSupportedError(
                    f"{self.port} has {transmit} rings to send and {receive} to receive",
                    hint="make them as many (ethtool -L), or open one ring as netmap:NIC-N",
                )
            numbers = tuple((number, mode == lib.NM_MODE_SW) for number in range(receive))
        return Binding(fd, base, body.nr_memsize, body.nr_offset, numbers)

    def unbind(self) -> None:
        """Let go of everything; may be called again."""
        maps, self._maps = self._maps, []
        fds, self._fds = self._fds, []
        for base, size in maps:
            with contextlib.suppress(OSError):
                self.system.unmap(base, size)
        for fd in fds:
            with contextlib.suppress(OSError):
                self.system.close(fd)

    def make_ports(self, binding: Binding, hdr_len: int) -> list[Port]:
        """A native port for each ring of `binding`."""
        ports: list[Port] = []
        name = ffi.NULL if self.port.nic is None else ffi.new("char[]", os.fsencode(self.port.nic))
        for ring, host in binding.rings:
            config = ffi.new(
                "struct nm_kernel_config *",
                {
                    "fd": binding.fd,
                    "base": binding.base,
                    "size": binding.size,
                    "offset": binding.offset,
                    "tx_ring": ring,
                    "rx_ring": ring,
                    "host": host,
                    "hdr_len": hdr_len,
                    "max_frame": MAX_FRAME,
                    "vale": self.has_header,
                    "nic": name,
                    "ioctl_fn": self.system.sync,
                },
            )
            native = lib.nm_kernel_port_new(config)
            if native == ffi.NULL:
                number = ffi.errno
                for port in ports:
                    port.close()
                if number == errno.EINVAL:
                    raise _not_as_known(self.port)
                raise OSError(number, os.strerror(number))
            ports.append(_adopt(native, self, memoryview(ffi.buffer(binding.base, binding.size))))
        return ports

    @property
    def has_header(self) -> bool:
        """Whether frames can have a virtio-net header: on a switch's port."""
        return self.port.switch is not None and self.port.pipe is None

    def get_header(self) -> int:
        """Bytes of header that the port has now."""
        if not self.has_header:
            return 0
        body = ffi.new("struct nmreq_port_hdr *")
        try:
            self.system.control(self._fds[0], lib.NM_REQ_PORT_HDR_GET, self.port.request, body)
        except OSError as error:
            raise explained(error, self.port) from error
        return int(body.nr_hdr_len)

    def set_header(self, length: int) -> None:
        body = ffi.new("struct nmreq_port_hdr *")
        body.nr_hdr_len = length
        try:
            self.system.control(self._fds[0], lib.NM_REQ_PORT_HDR_SET, self.port.request, body)
        except OSError as error:
            raise NotSupportedError(
                f"{self.port}: the kernel refuses a virtio-net header of {length} bytes: {error.strerror}",
                hint="it takes 0, 10 and 12, on a switch's port alone",
            ) from error

    def close(self) -> None:
        self.unbind()


def _adopt(native: "CData", owner: object, memory: memoryview) -> Port:
    return Port(
        int(ffi.cast("uintptr_t", native)),
        owner=owner,
        free=lambda: lib.nm_kernel_port_free(native),
        tx_memory=memory,
        rx_memory=memory,
    )


def open_kernel(  # noqa: PLR0913 - the options of the name
    name: str,
    port: PortName,
    *,
    slots: int | None = None,
    rings: int | None = None,
    exclusive: bool = False,
    system: System | None = None,
) -> NetmapBackend:
    """Open a port, a NIC's rings or a pipe in the kernel; on failure nothing is left behind."""
    device = KernelDevice(port, system)
    ports: list[Port] = []
    try:
        hdr_len = None
        for binding in _bindings(device, Wishes(slots, rings, exclusive)):
            if hdr_len is None:
                hdr_len = device.get_header()
            ports += device.make_ports(binding, hdr_len)
        return NetmapBackend(name, ports, device, hdr_len=hdr_len or 0)
    except BaseException:
        for made in ports:
            made.close()
        device.close()
        raise


def _bindings(device: KernelDevice, wishes: Wishes) -> list[Binding]:
    """The descriptors that the name asks for: one a ring, so that each can have a thread of its own."""
    port = device.port
    if port.rings is Rings.ONE:
        return [device.bind(lib.NM_MODE_ONE_NIC, wishes, port.ring or 0)]
    if port.rings is Rings.HOST:
        return [device.bind(lib.NM_MODE_SW, wishes)]
    first = device.bind(lib.NM_MODE_ALL_NIC, wishes)
    count = len(first.rings)
    if wishes.rings is not None and count != wishes.rings:
        raise OptionError(
            f"{port} has {count} rings, and rings={wishes.rings} was asked for",
            hint="it has them since it was first opened"
            if port.nic is None
            else f"set the NIC's own number first: ethtool -L {port.nic} combined {wishes.rings}",
        )
    if count == 1:
        bindings = [first]
    else:
        # The first was to learn their number; kept, it would stand in the way of exclusive=on.
        device.unbind()
        bindings = [device.bind(lib.NM_MODE_ONE_NIC, wishes, number) for number in range(count)]
    if port.rings is Rings.BOTH:
        bindings.append(device.bind(lib.NM_MODE_SW, wishes))
    return bindings


def _not_as_known(port: PortName) -> NotSupportedError:
    return NotSupportedError(
        f"{port}: what the kernel's netmap has mapped is not laid out as this program knows it",
        hint="its API is 14 or 15; say provider=embedded where a switch will do",
    )


def explained(error: OSError, port: PortName, wishes: Wishes = Wishes()) -> NetbeError:
    """What an errno of netmap's really means: it has few for many causes."""
    number = error.errno or errno.EIO
    kind, text, hint = _CAUSES.get(number, (NetbeError, f"the kernel's netmap says: {error.strerror}", None))
    if number == errno.ENXIO and port.nic is None:
        kind, text, hint = (
            DeviceNotFoundError,
            "the kernel's netmap knows no such port",
            "somebody has deleted it",
        )
    elif number == errno.EINVAL and wishes.slots is not None:
        kind, text, hint = (
            OptionError,
            f"the kernel's netmap does not take slots={wishes.slots}",
            "leave it out",
        )
    elif number == errno.EINVAL and port.ring is not None:
        kind, text, hint = DeviceNotFoundError, f"it has no ring {port.ring}", "the first is 0"
    elif number == errno.EINVAL and port.nic is not None:
        hint = f"its MTU has to fit netmap's buffers of 2048 bytes: ip link set {port.nic} mtu 1500"
    elif number == errno.ENOMEM and port.switch is None:
        text, hint = "the kernel's netmap has no memory left", "raise its parameters buf_num and ring_num"
    return kind(f"{port}: {text}", errno=number, hint=hint)


_CAUSES: dict[int, tuple[type[NetbeError], str, str | None]] = {
    errno.EACCES: (
        NetbePermissionError,
        f"{DEVICE} is root's alone",
        "run as root, or let your group in: chgrp and chmod 0660 /dev/netmap",
    ),
    errno.EPERM: (NetbePermissionError, "not permitted", "run as root"),
    errno.ENOENT: (DeviceNotFoundError, f"there is no {DEVICE}", "load the module: modprobe netmap"),
    errno.ENODEV: (DeviceNotFoundError, f"nothing is behind {DEVICE}", "load the module: modprobe netmap"),
    errno.ENXIO: (DeviceNotFoundError, "there is no such interface", "ip link shows those that there are"),
    errno.EBUSY: (BackendBusy, "somebody else has it", "it, or this one, was opened with exclusive=on"),
    errno.EINVAL: (
        NotSupportedError,
        "the kernel's netmap cannot take this interface, or speaks another version of its API than 14 and 15",
        None,
    ),
    errno.EIO: (
        NetbeError,
        "the kernel's netmap does not let another in while the port has a virtio-net header",
        "open it anew when the first one has closed it",
    ),
    errno.ENOMEM: (
        NetbeError,
        "the kernel's netmap has no room: it has eight switches at most, and one region for all ports",
        "use a switch that there is already, or ask for fewer slots",
    ),
    errno.EOPNOTSUPP: (NotSupportedError, "the kernel's netmap does not know one of the options", None),
}
