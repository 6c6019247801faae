# SPDX-License-Identifier: BSD-2-Clause
"""An interface's settings: MTU, address, up, bridge. Through pyroute2, which is imported when they are made."""

import contextlib
import errno
import grp
import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netbe.errors import BadNameError, DeviceNotFoundError, NetbeError, NetbePermissionError, OptionError
from netbe.options import Integer

if TYPE_CHECKING:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

MTU_MIN = 68
"""Bytes; the least that IPv4 allows (RFC 791)."""
MTU_MAX = 65521
"""Bytes; the most that Linux's tap driver allows: an IP packet of 65,535 less the Ethernet header."""

_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}\Z")


@dataclass(frozen=True)
class Settings:
    """What to set on an interface; None leaves it as it is."""

    mtu: int | None = None
    mac: str | None = None
    up: bool | None = True
    bridge: str | None = None

    def __bool__(self) -> bool:
        return self != Settings(up=None)


def parse_mac(text: str) -> str:
    """An Ethernet address of one interface, as ``02:00:00:00:00:01``; `ValueError` for a group address."""
    if not _MAC.match(text):
        raise ValueError("an address is six pairs of hexadecimal digits, such as 02:00:00:00:00:01")
    mac = text.lower().replace("-", ":")
    if int(mac[:2], 16) & 1:
        raise ValueError("the first byte of an interface's address is even; an odd one is a group's")
    if not mac.strip("0:"):
        raise ValueError("an address that is all zero is nobody's")
    return mac


def user_id(text: str) -> int:
    """A user's number, from its number or name; `ValueError` when there is none."""
    if text.isdecimal():
        return _id(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise ValueError(f"there is no user {text!r}") from None


def group_id(text: str) -> int:
    """A group's number, from its number or name; `ValueError` when there is none."""
    if text.isdecimal():
        return _id(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {text!r}") from None


# 2**32 - 1 is -1 to the kernel: nobody.
_id = Integer(0, 2**32 - 2)


@contextlib.contextmanager
def applied(ifname: str, settings: Settings) -> Iterator[None]:
    """Set them, in this thread's network namespace.

    What was set is taken back when one is refused, and when what is done inside the ``with`` raises.
    """
    if not settings:
        yield
        return
    from pyroute2 import IPRoute  # noqa: PLC0415 - slow to import
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    with IPRoute() as route:
        wanted = _wanted(route, settings)
        link = route.get_links(ifname=ifname)[0]
        before = {
            "mtu": link.get_attr("IFLA_MTU"),
            "address": link.get_attr("IFLA_ADDRESS"),
            "master": link.get_attr("IFLA_MASTER") or 0,
            "state": "up" if link["flags"] & 1 else "down",
        }
        done: list[str] = []
        try:
            for key, value in wanted.items():
                if before[key] != value:
                    try:
                        route.link("set", index=link["index"], **{key: value})
                    except NetlinkError as error:
                        raise _refused(ifname, key, settings, error) from error
                    done.append(key)
            yield
        except BaseException:
            for key in reversed(done):
                route.link("set", index=link["index"], **{key: before[key]})
            raise


def _wanted(route: "IPRoute", settings: Settings) -> dict[str, Any]:
    """What to set, by netlink's names, in the order in which it is set."""
    wanted: dict[str, Any] = {}
    if settings.mtu is not None:
        wanted["mtu"] = settings.mtu
    if settings.mac is not None:
        wanted["address"] = settings.mac
    if settings.bridge is not None:
        wanted["master"] = _bridge_index(route, settings.bridge)
    if settings.up is not None:
        wanted["state"] = "up" if settings.up else "down"
    return wanted


def _refused(ifname: str, key: str, settings: Settings, error: "NetlinkError") -> NetbeError:
    number = int(error.code)
    option, value = {
        "mtu": ("mtu", settings.mtu),
        "address": ("mac", settings.mac),
        "master": ("bridge", settings.bridge),
        "state": ("up", "on" if settings.up else "off"),
    }[key]
    if number == errno.EPERM:
        return NetbePermissionError(
            f"no permission to set {option}={value} of {ifname}",
            hint="run with CAP_NET_ADMIN, or have its administrator do it"
            + (" and say up=keep" if option == "up" else ""),
        )
    reason = error.args[1] if len(error.args) > 1 else error
    return OptionError(f"{ifname} does not take {option}={value}: {reason}", errno=number)


def _bridge_index(route: "IPRoute", name: str) -> int:
    links = list(route.get_links(ifname=name)) if route.link_lookup(ifname=name) else []
    if not links:
        raise DeviceNotFoundError(
            f"there is no bridge {name!r}", hint=f"make it: ip link add {name} type bridge"
        )
    info = links[0].get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") not in ("bridge", "openvswitch"):
        raise BadNameError(f"{name!r} is no bridge", hint="ip link show type bridge lists them")
    return int(links[0]["index"])
