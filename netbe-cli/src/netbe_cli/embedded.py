# SPDX-License-Identifier: BSD-2-Clause
"""The embedded switch, which another distribution brings: imported when it is asked for, and not before."""

from pathlib import Path
from types import ModuleType

import netbe


def load() -> ModuleType:
    """`netbe_netmap.embedded`.

    Raises:
        NotSupportedError: it is not installed.
        PluginError: it is, and cannot be imported.
    """
    try:
        from netbe_netmap import embedded  # type: ignore[import-not-found,unused-ignore] # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "netbe_netmap":
            raise _broken(error) from error
        raise netbe.NotSupportedError(
            "the embedded switch comes with netbe-netmap, which is not installed",
            hint="pip install netbe-netmap",
        ) from None
    except Exception as error:
        raise _broken(error) from error
    return embedded  # type: ignore[no-any-return,unused-ignore]


def _broken(error: Exception) -> netbe.PluginError:
    return netbe.PluginError(
        f"netbe-netmap cannot be imported: {error}", hint="pip install --force-reinstall netbe-netmap"
    )


def user(uid: int | None) -> str:
    """What a user is called; the number where they have no name."""
    import pwd  # noqa: PLC0415 - only for this

    if uid is None:
        return "-"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def program(pid: int) -> str | None:
    """What a process is called; None where that cannot be seen."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return None
