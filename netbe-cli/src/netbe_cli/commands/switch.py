# SPDX-License-Identifier: BSD-2-Clause
"""``netbe switch A B C …``: a learning switch."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netbe_cli.arguments import (
    Duration,
    Interval,
    Json,
    OnFull,
    OnFullWait,
    complete_name,
    one_of,
    parse_seconds,
    whole_number,
)

if TYPE_CHECKING:
    from netbe.pump import Switch

EXAMPLES = (
    "netbe switch tap0 tap1 tap2 --table",
    "netbe switch tap0 tap1 tap2 --access tap0=10 --access tap1=10 --trunk tap2=all",
)

_Names = Annotated[
    list[str], typer.Argument(metavar="NAME", help="Two backends or more.", autocompletion=complete_name)
]


def command(
    names: _Names,
    duration: Duration = None,
    access: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PORT=VLAN",
            help="Port of one VLAN, untagged. PORT is a number from 1 or a name. Once for each port.",
        ),
    ] = None,
    trunk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PORT=VLAN,VLAN|all",
            help="Port of several VLANs, tagged; with --access for the same port, that VLAN is its native one.",
        ),
    ] = None,
    ageing: Annotated[
        float,
        typer.Option(
            parser=parse_seconds, metavar="SECONDS", help="Forget an address after so long; 0: never."
        ),
    ] = 300.0,
    table_size: Annotated[
        int,
        typer.Option(parser=whole_number(1, 1 << 26), metavar="N", help="How many addresses are held."),
    ] = 65536,
    on_full: Annotated[
        OnFull,
        typer.Option(
            "--on-full",
            help="A frame for a full port is dropped; or waits, at most --wait.",
            **one_of("wait", "drop"),
        ),
    ] = "drop",
    wait: OnFullWait = 0.1,
    table: Annotated[bool, typer.Option("--table", help="At the end, show the addresses learned.")] = False,
    interval: Interval = None,
    json: Json = False,
) -> None:
    """Join backends by a learning switch. Runs until Ctrl-C, SIGTERM or --duration.

    With --access or --trunk, VLANs are kept apart (IEEE 802.1Q); a port of which nothing is said is an
    access port of VLAN 1. A port that has both takes untagged frames as of its --access VLAN, which leave
    untagged too, and those of the other VLANs with their tags; with --trunk alone it drops untagged ones.
    """
    import netbe  # noqa: PLC0415 - help needs none of it
    from netbe_cli.pumping import opened, run  # noqa: PLC0415

    if len(names) < 2:  # noqa: PLR2004 - as the sentence says
        raise typer.BadParameter("a switch has two ports or more", param_hint="NAME")
    vlans = _vlans(names, access or (), trunk or ())
    with opened(names) as backends:
        ports = [netbe.SwitchPort(be, **vlans.get(number, {})) for number, be in enumerate(backends)]
        pump = netbe.Switch(ports, on_full=on_full, wait=wait, ageing=ageing, table_size=table_size)
        run(
            pump,
            duration=duration,
            interval=interval,
            json=json,
            more=lambda _: {"table": _table(pump)} if table else {},
        )
        if table and not json:
            _show_table(pump)


def _vlans(names: Sequence[str], access: Sequence[str], trunk: Sequence[str]) -> dict[int, dict[str, Any]]:
    """What `SwitchPort` is given for each port, by its place."""
    found: dict[int, dict[str, Any]] = {}
    for text in access:
        place, _, vlan = text.rpartition("=")
        number = _place(names, place, text, "--access")
        if number in found:
            raise typer.BadParameter(
                f"{text!r} gives {names[number]} a second VLAN, and an access port has one: more go to --trunk",
                param_hint="--access",
            )
        found[number] = {"pvid": _vlan(vlan, "--access")}
    for text in trunk:
        place, _, wanted = text.rpartition("=")
        port = found.setdefault(_place(names, place, text, "--trunk"), {"pvid": None})
        if wanted == "all":
            port["trunk"] = True
        else:
            port.setdefault("tagged", []).extend(_vlan(vlan, "--trunk") for vlan in wanted.split(","))
    return found


def _place(names: Sequence[str], place: str, text: str, option: str) -> int:
    if place in names:
        return names.index(place)
    short = [number for number, name in enumerate(names) if name.partition(",")[0] == place]
    if len(short) == 1:
        return short[0]
    if place in (numbers := [str(number) for number in range(1, len(names) + 1)]):
        return numbers.index(place)
    raise typer.BadParameter(
        f"{text!r} names no port: write one of {', '.join(names)}, or its number from 1", param_hint=option
    )


def _vlan(text: str, option: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= 4094:  # noqa: PLR2004 - IEEE 802.1Q
        raise typer.BadParameter(f"{text!r} is no VLAN: they are numbered 1 to 4094", param_hint=option)
    return int(text)


def _table(pump: "Switch") -> list[dict[str, object]]:
    return [
        {"mac": entry.mac, "vlan": entry.vlan, "port": entry.port, "age": round(entry.age, 1)}
        for entry in pump.table()
    ]


def _show_table(pump: "Switch") -> None:
    from netbe_cli.output import line, table  # noqa: PLC0415 - help needs none of it

    line()
    table(
        ("address", "vlan", "port", "age"),
        ((entry.mac, entry.vlan, entry.port, f"{entry.age:.0f} s") for entry in pump.table()),
    )
