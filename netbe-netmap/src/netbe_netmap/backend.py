# SPDX-License-Identifier: BSD-2-Clause
"""`NetmapBackend`: the contract over ports on netmap's rings, whoever's they are."""

import abc
from collections.abc import Sequence

from netbe.features import NO_FEATURES, Features
from netbe.native import Port
from netbe.portbackend import PortBackend
from netbe_netmap._native import ffi, lib

OFFLOADS = (
    Features.CSUM
    | Features.HOST_TSO4
    | Features.HOST_TSO6
    | Features.GUEST_CSUM
    | Features.GUEST_TSO4
    | Features.GUEST_TSO6
)
"""What a VALE switch hands from port to port, or finishes where a receiver has no header."""


class Device(abc.ABC):
    """What is behind the ports, with the calls that are not a ring's."""

    @property
    @abc.abstractmethod
    def has_header(self) -> bool:
        """Whether frames can have a virtio-net header at all."""

    @abc.abstractmethod
    def set_header(self, length: int) -> None:
        """Put a header of 0, 10 or 12 bytes before each frame; raise, and change nothing, if it cannot."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of it; the ports are freed by then."""


class NetmapBackend(PortBackend):
    """A switch's port, a NIC's rings, or one end of a pipe."""

    def __init__(self, name: str, ports: Sequence[Port], device: Device, *, hdr_len: int = 0) -> None:
        """Own the ports and their device, which has headers of `hdr_len` bytes now."""
        self.device = device
        self.device_hdr_len = hdr_len
        self.capabilities = OFFLOADS if device.has_header else NO_FEATURES
        super().__init__(name, ports)

    def _negotiate(self, features: Features, vnet_hdr_len: int) -> None:
        # With a header a switch hands over what others send as it is, so there is none unless it is asked for.
        # It stays when it is wanted no more: the kernel would go on cutting for a port that has one, at the
        # wrong length. Who sends and receives here takes it off, and does what it asks.
        if not self.device.has_header or vnet_hdr_len in (0, self.device_hdr_len):
            return
        self.device.set_header(vnet_hdr_len)
        for port in self._ports:
            lib.nm_port_set_hdr_len(ffi.cast("struct netbe_port *", port.address), vnet_hdr_len)
        self.device_hdr_len = vnet_hdr_len

    def _shutdown(self) -> None:
        self.device.close()
