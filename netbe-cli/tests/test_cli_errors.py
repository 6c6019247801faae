# SPDX-License-Identifier: BSD-2-Clause
"""What goes wrong is one line that says what to do, and a status: 2 asked wrongly, 1 failed. No traceback."""

import json
import subprocess
from pathlib import Path

import pytest
from command import NETBE, Done, Wire, environment, in_process, netbe
from fakedist import files_of, write
from needs import need_lab, need_programs

from netbe_cli.failures import report


def line_of(done: Done, status: int) -> str:
    """The error, which is one line."""
    assert (done.status, done.out) == (status, "")
    (error,) = done.err.splitlines()
    assert error.startswith("netbe: ")
    return error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], "no such command 'bogus' (netbe -h)"),
        (["vale", "bogus"], "no such command 'bogus' (netbe vale -h)"),
        (["--bogus"], "no such option: --bogus (netbe -h)"),
        (["gen", "pair:a", "--bogus"], "no such option: --bogus (netbe gen -h)"),
        (["gen", "pair:a", "--size"], "'--size' requires an argument (netbe gen -h)"),
        (["gen", "pair:a", "--json=1"], "'--json' does not take a value (netbe gen -h)"),
        (["gen"], ": NAME is missing (netbe gen -h)"),
        (["bridge", "pair:a"], ": B is missing (netbe bridge -h)"),
        (["bridge", "pair:a", "pair:b", "pair:c"], "unexpected extra argument"),
        (["switch", "pair:a"], ": NAME: a switch has two ports or more (netbe switch -h)"),
        (["gen", "pair:a", "--rate", "fast"], "'fast' is not a number above 0 such as 500, 10k or 1.5M"),
        (["gen", "pair:a", "--rate", "0"], "'0' is not a number above 0"),
        (["gen", "pair:a", "--rate", "-5"], "'-5' is not a number above 0"),
        (["gen", "pair:a", "--rate", "9" * 400], "without end"),
        (["gen", "pair:a", "--size", "13"], ": --size: '13' is not a whole number of at least 14 (netbe gen -h)"),
        (["gen", "pair:a", "--size", "big"], ": --size: 'big' is not a whole number of at least 14 (netbe gen -h)"),
        (["gen", "pair:a", "--size", "99999999"], ": --size: pair:a takes frames of 14 to 65557 bytes, not of 99999999"),
        (["gen", "pair:a", "--count", "0"], ": --count: '0' is not a whole number of at least 1 "),
        (["gen", "pair:a", "--count", "1" + "0" * 25], ": --count: '1" + "0" * 25 + "' is more than 9223372036854775807"),
        (["sink", "pair:a", "--count", "1" * 9999], "is more than 9223372036854775807"),
        (["gen", "pair:a", "--stream", "65536"], ": --stream: '65536' is more than 65535"),
        (["gen", "pair:a", "--dst", "02:00"], "'02:00' is no Ethernet address"),
        (["gen", "pair:a", "--src", "xx"], "--src"),
        (["gen", "pair:a", "--duration", "inf"], "'inf' is no number of seconds such as 10 or 0.5"),
        (["sink", "pair:a", "--duration", "-1"], "'-1' is no number of seconds"),
        (["sink", "pair:a", "--idle", "nan"], "--idle"),
        (["bridge", "pair:a", "pair:b", "--on-full", "panic"], ": --on-full: 'panic' is not one of wait, drop "),
        (["bridge", "pair:a", "pair:b", "--interval", "0"], ": --interval: '0' is not from 0.05 to 1000000 seconds "),
        (["bridge", "pair:a", "pair:b", "--interval", "x"], ": --interval: 'x' is no number of seconds such as 10 or 0.5 "),
        (["bridge", "pair:a", "pair:b", "--wait", "inf"], "--wait"),
        (["switch", "pair:a", "pair:b", "--ageing", "inf"], "--ageing"),
        (["switch", "pair:a", "pair:b", "--table-size", "0"], "--table-size"),
        (["switch", "pair:a", "pair:b", "--table-size", "99999999999"], "--table-size"),
        (["switch", "pair:a", "pair:b", "--access", "pair:c=1"], "names no port: write one of pair:a, pair:b"),
        (["switch", "pair:a", "pair:b", "--access", "3=1"], ": --access: '3=1' names no port"),
        (["switch", "pair:a", "pair:b", "--access", "9" * 5000 + "=1"], "names no port"),
        (["switch", "pair:a", "pair:b", "--trunk", "1=" + "9" * 5000], "is no VLAN"),
        (["switch", "pair:a", "pair:b", "--trunk", "3=1"], ": --trunk: '3=1' names no port"),
        (["switch", "pair:a", "pair:b", "--access", "1=5", "--access", "pair:a=6"], ": --access: 'pair:a=6' gives pair:a a second VLAN"),
        (["switch", "pair:a", "pair:b", "--access", "1=4095"], ": --access: '4095' is no VLAN: they are numbered 1 to 4094"),
        (["switch", "pair:a", "pair:b", "--trunk", "1=1,x"], ": --trunk: 'x' is no VLAN"),
        (["switch", "pair:a", "pair:b", "--access", "1"], "names no port"),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_is_status_2_and_says_what_is_wrong(words: list[str], said: str) -> None:
    if words[0] in ("gen", "sink", "bridge", "switch"):  # were it taken, it would have an end
        words = [words[0], "--duration", "0.1", *words[1:]]
    assert said in line_of(in_process(*words), 2)


@pytest.mark.parametrize("command", ["info", "gen", "sink"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bogus0", "bogus0"),
        ("tapestry0", "tap:tapestry0"),
        ("pair", "write pair:NAME"),
        ("pair:a,bogus=1", "has no option 'bogus'"),
        ("pair:a,room=much", "room='much'"),
        ("pair:a,", "take the comma out"),
        ("pair:" + "x" * 5000, "is the most it can have"),
        ("", "is empty"),
    ],
)
def test_a_name_that_cannot_be_is_status_2_and_one_line(command: str, name: str, said: str) -> None:
    assert said in line_of(in_process(command, name), 2)


def test_a_cable_with_more_room_than_there_is_memory_says_what_to_change() -> None:
    assert "ask for less room; without room= it is 256K" in line_of(in_process("info", "pair:a,room=1T"), 1)
    assert "room='2T'" in line_of(in_process("info", "pair:a,room=2T"), 2)


def test_a_pump_with_one_bad_name_opens_nothing() -> None:
    assert "bogus0" in line_of(in_process("bridge", "pair:a", "bogus0"), 2)
    assert "bogus0" in line_of(in_process("switch", "pair:a", "pair:b", "bogus0"), 2)


def test_a_process_has_the_same_status_and_lines() -> None:
    for words in (("gen", "pair:a", "--bogus"), ("info", "tapestry0"), ("info", "pair:a,bogus=1")):
        assert netbe(*words) == in_process(*words)


def test_an_error_of_the_system_is_status_1_and_one_line(plugin: dict[str, str]) -> None:
    assert "the device has caught fire" in line_of(netbe("info", "faulty0", env=plugin), 1)


def test_the_largest_numbers_that_are_taken_do_no_harm() -> None:
    most, rate = str((1 << 63) - 1), "9" * 308
    for words in (
        ("gen", "pair:a", "--count", most, "--duration", "0.1", "--json"),
        ("gen", "pair:a", "--rate", rate, "--duration", "0.1", "--json"),
        ("sink", "pair:a", "--count", most, "--duration", "0.1", "--json"),
    ):
        done = in_process(*words)
        assert (done.status, done.err) == (0, "")
        assert done.json["frames"] >= 0


def test_an_error_with_lines_in_it_is_one_line() -> None:
    assert "control character" in line_of(in_process("info", "pair\n:a"), 2)
    assert "--on" in line_of(in_process("info", "pair:a", "--on\nit"), 2)


def test_a_fault_of_the_program_is_one_line_too(plugin: dict[str, str]) -> None:
    assert "wirex" in line_of(netbe("info", "wirex", env=plugin), 1)


def test_a_fault_of_the_command_says_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ZeroDivisionError("of\nours")) == 1
    said = capsys.readouterr().err
    assert said.startswith("netbe: ZeroDivisionError: of ours (")
    assert "netbe --debug COMMAND" in said


@pytest.mark.parametrize("how", ["--debug", "1", "on", "foo"])
def test_where_an_error_comes_from_is_shown_on_demand(how: str, plugin: dict[str, str]) -> None:
    words = ["--debug"] if how == "--debug" else []
    env = {**plugin, **({} if words else {"NETBE_DEBUG": how})}
    done = netbe(*words, "info", "faulty0", env=env)
    assert done.status == 1
    assert "Traceback" in done.err
    assert "in open_faulty" in done.err


@pytest.mark.parametrize("no", ["", "0", "off", "False"])
def test_the_variable_can_say_that_it_is_not_wanted(no: str, plugin: dict[str, str]) -> None:
    line_of(netbe("info", "faulty0", env={**plugin, "NETBE_DEBUG": no}), 1)


def test_two_distributions_with_one_prefix_are_told_of_and_one_can_be_preferred(
    plugin: dict[str, str], tmp_path: Path, wire: Wire
) -> None:
    write(tmp_path, files_of("netbe-other", ("wire",)))
    env = {"PYTHONPATH": f"{tmp_path}:{plugin['PYTHONPATH']}"}
    assert "NETBE_PREFER" in line_of(netbe("info", wire, env=env), 1)
    assert netbe("info", wire, env={**env, "NETBE_PREFER": "wire=netbe-wire"}).status == 0


@pytest.fixture
def lab() -> None:
    need_lab()
    need_programs("unshare", "setpriv")


def in_lab(*words: str) -> Done:
    """The command, run by another program that takes something away from it."""
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.e2e
@pytest.mark.usefixtures("lab")
def test_without_permission_it_says_how_to_get_it() -> None:
    taken = ("--inh-caps=-all", "--bounding-set=-net_admin", "--securebits=+noroot")
    done = in_lab("unshare", "--net", "setpriv", *taken, *NETBE, "info", "tap0")
    error = line_of(done, 1)
    assert "tap0" in error
    assert "CAP_NET_ADMIN" in error or "root" in error


@pytest.mark.e2e
@pytest.mark.usefixtures("lab")
def test_without_the_device_it_says_how_to_get_it() -> None:
    script = 'mount -t tmpfs none /dev/net && exec "$@"'
    done = in_lab("unshare", "--mount", "--net", "sh", "-c", script, "sh", *NETBE, "info", "tap0")
    error = line_of(done, 1)
    assert "/dev/net/tun" in error
    assert "modprobe tun" in error


@pytest.mark.e2e
@pytest.mark.usefixtures("lab")
def test_doctor_sees_that_the_device_or_the_permission_is_missing() -> None:
    script = 'mount -t tmpfs none /dev/net && exec setpriv --inh-caps=-all --bounding-set=-net_admin "$@"'
    done = in_lab("unshare", "--mount", "--net", "sh", "-c", script, "sh", *NETBE, "doctor", "--json")
    states = {finding["what"]: finding["state"] for finding in json.loads(done.out)}
    assert (states["/dev/net/tun"], states["CAP_NET_ADMIN"]) == ("missing", "missing")
