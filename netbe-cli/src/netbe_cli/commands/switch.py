# SPDX-License-Identifier: BSD-2-Clause
"""``netbe switch A B C …``: a learning switch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netbe_cli.arguments import Duration, Interval, Json, OnFullWait, complete_name, parse_seconds
from netbe_cli.commands.bridge import OnFull

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
            metavar="PORT=VLAN", help="Port of one VLAN, untagged. PORT is a number from 1 or a name."
        ),
    ] = None,
    trunk: Annotated[
        list[str] | None,
        typer.Option(metavar="PORT=VLAN,VLAN|all", help="Port of several VLANs, tagged."),
    ] = None,
    ageing: Annotated[
        float,
        typer.Option(
            parser=parse_seconds, metavar="SECONDS", help="Forget an address after so long; 0: never."
        ),
    ] = 300.0,
    table_size: Annotated[
        int, typer.Option(min=1, max=1 << 26, metavar="N", help="How many addresses are held.")
    ] = 65536,
    on_full: Annotated[
        OnFull,
        typer.Option(
            "--on-full",
            metavar="wait|drop",
            help="A frame for a full port is dropped; or waits, at most --wait.",
        ),
    ] = OnFull.drop,
    wait: OnFullWait = 0.1,
    table: Annotated[bool, typer.Option("--table", help="At the end, show the addresses learned.")] = False,
    interval: Interval = None,
    json: Json = False,
) -> None:
    """Join backends by a learning switch. Runs until Ctrl-C, SIGTERM or --duration.

    With --access or --trunk, VLANs are kept apart (IEEE 802.1Q); a port of which nothing is said is an
    access port of VLAN 1.
    """
    import netbe  # noqa: PLC0415 - help needs none of it
    from netbe_cli.pumping import opened, run  # noqa: PLC0415

    if len(names) < 2:  # noqa: PLR2004 - as the sentence says
        raise typer.BadParameter("a switch has two ports or more")
    vlans = _vlans(names, access or (), trunk or ())
    with opened(names) as backends:
        ports = [netbe.SwitchPort(be, **vlans.get(number, {})) for number, be in enumerate(backends)]
        pump = netbe.Switch(ports, on_full=on_full.value, wait=wait, ageing=ageing, table_size=table_size)
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
        found[_place(names, place, text)] = {"pvid": _vlan(vlan)}
    for text in trunk:
        place, _, wanted = text.rpartition("=")
        number = _place(names, place, text)
        untagged = found.get(number, {}).get("pvid")
        members: dict[str, Any] = (
            {"trunk": True} if wanted == "all" else {"tagged": [_vlan(v) for v in wanted.split(",")]}
        )
        found[number] = {"pvid": untagged, **members}
    return found


def _place(names: Sequence[str], place: str, text: str) -> int:
    if place in names:
        return names.index(place)
    short = [number for number, name in enumerate(names) if name.partition(",")[0] == place]
    if len(short) == 1:
        return short[0]
    if place.isdecimal() and 1 <= int(place) <= len(names):
        return int(place) - 1
    raise typer.BadParameter(f"{text!r} names no port: write one of {', '.join(names)}, or its number from 1")


def _vlan(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 4094:  # noqa: PLR2004 - IEEE 802.1Q
        raise typer.BadParameter(f"{text!r} is no VLAN: they are numbered 1 to 4094")
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
