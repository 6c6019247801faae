# SPDX-License-Identifier: BSD-2-Clause
"""``netbe vale``: the embedded switches, and who is on them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from netbe_cli.arguments import Json

if TYPE_CHECKING:
    from types import ModuleType

HELP = "Look at the embedded switches, those in shared memory."

EXAMPLES = (
    "netbe vale list",
    "netbe vale list --json",
)


def list_command(json: Json = False) -> None:
    """List the embedded switches and who is on them.

    Of each port it shows the process that has it, the user whose file its memory is, and what it sent,
    received and dropped. These are the switches and pipes of this user, or those in the folder that the
    environment variable NETBE_VALE_FOLDER names. A port whose process was killed is dead; it goes when
    somebody next attaches to the switch, or sends to it in vain.
    """
    from netbe_cli.embedded import load  # noqa: PLC0415 - help needs none of it
    from netbe_cli.output import emit_json  # noqa: PLC0415

    embedded = load()
    found = [_look(embedded, name) for name in embedded.switches()]
    if json:
        emit_json({"folder": str(embedded.home()), "switches": [_as_dict(switch) for switch in found]})
    elif found:
        _show(found)
    else:
        _show_none(embedded)
    if any(switch.error for switch in found):
        raise typer.Exit(1)


@dataclass
class _Switch:
    name: str
    bytes: int
    ports: list[Any] = field(default_factory=list)
    """Of netbe_netmap's `Member`."""
    error: str | None = None


def _look(embedded: "ModuleType", name: str) -> _Switch:
    import netbe  # noqa: PLC0415 - loaded already

    pipe_of_no_switch = "{" in name and ":" not in name
    switch = _Switch(f"netmap:{name}" if pipe_of_no_switch else name, embedded.memory(name))
    try:
        switch.ports.extend(embedded.members(name))
    except netbe.NetbeError as error:
        switch.error = str(error).removeprefix(f"{name}: ")  # which stands before it anyway
    return switch


def _program(port: Any) -> str | None:  # noqa: ANN401 - a type that may not be installed
    from netbe_cli.embedded import program  # noqa: PLC0415 - loaded already

    # The number of a process that died may be another one's by now.
    return program(port.pid) if port.alive else None


def _as_dict(switch: _Switch) -> dict[str, object]:
    ports = [
        {
            "name": port.name,
            "alive": port.alive,
            "pid": port.pid,
            "program": _program(port),
            "uid": port.uid,
            "rings": port.rings,
            "slots": port.slots,
            "bytes": port.bytes,
            "stats": port.stats.as_dict(),
        }
        for port in switch.ports
    ]
    return {"name": switch.name, "bytes": switch.bytes, "error": switch.error, "ports": ports}


def _show(switches: Iterable[_Switch]) -> None:
    from netbe_cli.embedded import user  # noqa: PLC0415 - help needs none of it
    from netbe_cli.output import drops, line, mebibytes, table  # noqa: PLC0415

    rows = [
        (
            _plain(port.name),
            "alive" if port.alive else "dead",
            port.pid,
            _plain(_program(port) or "-"),
            user(port.uid),
            f"{port.stats.tx_frames:,}",
            f"{port.stats.rx_frames:,}",
            mebibytes(port.bytes),
            drops(port.stats),
        )
        for switch in switches
        for port in switch.ports
    ]
    if rows:
        table(("port", "state", "pid", "program", "user", "sent", "received", "memory", "dropped"), rows)
        line()
    for switch in switches:
        living = sum(port.alive for port in switch.ports)
        text = f"{_plain(switch.name)}: {_ports(len(switch.ports))}, {mebibytes(switch.bytes)} of memory"
        if switch.error:
            text = f"{_plain(switch.name)}: error: {_plain(switch.error)}"
        elif not switch.ports:
            text = f"{_plain(switch.name)}: an empty folder, no switch: the first to attach makes one of it"
        elif not living:
            text += "; nobody is left on it: the next one to attach clears it up"
        line(text)


def _ports(number: int) -> str:
    return f"{number} port{'' if number == 1 else 's'}"


def _plain(text: str) -> str:
    """What another process has written, with nothing in it that moves a terminal's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _show_none(embedded: "ModuleType") -> None:
    from netbe_cli.output import line  # noqa: PLC0415 - help needs none of it

    line(f"no embedded switch in {embedded.home()}; the first to open a port makes one: netbe sink vale0:b")


COMMANDS = {"list": list_command}
