# SPDX-License-Identifier: BSD-2-Clause
"""What the manual says of each command, taken from the commands' own definitions; no format.

Only what the definitions say goes in, never how typer would print it: that differs between its versions.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from netbe_cli.main import click_command

NAMES = """\
A backend is opened by its name: a prefix that says which kind it is, the rest of the name, and options, \
separated by commas: tap0, tap:lan0, tap0,mtu=9000,netns=blue. The option type=PREFIX overrides the prefix: \
lan0,type=tap. A value that holds a comma, a bracket or a double quote is written in double quotes, with a \
backslash before a double quote or a backslash. Which prefixes are installed, and their options, is shown by \
netbe backends --check."""

STATUS = (
    ("0", "It is done, or was ended by Ctrl-C, SIGTERM or --duration."),
    ("1", "It failed: no such device, no permission, a backend lost on the way, output that was not taken."),
    ("2", "It was asked for wrongly: an option, a value or the name of a backend that cannot be."),
    ("130", "It was interrupted: by Ctrl-C before anything ran, or by a second one before all had ended."),
)

ENVIRONMENT = (
    (
        "NETBE_PREFER",
        "Which distribution serves a prefix that several offer: PREFIX=DISTRIBUTION, separated by commas.",
    ),
    (
        "NETBE_VALE_FOLDER",
        "Where the embedded switches are, instead of /dev/shm/netbe-UID: an absolute path.",
    ),
    ("NETBE_DEBUG", "When 1, or any word but 0, no, off and false, the same as --debug."),
    ("NO_COLOR", "When set, a table on a terminal has no colours."),
)

# Options that typer brings along; their words would change with it.
_TYPERS_OWN = {
    "--install-completion": "Install completion for the current shell.",
    "--show-completion": "Show completion for the current shell.",
}


@dataclass(frozen=True)
class Option:
    """An option or an argument."""

    names: tuple[str, ...]
    """As written: ``-d``, ``--duration``; of an argument what stands for it."""
    value: str
    """What stands for the option's value; empty where it takes none."""
    help: str
    """With its default, where it has one."""


@dataclass(frozen=True)
class Page:
    """What there is to say of one command."""

    words: tuple[str, ...]
    """What is typed: ``("netbe", "gen")``."""
    summary: str
    paragraphs: tuple[str, ...]
    arguments: tuple[Option, ...]
    repeats: bool
    """Whether the last argument may be given again."""
    options: tuple[Option, ...]
    examples: tuple[str, ...]
    commands: tuple["Page", ...] = ()

    @property
    def name(self) -> str:
        """The page's: ``netbe-gen``."""
        return "-".join(self.words)


def pages() -> tuple[Page, ...]:
    """The page of ``netbe``, and one for each command below it, however deep."""
    return tuple(_with_those_below(page(("netbe",), click_command)))


def _with_those_below(one: Page) -> Iterator[Page]:
    yield one
    for below in one.commands:
        yield from _with_those_below(below)


def page(words: tuple[str, ...], command: Any) -> Page:  # noqa: ANN401 - click's or typer's own copy of it
    """The page of one command, and those of the commands below it."""
    summary, *more = _paragraphs(command.help or "")
    first, dot, rest = summary.partition(". ")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    return Page(
        words=words,
        summary=first if dot else summary.rstrip("."),
        paragraphs=tuple(([rest] if rest else []) + more),
        arguments=tuple(Option((one.metavar,), "", one.help) for one in arguments),
        repeats=bool(arguments) and arguments[-1].nargs == -1,
        options=(*(_option(one) for one in options), Option(("-h", "--help"), "", "Show help and end.")),
        examples=tuple(line.strip() for line in (command.epilog or "").splitlines()[2:]),
        commands=tuple(page((*words, name), one) for name, one in getattr(command, "commands", {}).items()),
    )


def _option(option: Any) -> Option:  # noqa: ANN401 - likewise
    names = tuple(sorted((*option.opts, *option.secondary_opts), key=lambda name: name.startswith("--")))
    text = _TYPERS_OWN.get(names[-1], option.help)
    default = option.default.value if isinstance(option.default, Enum) else option.default
    value = "" if option.is_flag or names[-1] in _TYPERS_OWN else option.metavar
    if value is None:
        raise ValueError(f"the option {names[-1]} says by no metavar what its value is")
    if value and default is not None and default != []:
        text += f" Default: {default:g}." if isinstance(default, float) else f" Default: {default}."
    if option.multiple:
        text += " May be given again."
    return Option(names, value, text)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n")]
