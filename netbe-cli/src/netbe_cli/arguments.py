# SPDX-License-Identifier: BSD-2-Clause
"""Arguments and options that several commands share, and what a shell completes them to."""

import math
import os
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

MOST = (1 << 63) - 1
"""Of whatever is counted."""

SHORTEST, LONGEST = 0.05, 1e6
"""Seconds between two prints of rates."""


def complete_name(incomplete: str) -> list[str]:
    """Prefixes of installed backends, interfaces that are there, the embedded switches.

    Imports no plugin, except for a name that begins with vale.
    """
    from netbe import registry  # noqa: PLC0415 - only when a shell asks

    prefixes = [f"{info.prefix}:" for info in registry.list_backends()]
    try:
        interfaces = [name for name in os.listdir("/sys/class/net") if name.startswith(("tap", "vmnet"))]  # noqa: PTH208
    except OSError:
        interfaces = []
    known = (*sorted(interfaces), *_embedded(incomplete), *prefixes)
    return [name for name in known if name.startswith(incomplete)]


def _embedded(incomplete: str) -> list[str]:
    """Switches that are there; of the one that is written out, its ports too."""
    if not incomplete.startswith("vale"):
        return []
    try:
        from netbe_netmap import embedded  # type: ignore[import-not-found,unused-ignore] # noqa: PLC0415

        there = embedded.switches()
        ports = [
            member.name
            for switch in there
            if incomplete.startswith(f"{switch.partition('{')[0].partition(':')[0]}:")
            for member in embedded.members(switch)
        ]
    except (ImportError, OSError):
        return []
    return [*(f"{switch}:" for switch in there if "{" not in switch), *sorted(ports)]


def parse_rate(text: str) -> float:
    """A number above 0 that may end in k, M or G (thousands)."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kMG]?)", text)
    rate = float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]] if found else 0.0
    if not rate:
        raise typer.BadParameter(f"{text!r} is not a number above 0 such as 500, 10k or 1.5M")
    if not math.isfinite(rate):
        raise typer.BadParameter(
            f"{text!r} is no rate, it is without end: flat out is what you get without --rate"
        )
    return rate


def whole_number(low: int, high: int = MOST) -> Callable[[object], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(given: object) -> int:  # a default is a number already
        text = str(given)
        if not re.fullmatch("-?[0-9]+", text, re.ASCII) or text.startswith("-"):
            raise typer.BadParameter(f"{text!r} is not a whole number of at least {low}")
        # Python refuses to read thousands of digits.
        number = int(text) if len(text.lstrip("0")) <= len(str(MOST)) else math.inf
        if number < low:
            raise typer.BadParameter(f"{text!r} is not a whole number of at least {low}")
        if number > high:
            raise typer.BadParameter(f"{text!r} is more than {high}, the most it can be")
        return int(number)

    return parse


def one_of(*words: str) -> Any:  # noqa: ANN401 - arguments of typer's
    """What an option is that takes one of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(words)}")
        return text

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return {"parser": parse, "autocompletion": complete, "metavar": "|".join(words)}


def parse_mac(text: str) -> bytes:
    """Six bytes from ``02:00:00:00:00:01``."""
    if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
        raise typer.BadParameter(f"{text!r} is no Ethernet address such as 02:00:00:00:00:01")
    return bytes.fromhex(text.replace(":", ""))


def parse_seconds(text: str) -> float:
    """Seconds, with a fraction or not."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?|\.[0-9]+", str(text)):  # a default is a float already
        raise typer.BadParameter(f"{text!r} is no number of seconds such as 10 or 0.5")
    return float(text)


def _parse_interval(text: str) -> float:
    seconds = parse_seconds(text)
    if not SHORTEST <= seconds <= LONGEST:
        raise typer.BadParameter(f"{text!r} is not from {SHORTEST} to {LONGEST:.0f} seconds")
    return seconds


def examples(*lines: str) -> str:
    """What stands at the end of a command's help: command lines, which are not to be filled."""
    return "\b\nExamples:\n" + "".join(f"  {line}\n" for line in lines)


def _backend(metavar: str) -> Any:  # noqa: ANN401 - what typer makes
    return typer.Argument(
        metavar=metavar, help="Backend, such as tap0 or tap0,mtu=9000.", autocompletion=complete_name
    )


Name = Annotated[str, _backend("NAME")]
NameA = Annotated[str, _backend("A")]
NameB = Annotated[str, _backend("B")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Count = Annotated[
    int | None,
    typer.Option("--count", "-c", parser=whole_number(1), metavar="N", help="End after so many frames."),
]
Duration = Annotated[
    float | None,
    typer.Option("--duration", "-d", parser=parse_seconds, metavar="SECONDS", help="End after so long."),
]
Interval = Annotated[
    float | None,
    typer.Option(
        "--interval", parser=_parse_interval, metavar="SECONDS", help="Print rates as a JSON line each time."
    ),
]
OnFull = Literal["wait", "drop"]
"""What to do with a frame for a full port."""

OnFullWait = Annotated[
    float,
    typer.Option(
        "--wait",
        parser=parse_seconds,
        metavar="SECONDS",
        help="Longest wait for room before a frame is dropped.",
    ),
]
