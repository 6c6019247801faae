# SPDX-License-Identifier: BSD-2-Clause
"""The man pages, written by ``python -m netbe_cli.manpages DIRECTORY``; with none, into this checkout's ``man``.

No date and no version: a page changes when what it says does.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from netbe_cli.manual import ENVIRONMENT, NAMES, STATUS, Option, Page, pages

_LICENCE = '.\\" SPDX-License-Identifier: BSD-2-Clause'
_ORIGIN = '.\\" Made by netbe_cli.manpages from the definitions of the commands: change those.'


def files() -> dict[str, str]:
    """Every page by the name of its file."""
    every = pages()
    return {f"{page.name}.1": roff(page, [one.name for one in every]) for page in every}


def roff(page: Page, known: Iterable[str]) -> str:
    """One page for ``man``; `known` are the names of all pages."""
    return "\n".join(_lines(page, known)) + "\n"


def _lines(page: Page, known: Iterable[str]) -> Iterator[str]:
    yield from (_LICENCE, _ORIGIN)
    yield f'.TH {escape(page.name.upper())} 1 "" netbe "netbe manual"'
    yield from (".nh", ".ad l")  # a name that is cut at a line's end cannot be copied
    summary = page.summary if len(page.words) == 1 else page.summary[0].lower() + page.summary[1:]
    yield from (".SH NAME", f"{escape(page.name)} \\- {escape(summary)}")
    yield from (".SH SYNOPSIS", _synopsis(page))
    yield from (".SH DESCRIPTION", f"{escape(page.summary)}.")
    for paragraph in page.paragraphs:
        yield from (".PP", escape(paragraph))
    if page.commands:
        yield ".SH COMMANDS"
        for one in page.commands:
            yield from (".TP", f"\\fB{escape(one.name)}\\fR(1)", f"{escape(one.summary)}.")
    if len(page.words) == 1:
        yield from (".SH NAMES OF BACKENDS", escape(NAMES))
    if page.arguments:
        yield ".SH ARGUMENTS"
        for argument in page.arguments:
            yield from (".TP", f"\\fI{escape(argument.names[0])}\\fR", escape(argument.help))
    yield ".SH OPTIONS"
    for option in page.options:
        yield from (".TP", _signature(option), escape(option.help))
    yield from _terms("EXIT STATUS", STATUS)
    yield from _terms("ENVIRONMENT", ENVIRONMENT)
    if page.examples:
        yield from (".SH EXAMPLES", ".nf", *map(escape, page.examples), ".fi")
    yield ".SH SEE ALSO"
    yield ",\n".join(f"\\fB{escape(name)}\\fR(1)" for name in sorted(known) if name != page.name)


def _synopsis(page: Page) -> str:
    arguments = [f"\\fI{escape(one.names[0])}\\fR" for one in page.arguments]
    if page.repeats:
        arguments[-1] += " ..."
    if page.commands:
        arguments = ["\\fICOMMAND\\fR", "[\\fIARGUMENT\\fR ...]"]
    return " ".join([f"\\fB{escape(' '.join(page.words))}\\fR", "[\\fIOPTION\\fR ...]", *arguments])


def _signature(option: Option) -> str:
    value = f" \\fI{escape(option.value)}\\fR" if option.value else ""
    return ", ".join(f"\\fB{escape(name)}\\fR" for name in option.names) + value


def _terms(title: str, terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f".SH {title}"
    for term, text in terms:
        yield from (".TP", f"\\fB{escape(term)}\\fR", escape(text))


def escape(text: str) -> str:
    """Text as it is: no character of it is a command to roff, and none is made prettier."""
    for plain, safe in (
        ("\\", "\\e"),
        ("-", "\\-"),
        ("'", "\\(aq"),
        ("`", "\\(ga"),
        ("^", "\\(ha"),
        ("~", "\\(ti"),
    ):
        text = text.replace(plain, safe)
    return f"\\&{text}" if text.startswith(".") else text


def main(*arguments: str) -> None:
    """Write them, and take away pages of commands that are no more."""
    folder = Path(*arguments) if arguments else Path(__file__).parents[2] / "man"
    folder.mkdir(parents=True, exist_ok=True)
    written = files()
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    for old in folder.glob("netbe*.1"):
        if old.name not in written:
            old.unlink()
    print(f"{len(written)} pages in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
