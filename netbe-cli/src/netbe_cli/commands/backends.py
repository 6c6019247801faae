# SPDX-License-Identifier: BSD-2-Clause
"""``netbe backends``: what is installed."""

import dataclasses
from typing import Annotated

import typer

from netbe_cli.arguments import Json
from netbe_cli.output import emit_json, line, table

EXAMPLES = (
    "netbe backends --check",
    "netbe backends --json",
)


def command(
    check: Annotated[
        bool, typer.Option("--check", help="Import each plugin, and show its summary and options.")
    ] = False,
    json: Json = False,
) -> None:
    """List the installed backends, without importing them. What is broken stands beside its name."""
    from netbe import registry  # noqa: PLC0415 - help needs none of it

    found = registry.list_backends(check=check)
    if json:
        emit_json([dataclasses.asdict(info) for info in found])
    else:
        rows = [
            (
                info.prefix,
                info.distribution,
                info.version,
                f"error: {info.error}" if info.error else info.summary or "",
            )
            for info in found
        ]
        table(("prefix", "distribution", "version", "" if not check else "summary"), rows)
        if check:
            for info in found:
                if info.options:
                    line()
                    line(f"{info.prefix}:")
                    for option in info.options:
                        line(f"  {f'{option.name}={option.metavar}':<24} {option.help}")
    if check and any(info.error for info in found):
        raise typer.Exit(1)
