# SPDX-License-Identifier: BSD-2-Clause
"""``netbe doctor``: what this machine can do, and what to do about what it can't."""

from netbe_cli.arguments import Json

EXAMPLES = (
    "netbe doctor",
    "netbe doctor --json",
)


def command(json: Json = False) -> None:
    """Look at what backends need: devices, rights, limits, plugins. Nothing is changed."""
    import dataclasses  # noqa: PLC0415 - help needs none of it

    from netbe_cli.checkup import examine  # noqa: PLC0415
    from netbe_cli.output import emit_json, line  # noqa: PLC0415

    findings = examine()
    if json:
        emit_json([dataclasses.asdict(finding) for finding in findings])
        return
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        line(f"{finding.state:<7}  {finding.what:<{width}}  {finding.found}")
        if finding.advice:
            line(f"{'':<7}  {'':<{width}}  -> {finding.advice}")
