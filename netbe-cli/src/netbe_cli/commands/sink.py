# SPDX-License-Identifier: BSD-2-Clause
"""``netbe sink NAME``: receive frames and count them."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from netbe_cli.arguments import Count, Duration, Json, Name, parse_seconds

if TYPE_CHECKING:
    import netbe
    from netbe_cli.signals import Ending
    from netbe_cli.traffic import Received

EXAMPLES = (
    "netbe sink tap1 --idle 2",
    "netbe sink tap1 --count 100000 --json",
)

_LOOK = 0.1


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
    from netbe_cli.signals import ending  # noqa: PLC0415
    from netbe_cli.traffic import Received  # noqa: PLC0415

    seen = Received()
    with netbe.open(name) as backend, ending(duration) as end:
        tally = _receive(backend, end, seen if sequence else None, count, idle)
        drops = sum(backend.stats.rx_dropped.values())
    _report(name, tally, drops, seen, json=json)


class Tally:
    """Frames, bytes, and the time of the first and the last."""

    def __init__(self) -> None:
        self.frames = self.bytes = 0
        self.first = self.last = 0.0

    @property
    def seconds(self) -> float:
        """Between the first frame and the last."""
        return self.last - self.first


def _receive(
    backend: "netbe.Backend", end: "Ending", seen: "Received | None", count: int | None, idle: float | None
) -> Tally:
    import netbe  # noqa: PLC0415 - loaded already

    tally = Tally()
    room = netbe.FrameBatch(capacity=1 << 18, max_frames=256)
    one = netbe.FrameBatch(capacity=1 << 17, max_frames=1)
    while not end.due and (count is None or tally.frames < count):
        # Towards the end one by one, so that no more are taken than were asked for.
        batch = room if count is None or count - tally.frames >= room.max_frames else one
        number = backend.recv_burst(batch)
        now = time.monotonic()
        if number == 0:
            if idle is not None and tally.frames and now - tally.last >= idle:
                break
            _wait(backend, end)
            continue
        if tally.frames == 0:
            tally.first = now
        tally.last = now
        tally.frames += number
        tally.bytes += batch.nbytes
        if seen is not None:
            seen.see(batch)
    return tally


def _wait(backend: "netbe.Backend", end: "Ending") -> None:
    # In short turns: a signal sets the end, and must be seen.
    if not end.due:
        backend.wait(_LOOK)


def _report(name: str, tally: Tally, drops: int, seen: "Received", *, json: bool) -> None:
    from netbe_cli.output import emit_json, line, si  # noqa: PLC0415 - help needs none of it

    pps = tally.frames / tally.seconds if tally.seconds > 0 else 0.0
    if json:
        emit_json(
            {
                "name": name,
                "frames": tally.frames,
                "bytes": tally.bytes,
                "seconds": tally.seconds,
                "pps": pps,
                "drops": drops,
                "numbered": seen.numbered,
                "lost": seen.lost,
                "duplicated": seen.duplicated,
                "reordered": seen.reordered,
            }
        )
        return
    line(f"received {tally.frames:,} frames, {tally.bytes:,} bytes from {name} in {tally.seconds:.2f} s")
    if pps:
        line(f"{si(pps, 'frames/s')}, {si(8 * tally.bytes / tally.seconds, 'bit/s')}; dropped {drops:,}")
    if seen.numbered:
        line(
            f"numbered {seen.numbered:,}: lost {seen.lost:,}, doubled {seen.duplicated:,}, out of order {seen.reordered:,}"
        )
