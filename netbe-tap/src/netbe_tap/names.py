# SPDX-License-Identifier: BSD-2-Clause
"""From a backend's name to an interface's."""

import re

from netbe.errors import BadNameError, NameTooLongError
from netbe.names import Name

IFNAME_BYTES = 15
"""Bytes of the longest interface name (IFNAMSIZ in linux/if.h, less the NUL)."""

_BAD = re.compile(r"[/\s:%\ud800-\udfff]|\A\.\.?\Z")  # surrogates: bytes that are no UTF-8


def interface_name(name: Name) -> str:
    """The interface that `name` means.

    ``tap7`` is tap7; ``tap`` alone lets the kernel choose a number; ``tap:lan0`` and ``lan0,type=tap`` are
    lan0. Anything else that begins with the prefix is refused, so that ``tapestry0`` is not taken by chance.
    """
    if name.rest.startswith(":") and not name.explicit:
        ifname = name.rest[1:]
    elif name.explicit:
        ifname = name.device
    elif name.rest == "":
        return f"{name.prefix}%d"
    elif name.rest.isdecimal() and name.rest.isascii():
        ifname = name.device
    else:
        raise BadNameError(
            f"{name.device!r} is not {name.prefix} and a number",
            hint=f"an interface of that name is opened as {name.prefix}:{name.device}",
        )
    return checked(ifname)


def checked(ifname: str) -> str:
    """`ifname`, if the kernel can give an interface that name."""
    if not ifname or _BAD.search(ifname):
        raise BadNameError(
            f"{ifname!r} cannot be the name of an interface",
            hint="no slash, colon, percent sign or blank, and not . or ..",
        )
    if len(ifname.encode()) > IFNAME_BYTES:
        raise NameTooLongError(
            f"the interface name {ifname!r} has {len(ifname.encode())} bytes",
            hint=f"at most {IFNAME_BYTES} will do",
        )
    return ifname
