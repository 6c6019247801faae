# SPDX-License-Identifier: BSD-2-Clause
"""What the entry points ``vale`` and ``netmap`` name."""

import errno
import re

from netbe.backend import Backend
from netbe.errors import DeviceNotFoundError, NotSupportedError, OptionError
from netbe.hooks import hookimpl
from netbe.names import Name
from netbe.options import Choice, Integer, Option, boolean
from netbe.spec import BackendSpec
from netbe_netmap.names import PortName, Rings, port_name

SLOTS_MIN, SLOTS_MAX = 2, 4096
"""Of a ring. netmap would make one of a single slot, in which nothing fits: one is always kept free."""

RINGS_MAX = 16


def file_mode(text: str) -> int:
    """An octal mode such as 600 or 660."""
    if not re.fullmatch("0?6[0246]{2}", text):
        raise ValueError("it takes the mode of a file in octal, such as 600 or 660")
    return int(text, 8)


OPTIONS = (
    Option("slots", Integer(SLOTS_MIN, SLOTS_MAX), "slots of each ring (1024 where nothing is said)"),
    Option("rings", Integer(1, RINGS_MAX), "rings in each direction, a native port each"),
    Option("provider", Choice("auto", "kernel", "embedded"), "whose rings they are", default="auto"),
    Option("exclusive", boolean, "nobody else may open it", default=False),
    Option("mode", file_mode, "who may join the embedded switch: mode of its files (600)", metavar="MODE"),
    Option("full", Choice("drop", "wait"), "what a full receiver means: frames lost, or a sender that waits"),
)


def open_netmap(name: Name, **options: object) -> Backend:
    """The factory of both prefixes."""
    port = port_name(name)
    provider = options.pop("provider")
    full = _full(port, options.pop("full"))
    if port.rings is Rings.ONE and options["rings"] not in (None, 1):
        raise OptionError(f"{port} is one ring, and rings={options['rings']} asks for more")
    from netbe_netmap import kernel  # noqa: PLC0415 - the name is checked first

    mode = options.pop("mode")
    if provider == "kernel" or (provider == "auto" and kernel.available()):
        if full == "wait" and port.pipe is None:
            raise NotSupportedError(
                f"{port}: full=wait is not in the kernel's power: it drops what a receiver has no room for",
                hint="say provider=embedded, or leave full out",
            )
        return kernel.open_kernel(name.text, port, **options)  # type: ignore[arg-type] # the parsers' types
    if port.nic is not None:
        raise _no_kernel(port, provider)
    from netbe_netmap.embedded import open_embedded  # noqa: PLC0415 - as above

    return open_embedded(name.text, port, full=full, mode=mode, **options)  # type: ignore[arg-type] # as above


def _full(port: PortName, wanted: object) -> str:
    if port.pipe is None:
        return "drop" if wanted is None else str(wanted)
    if wanted == "drop":
        raise OptionError(f"{port}: a pipe never drops, it makes the sender wait", hint="leave full= out")
    return "wait"


def _no_kernel(port: PortName, provider: object) -> NotSupportedError | DeviceNotFoundError:
    instead = (
        f"tap0,bridge=BRIDGE joins a bridge of the kernel that {port.port} is in; vale0:a needs no NIC at all"
    )
    if provider == "embedded":
        return NotSupportedError(
            f"{port}: a NIC's rings are the kernel's, not the embedded switch's", hint=instead
        )
    return DeviceNotFoundError(
        f"{port}: this machine's kernel has no netmap that this user may open (/dev/netmap)",
        errno=errno.ENXIO,
        hint=f"load the module and run as root; or else {instead}",
    )


class _Plugin:
    """Both backends."""

    @hookimpl
    def netbe_backends(self) -> list[BackendSpec]:
        """Describe them."""
        return [
            BackendSpec(
                "vale", open_netmap, "port of a VALE switch: the kernel's, or one in shared memory", OPTIONS
            ),
            BackendSpec("netmap", open_netmap, "rings of a NIC, or a pipe, through netmap", OPTIONS),
        ]


plugin = _Plugin()
