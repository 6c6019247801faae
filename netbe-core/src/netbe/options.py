# SPDX-License-Identifier: BSD-2-Clause
"""Options of a backend: how they are declared, and ready parsers for their values.

A parser is any callable from text to a value that raises ``ValueError`` with a sentence that says what it
takes. Those here also carry a ``metavar``, which lists and help texts show::

    Option("mtu", Integer(68, 65535), "largest IP packet, bytes", metavar="BYTES")
    Option("persist", boolean, "leave the interface when closed", default=False)
    Option("on_full", Choice("wait", "drop"), "what to do when the other side is full", default="wait")
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from netbe.errors import OptionError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]+\Z|0[xX][0-9A-Fa-f]+\Z", re.ASCII)
_SIZE = re.compile(r"([0-9]+)(?:([KMGT])(?:i?B)?|B)?\Z", re.ASCII | re.IGNORECASE)
_BOOLEANS = {
    "on": True,
    "yes": True,
    "true": True,
    "1": True,
    "off": False,
    "no": False,
    "false": False,
    "0": False,
}

RESERVED = frozenset({"callback", "distribution", "loop", "name", "type"})
"""Names that no option can have: ``netbe.open`` takes them itself."""


@dataclass(frozen=True)
class Option:
    """One option that a backend takes, in its name (``tap0,mtu=9000``) or as a keyword of ``netbe.open``."""

    name: str
    """An ASCII identifier, not one of ``RESERVED``; the factory is given the value under it."""
    parse: Callable[[str], object]
    """From text to value; raises ``ValueError``."""
    help: str
    """What it does, in one line."""
    default: object = None
    """What the factory is given when the option is not. Not parsed."""
    metavar: str = ""
    """What stands for a value in help texts; the parser's own if left empty."""

    def __post_init__(self) -> None:
        if not _IDENTIFIER.match(self.name) or self.name in RESERVED:
            msg = f"no option can be named {self.name!r}: it must be an identifier outside {sorted(RESERVED)}"
            raise ValueError(msg)
        if not callable(self.parse):
            msg = f"parse of the option {self.name!r} is not callable"
            raise TypeError(msg)
        if not self.metavar:
            own = getattr(self.parse, "metavar", self.name.upper())
            object.__setattr__(self, "metavar", str(own))

    @property
    def usage(self) -> str:
        """As it is written in a name: ``mtu=BYTES``."""
        return f"{self.name}={self.metavar}"


def boolean(text: str) -> bool:
    """``on``, ``yes``, ``true``, ``1``; ``off``, ``no``, ``false``, ``0``; in any case of letters."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        msg = "it takes on or off (yes, no, 1, 0)"
        raise ValueError(msg) from None


boolean.metavar = "on|off"  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Integer:
    """A whole number, decimal or ``0x…``, between two limits that belong to it (``None``: no limit)."""

    low: int | None = None
    high: int | None = None

    metavar = "N"

    def __call__(self, text: str) -> int:
        """The number that ``text`` says."""
        if not _INTEGER.match(text):
            msg = f"it takes a whole number{self._limits()}"
            raise ValueError(msg)
        return self.check(int(text, 16 if text[:2].lower() == "0x" else 10))

    def check(self, value: int) -> int:
        """``value``, if it is between the limits."""
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            msg = f"it takes a whole number{self._limits()}"
            raise ValueError(msg)
        return value

    def _limits(self) -> str:
        match self.low, self.high:
            case None, None:
                return ""
            case low, None:
                return f" of at least {low}"
            case None, high:
                return f" of at most {high}"
            case low, high:
                return f" from {low} to {high}"


@dataclass(frozen=True)
class Size:
    """A number of bytes; ``K``, ``M``, ``G``, ``T`` behind it (also ``KiB``, ``KB``) multiply by 1024."""

    low: int = 0
    high: int | None = None

    metavar = "SIZE"

    def __call__(self, text: str) -> int:
        """The bytes that ``text`` says."""
        found = _SIZE.match(text)
        value = -1
        if found:
            value = int(found[1]) << (10 * (1 + "KMGT".index(found[2].upper())) if found[2] else 0)
        if value < self.low or (self.high is not None and value > self.high):
            most = "" if self.high is None else f" and at most {self.high}"
            msg = f"it takes a size in bytes like 4096, 64K or 1M, at least {self.low}{most}"
            raise ValueError(msg)
        return value


class Choice:
    """One of some words."""

    def __init__(self, *words: str) -> None:
        """``words``: what can be chosen, at least one."""
        if not words:
            msg = "a Choice needs words to choose from"
            raise ValueError(msg)
        self.words = words
        self.metavar = "|".join(words)

    def __call__(self, text: str) -> str:
        """``text``, if it is one of the words."""
        if text not in self.words:
            close = difflib.get_close_matches(text, self.words, 1)
            msg = f"it takes one of {', '.join(self.words)}" + (
                f"; did you mean {close[0]}?" if close else ""
            )
            raise ValueError(msg)
        return text


def parse_options(
    declared: Iterable[Option],
    texts: Mapping[str, str],
    keywords: Mapping[str, object],
    *,
    of: str,
) -> dict[str, object]:
    """What a factory is given: each declared option, with its value or its default.

    Args:
        declared: the options the backend takes.
        texts: options out of the name.
        keywords: options given as keywords. Text, numbers, truth values and paths are parsed as if they stood
            in the name, so that both ways check the same; other objects are handed on as they are; ``None``
            is "not given".
        of: whose options these are, for messages.

    Raises:
        OptionError: an option is unknown, given both ways, or its value is not taken (EINVAL).
    """
    table = {option.name: option for option in declared}
    given: dict[str, object] = {key: value for key, value in keywords.items() if value is not None}
    for key, written in texts.items():
        if key in given:
            raise OptionError(
                f"the option {key!r} is given in the name ({written!r}) and as a keyword ({given[key]!r}): "
                "leave one of them out"
            )
        given[key] = written
    for key in given:
        if key not in table:
            raise OptionError(_unknown(key, table.values(), of))
    values = {key: option.default for key, option in table.items()}
    for key, value in given.items():
        text = _as_text(value)
        values[key] = value if text is None else _parse(table[key], text, of)
    return values


def _as_text(value: object) -> str | None:
    """How a keyword's value is written in a name; None for what cannot be written there."""
    match value:
        case str():
            return value
        case bool():
            return "on" if value else "off"
        case int() | float():
            return str(value)
        case os.PathLike():
            return os.fsdecode(value)
        case _:
            return None


def _parse(option: Option, text: str, of: str) -> object:
    try:
        return option.parse(text)
    except ValueError as exc:
        raise OptionError(f"{of} does not take {option.name}={text!r}: {exc}") from exc


def _unknown(key: str, declared: Iterable[Option], of: str) -> str:
    names = sorted(option.name for option in declared)
    if not names:
        return f"{of} takes no options, so not {key!r} either: leave it out"
    close = difflib.get_close_matches(key, names, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{of} has no option {key!r}; it takes {', '.join(names)}.{hint}"
