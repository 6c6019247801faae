# SPDX-License-Identifier: BSD-2-Clause
"""The directive ``commands``: a section for each command of `netbe`, with what its ``--help`` says."""

from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from netbe_cli.main import app as netbe

_WIDTH = 88


class Commands(SphinxDirective):
    """Taken from the command's own definitions, so that it cannot be out of date."""

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        return list(self._sections())

    def _sections(self) -> Iterator[nodes.Node]:
        whole = typer.main.get_command(netbe)
        context = whole.make_context("netbe", [], resilient_parsing=True)
        context.terminal_width = context.max_content_width = _WIDTH
        yield nodes.literal_block(text=whole.get_help(context), language="text")
        yield from _below(whole, context)


def _below(group: Any, context: Any) -> Iterator[nodes.Node]:  # noqa: ANN401 - click's, or typer's copy
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = type(context)(command, info_name=name, parent=context)
        path = inner.command_path
        section = nodes.section(ids=[path.replace(" ", "-")], names=[path])
        section += nodes.title(text=path)
        section += nodes.literal_block(text=command.get_help(inner), language="text")
        if hasattr(command, "list_commands"):
            section.extend(_below(command, inner))
        yield section


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
