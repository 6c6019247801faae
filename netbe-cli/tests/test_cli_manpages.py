# SPDX-License-Identifier: BSD-2-Clause
"""The man pages that are shipped: they say what the commands' definitions say, and `man` has no complaint."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from needs import need_programs

from netbe_cli import manpages, manual
from netbe_cli.main import click_command

PROJECT = Path(__file__).parents[1]
COMMANDS = [
    words
    for name, one in click_command.commands.items()
    for words in [(name,), *((name, word) for word in getattr(one, "commands", {}))]
]
PAGES = sorted((PROJECT / "man").glob("*"))


def rendered(page: Path) -> str:
    need_programs("man")
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFOPT": "", "GROFF_NO_SGR": "1"}
    done = subprocess.run(
        ["man", "--warnings", "--local-file", str(page)],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_pages_are_those_that_the_definitions_give() -> None:
    there = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    assert there == manpages.files(), "write them anew: nox -s manpages"


def test_netbe_and_each_of_its_commands_has_a_page() -> None:
    assert {page.stem for page in PAGES} == {"netbe", *(f"netbe-{'-'.join(words)}" for words in COMMANDS)}


def test_the_wheel_takes_them_along() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["shared-data"] == {"man": "share/man/man1"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_rendered_without_a_warning_and_has_its_sections(page: Path) -> None:
    text = rendered(page)
    sections = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "SEE ALSO"]
    assert [line for line in text.splitlines() if line in sections] == sections
    assert page.stem == "netbe" or "\nEXAMPLES\n" in text


def test_a_page_shows_every_option_with_its_value_and_default() -> None:
    text = " ".join(rendered(PROJECT / "man" / "netbe-gen.1").split())
    assert "netbe gen [OPTION ...] NAME" in text
    assert "-r, --rate PPS Frames a second, such as 10k; else flat out. -c, --count N" in text
    assert "--src MAC Source. Default: 02:00:00:00:00:01." in text
    assert "--json Print JSON for machines." in text


def test_the_page_of_a_group_lists_its_commands_and_has_no_more_about_names() -> None:
    text = " ".join(rendered(PROJECT / "man" / "netbe-vale.1").split())
    assert "netbe vale [OPTION ...] COMMAND [ARGUMENT ...]" in text
    assert "COMMANDS netbe-vale-list(1) List the embedded switches" in text
    assert "NAMES OF BACKENDS" not in text
    assert "NAMES OF BACKENDS" in rendered(PROJECT / "man" / "netbe.1")
    assert "netbe vale list [OPTION ...]" in rendered(PROJECT / "man" / "netbe-vale-list.1")


def test_text_with_roffs_own_characters_is_shown_as_it_is(tmp_path: Path) -> None:
    text = r".begins with a dot; 'quotes' `ticks` a-b \fB \n ^~"
    page = manual.Page(("netbe", "x"), "Try it", (text,), (), repeats=False, options=(), examples=("'x' .",))
    (tmp_path / "x.1").write_text(manpages.roff(page, ["netbe"]), encoding="utf-8")
    shown = rendered(tmp_path / "x.1")
    assert f"       {text}\n" in shown
    assert "       'x' .\n" in shown


def test_pages_of_commands_that_are_no_more_are_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, other = tmp_path / "netbe-old.1", tmp_path / "README"
    old.touch()
    other.touch()
    manpages.main(str(tmp_path))
    assert {one.name for one in tmp_path.iterdir()} == {*manpages.files(), "README"}
    assert capsys.readouterr().out == f"{len(manpages.files())} pages in {tmp_path}\n"
