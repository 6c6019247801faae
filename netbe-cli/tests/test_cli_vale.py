# SPDX-License-Identifier: BSD-2-Clause
"""``netbe vale list``, what `doctor` says of the embedded switch, and completion of its names."""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Done, Netbe, in_process, netbe

import netbe as library
from netbe_cli import checkup
from netbe_cli.arguments import complete_name

FRAME = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + bytes(48)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of this test's own switches; short, as the addresses of sockets in it have to be."""
    made = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="nbv"))
    monkeypatch.setenv("NETBE_VALE_FOLDER", str(made))
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def opened(*names: str) -> Iterator[list[library.Backend]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(library.open(name)) for name in names]


def listed(folder: Path) -> dict[str, Any]:
    """The switches by name, as a process of its own prints them."""
    done = netbe("vale", "list", "--json", env={"NETBE_VALE_FOLDER": str(folder)})
    assert (done.status, done.err) == (0, "")
    assert done.json["folder"] == str(folder)
    return {switch["name"]: switch for switch in done.json["switches"]}


def killed(name: str) -> int:
    """Attach a process to a port, kill it; returns its number."""
    program = f"import netbe, time; be = netbe.open({name!r}); print('on', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "on\n"
        child.send_signal(signal.SIGKILL)
    return child.pid


def test_where_there_is_no_switch_it_says_so_and_how_to_make_one(folder: Path) -> None:
    done = in_process("vale", "list")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"no embedded switch in {folder}; ")
    assert listed(folder) == {}
    folder.rmdir()
    assert in_process("vale", "list") == done
    folder.mkdir()


def test_switches_pipes_ports_counters_memory_and_owners_are_listed_as_json(folder: Path) -> None:
    with opened("vale0:a", "vale0:b", "vale_x:a", "vale0:a{1", "vale0:a}1", "netmap:p}2") as (a, b, *_):
        a.send(FRAME)
        assert b.wait(5)
        assert b.recv() == FRAME
        found = listed(folder)
    assert {name: [port["name"] for port in switch["ports"]] for name, switch in found.items()} == {
        "vale0": ["vale0:a", "vale0:b"],
        "vale_x": ["vale_x:a"],
        "vale0:a{1": ["vale0:a{1", "vale0:a}1"],
        "netmap:p{2": ["netmap:p}2"],
    }
    one, other = found["vale0"]["ports"]
    assert (one["alive"], one["pid"]) == (True, os.getpid())
    assert one["program"] == Path("/proc/self/comm").read_text().strip()
    assert one["uid"] == os.geteuid()
    assert (one["rings"], one["slots"]) == (1, 1024)
    assert 1 << 20 < one["bytes"] < 8 << 20
    assert found["vale0"]["bytes"] >= one["bytes"] + other["bytes"]
    assert found["vale0"]["error"] is None
    assert (one["stats"]["tx_frames"], one["stats"]["tx_bytes"], one["stats"]["rx_frames"]) == (1, 60, 0)
    assert (other["stats"]["tx_frames"], other["stats"]["rx_frames"]) == (0, 1)


def test_the_table_has_a_line_for_each_port_and_one_for_each_switch() -> None:
    with opened("vale0:a", "vale0:b") as (a, _):
        a.send(FRAME)
        done = in_process("vale", "list")
    assert (done.status, done.err) == (0, "")
    head, one, other, empty, switch = done.out.splitlines()
    assert head.split() == [
        "port",
        "state",
        "pid",
        "program",
        "user",
        "sent",
        "received",
        "memory",
        "dropped",
    ]
    program = Path("/proc/self/comm").read_text().strip()
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert one.split()[:7] == ["vale0:a", "alive", str(os.getpid()), program, user, "1", "0"]
    assert other.split()[:2] == ["vale0:b", "alive"]
    assert empty == ""
    assert re.fullmatch(r"vale0: 2 ports, [0-9.]+ MiB of memory", switch)


def test_gen_says_why_frames_were_dropped() -> None:
    done = in_process("gen", "vale0:a", "--count", "3")
    first, *rest = done.out.splitlines()
    assert first.startswith("sent 3 frames")
    assert rest == [
        "dropped 3; the backend was full 0 times",
        "  discarded 3: nobody was there to take it",
    ]
    found = in_process("gen", "vale0:a", "--count", "3", "--json").json
    assert (found["drops"], found["reasons"]) == (3, {"discarded": 3})


@pytest.mark.parametrize("command", ["bridge", "switch"])
def test_a_port_given_twice_is_told_of(command: str) -> None:
    line = line_of(in_process(command, "vale0:a", "vale0:a,slots=64"), 1)
    assert line.startswith("netbe: vale0:a,slots=64 is given twice")
    with opened("vale0:a"):
        assert "in use" in line_of(in_process(command, "vale0:b", "vale0:a"), 1)


def test_drops_stand_with_their_reason(folder: Path) -> None:
    with opened("vale0:a,slots=64", "vale0:b,slots=64") as (a, _):
        for _ in range(3000):
            a.send(FRAME)
        (one, other) = listed(folder)["vale0"]["ports"]
        text = in_process("vale", "list").out
    dropped = {**one["stats"]["tx_dropped"], **other["stats"]["rx_dropped"]}
    assert dropped["full"] > 0
    assert f"full {dropped['full']:,}" in text


def test_an_owner_that_was_killed_is_dead_and_gone_after_the_next_attaches(folder: Path) -> None:
    pid = killed("vale0:a")
    (port,) = listed(folder)["vale0"]["ports"]
    assert (port["alive"], port["pid"], port["program"]) == (False, pid, None)
    text = in_process("vale", "list").out.splitlines()
    assert text[1].split()[:4] == ["vale0:a", "dead", str(pid), "-"]
    assert text[-1].endswith("nobody is left on it: the next one to attach clears it up")
    with opened("vale0:b"):
        assert [port["name"] for port in listed(folder)["vale0"]["ports"]] == ["vale0:b"]
    assert listed(folder) == {}


def test_an_empty_folder_of_a_switch_is_shown_and_what_is_no_switch_is_not(folder: Path) -> None:
    (folder / "vale7").mkdir()
    (folder / "other").mkdir()
    (folder / "vale8").touch()
    assert {name: switch["ports"] for name, switch in listed(folder).items()} == {"vale7": []}
    assert in_process("vale", "list").out.startswith("vale7: an empty folder, no switch: the first to attach")


def test_a_switch_that_cannot_be_read_hides_no_other_and_makes_it_fail(folder: Path) -> None:
    (folder / "vale7").mkdir()
    (folder / "vale7" / "control").write_bytes(bytes(100_000))
    (folder / "vale8").mkdir()
    (folder / "vale8" / "control").write_bytes(b"\x01" * 100_000)
    with opened("vale9:a"):
        done = in_process("vale", "list")
        as_json = in_process("vale", "list", "--json")
    assert (done.status, as_json.status) == (1, 1)
    assert done.out.splitlines()[1].startswith("vale9:a ")
    assert [line.partition(":")[0] for line in done.out.splitlines()[3:]] == ["vale7", "vale8", "vale9"]
    assert f"\nvale8: error: the files in {folder}/vale8 are of another version" in done.out
    errors = {switch["name"]: switch["error"] for switch in json.loads(as_json.out)["switches"]}
    assert "of another version, or no switch" in errors["vale8"]
    assert errors["vale9"] is None


def test_a_name_that_another_member_has_scribbled_on_moves_no_cursor(folder: Path) -> None:
    with opened("vale0:abc"):
        with (folder / "vale0" / "control").open("r+b") as control:
            at = control.read().index(b"abc\0")
            control.seek(at)
            control.write(b"a\x1bc\xff" + b"x" * 60)
        text = in_process("vale", "list").out
    assert "vale0:a?c" in text
    assert "\x1b" not in text


def line_of(done: Done, status: int) -> str:
    assert (done.status, done.out) == (status, "")
    (line,) = done.err.splitlines()
    assert line.startswith("netbe: ")
    return line


def test_without_netbe_netmap_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "netbe_netmap", None)
    assert line_of(in_process("vale", "list"), 1).endswith("pip install netbe-netmap")
    (finding,) = examined()
    assert (finding.state, finding.advice) == ("missing", "pip install netbe-netmap")


def test_where_netbe_netmap_is_broken_it_says_that(tmp_path: Path) -> None:
    (tmp_path / "netbe_netmap.py").write_text("import nothing_of_that_name\n")
    env = {"PYTHONPATH": str(tmp_path)}
    line = line_of(netbe("vale", "list", env=env), 1)
    assert "nothing_of_that_name" in line
    assert "--force-reinstall netbe-netmap" in line
    text = next(line for line in netbe("doctor", env=env).out.splitlines() if "embedded switch" in line)
    assert text.startswith("broken ")


def test_a_folder_that_cannot_be_read_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("NETBE_VALE_FOLDER", str(folder / "file"))
    assert str(folder / "file") in line_of(in_process("vale", "list"), 1)


def test_vale_alone_shows_its_help_and_an_unknown_word_is_a_usage_error() -> None:
    assert "\n  list " in in_process("vale").out + in_process("vale").err
    assert in_process("vale", "bogus").status == 2
    done = in_process("vale", "list", "-h")
    assert done.out.startswith("Usage: netbe vale list [OPTIONS]\n")
    assert "Examples:" in done.out


def test_no_other_command_imports_the_embedded_switch(folder: Path) -> None:
    code = (
        "import sys; sys.argv = ['netbe', *sys.argv[1:]]\n"
        "from netbe_cli.main import click_command\n"
        "click_command(prog_name='netbe', standalone_mode=False)\n"
        "print([name for name in sys.modules if 'netmap' in name])\n"
    )
    for words in (("vale", "--help"), ("vale", "list", "--help"), ("backends",), ("info", "pair:a")):
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.endswith("\n[]\n")


def examined() -> list[checkup.Finding]:
    """What `doctor` finds of it, without its other looks, which take long."""
    return checkup._embedded()


def test_doctor_says_where_the_switches_are_and_how_much_room_there_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finding,) = examined()
    assert (finding.what, finding.state) == ("embedded switch", "ok")
    assert re.fullmatch(rf"{folder}: [0-9,]+ MiB free", finding.found)
    few = os.statvfs_result((4096, 4096, 9999, 1000, 1000, 9, 9, 9, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: few)
    (finding,) = examined()
    assert (finding.state, finding.found) == ("warning", f"{folder}: 3 MiB free")
    assert "--shm-size" in finding.advice


def test_doctor_shows_what_the_dead_have_left_and_nothing_of_the_living(folder: Path) -> None:
    with opened("vale2:a"):
        assert len(examined()) == 1
        killed("vale1:a")
        finding = examined()[1]
        assert (finding.state, finding.found) == ("warning", "left behind by processes that died: vale1")
        assert finding.advice.endswith(f"rm -r {folder}/vale1")


def test_doctor_shows_a_switch_that_cannot_be_read_beside_the_others_with_its_own_advice(
    folder: Path,
) -> None:
    (folder / "vale2").mkdir()
    (folder / "vale2" / "control").write_bytes(b"\x01" * 100_000)
    killed("vale3:a")
    place, junk, leftover = examined()
    assert place.state == "ok"
    assert (junk.state, junk.advice) == ("warning", "end the programs that use it, then remove that folder")
    assert junk.found == f"vale2: the files in {folder}/vale2 are of another version, or no switch"
    assert leftover.found == "left behind by processes that died: vale3"


def test_doctor_says_where_switches_cannot_be(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("NETBE_VALE_FOLDER", "lab")
    (finding,) = examined()
    assert finding.found == "NETBE_VALE_FOLDER='lab' is no absolute path"
    assert finding.advice.startswith("write it from the root")
    monkeypatch.setenv("NETBE_VALE_FOLDER", str(folder / "one" / "two"))
    (finding,) = examined()
    assert (finding.state, finding.found) == (
        "warning",
        f"{folder}/one/two cannot be made: {folder}/one is not there",
    )


@pytest.mark.parametrize(("kind", "state"), [("ext4", "warning"), ("tmpfs", "ok"), ("", "ok")])
def test_doctor_warns_of_a_folder_that_is_not_in_memory(
    kind: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "_file_system", lambda path: kind)
    (finding,) = examined()
    assert finding.state == state
    assert ("ext4, and not in memory" in finding.found) == (kind == "ext4")


def test_the_kind_of_a_file_system_is_found(folder: Path) -> None:
    assert checkup._file_system(folder) == "tmpfs"
    assert checkup._file_system(Path("/proc")) == "proc"


def test_switches_are_completed_and_the_ports_of_the_one_that_is_written() -> None:
    with opened("vale3:a", "vale3:b", "vale4:c", "vale3:a{1"):
        assert complete_name("vale") == ["vale3:", "vale4:", "vale:"]
        assert complete_name("vale3:") == ["vale3:", "vale3:a", "vale3:a{1", "vale3:b"]
        assert complete_name("vale4:c") == ["vale4:c"]
        assert not [name for name in complete_name("") if name.startswith("vale3")]


def test_a_port_of_a_command_is_listed_while_it_runs(folder: Path) -> None:
    with Netbe("sink", "vale0:b", "--count", 1, "--json", env={"NETBE_VALE_FOLDER": str(folder)}) as sink:
        for _ in range(200):
            ports = listed(folder).get("vale0", {"ports": []})["ports"]
            if ports:
                break
        assert [port["pid"] for port in ports] == [sink.process.pid]
        with opened("vale0:a") as (a,):
            a.send(FRAME)
            assert sink.done().json["frames"] == 1
