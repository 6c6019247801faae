# SPDX-License-Identifier: BSD-2-Clause
"""What a command prints: a table for people, one JSON document for machines, numbers in readable units."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence

import typer

import netbe
from netbe_cli.failures import FAILED

_UNITS = ("", "k", "M", "G", "T")


class OutputError(OSError):
    """Standard output took no more, because a disk is full or the like."""


def emit_json(document: object) -> None:
    """One document on standard output, ended by a newline and flushed."""
    line(json.dumps(document))


def line(text: str = "") -> None:
    """One line on standard output, flushed: a pipe's reader sees it now."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Whoever read this has left, and knows. The interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)
        raise typer.Exit(FAILED) from None
    except OSError as error:
        raise OutputError(error.errno, f"cannot write to standard output: {error.strerror}") from error


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned by their widest cell, numbers to the right; no frames, so that it can be cut up."""
    cells = [[str(cell) for cell in row] for row in rows]
    right = [bool(cells) and all(_numeric(row[i]) for row in cells) for i in range(len(columns))]
    width = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    for row in [list(columns), *cells]:
        line(
            "  ".join(
                c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, width, right, strict=True)
            ).rstrip()
        )


def _numeric(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").rstrip(" kMGTbitsB/").isdigit() or cell == "-"


def si(number: float, unit: str = "") -> str:
    """``1234567`` as ``1.23 M``, with a unit behind it."""
    for prefix in _UNITS:
        if abs(number) < 1000 or prefix == _UNITS[-1]:  # noqa: PLR2004 - what SI prefixes step by
            digits = 0 if not prefix else 2
            return f"{number:.{digits}f} {prefix}{unit}".rstrip()
        number /= 1000
    raise AssertionError


def mebibytes(number: int) -> str:
    """``3563520`` as ``3.4 MiB``."""
    return f"{number / (1 << 20):.1f} MiB"


def drops(stats: netbe.Stats) -> str:
    """Drops by reason, both ways together: ``full 12, too_long 1``; ``0`` where there is none."""
    return in_short(reasons(stats))


def reasons(stats: netbe.Stats) -> dict[str, int]:
    """How many were dropped for each reason, both ways together; only those that occurred."""
    total = stats + netbe.Stats(tx_dropped=stats.rx_dropped)
    return {str(reason): count for reason, count in total.tx_dropped.items()}


def in_short(counts: Mapping[str, int]) -> str:
    """``full 12, too_long 1``; ``0`` where there is none."""
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items()) or "0"


WHY = {
    "full": "the receiver had no room for it",
    "too_short": "shorter than the backend takes",
    "too_long": "longer than the backend takes, or cut by the device",
    "bad_header": "its virtio-net header does not fit it",
    "link_down": "the link is down, or there is no other side",
    "error": "the device refused it, or gave what is no frame",
    "discarded": "nobody was there to take it",
    "filtered": "kept out by a rule of VLANs or forwarding",
    "stopped": "it was on its way when that ended",
}
"""What a reason means, for people."""


def explain(counts: Mapping[str, int]) -> None:
    """A line for each reason."""
    for reason, count in counts.items():
        line(f"  {reason} {count:,}: {WHY[reason]}")
