# SPDX-License-Identifier: BSD-2-Clause
r"""Names of backends: what ``netbe.open`` takes, taken apart and put together again.

A name is ``DEVICE[,OPTION=VALUE]…``::

    tap0
    tap0,mtu=9000,up=on
    lan0,type=tap                       the prefix given, not read off the device
    stream:"/run/a,b.sock",server=on    what holds a comma stands in double quotes

The grammar, in full:

- The device reaches to the first comma. It may be written in double quotes as a whole, or from a colon on.
- A value reaches to the next comma. It stands in double quotes if it holds a comma, a bracket or a quote.
- Inside double quotes ``\`` stands before ``"`` and before ``\``, and before nothing else. Outside them it
  is a character like any other.
- Outside double quotes ``|`` is refused: it is kept for wrappers around a backend.
- Control characters are refused everywhere, an option may be given once, its name is an ASCII identifier.
- A device has at most 255 bytes, the whole name at most 4096, counted as the file system encodes them.
  Nothing longer is ever cut to fit.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from netbe.errors import BadNameError, NameTooLongError

MAX_NAME = 4096
"""Bytes of a whole name, options included."""

MAX_DEVICE = 255
"""Bytes of the part before the options."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_QUOTED = r'"((?:[^"\\]|\\["\\])*)"'
_DEVICE = re.compile(rf'([^,"|]*)(?:{_QUOTED})?')
_VALUE = re.compile(rf'{_QUOTED}|([^,"|\[\]]*)')
_OPTION = re.compile(r'([^,=|"]*)=')
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Name:
    """A name taken apart. Equal names open the same thing: ``text`` is not compared."""

    text: str = field(compare=False)
    """As it was given."""
    prefix: str
    """The prefix that took it; empty until a registry has looked."""
    rest: str
    """After the prefix: ``"0"`` of ``tap0``, ``":lan0"`` of ``tap:lan0``; with ``type=`` the whole device."""
    device: str
    """Everything before the options, quotes taken off."""
    options: Mapping[str, str] = field(hash=False)
    """The options as text, in the order given, ``type`` taken out."""
    explicit: bool = False
    """Whether ``type=`` chose the prefix, so that ``device`` need not begin with it."""

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Take a name apart, with no look at what is installed.

        ``prefix`` is filled only when the name says ``type=``; else it is empty and ``rest`` is the device.

        Raises:
            BadNameError: the text is no name (EINVAL).
            NameTooLongError: it is longer than a name may be (ENAMETOOLONG).
        """
        _check_text(text)
        found = _match(_DEVICE, text, 0)
        bare, quoted = found.groups()
        if quoted is not None and bare and not bare.endswith(":"):
            raise BadNameError(
                f"in {text!r} a double quote stands in the middle of the device",
                hint="put the quotes around all of it, or begin them after a colon",
            )
        device = bare + _unquote(quoted)
        if not device:
            raise BadNameError(
                "the name of a backend is empty" if not text else f"{text!r} names no device",
                hint="give a name like 'tap0'",
            )
        _check_length(device, "device", MAX_DEVICE)
        options = _parse_options(text, found.end())
        prefix = options.pop("type", None)
        if prefix == "":
            raise BadNameError(f"in {text!r} type= is empty", hint="write type=PREFIX, or leave it out")
        return cls(text, prefix or "", device, device, MappingProxyType(options), prefix is not None)

    def with_prefix(self, prefix: str) -> "Name":
        """The same name, taken by ``prefix``, which begins its device."""
        return replace(self, prefix=prefix, rest=self.device.removeprefix(prefix), explicit=False)

    def with_type(self, prefix: str) -> "Name":
        """The same name with ``type=prefix``."""
        return replace(self, prefix=prefix, rest=self.device, explicit=True)

    def format(self) -> str:
        """Write the name in its one normal form, which parses to an equal name."""
        options: list[tuple[str, str]] = [("type", self.prefix)] if self.explicit else []
        options.extend(self.options.items())
        return format_name(self.device, options)

    def __str__(self) -> str:
        return self.text


def format_name(device: str, options: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> str:
    """Write a name from a device and options as text, with quotes where they are needed.

    Raises:
        BadNameError, NameTooLongError: no name can say this.
    """
    pairs = options.items() if isinstance(options, Mapping) else options
    text = quote(device, ',"|') + "".join(f",{key}={quote(value)}" for key, value in pairs)
    Name.parse(text)
    return text


def quote(value: str, special: str = ',[]"|') -> str:
    """A value as it is written in a name: in double quotes if it holds one of ``special``, else as it is."""
    if not any(c in value for c in special):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _match(pattern: re.Pattern[str], text: str, pos: int) -> re.Match[str]:
    found = pattern.match(text, pos)
    if found is None:
        raise _unexpected(text, pos)
    return found


def _unquote(quoted: str | None) -> str:
    return _ESCAPED.sub(r"\1", quoted or "")


def _parse_options(text: str, pos: int) -> dict[str, str]:
    """The options, from the end of the device to the end of the text."""
    options: dict[str, str] = {}
    while pos < len(text):
        if text[pos] != ",":
            raise _unexpected(text, pos)
        found = _OPTION.match(text, pos + 1)
        if found is None:
            raise _no_option(text, pos + 1)
        key = found[1]
        if not _IDENTIFIER.match(key):
            raise BadNameError(
                f"in {text!r} {key!r} cannot be the name of an option",
                hint="options are written ,OPTION=VALUE with no spaces; a comma that belongs to the device "
                "or a value goes into double quotes",
            )
        if key in options:
            raise BadNameError(f"in {text!r} the option {key!r} is given twice", hint="give it once")
        value = _match(_VALUE, text, found.end())
        options[key] = value[2] if value[1] is None else _unquote(value[1])
        pos = value.end()
    return options


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        msg = f"a backend's name is a str, not {type(text).__name__}"
        raise TypeError(msg)
    _check_length(text, "name", MAX_NAME)
    control = _CONTROL.search(text)
    if control:
        raise BadNameError(
            f"the name {text!r} holds the control character {control[0]!r}",
            hint="names are one line of printable text",
        )


def _check_length(text: str, what: str, limit: int) -> None:
    try:
        size = len(os.fsencode(text))
    except UnicodeEncodeError as exc:
        raise BadNameError(f"the {what} {text[:80]!r} cannot be encoded: {exc.reason}") from exc
    if size > limit:
        raise NameTooLongError(f"the {what} {text[:32]!r}… has {size} bytes; {limit} is the most it can have")


def _no_option(text: str, pos: int) -> BadNameError:
    word = re.split(r'[,|"]', text[pos:], maxsplit=1)[0]
    if pos + len(word) < len(text) and text[pos + len(word)] != ",":
        return _unexpected(text, pos + len(word))
    if not word:
        return BadNameError(f"{text!r} has a comma with no option behind it", hint="take the comma out")
    return BadNameError(f"in {text!r} the option {word!r} has no value", hint=f"write {word}=VALUE")


def _unexpected(text: str, pos: int) -> BadNameError:
    """The error for a character that cannot stand where it does."""
    match text[pos]:
        case "|":
            return BadNameError(
                f"in {text!r} '|' is reserved for wrappers",
                hint="put what holds it into double quotes",
            )
        case '"' if not re.compile(r'"(?:[^"\\]|\\.)*"').match(text, pos):
            return BadNameError(f"in {text!r} a double quote is never closed", hint="close it")
        case '"' if re.compile(_QUOTED).match(text, pos):
            return BadNameError(
                f"in {text!r} a double quote stands where none can begin",
                hint='put the quotes around the whole value, and write \\" for a quote inside them',
            )
        case '"':
            return BadNameError(
                f'in {text!r} a \\ inside double quotes stands before neither " nor \\',
                hint="write it as \\\\",
            )
        case "[" | "]":
            return BadNameError(
                f"in {text!r} a value holds a bracket outside double quotes",
                hint="put the value into double quotes",
            )
        case _:
            return BadNameError(
                f"in {text!r} {text[pos:]!r} follows a closing double quote",
                hint="put the quotes around the whole of it",
            )
