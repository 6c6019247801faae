# SPDX-License-Identifier: BSD-2-Clause
"""What a plugin tells about its backends.

A plugin is an object, a module or an instance, that an entry point of the group ``netbe.backends`` names; the
entry point's own name is the prefix. Its one required hook describes what it has::

    import netbe

    def open_null(name, *, size):
        ...                                                 # returns a netbe.Backend

    @netbe.hookimpl
    def netbe_backends():
        return [netbe.BackendSpec("null", open_null, "swallows frames", (
            netbe.Option("size", netbe.options.Integer(1, 4096), "ring slots", default=256),
        ))]
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netbe.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable

    from netbe.backend import Backend

API_LEVEL = 1
"""The level of the plugin API that this netbe-core offers.

It grows by one when something is added that a plugin can rely on. What there is stays: hook arguments are
only ever added, and a new method of ``Backend`` has a default.
"""

OLDEST_API_LEVEL = 1
"""The oldest level of a plugin that this netbe-core still takes."""

_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,62}\Z", re.ASCII)


@dataclass(frozen=True)
class BackendSpec:
    """One kind of backend: its prefix, what opens it, and what it is for."""

    prefix: str
    """As in the entry point: an ASCII letter, then letters, digits and ``_ . + -``; 63 at most."""
    factory: "Callable[..., Backend]"
    """``factory(name: Name, **options) -> Backend``.

    It gets every option declared below, parsed, or its default; none that is unknown. It raises
    ``BadNameError(message, hint=…)`` where it cannot take the rest of the name, an ``OSError`` where the
    system refuses, and then leaves nothing behind.
    """
    summary: str
    """What it is, in one line."""
    options: tuple[Option, ...] = ()
    """The options it takes."""
    api_level: int = 1
    """The level of the plugin API it was written for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if not valid_prefix(self.prefix):
            msg = (
                f"{self.prefix!r} cannot be a prefix: a letter, then letters, digits and _ . + -, 63 at most"
            )
            raise ValueError(msg)
        if not callable(self.factory):
            msg = f"the factory of {self.prefix!r} is not callable"
            raise TypeError(msg)
        if not isinstance(self.api_level, int):
            msg = f"the API level of {self.prefix!r} is not an integer: {self.api_level!r}"
            raise TypeError(msg)
        names = [option.name for option in self.options]
        if len(set(names)) != len(names):
            msg = f"{self.prefix!r} declares an option twice: {', '.join(names)}"
            raise ValueError(msg)


def valid_prefix(prefix: str) -> bool:
    """Whether ``prefix`` can begin a name."""
    return _PREFIX.match(prefix) is not None
