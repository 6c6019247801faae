# SPDX-License-Identifier: BSD-2-Clause
"""Why a backend refuses a call: the errors that its state gives, in one wording for all kinds of backends."""

from typing import TYPE_CHECKING

from netbe.errors import (
    BackendBusy,
    BackendClosed,
    ForkedError,
    FrameTooLong,
    NetbeError,
    NotSupportedError,
)

if TYPE_CHECKING:
    from netbe.backend import Backend


def closed(backend: "Backend") -> NetbeError:
    """It was closed."""
    return BackendClosed(f"{backend.name} is closed", hint="open it again")


def forked(backend: "Backend") -> NetbeError:
    """It is the parent process's."""
    return ForkedError(
        f"{backend.name} was opened before this process was forked", hint="open it in the child"
    )


def busy(backend: "Backend") -> NetbeError:
    """A pump has it."""
    return BackendBusy(
        f"{backend.name} is in the hands of {backend._user!r}",  # noqa: SLF001 - of this package
        hint="stop it, or use the pump's own counters and the other end of the cable",
    )


def too_little_room(needed: int, room: int) -> FrameTooLong:
    """A receiving call offers `room` bytes for a frame of `needed`."""
    return FrameTooLong(
        f"the next frame has {needed} bytes, and there is room for {room}",
        needed=needed,
        hint="it is kept: offer more room, or take it out with rx_discard()",
    )


def slots_out(backend: "Backend") -> NetbeError:
    """Its slots are being written in place."""
    return BackendBusy(
        f"{backend.name} has reserved slots that are not committed", hint="commit or release them first"
    )


def frames_out(backend: "Backend") -> NetbeError:
    """Its frames are being looked at in place."""
    return BackendBusy(f"{backend.name} has lent frames", hint="release them first")


def no_slots(backend: "Backend") -> NetbeError:
    """Its frames cannot be written in place."""
    return NotSupportedError(
        f"{backend.name} has no memory of its own to write frames to", hint="send() takes them from yours"
    )


def no_lending(backend: "Backend") -> NetbeError:
    """Its frames cannot be looked at in place."""
    return NotSupportedError(
        f"{backend.name} has no memory where frames could be looked at", hint="recv() copies them"
    )
