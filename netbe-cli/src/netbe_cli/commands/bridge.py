# SPDX-License-Identifier: BSD-2-Clause
"""``netbe bridge A B``: join two backends back to back."""

from enum import StrEnum
from typing import Annotated

import typer

from netbe_cli.arguments import Duration, Interval, Json, NameA, NameB, OnFullWait

EXAMPLES = (
    "netbe bridge tap0 tap1",
    "netbe bridge tap0,netns=blue tap1 --duration 60 --json",
)


class OnFull(StrEnum):
    """What to do with a frame for a full port."""

    wait = "wait"
    drop = "drop"


def command(
    a: NameA,
    b: NameB,
    duration: Duration = None,
    on_full: Annotated[
        OnFull,
        typer.Option(
            "--on-full",
            metavar="wait|drop",
            help="A frame for a full port waits, at most --wait; or is dropped.",
        ),
    ] = OnFull.wait,
    wait: OnFullWait = 0.1,
    interval: Interval = None,
    json: Json = False,
) -> None:
    """Join two backends: each frame of one goes to the other. Runs until Ctrl-C, SIGTERM or --duration."""
    import netbe  # noqa: PLC0415 - help needs none of it
    from netbe_cli.pumping import opened, run  # noqa: PLC0415

    with opened((a, b)) as (one, other):
        pump = netbe.Bridge(one, other, on_full=on_full.value, wait=wait)
        run(pump, duration=duration, interval=interval, json=json)
