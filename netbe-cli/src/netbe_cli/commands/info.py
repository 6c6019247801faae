# SPDX-License-Identifier: BSD-2-Clause
"""``netbe info NAME``: open a backend and say what it is."""

from netbe_cli.arguments import Json, Name

EXAMPLES = (
    "netbe info tap0",
    "netbe info tap0,netns=blue,mtu=9000 --json",
)


def command(name: Name, json: Json = False) -> None:
    """Open a backend, show what it can do, close it. With persist=on a tap stays."""
    import netbe  # noqa: PLC0415 - help needs none of it
    from netbe_cli.output import drops, emit_json, line  # noqa: PLC0415

    with netbe.open(name) as backend:
        facts: dict[str, object] = {
            "name": name,
            "kind": type(backend).__name__,
            "link_up": backend.link_up,
            "min_frame": backend.min_frame,
            "max_frame": backend.max_frame,
            "ports": backend.nports,
            "pollable": backend.fileno() >= 0,
            "features": backend.get_cap().names(),
        }
        ifname = getattr(backend, "ifname", None)
        if ifname is not None:
            facts["interface"] = ifname
        stats = backend.stats
    if json:
        emit_json({**facts, "stats": stats.as_dict()})
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        shown = ("yes" if value else "no") if isinstance(value, bool) else value
        shown = (", ".join(value) or "none") if isinstance(value, list) else shown
        line(f"{key.replace('_', ' '):<{width}}  {shown}")
    line(f"{'dropped':<{width}}  {drops(stats)}")
