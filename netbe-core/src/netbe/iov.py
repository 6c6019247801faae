# SPDX-License-Identifier: BSD-2-Clause
"""Scatter-gather lists in Python: an *iov* is one bytes-like object, or a sequence of them."""

from collections.abc import Sequence
from typing import TypeAlias

Bytes: TypeAlias = bytes | bytearray | memoryview
"""One run of bytes."""

Buffers: TypeAlias = Bytes | Sequence[Bytes]
"""An iov: one run of bytes or several in a row. Where it is written to, the runs must be writable."""


def views(iov: Buffers) -> list[memoryview]:
    """The runs of an iov as flat views of unsigned bytes, empty ones left out."""
    runs = (iov,) if isinstance(iov, bytes | bytearray | memoryview) else iov
    flat = (
        run
        if isinstance(run, memoryview) and run.format == "B" and run.ndim == 1
        else memoryview(run).cast("B")
        for run in runs
    )
    return [view for view in flat if len(view)]


def count_iov(iov: Buffers) -> int:
    """How many bytes an iov holds."""
    if isinstance(iov, bytes | bytearray):
        return len(iov)
    return sum(len(view) for view in views(iov))


def buf_to_iov(buffer: Bytes, iov: Buffers, seek: int = 0) -> int:
    """Scatter `buffer` over `iov`, beginning `seek` bytes into the iov; returns how many bytes went.

    Never reads past `buffer` nor writes past the iov: what does not fit stays out.
    """
    if seek < 0:
        raise ValueError(f"seek is {seek}; it counts bytes from the begin of the iov")
    source = memoryview(buffer).cast("B")
    done = 0
    for view in views(iov):
        if seek >= len(view):
            seek -= len(view)
            continue
        run = min(len(view) - seek, len(source) - done)
        view[seek : seek + run] = source[done : done + run]
        done += run
        seek = 0
        if done == len(source):
            break
    return done


def iov_to_buf(iov: Buffers, seek: int = 0, length: int | None = None) -> bytes:
    """Gather an iov into bytes: at most `length` of them, beginning `seek` bytes into the iov."""
    if seek < 0 or (length is not None and length < 0):
        raise ValueError("seek and length count bytes and cannot be negative")
    if isinstance(iov, bytes) and seek == 0 and length is None:
        return iov
    whole = b"".join(views(iov))
    return whole[seek:] if length is None else whole[seek : seek + length]
