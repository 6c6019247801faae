# SPDX-License-Identifier: BSD-2-Clause
"""``netbe gen NAME``: send numbered frames."""

from typing import TYPE_CHECKING, Annotated

import typer

from netbe_cli.arguments import MOST, Count, Duration, Json, Name, parse_mac, parse_rate, whole_number

if TYPE_CHECKING:
    from netbe import Backend
    from netbe.traffic import Generator
    from netbe_cli.signals import Ending

EXAMPLES = (
    "netbe gen tap0 --rate 10k --duration 5",
    "netbe gen tap0 --size 1514 --count 1000000 --json",
)

_TURN = 0.05
"""Seconds between two looks at the end, and at the rate."""


def _mac(text: str) -> str:
    parse_mac(text)  # an error names the option
    return text


def command(
    name: Name,
    size: Annotated[
        int,
        typer.Option(
            "--size", "-s", parser=whole_number(14), metavar="BYTES", help="Length of a frame, 14 or more."
        ),
    ] = 60,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            "-r",
            parser=parse_rate,
            metavar="PPS",
            help="Frames a second, such as 10k; else flat out.",
        ),
    ] = None,
    count: Count = None,
    duration: Duration = None,
    destination: Annotated[
        str, typer.Option("--dst", callback=_mac, metavar="MAC", help="Destination.")
    ] = "ff:ff:ff:ff:ff:ff",
    source: Annotated[
        str, typer.Option("--src", callback=_mac, metavar="MAC", help="Source.")
    ] = "02:00:00:00:00:01",
    stream: Annotated[
        int,
        typer.Option(
            parser=whole_number(0, 65535), metavar="N", help="Number of the stream, where several meet."
        ),
    ] = 0,
    json: Json = False,
) -> None:
    """Send numbered frames.

    `netbe sink` tells from the numbers what was lost. Waits where the backend is full.
    """
    import netbe  # noqa: PLC0415 - help needs none of it
    from netbe.traffic import Generator  # noqa: PLC0415
    from netbe_cli.signals import ending  # noqa: PLC0415

    addresses = {"destination": parse_mac(destination), "source": parse_mac(source)}
    with netbe.open(name) as backend, ending(duration) as end:
        _check_size(size, backend)
        with Generator(backend, size=size, stream=stream, **addresses) as generator:
            _send(generator, end, rate, count)
            seconds = end.elapsed
        drops = {str(reason): count for reason, count in backend.stats.tx_dropped.items()}
    _report(name, size, generator, seconds, drops, json=json)


def _check_size(size: int, backend: "Backend") -> None:
    if not backend.min_frame <= size <= backend.max_frame:
        raise typer.BadParameter(
            f"{backend.name} takes frames of {backend.min_frame} to {backend.max_frame} bytes, not of {size}",
            param_hint="--size",
        )


def _send(generator: "Generator", end: "Ending", pps: float | None, count: int | None) -> None:
    while not end.due and (count is None or generator.sent < count):
        sent = generator.sent
        due = None if count is None else count - sent
        if pps is not None:
            owed = int(min(end.elapsed * pps, MOST)) + 1 - sent
            if owed <= 0:
                end.sleep(min((sent - end.elapsed * pps + 1) / pps, _TURN))
                continue
            due = owed if due is None else min(due, owed)
        generator.send(due, min(_TURN, end.left))


def _report(
    name: str, size: int, generator: "Generator", seconds: float, drops: dict[str, int], *, json: bool
) -> None:
    from netbe_cli.output import emit_json, explain, line, si  # noqa: PLC0415 - help needs none of it

    sent, waits = generator.sent, generator.full
    pps = sent / max(seconds, 1e-9)
    if json:
        emit_json(
            {
                "name": name,
                "frames": sent,
                "bytes": sent * size,
                "seconds": seconds,
                "pps": pps,
                "drops": sum(drops.values()),
                "reasons": drops,
                "full": waits,
            }
        )
    else:
        line(f"sent {sent:,} frames of {size} bytes to {name} in {seconds:.2f} s: {si(pps, 'frames/s')}")
        line(f"dropped {sum(drops.values()):,}; the backend was full {waits:,} times")
        explain(drops)
