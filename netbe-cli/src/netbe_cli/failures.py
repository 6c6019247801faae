# SPDX-License-Identifier: BSD-2-Clause
"""An error as one line on standard error, and the exit status that goes with it."""

import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

import typer
import typer.core

import netbe

_P = ParamSpec("_P")

FAILED = 1
USAGE = 2

_ASKED_WRONGLY = (
    netbe.BadNameError,
    netbe.NameTooLongError,
    netbe.UnknownPrefixError,
    netbe.OptionError,
)


DEBUG = "NETBE_DEBUG"
"""The environment variable that asks for tracebacks, as --debug does."""

UsageError: Any = typer.BadParameter.__mro__[1]
"""click's, or that of typer's own copy of click, by its version."""

_Help = getattr(sys.modules[UsageError.__module__], "NoArgsIsHelpError", ())
"""What newer ones raise for a group without a command; its message is the help."""


def debugging() -> bool:
    """Whether tracebacks are asked for."""
    return os.environ.get(DEBUG, "").lower() not in ("", "0", "no", "off", "false")


def report(error: BaseException) -> int:
    """Print it; returns the status: 2 for a name or option that cannot be, 1 for what went wrong."""
    if debugging():
        traceback.print_exception(error)
    elif isinstance(error, OSError):
        # Python's own would begin with [Errno 28]; its file's name is needed, ours have it in the text.
        text = error.strerror if error.strerror and error.filename is None else str(error)
        _say(text)
    else:
        _say(
            f"{type(error).__name__}: {error} (this is a fault of the program; netbe --debug COMMAND shows where)"
        )
    return USAGE if isinstance(error, _ASKED_WRONGLY) else FAILED


def _say(text: str) -> None:
    print(f"netbe: {' '.join(text.splitlines())}", file=sys.stderr)


class Command(typer.core.TyperGroup):
    """All of the command: what was asked for wrongly is one line, too."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's or typer's own copy of it
        """Take its own options."""
        with _usage(None):
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - likewise
        """Take a subcommand's options, and run it."""
        with _usage(ctx):
            return super().invoke(ctx)


@contextlib.contextmanager
def _usage(ctx: Any) -> Iterator[None]:  # noqa: ANN401 - likewise
    """Print a usage error and end."""
    try:
        yield
    except UsageError as error:
        if isinstance(error, _Help):
            typer.echo(str(error), err=True)
        else:
            _say(f"{_what(error)} ({_where(error, ctx)} -h)")
        raise typer.Exit(USAGE) from None


def _what(error: Any) -> str:  # noqa: ANN401 - likewise
    if not isinstance(error, typer.BadParameter):
        text = str(error.format_message()).rstrip(".")
        return text[:1].lower() + text[1:]
    name, param = error.param_hint, error.param
    if name is None and param is not None:
        name = max(param.opts, key=len) if param.param_type_name == "option" else param.metavar
    if not error.message:
        return f"{name} is missing"
    return f"{name}: {error.message}" if name else str(error.message)


def _where(error: Any, ctx: Any) -> str:  # noqa: ANN401 - likewise
    """The command that was asked, as it is typed."""
    if error.ctx is not None:
        return str(error.ctx.command_path)
    # An option without its value is noticed before the subcommand has a context.
    words = ("netbe",) if ctx is None else (ctx.command_path, ctx.invoked_subcommand or "")
    return " ".join(words).rstrip()


def reporting(command: Callable[_P, None]) -> Callable[_P, None]:
    """The command, its errors reported. Left to click, an EPIPE of a backend would end it without a word."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except OSError as error:
            raise typer.Exit(report(error)) from None

    return run
