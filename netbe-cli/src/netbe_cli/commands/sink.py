# SPDX-License-Identifier: BSD-2-Clause
"""``netbe sink NAME``: receive frames and count them."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from netbe_cli.arguments import Count, Duration, Json, Name, parse_seconds

if TYPE_CHECKING:
    from netbe.traffic import Received, Sink
    from netbe_cli.signals import Ending

EXAMPLES = (
    "netbe sink tap1 --idle 2",
    "netbe sink tap1 --count 100000 --json",
)

_TURN = 0.05
"""Seconds between two looks at the end."""


def command(
    name: Name,
    count: Count = None,
    duration: Duration = None,
    idle: Annotated[
        float | None,
        typer.Option(
            parser=parse_seconds,
            metavar="SECONDS",
            help="End when, after the first, no frame came for so long.",
        ),
    ] = None,
    sequence: Annotated[
        bool, typer.Option("--sequence/--no-sequence", help="Look at the numbers of frames that gen sent.")
    ] = True,
    json: Json = False,
) -> None:
    """Receive frames and count them.

    Of frames that `netbe gen` sent, those that were lost, doubled and out of order are counted too. Runs
    until Ctrl-C, SIGTERM, --duration, --count or --idle. The rate is that between the first frame and the last.
    """
    import netbe  # noqa: PLC0415 - help needs none of it
    from netbe.traffic import Sink  # noqa: PLC0415
    from netbe_cli.signals import ending  # noqa: PLC0415

    with netbe.open(name) as backend, ending(duration) as end:
        with Sink(backend, numbers=sequence) as sink:
            _receive(sink, end, count, idle)
        drops = {str(reason): count for reason, count in backend.stats.rx_dropped.items()}
    _report(name, sink.received, drops, json=json)


def _receive(sink: "Sink", end: "Ending", count: int | None, idle: float | None) -> None:
    frames = 0
    while not end.due and (count is None or frames < count):
        # In short turns: a signal sets the end, and must be seen.
        frames += sink.receive(None if count is None else count - frames, min(_TURN, end.left))
        if idle is not None and frames and time.monotonic() - sink.received.last >= idle:
            break


def _report(name: str, seen: "Received", drops: dict[str, int], *, json: bool) -> None:
    from netbe_cli.output import emit_json, explain, line, si  # noqa: PLC0415 - help needs none of it

    pps = seen.frames / seen.seconds if seen.seconds > 0 else 0.0
    if json:
        emit_json(
            {
                "name": name,
                "frames": seen.frames,
                "bytes": seen.bytes,
                "seconds": seen.seconds,
                "pps": pps,
                "drops": sum(drops.values()),
                "reasons": drops,
                "numbered": seen.numbered,
                "lost": seen.lost,
                "duplicated": seen.duplicated,
                "reordered": seen.reordered,
            }
        )
        return
    line(f"received {seen.frames:,} frames, {seen.bytes:,} bytes from {name} in {seen.seconds:.2f} s")
    rate = f"{si(pps, 'frames/s')}, {si(8 * seen.bytes / seen.seconds, 'bit/s')}; " if pps else ""
    if pps or drops:
        line(f"{rate}dropped {sum(drops.values()):,}")
    explain(drops)
    if seen.numbered:
        line(
            f"numbered {seen.numbered:,}: lost {seen.lost:,}, doubled {seen.duplicated:,}, out of order {seen.reordered:,}"
        )
