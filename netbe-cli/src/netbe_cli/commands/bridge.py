# SPDX-License-Identifier: BSD-2-Clause
"""``netbe bridge A B``: join two backends back to back."""

from typing import Annotated

import typer

from netbe_cli.arguments import Duration, Interval, Json, NameA, NameB, OnFull, OnFullWait, one_of

EXAMPLES = (
    "netbe bridge tap0 tap1",
    "netbe bridge tap0,netns=blue tap1 --duration 60 --json",
)


def command(
    a: NameA,
    b: NameB,
    duration: Duration = None,
    on_full: Annotated[
        OnFull,
        typer.Option(
            "--on-full",
            help="A frame for a full port waits, at most --wait; or is dropped.",
            **one_of("wait", "drop"),
        ),
    ] = "wait",
    wait: OnFullWait = 0.1,
    interval: Interval = None,
    json: Json = False,
) -> None:
    """Join two backends: each frame of one goes to the other. Runs until Ctrl-C, SIGTERM or --duration."""
    import netbe  # noqa: PLC0415 - help needs none of it
    from netbe_cli.pumping import opened, run  # noqa: PLC0415

    with opened((a, b)) as (one, other):
        pump = netbe.Bridge(one, other, on_full=on_full, wait=wait)
        run(pump, duration=duration, interval=interval, json=json)
