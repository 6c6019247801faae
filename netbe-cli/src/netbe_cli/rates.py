# SPDX-License-Identifier: BSD-2-Clause
"""Live rates while a pump runs: a table that redraws itself on a terminal, JSON lines for machines."""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import netbe
from netbe_cli.output import emit_json, in_short, reasons, si
from netbe_cli.signals import Ending

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_REFRESH = 0.5
_POLL = 0.1
_WIDE = 64
"""Columns of a terminal that has room for frames beside bits."""


class Rates:
    """Differences between two looks at the ports' counters."""

    def __init__(self, stats: Callable[[], Mapping[str, netbe.Stats]]) -> None:
        self._stats = stats
        self._before = stats()
        self._at = time.monotonic()

    def rows(self) -> list[dict[str, Any]]:
        """For each port: frames and bits a second each way since the last look; all drops, and for what reasons."""
        now, stats = time.monotonic(), self._stats()
        seconds = max(now - self._at, 1e-9)
        rows: list[dict[str, Any]] = []
        for name, new in stats.items():
            old = self._before.get(name, netbe.Stats())
            rows.append(
                {
                    "port": name,
                    "rx_pps": (new.rx_frames - old.rx_frames) / seconds,
                    "rx_bps": 8 * (new.rx_bytes - old.rx_bytes) / seconds,
                    "tx_pps": (new.tx_frames - old.tx_frames) / seconds,
                    "tx_bps": 8 * (new.tx_bytes - old.tx_bytes) / seconds,
                    "drops": new.dropped,
                    "reasons": reasons(new),
                }
            )
        self._before, self._at = stats, now
        return rows


def watch(
    rates: Rates, end: Ending, running: Callable[[], bool], *, interval: float | None, live: bool
) -> None:
    """Return when it is to end, or nothing runs any more; show the rates meanwhile.

    With an `interval` in seconds one JSON line is printed each time; else, `live`, a table on a terminal.
    """
    display: AbstractContextManager[Live | None] = nullcontext()
    if live and interval is None and sys.stdout.isatty():
        from rich import live as rich_live  # noqa: PLC0415 - slow to import, and only for a terminal

        display = rich_live.Live(refresh_per_second=2, transient=True)
    step = interval or _REFRESH
    with display as shown:
        if shown is not None:
            shown.update(_table(rates.rows(), shown.console.width), refresh=True)
        due = time.monotonic() + step
        while running() and not end.sleep(min(_POLL, due - time.monotonic())):
            if time.monotonic() < due:
                continue
            due += step
            if shown is not None:
                shown.update(_table(rates.rows(), shown.console.width))
            elif interval is not None:
                emit_json({"seconds": round(end.elapsed, 3), "ports": rates.rows()})


def _table(rows: list[dict[str, Any]], width: int) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - slow to import, and only for a terminal

    rates = [("received\nframes/s", "rx_pps"), ("received\nbit/s", "rx_bps")]
    rates += [("sent\nframes/s", "tx_pps"), ("sent\nbit/s", "tx_bps")]
    if width < _WIDE:
        rates = rates[1::2]
    table = Table(box=None, padding=(0, 2, 0, 0), caption="Ctrl-C ends it", caption_justify="left")
    # A name is cut before a number is.
    table.add_column("port", no_wrap=True, max_width=max(4, width - 10 * len(rates) - 11))
    for title, _ in rates:
        table.add_column(title, justify="right", min_width=8)
    table.add_column("dropped")
    for row in rows:
        numbers = (si(row[key]) for _, key in rates)
        table.add_row(str(row["port"]), *numbers, in_short(row["reasons"]))
    return table
