# SPDX-License-Identifier: BSD-2-Clause
"""Small Ethernet frames for tests. Whoever needs whole protocols takes scapy."""

BROADCAST = b"\xff" * 6
"""The destination that everybody takes."""

ETHERTYPE = 0x88B5
"""IEEE 802's EtherType for local experiments (IEEE Std 802-2014, 9.2.4)."""

_TPID = 0x8100
_SHORTEST = 60
_VLANS = range(4096)


def station(number: int) -> bytes:
    """The address of a station of your test: 6 bytes, locally administered, unicast; `number` up to 2**32 - 1."""
    return b"\x02\x00" + number.to_bytes(4)


def ethernet(
    payload: bytes = b"",
    *,
    dst: bytes = BROADCAST,
    src: bytes = b"\x02\x00\x00\x00\x00\x01",
    ethertype: int = ETHERTYPE,
    vlan: int | None = None,
) -> bytes:
    """A frame without its check sequence, filled up with zeros to the 60 bytes that Ethernet asks.

    `vlan` adds an IEEE 802.1Q tag with that VLAN identifier (0 to 4095), priority 0. `ValueError` when an
    address has not 6 bytes, or a number does not fit its field.
    """
    if len(dst) != 6 or len(src) != 6:  # noqa: PLR2004 - as the sentence says
        msg = "an Ethernet address has 6 bytes"
        raise ValueError(msg)
    if not 0 <= ethertype < 1 << 16:
        msg = f"an EtherType has 16 bits; {ethertype:#x} has more"
        raise ValueError(msg)
    if vlan is not None and vlan not in _VLANS:
        msg = f"a VLAN identifier is 0 to 4095, not {vlan}"
        raise ValueError(msg)
    tag = b"" if vlan is None else _TPID.to_bytes(2) + vlan.to_bytes(2)
    return (dst + src + tag + ethertype.to_bytes(2) + payload).ljust(_SHORTEST, b"\0")
