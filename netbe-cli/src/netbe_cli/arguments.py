# SPDX-License-Identifier: BSD-2-Clause
"""Arguments and options that several commands share, and what a shell completes them to."""

import os
import re
from typing import Annotated

import typer


def complete_name(incomplete: str) -> list[str]:
    """Prefixes of installed backends, and interfaces that are there; imports no plugin."""
    from netbe import registry  # noqa: PLC0415 - only when a shell asks

    prefixes = [f"{info.prefix}:" for info in registry.list_backends()]
    try:
        interfaces = [name for name in os.listdir("/sys/class/net") if name.startswith(("tap", "vmnet"))]  # noqa: PTH208
    except OSError:
        interfaces = []
    return [name for name in (*sorted(interfaces), *prefixes) if name.startswith(incomplete)]


def parse_count(text: str) -> float:
    """A number that may end in k, M or G (thousands)."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kMG]?)", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is not a number such as 500, 10k or 1.5M")
    return float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Backend, such as tap0 or tap0,mtu=9000.", autocompletion=complete_name
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Duration = Annotated[
    float | None, typer.Option("--duration", "-d", min=0, metavar="SECONDS", help="End after so long.")
]
Interval = Annotated[
    float | None,
    typer.Option("--interval", min=0.05, metavar="SECONDS", help="Print rates as a JSON line each time."),
]
OnFullWait = Annotated[
    float,
    typer.Option("--wait", min=0, metavar="SECONDS", help="Longest wait for room before a frame is dropped."),
]
