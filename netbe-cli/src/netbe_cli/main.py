# SPDX-License-Identifier: BSD-2-Clause
"""The command and its entry point: subcommands are put together, errors become one line and a status."""

import os
import sys
from typing import Annotated

import typer

from netbe_cli.commands import backends, bridge, doctor, gen, info, sink, switch
from netbe_cli.failures import report

app = typer.Typer(
    name="netbe",
    help="Ethernet by name: bridge, switch, generate, count and inspect.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("backends")(backends.command)
app.command("info")(info.command)
app.command("bridge")(bridge.command)
app.command("switch")(switch.command)
app.command("gen")(gen.command)
app.command("sink")(sink.command)
app.command("doctor")(doctor.command)


def _version(wanted: bool) -> None:
    if wanted:
        import netbe  # noqa: PLC0415 - only for this

        typer.echo(f"netbe {netbe.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 - its callback has seen it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="NETBE_DEBUG", help="Show where an error comes from.")
    ] = False,
) -> None:
    if debug:
        os.environ["NETBE_DEBUG"] = "1"


def run() -> None:
    """What the console script calls. Status 0: done; 1: it failed; 2: it was asked for wrongly."""
    try:
        app()
    except BrokenPipeError:
        # Whoever read our output has left. The interpreter would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last place for any error
        sys.exit(report(error))
