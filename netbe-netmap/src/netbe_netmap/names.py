# SPDX-License-Identifier: BSD-2-Clause
r"""Names of ports and NICs, taken apart and checked before a kernel sees them.

::

    vale0:a             port a of the switch vale0
    vale0:a{1  vale0:a}1    the master's and the slave's end of pipe 1 of that port
    netmap:eth0         all hardware rings of the NIC
    netmap:eth0-2       ring 2 alone
    netmap:eth0^        the rings towards the host's own network stack
    netmap:eth0*        both kinds
    netmap:x{1  netmap:x}1  the ends of a pipe

netmap itself says ENOMEM to a name that it cannot read, or takes what is meant as a suffix for a part of the
name; here each mistake has its own words.
"""

import enum
import re
from dataclasses import dataclass

from netbe.errors import BadNameError, NameTooLongError
from netbe.names import Name

NAME_BYTES = 63
"""Bytes of the longest name in a request (nr_name of ``struct nmreq_header``, less the NUL)."""

PART_BYTES = 15
"""Bytes of the longest switch (its ``vale`` included), port or NIC (IFNAMSIZ, less the NUL)."""

RING_MAX = 15
"""The last ring that a port can have (netmap's own bound of 16)."""


class Rings(enum.Enum):
    """Which rings of a NIC are meant."""

    ALL = ""
    ONE = "-"
    HOST = "^"
    BOTH = "*"


class End(enum.Enum):
    """Which end of a pipe."""

    MASTER = "{"
    SLAVE = "}"


@dataclass(frozen=True)
class Pipe:
    """One end of a pipe."""

    end: End
    id: str

    def __str__(self) -> str:
        return f"{self.end.value}{self.id}"


@dataclass(frozen=True)
class PortName:
    """A name whose parts are known to be sound."""

    switch: str | None
    """The switch with its ``vale``, as in vale0; None for ``netmap:``."""
    port: str
    """The port of the switch, or the NIC; of a pipe, what it belongs to."""
    rings: Rings = Rings.ALL
    ring: int | None = None
    """The ring's number, with `Rings.ONE`."""
    pipe: Pipe | None = None

    @property
    def base(self) -> str:
        """Without what follows a NIC's or port's name: ``vale0:a``, ``eth0``."""
        return self.port if self.switch is None else f"{self.switch}:{self.port}"

    @property
    def request(self) -> str:
        """As netmap's modern call takes it: no ``netmap:``, no ring, a pipe's end."""
        return f"{self.base}{self.pipe or ''}"

    @property
    def nic(self) -> str | None:
        """The NIC that is meant; None for a switch's port and for a pipe."""
        return self.port if self.switch is None and self.pipe is None else None

    def __str__(self) -> str:
        number = "" if self.ring is None else str(self.ring)
        return f"{'' if self.switch else 'netmap:'}{self.request}{self.rings.value}{number}"


_SWITCH = re.compile(r"vale[A-Za-z0-9_]*")
_PORT = re.compile(r"[A-Za-z0-9_.]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_PIPE = re.compile(r"(?P<base>[^{}]*)(?P<end>[{}])(?P<id>.*)", re.DOTALL)
_PIPE_ID = re.compile(r"[A-Za-z0-9_]+")
_RING = re.compile(r"(?P<nic>.+)-(?P<ring>[0-9]+)")
_BAD_NIC = re.compile(r"[\s:/@%^*\x00-\x20\ud800-\udfff]|\A\.\.?\Z")


def port_name(name: Name) -> PortName:
    """What `name` means, whichever of ``vale`` and ``netmap`` took it.

    Raises:
        BadNameError: it means nothing (EINVAL).
        NameTooLongError: a part is longer than netmap takes (ENAMETOOLONG).
    """
    return _vale(name.device) if name.prefix == "vale" else _netmap(name)


def parse(text: str) -> PortName:
    """The same for a name as it stands: ``vale0:a``, ``netmap:eth0``."""
    if text.startswith("vale"):
        return _vale(text)
    return _netmap(Name.parse(text).with_prefix("netmap"))


def _vale(text: str) -> PortName:
    switch, colon, rest = text.partition(":")
    if not switch.startswith("vale"):
        raise BadNameError(f"{text!r} is no port of a switch", hint=f"write vale0:{rest or text}")
    if not colon:
        raise BadNameError(f"{text!r} names a switch and no port of it", hint=f"write {text}:PORT")
    if not _SWITCH.fullmatch(switch):
        raise BadNameError(
            f"{switch!r} cannot be the name of a switch",
            hint="after vale only letters, digits and underscores, as in vale0 or vale_lab",
        )
    _check_length(switch, "switch")
    port, pipe = _pipe(text, rest)
    if not port:
        raise BadNameError(f"{text!r} names no port of {switch}", hint=f"write {switch}:PORT")
    if port[-1] in "^*" or _RING.fullmatch(port):
        raise BadNameError(
            f"{text!r}: a switch's port has neither host rings nor rings to choose",
            hint="-N, ^ and * follow the NIC of netmap:NIC; say rings=N for a port with several",
        )
    if not _PORT.fullmatch(port):
        raise BadNameError(
            f"{port!r} cannot be the name of a port",
            hint="only letters, digits, underscores, dots, and hyphens within",
        )
    _check_length(port, "port")
    return _checked(PortName(switch, port, pipe=pipe))


def _netmap(name: Name) -> PortName:
    text = name.device
    if name.explicit:
        rest = text.removeprefix("netmap:")
    elif name.rest.startswith(":"):
        rest = name.rest[1:]
    else:
        raise BadNameError(f"{text!r} is not netmap: and a NIC", hint=f"write netmap:{name.rest or 'NIC'}")
    if rest.startswith("vale") and ":" in rest:
        raise BadNameError(f"{text!r} is a switch's port", hint=f"write {rest}")
    if rest.startswith("netmap:"):
        raise BadNameError(f"{text!r} says netmap: twice", hint=f"write {rest}")
    base, pipe = _pipe(text, rest)
    if pipe is not None:
        if not _PORT.fullmatch(base):
            raise BadNameError(
                f"{text!r}: a pipe belongs to something with a name",
                hint=f"write netmap:NAME{pipe}, with the same NAME for both ends",
            )
        _check_length(base, "pipe")
        return _checked(PortName(None, base, pipe=pipe))
    rings, ring = Rings.ALL, None
    if base.endswith(("^", "*")):
        base, rings = base[:-1], Rings(base[-1])
    elif found := _RING.fullmatch(base):
        base, rings, ring = found["nic"], Rings.ONE, int(found["ring"])
        if ring > RING_MAX:
            raise BadNameError(
                f"{text!r}: there is no ring {ring}", hint=f"the last there may be is {RING_MAX}"
            )
    _check_nic(text, base)
    return _checked(PortName(None, base, rings, ring))


def _check_nic(text: str, nic: str) -> None:
    if not nic:
        raise BadNameError(f"{text!r} names no NIC", hint="write netmap:NIC, as in netmap:eth0")
    if nic == "lo":
        raise BadNameError(
            "netmap cannot take the loopback interface", hint="a port of a switch does its work: vale0:a"
        )
    if _BAD_NIC.search(nic):
        raise BadNameError(
            f"{nic!r} cannot be the name of a NIC",
            hint="it is followed by -N, ^ or * at most; what netmap's own tools say with / and @ are options"
            " here, such as exclusive=on",
        )
    _check_length(nic, "NIC")


def _pipe(text: str, rest: str) -> tuple[str, Pipe | None]:
    found = _PIPE.fullmatch(rest)
    if found is None:
        return rest, None
    if not _PIPE_ID.fullmatch(found["id"]):
        raise BadNameError(
            f"{text!r}: {found['id']!r} cannot be a pipe's id",
            hint="only letters, digits and underscores follow { for the master's end, or } for the slave's",
        )
    return found["base"], Pipe(End(found["end"]), found["id"])


def _check_length(part: str, what: str) -> None:
    if (length := len(part.encode())) > PART_BYTES:
        raise NameTooLongError(
            f"the {what} {part!r} has {length} bytes", hint=f"at most {PART_BYTES} will do"
        )


def _checked(name: PortName) -> PortName:
    if (length := len(name.request.encode())) > NAME_BYTES:
        raise NameTooLongError(f"{name.request!r} has {length} bytes", hint=f"at most {NAME_BYTES} will do")
    return name
