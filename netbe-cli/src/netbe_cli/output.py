# SPDX-License-Identifier: BSD-2-Clause
"""What a command prints: a table for people, one JSON document for machines, numbers in readable units."""

import json
import os
from collections.abc import Iterable, Sequence

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
    both = {
        reason: stats.rx_dropped.get(reason, 0) + stats.tx_dropped.get(reason, 0)
        for reason in (*stats.rx_dropped, *stats.tx_dropped)
    }
    return ", ".join(f"{reason} {count:,}" for reason, count in both.items()) or "0"
