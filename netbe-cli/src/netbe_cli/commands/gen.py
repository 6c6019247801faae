# SPDX-License-Identifier: BSD-2-Clause
"""``netbe gen NAME``: send numbered frames."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from netbe_cli.arguments import Count, Duration, Json, Name, parse_mac, parse_rate

if TYPE_CHECKING:
    import netbe
    from netbe_cli.signals import Ending
    from netbe_cli.traffic import Generator

EXAMPLES = (
    "netbe gen tap0 --rate 10k --duration 5",
    "netbe gen tap0 --size 1514 --count 1000000 --json",
)

_BATCH = 64
_PAUSE = 0.001


def _mac(text: str) -> str:
    parse_mac(text)  # an error names the option
    return text


def command(
    name: Name,
    size: Annotated[
        int, typer.Option("--size", "-s", min=14, metavar="BYTES", help="Length of a frame.")
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
        int, typer.Option(min=0, max=65535, metavar="N", help="Number of the stream, where several meet.")
    ] = 0,
    json: Json = False,
) -> None:
    """Send numbered frames.

    `netbe sink` tells from the numbers what was lost. Waits where the backend is full.
    """
    import netbe  # noqa: PLC0415 - help needs none of it
    from netbe_cli.signals import ending  # noqa: PLC0415
    from netbe_cli.traffic import Generator  # noqa: PLC0415

    generator = Generator(
        destination=parse_mac(destination),
        source=parse_mac(source),
        size=size,
        per_batch=_BATCH,
        stream=stream,
    )
    with netbe.open(name) as backend, ending(duration) as end:
        sent, waits = _send(backend, generator, end, rate, count)
        seconds = end.elapsed
        drops = backend.stats.tx_dropped
    _report(name, size, sent, seconds, waits, sum(drops.values()), json=json)


def _send(
    backend: "netbe.Backend", generator: "Generator", end: "Ending", pps: float | None, count: int | None
) -> tuple[int, int]:
    """Frames sent, and how often the backend was full."""
    import netbe  # noqa: PLC0415 - loaded already

    sent = waits = 0
    while not end.due and (count is None or sent < count):
        due = _BATCH if count is None else min(_BATCH, count - sent)
        if pps is not None:
            owed = int(end.elapsed * pps) + 1 - sent
            if owed <= 0:
                end.sleep(min((sent - end.elapsed * pps + 1) / pps, 0.05))
                continue
            due = min(due, owed)
        batch = generator.batch(sent, due, time.time_ns())
        done = 0
        while done < due and not end.due:
            try:
                done += backend.send_burst(batch if done == 0 else batch[done:])
            except netbe.BackendFull:
                waits += 1
                wait_for_room(backend, _PAUSE)
        sent += done
    return sent, waits


def wait_for_room(backend: "netbe.Backend", longest: float) -> None:
    """Sleep until the backend says that it has room, for at most so many seconds."""
    import select  # noqa: PLC0415 - only when it is full
    import selectors  # noqa: PLC0415

    armed = backend.arm_send()
    if armed is None:
        time.sleep(longest)
        return
    fd, event = armed
    poll = select.poll()
    poll.register(fd, select.POLLOUT if event == selectors.EVENT_WRITE else select.POLLIN)
    poll.poll(longest * 1000)


def _report(name: str, size: int, sent: int, seconds: float, waits: int, drops: int, *, json: bool) -> None:
    from netbe_cli.output import emit_json, line, si  # noqa: PLC0415 - help needs none of it

    pps = sent / max(seconds, 1e-9)
    if json:
        emit_json(
            {
                "name": name,
                "frames": sent,
                "bytes": sent * size,
                "seconds": seconds,
                "pps": pps,
                "drops": drops,
                "full": waits,
            }
        )
    else:
        line(f"sent {sent:,} frames of {size} bytes to {name} in {seconds:.2f} s: {si(pps, 'frames/s')}")
        line(f"dropped {drops:,}; the backend was full {waits:,} times")
