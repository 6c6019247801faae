# SPDX-License-Identifier: BSD-2-Clause
"""What a shell is told when the user presses Tab."""

import os
import subprocess
from pathlib import Path

import pytest
from command import NETBE, environment
from needs import need_programs

from netbe_cli.main import click_command

SHELLS = ("bash", "zsh", "fish")


def completed(*words: str) -> list[str]:
    """The completions of the last word, as bash is told them."""
    env = {
        "_NETBE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["netbe", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        NETBE, env=environment(env), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_are_completed() -> None:
    assert set(completed("")) == set(click_command.commands)
    assert completed("s") == ["switch", "sink"]


def test_the_commands_of_a_group_are_completed_and_their_options() -> None:
    assert completed("vale", "") == ["list"]
    assert completed("vale", "list", "--j") == ["--json"]


def test_options_are_completed() -> None:
    assert set(completed("gen", "tap0", "--s")) == {"--size", "--src", "--stream"}
    assert "--trunk" in completed("switch", "--")


def test_the_choices_of_an_option_are_completed() -> None:
    assert completed("bridge", "--on-full", "") == ["wait", "drop"]


@pytest.mark.parametrize("command", ["info", "gen", "sink", "bridge", "switch"])
def test_prefixes_of_installed_backends_are_completed(command: str) -> None:
    assert {"pair:", "tap:", "vmnet:"} <= set(completed(command, ""))
    assert completed(command, "pa") == ["pair:"]


def test_the_second_name_is_completed_like_the_first() -> None:
    assert completed("bridge", "pair:a", "pa") == ["pair:"]
    assert completed("switch", "pair:a", "pair:b", "pa") == ["pair:"]


def test_interfaces_that_are_there_are_completed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from netbe_cli.arguments import complete_name

    there = ["lo", "tap7", "eth0", "tap2", "vmnet1"]
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: there if path == "/sys/class/net" else listdir(path))
    assert complete_name("")[:3] == ["tap2", "tap7", "vmnet1"]
    assert complete_name("tap") == ["tap2", "tap7", "tap:"]


def test_without_a_list_of_interfaces_prefixes_are_completed_still(monkeypatch: pytest.MonkeyPatch) -> None:
    from netbe_cli.arguments import complete_name

    listdir = os.listdir

    def no_sys(path: str) -> list[str]:
        if path == "/sys/class/net":
            raise FileNotFoundError
        return listdir(path)

    monkeypatch.setattr(os, "listdir", no_sys)
    assert complete_name("pair") == ["pair:"]


@pytest.mark.parametrize("shell", SHELLS)
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    env = {"_NETBE_COMPLETE": f"source_{shell}"}
    done = subprocess.run(
        NETBE, env=environment(env), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    assert "_NETBE_COMPLETE" in done.stdout


def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    need_programs("bash")
    script = subprocess.run(
        NETBE,
        env=environment({"_NETBE_COMPLETE": "source_bash"}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    ).stdout
    program = tmp_path / "netbe"
    program.write_text(f'#!/bin/sh\nexec {" ".join(NETBE)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    ask = 'COMP_WORDS=(netbe swi); COMP_CWORD=1; "$(complete -p netbe | sed "s/.*-F \\([^ ]*\\).*/\\1/")" netbe; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{ask}"],
        env=environment({"PATH": f"{tmp_path}:{os.environ['PATH']}"}),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("switch\n", "")
