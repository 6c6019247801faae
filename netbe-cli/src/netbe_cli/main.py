# SPDX-License-Identifier: BSD-2-Clause
"""The command and its entry point: subcommands are put together, errors become one line and a status."""

import io
import os
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from netbe_cli.arguments import examples
from netbe_cli.commands import backends, bridge, doctor, gen, info, sink, switch, vale
from netbe_cli.failures import DEBUG, Command, report, reporting


def _group(name: str, text: str, kind: type[TyperGroup] = TyperGroup) -> typer.Typer:
    return typer.Typer(
        name=name,
        cls=kind,
        help=text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _group("netbe", "Ethernet by name: bridge, switch, generate, count and inspect.", Command)
for name, module in (
    ("backends", backends),
    ("info", info),
    ("bridge", bridge),
    ("switch", switch),
    ("gen", gen),
    ("sink", sink),
    ("doctor", doctor),
):
    app.command(name, epilog=examples(*module.EXAMPLES))(reporting(module.command))
for name, module in (("vale", vale),):
    group = _group(name, module.HELP)
    for word, command in module.COMMANDS.items():
        group.command(word, epilog=examples(*module.EXAMPLES))(reporting(command))
    app.add_typer(group, name=name, epilog=examples(*module.EXAMPLES))


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
        bool, typer.Option("--debug", help=f"Show where an error comes from; so does {DEBUG}=1.")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


click_command = typer.main.get_command(app)
"""The same as a tree of click's commands: what is run, and what the man pages are made from."""


def run() -> None:
    """What the console script calls. Status 0: done; 1: it failed; 2: it was asked for wrongly."""
    _prepare_output()
    try:
        click_command(prog_name="netbe")
    except BrokenPipeError:
        # Whoever read our output has left. The interpreter would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last place for any error
        sys.exit(report(error))


def _prepare_output() -> None:
    """Any text can be printed, and a standard stream that was closed is not the next file to be opened."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    # As descriptors, which stay open for as long as we run.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
