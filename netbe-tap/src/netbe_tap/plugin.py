# SPDX-License-Identifier: BSD-2-Clause
"""What the entry points ``tap`` and ``vmnet`` name."""

import sys

from netbe.backend import Backend
from netbe.errors import NotSupportedError
from netbe.hooks import hookimpl
from netbe.names import Name
from netbe.options import Choice, Integer, Option, boolean
from netbe.spec import BackendSpec
from netbe_tap.names import checked, interface_name
from netbe_tap.namespaces import parse_namespace
from netbe_tap.settings import MTU_MAX, MTU_MIN, Settings, group_id, parse_mac, user_id

_UP = {"on": True, "off": False, "keep": None}

OPTIONS = (
    Option("mtu", Integer(MTU_MIN, MTU_MAX), "largest IP packet of the interface, bytes"),
    Option("mac", parse_mac, "Ethernet address of the interface", metavar="ADDRESS"),
    Option("up", Choice(*_UP), "bring the interface up, down, or leave it", default="on"),
    Option("persist", boolean, "on: the interface stays after the end; off: it goes"),
    Option("owner", user_id, "user who may attach without privilege", metavar="USER"),
    Option("group", group_id, "group whose members may", metavar="GROUP"),
    Option("bridge", checked, "Linux bridge to join", metavar="INTERFACE"),
    Option("netns", parse_namespace, "network namespace: name, path or process number", metavar="NETNS"),
    Option("queues", Integer(1, 256), "queues, a native port each", default=1),
    Option("offloads", boolean, "off: as if the kernel could do none", default=True),
)


def open_tap(name: Name, **options: object) -> Backend:
    """The factory of both prefixes."""
    ifname = interface_name(name)
    if sys.platform != "linux":
        raise NotSupportedError(f"{name.prefix} works on Linux, and this is {sys.platform}")
    from netbe_tap.backend import Request, Tap  # noqa: PLC0415 - the name is checked first

    settings = Settings(
        mtu=options["mtu"],  # type: ignore[arg-type] # the options' parsers give these types
        mac=options["mac"],  # type: ignore[arg-type]
        up=_UP[str(options["up"])],
        bridge=options["bridge"],  # type: ignore[arg-type]
    )
    own = {key: options[key] for key in ("persist", "owner", "group", "netns", "queues", "offloads")}
    return Tap.open(name.text, Request(ifname, settings, **own))  # type: ignore[arg-type]


class _Plugin:
    """Both backends; ``vmnet`` is the tap under FreeBSD's other name for it."""

    @hookimpl
    def netbe_backends(self) -> list[BackendSpec]:
        """Describe them."""
        return [
            BackendSpec("tap", open_tap, "Ethernet tap of the kernel", OPTIONS),
            BackendSpec("vmnet", open_tap, "Ethernet tap of the kernel, by the names of vmnet", OPTIONS),
        ]


plugin = _Plugin()
