# SPDX-License-Identifier: BSD-2-Clause
"""The bounds of a frame's length."""

import errno

from netbe.errors import FrameSizeError


def check_size(length: int, shortest: int, longest: int, name: str) -> None:
    """Raise `FrameSizeError` for a frame of `length` bytes (header not counted) outside the bounds."""
    if length < shortest:
        raise FrameSizeError(
            f"a frame of {length} bytes is shorter than the {shortest} that {name} takes",
            errno=errno.EINVAL,
            hint="it has at least destination, source and type; pad it",
        )
    if length > longest:
        raise FrameSizeError(
            f"a frame of {length} bytes is longer than the {longest} that {name} takes",
            hint="send it in parts, or ask for segmentation in its virtio-net header",
        )
