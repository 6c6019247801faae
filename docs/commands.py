# SPDX-License-Identifier: BSD-2-Clause
"""The directive ``commands``: a section for each command of `netbe`, with what its ``--help`` says."""

from collections.abc import Iterator

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
        for name in whole.list_commands(context):
            command = whole.get_command(context, name)
            inner = type(context)(command, info_name=name, parent=context)
            section = nodes.section(ids=[f"netbe-{name}"], names=[f"netbe {name}"])
            section += nodes.title(text=f"netbe {name}")
            section += nodes.literal_block(text=command.get_help(inner), language="text")
            yield section


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
