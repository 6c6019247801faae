# SPDX-License-Identifier: BSD-2-Clause
"""An error as one line on standard error, and the exit status that goes with it."""

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

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


def report(error: BaseException) -> int:
    """Print it; returns the status: 2 for a name or option that cannot be, 1 for what went wrong."""
    if os.environ.get("NETBE_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
    elif isinstance(error, OSError):
        # Python's own would begin with [Errno 28]; its file's name is needed, ours have it in the text.
        text = error.strerror if error.strerror and error.filename is None else str(error)
        print(f"netbe: {text}", file=sys.stderr)
    else:
        print(
            f"netbe: {type(error).__name__}: {error} (this is a fault of the program; --debug shows where)",
            file=sys.stderr,
        )
    return USAGE if isinstance(error, _ASKED_WRONGLY) else FAILED


def reporting(command: Callable[_P, None]) -> Callable[_P, None]:
    """The command, its errors reported. Left to click, an EPIPE of a backend would end it without a word."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except OSError as error:
            raise typer.Exit(report(error)) from None

    return run
