# SPDX-License-Identifier: BSD-2-Clause
"""Counters as read: `Stats`, and the reasons for which a frame is dropped."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self


class DropReason(StrEnum):
    """Why a frame was dropped; in the order of ``enum netbe_drop`` in netbe.h."""

    FULL = "full"
    """The receiver had no room for it."""
    TOO_SHORT = "too_short"
    """Below ``min_frame``."""
    TOO_LONG = "too_long"
    """Above ``max_frame``, or the device had cut it."""
    BAD_HEADER = "bad_header"
    """Its virtio-net header does not fit it."""
    LINK_DOWN = "link_down"
    """The port has no other side, or the link is down."""
    ERROR = "error"
    """The device refused it, or handed over what is no frame."""
    DISCARDED = "discarded"
    """Nobody was there to take it, or it was thrown away on request."""
    FILTERED = "filtered"
    """A rule of VLANs or of forwarding keeps it out."""
    STOPPED = "stopped"
    """A pump held it when it was told to stop."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What went through a backend since it was opened.

    ``rx`` is from the backend to its user, ``tx`` the other way. Bytes are those of frames, headers not
    counted. The two tables of drops have only the reasons that occurred.
    """

    rx_frames: int = 0
    rx_bytes: int = 0
    tx_frames: int = 0
    tx_bytes: int = 0
    rx_dropped: dict[DropReason, int] = field(default_factory=dict)
    tx_dropped: dict[DropReason, int] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        """All drops, both ways."""
        return sum(self.rx_dropped.values()) + sum(self.tx_dropped.values())

    def __add__(self, other: Self) -> "Stats":
        return Stats(
            self.rx_frames + other.rx_frames,
            self.rx_bytes + other.rx_bytes,
            self.tx_frames + other.tx_frames,
            self.tx_bytes + other.tx_bytes,
            _sum(self.rx_dropped, other.rx_dropped),
            _sum(self.tx_dropped, other.tx_dropped),
        )

    def as_dict(self) -> dict[str, object]:
        """For JSON: the same names, the reasons as strings."""
        return {
            "rx_frames": self.rx_frames,
            "rx_bytes": self.rx_bytes,
            "tx_frames": self.tx_frames,
            "tx_bytes": self.tx_bytes,
            "rx_dropped": {str(reason): count for reason, count in self.rx_dropped.items()},
            "tx_dropped": {str(reason): count for reason, count in self.tx_dropped.items()},
        }


def _sum(one: dict[DropReason, int], other: dict[DropReason, int]) -> dict[DropReason, int]:
    return {reason: n for reason in DropReason if (n := one.get(reason, 0) + other.get(reason, 0))}
