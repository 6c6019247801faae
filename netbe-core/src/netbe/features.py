# SPDX-License-Identifier: BSD-2-Clause
"""`Features`: virtio-net's feature bits, by the numbers and names of virtio 1.2, section 5.1.3."""

from enum import IntFlag
from typing import Self

from netbe.errors import NotSupportedError


class Features(IntFlag):
    """A set of virtio-net features.

    Seen from whoever uses a backend: CSUM and HOST_* are what the backend takes, GUEST_* are what it may
    hand out. The values are ``1 << bit`` with the bit numbers of virtio 1.2, 5.1.3, and 6 for the last group.
    """

    CSUM = 1 << 0
    GUEST_CSUM = 1 << 1
    CTRL_GUEST_OFFLOADS = 1 << 2
    MTU = 1 << 3
    MAC = 1 << 5
    GUEST_TSO4 = 1 << 7
    GUEST_TSO6 = 1 << 8
    GUEST_ECN = 1 << 9
    GUEST_UFO = 1 << 10
    HOST_TSO4 = 1 << 11
    HOST_TSO6 = 1 << 12
    HOST_ECN = 1 << 13
    HOST_UFO = 1 << 14
    MRG_RXBUF = 1 << 15
    STATUS = 1 << 16
    CTRL_VQ = 1 << 17
    CTRL_RX = 1 << 18
    CTRL_VLAN = 1 << 19
    CTRL_RX_EXTRA = 1 << 20
    GUEST_ANNOUNCE = 1 << 21
    MQ = 1 << 22
    CTRL_MAC_ADDR = 1 << 23
    GUEST_USO4 = 1 << 54
    GUEST_USO6 = 1 << 55
    HOST_USO = 1 << 56
    HASH_REPORT = 1 << 57
    GUEST_HDRLEN = 1 << 59
    RSS = 1 << 60
    RSC_EXT = 1 << 61
    STANDBY = 1 << 62
    SPEED_DUPLEX = 1 << 63

    VERSION_1 = 1 << 32

    @classmethod
    def host_offloads(cls) -> Self:
        """What a frame may ask of its receiver: CSUM and every HOST_* bit."""
        return cls(_HOST)

    @classmethod
    def guest_offloads(cls) -> Self:
        """What a frame that is handed out may ask: every GUEST_* offload bit."""
        return cls(_GUEST)

    @classmethod
    def offloads(cls) -> Self:
        """Both: every bit that a backend's contract is about."""
        return cls(_HOST | _GUEST)

    def mirrored(self) -> "Features":
        """The same offloads seen from the other side of a cable: HOST_* become GUEST_*, and back."""
        result = 0
        for host, guest in _MIRROR:
            # USO is one bit towards the host and two towards the guest: only who takes both takes any.
            if self & guest == guest:
                result |= host
            if self & host:
                result |= guest
        return Features(result)

    def check(self) -> None:
        """Raise `NotSupportedError` where one of these needs another that is missing (virtio 1.2, 5.1.3.1)."""
        for bit, needed in _NEEDS:
            if self & bit and not self & needed:
                raise NotSupportedError(
                    f"{Features(bit).name} needs {' or '.join(str(one.name) for one in Features(needed))}",
                    hint="add it, or leave both out",
                )

    def names(self) -> list[str]:
        """The names of the bits that are set, lowest first; unknown bits as ``bit N``."""
        return [
            Features(1 << bit).name or f"bit {bit}"
            for bit in range(int(self).bit_length())
            if self & (1 << bit)
        ]


_F = Features
_HOST = _F.CSUM | _F.HOST_TSO4 | _F.HOST_TSO6 | _F.HOST_ECN | _F.HOST_UFO | _F.HOST_USO
_GUEST = (
    _F.GUEST_CSUM
    | _F.GUEST_TSO4
    | _F.GUEST_TSO6
    | _F.GUEST_ECN
    | _F.GUEST_UFO
    | _F.GUEST_USO4
    | _F.GUEST_USO6
)
_MIRROR: tuple[tuple[Features, Features], ...] = (
    (_F.CSUM, _F.GUEST_CSUM),
    (_F.HOST_TSO4, _F.GUEST_TSO4),
    (_F.HOST_TSO6, _F.GUEST_TSO6),
    (_F.HOST_ECN, _F.GUEST_ECN),
    (_F.HOST_UFO, _F.GUEST_UFO),
    (_F.HOST_USO, _F.GUEST_USO4 | _F.GUEST_USO6),
)
_NEEDS: tuple[tuple[Features, Features], ...] = (
    (_F.GUEST_TSO4, _F.GUEST_CSUM),
    (_F.GUEST_TSO6, _F.GUEST_CSUM),
    (_F.GUEST_ECN, _F.GUEST_TSO4 | _F.GUEST_TSO6),
    (_F.GUEST_UFO, _F.GUEST_CSUM),
    (_F.GUEST_USO4, _F.GUEST_CSUM),
    (_F.GUEST_USO6, _F.GUEST_CSUM),
    (_F.HOST_TSO4, _F.CSUM),
    (_F.HOST_TSO6, _F.CSUM),
    (_F.HOST_ECN, _F.HOST_TSO4 | _F.HOST_TSO6),
    (_F.HOST_UFO, _F.CSUM),
    (_F.HOST_USO, _F.CSUM),
)

NO_FEATURES = Features(0)
"""The empty set."""
