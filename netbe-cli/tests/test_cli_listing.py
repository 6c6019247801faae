# SPDX-License-Identifier: BSD-2-Clause
"""What is installed, what a backend is, what the machine has: ``backends``, ``info``, ``doctor``; the help."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import Wire, environment, in_process, netbe
from fakedist import files_of, write

import netbe as library
from netbe_cli import checkup
from netbe_cli.main import click_command

COMMANDS = tuple(click_command.commands)
BACKEND = {"prefix", "distribution", "version", "value", "error", "loaded", "summary", "options"}
INFO = {
    "name",
    "kind",
    "link_up",
    "min_frame",
    "max_frame",
    "ports",
    "pollable",
    "features",
    "stats",
}
BROKEN = "raise RuntimeError('no good')"


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """A distribution that is installed, whose plugin cannot be imported."""
    write(tmp_path, files_of("netbe-broken", ("broken",), BROKEN))
    return {"PYTHONPATH": str(tmp_path)}


def test_backends_are_listed_in_a_table() -> None:
    done = netbe("backends")
    assert (done.status, done.err) == (0, "")
    head, *rows = (line.split() for line in done.out.splitlines())
    assert head == ["prefix", "distribution", "version"]
    assert ["pair", "netbe-core", library.__version__] in rows
    assert {"tap", "vmnet"} <= {row[0] for row in rows}


def test_backends_are_listed_as_json() -> None:
    done = netbe("backends", "--json")
    entries = json.loads(done.out)
    assert all(set(entry) == BACKEND for entry in entries)
    (pair,) = (entry for entry in entries if entry["prefix"] == "pair")
    assert (pair["distribution"], pair["error"], pair["loaded"]) == ("netbe-core", None, False)


def test_a_check_brings_summaries_and_options() -> None:
    done = in_process("backends", "--check", "--json")
    (pair,) = (entry for entry in json.loads(done.out) if entry["prefix"] == "pair")
    assert pair["loaded"]
    assert "in-process cable" in pair["summary"]
    assert [option["name"] for option in pair["options"]] == ["room", "max_frame"]
    text = in_process("backends", "--check").out
    assert "pair:\n  room=SIZE" in text


def test_listing_imports_no_plugin_and_is_not_stopped_by_a_broken_one(broken: dict[str, str]) -> None:
    done = netbe("backends", env=broken)
    assert (done.status, done.err) == (0, "")
    assert ["broken", "netbe-broken", "1.0"] in [line.split() for line in done.out.splitlines()]


def test_a_check_shows_what_is_broken_and_fails(broken: dict[str, str]) -> None:
    done = netbe("backends", "--check", env=broken)
    assert done.status == 1
    (line,) = (line for line in done.out.splitlines() if line.startswith("broken"))
    assert "error: " in line
    assert "no good" in line
    done = netbe("backends", "--check", "--json", env=broken)
    assert done.status == 1
    (entry,) = (entry for entry in done.json if entry["prefix"] == "broken")
    assert "no good" in entry["error"]


def test_info_says_what_a_backend_is() -> None:
    done = in_process("info", "pair:a", "--json")
    facts = json.loads(done.out)
    assert set(facts) == INFO
    assert (facts["name"], facts["kind"], facts["link_up"], facts["ports"]) == ("pair:a", "PairEnd", True, 1)
    assert {"CSUM", "HOST_TSO4"} <= set(facts["features"])
    assert facts["stats"]["rx_frames"] == 0


def test_info_says_it_in_words(wire: Wire, plugin: dict[str, str]) -> None:
    done = netbe("info", wire, env=plugin)
    facts = dict(
        line.split(maxsplit=1) for line in done.out.splitlines() if not line.startswith(("m", "link"))
    )
    assert facts == {
        "name": wire.name,
        "kind": "FdBackend",
        "ports": "1",
        "pollable": "yes",
        "features": "none",
        "dropped": "0",
    }


def test_doctor_looks_at_everything_and_says_what_to_do() -> None:
    done = in_process("doctor", "--json")
    findings = json.loads(done.out)
    assert done.status == 0
    assert all(set(finding) == {"what", "state", "found", "advice"} for finding in findings)
    assert {finding["state"] for finding in findings} <= {"ok", "missing", "warning", "broken"}
    assert all(finding["advice"] for finding in findings if finding["state"] != "ok")
    assert {"python", "netbe-core", "backend pair", "embedded switch", "/dev/net/tun", "CAP_NET_ADMIN"} <= {
        finding["what"] for finding in findings
    }
    for finding in findings:
        if finding["what"] in ("netbe-core", "backend pair"):
            assert finding["state"] == "ok"


def test_doctor_fails_where_something_is_broken_and_only_there(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, str]
) -> None:
    states = ["ok", "missing", "warning"]
    monkeypatch.setattr(checkup, "examine", lambda: [checkup.Finding("a", one, "b", "c") for one in states])
    assert in_process("doctor").status == in_process("doctor", "--json").status == 0
    states.append("broken")
    assert in_process("doctor").status == in_process("doctor", "--json").status == 1
    assert netbe("doctor", env=broken).status == 1


def test_doctor_puts_advice_below_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [checkup.Finding("a", "ok", "fine"), checkup.Finding("bcd", "missing", "gone", "get one")]
    monkeypatch.setattr(checkup, "examine", lambda: findings)
    done = in_process("doctor")
    assert done.out.splitlines() == [
        "ok       a    fine",
        "missing  bcd  gone",
        "              -> get one",
    ]


def test_doctor_shows_a_broken_plugin(broken: dict[str, str]) -> None:
    done = netbe("doctor", "--json", env=broken)
    (finding,) = (finding for finding in done.json if finding["what"] == "backend broken")
    assert finding["state"] == "broken"
    assert "no good" in finding["found"]
    assert "pip install --upgrade netbe-broken" in finding["advice"]


def test_the_version_is_that_of_the_library() -> None:
    assert in_process("--version").out == f"netbe {library.__version__}\n"


def test_netbe_alone_shows_its_help() -> None:
    done = in_process()
    assert done.status == 2
    assert all(f"\n  {name} " in done.out + done.err for name in COMMANDS)


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_there_for_each_command(command: str, option: str) -> None:
    words = [command] if command else []
    done = in_process(*words, option)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: ")
    assert ("Examples:" in done.out) == bool(command)


def test_no_summary_in_the_list_of_commands_is_cut() -> None:
    assert "..." not in in_process("--help").out.split("Commands:")[1]


def test_the_help_of_a_command_names_the_command_as_it_is_typed() -> None:
    assert netbe("gen", "--help").out.startswith("Usage: netbe gen ")


def imported(*words: str) -> set[str]:
    """The modules that a run of the command has imported at its end."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        f"sys.argv = {['netbe', *words]!r}\n"
        "import netbe_cli.main\n"
        "netbe_cli.main.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [("--help",), ("gen", "--help"), ("backends",)])
def test_what_only_looks_imports_no_plugin_no_native_code_and_no_rich(words: tuple[str, ...]) -> None:
    modules = imported(*words)
    assert not modules & {"netbe_tap", "netbe._native", "netbe.pump", "pyroute2", "rich.live"}


def test_help_and_the_list_come_soon() -> None:
    def seconds(*words: str) -> float:
        begin = time.monotonic()
        assert netbe(*words).status == 0
        return time.monotonic() - begin

    for words in (("--help",), ("backends",)):
        assert min(seconds(*words) for _ in range(3)) < 1.5
