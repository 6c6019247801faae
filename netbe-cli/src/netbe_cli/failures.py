# SPDX-License-Identifier: BSD-2-Clause
"""An error as one line on standard error, and the exit status that goes with it."""

import os
import sys
import traceback

import netbe

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
