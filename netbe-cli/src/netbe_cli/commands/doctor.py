# SPDX-License-Identifier: BSD-2-Clause
"""``netbe doctor``: what this machine can do, and what to do about what it can't."""

from typing import TYPE_CHECKING

import typer

from netbe_cli.arguments import Json
from netbe_cli.failures import FAILED

if TYPE_CHECKING:
    from netbe_cli.checkup import Finding

EXAMPLES = (
    "netbe doctor",
    "netbe doctor --json",
)


def command(json: Json = False) -> None:
    """Look at what backends need: devices, rights, limits, plugins. Nothing is changed.

    Fails when something is broken, which should work and does not. What is missing concerns only those who
    need it.
    """
    import dataclasses  # noqa: PLC0415 - help needs none of it

    from netbe_cli.checkup import BROKEN, examine  # noqa: PLC0415
    from netbe_cli.output import emit_json  # noqa: PLC0415

    findings = examine()
    if json:
        emit_json([dataclasses.asdict(finding) for finding in findings])
    else:
        _show(findings)
    if any(finding.state == BROKEN for finding in findings):
        raise typer.Exit(FAILED)


def _show(findings: "list[Finding]") -> None:
    from netbe_cli.output import line  # noqa: PLC0415 - help needs none of it

    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        line(f"{finding.state:<7}  {finding.what:<{width}}  {finding.found}")
        if finding.advice:
            line(f"{'':<7}  {'':<{width}}  -> {finding.advice}")
