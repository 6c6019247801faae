# SPDX-License-Identifier: BSD-2-Clause
"""``netbe bridge`` and ``netbe switch``: frames go through, and what is printed of them is true."""

import json
import signal

import pytest
from command import MakeWire, Netbe, Wire, netbe
from pumping import frame

PUMP = {"seconds", "ports", "total", "flooded", "table_full", "errors"}
STATS = {"rx_frames", "rx_bytes", "tx_frames", "tx_bytes", "rx_dropped", "tx_dropped"}
RATES = {"port", "rx_pps", "rx_bps", "tx_pps", "tx_bps", "drops", "reasons"}


def test_a_bridge_carries_frames_both_ways_and_sums_them_up(
    wire: Wire, other: Wire, plugin: dict[str, str]
) -> None:
    with Netbe("bridge", wire, other, env=plugin) as running:
        assert running.line() == f"Bridge of {wire.name}, {other.name}: running; Ctrl-C ends it"
        for number in range(3):
            wire.ours.send(frame(2, 1, f"{number}"))
            assert other.ours.recv(100) == frame(2, 1, f"{number}")
        other.ours.send(frame(1, 2))
        assert wire.ours.recv(100) == frame(1, 2)
        running.signal(signal.SIGINT)
        done = running.done()
    assert (done.status, done.err) == (0, "")
    first, _, *rows = (line.split() for line in done.out.splitlines())
    assert first[0] == "ran"
    assert [row[:5] for row in rows] == [
        [wire.name, "3", "180", "1", "60"],
        [other.name, "1", "60", "3", "180"],
    ]
    assert [row[-1] for row in rows] == ["0", "0"]


def test_a_bridge_says_the_same_as_json(wire: Wire, other: Wire, plugin: dict[str, str]) -> None:
    with Netbe("bridge", wire, other, "--json", env=plugin) as running:
        wire.ours.send(frame(2, 1))
        assert other.ours.recv(100) == frame(2, 1)
        running.signal(signal.SIGTERM)
        done = running.done()
    document = done.json
    assert done.out.count("\n") == 1
    assert set(document) == PUMP
    assert all(set(one) == STATS for one in (*document["ports"].values(), document["total"]))
    assert document["ports"][wire.name] == {
        "rx_frames": 1,
        "rx_bytes": 60,
        "tx_frames": 0,
        "tx_bytes": 0,
        "rx_dropped": {},
        "tx_dropped": {},
    }
    assert (document["total"]["tx_bytes"], document["errors"]) == (60, {})


@pytest.mark.parametrize("command", ["bridge", "switch"])
def test_a_pump_ends_after_its_duration(command: str) -> None:
    done = netbe(command, "pair:a", "pair:b", "--duration", 0.3, "--json")
    assert done.status == 0
    assert 0.3 <= done.json["seconds"] < 1.5


@pytest.mark.parametrize("command", ["bridge", "switch"])
def test_an_interval_gives_a_json_line_each_time(
    command: str, wire: Wire, other: Wire, plugin: dict[str, str]
) -> None:
    with Netbe(command, wire, other, "--interval", 0.1, env=plugin) as running:
        first = running.line()  # what comes now comes between two looks
        wire.ours.send(frame(2, 1))
        assert other.ours.recv(100)
        shown = [first, *(running.line() for _ in range(3))]
        running.signal(signal.SIGINT)
        shown += running.done().out.splitlines()
    lines = [json.loads(line) for line in shown]
    assert len(lines) < 10
    assert all(set(line) == {"seconds", "ports"} for line in lines)
    assert all(set(port) == RATES for line in lines for port in line["ports"])
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)
    assert any(line["ports"][0]["rx_pps"] > 0 for line in lines)
    assert lines[0]["ports"][0]["rx_pps"] == 0


def test_with_an_interval_and_json_the_summary_is_the_last_line() -> None:
    done = netbe("bridge", "pair:a", "pair:b", "--interval", 0.1, "--duration", 0.3, "--json")
    assert set(done.json) == PUMP
    assert set(json.loads(done.out.splitlines()[0])) == {"seconds", "ports"}


def test_a_bridge_whose_port_is_lost_says_so_and_fails(
    wire: Wire, other: Wire, plugin: dict[str, str]
) -> None:
    with Netbe("bridge", wire, other, "--json", env=plugin) as running:
        wire.ours.send(frame(2, 1))
        assert other.ours.recv(100)
        wire.theirs.close()
        wire.ours.close()
        done = running.done()
    assert done.status == 1
    assert list(done.json["errors"]) == [wire.name]
    assert done.json["ports"][other.name]["tx_frames"] == 1
    assert done.err.startswith(f"netbe: {wire.name}: its other side is gone")
    assert done.err.count("\n") == 1


def test_a_switch_whose_port_is_lost_goes_on_and_fails_at_its_end(
    make_wire: MakeWire, plugin: dict[str, str]
) -> None:
    a, b, c = make_wire(), make_wire(), make_wire()
    with Netbe("switch", a, b, c, "--json", env=plugin) as running:
        a.ours.send(frame(255, 1))
        assert b.ours.recv(100)
        assert c.ours.recv(100)
        c.theirs.close()
        c.ours.close()
        a.ours.send(frame(255, 1, "still"))
        assert b.ours.recv(100) == frame(255, 1, "still")
        assert running.process.poll() is None
        running.signal(signal.SIGINT)
        done = running.done()
    assert done.status == 1
    assert list(done.json["errors"]) == [c.name]
    assert done.err.startswith(f"netbe: {c.name}: its other side is gone")


def test_on_full_drop_counts_what_a_full_port_lost(wire: Wire, other: Wire, plugin: dict[str, str]) -> None:
    words = ("bridge", wire, other, "--on-full", "drop", "--interval", 0.1, "--json")
    with Netbe(*words, env=plugin) as running:
        while not (now := json.loads(running.line()))["ports"][1]["drops"]:
            for number in range(100):
                wire.ours.send(frame(2, 1, f"{number}"))
        assert now["ports"][1]["reasons"] == {"full": now["ports"][1]["drops"]}
        running.signal(signal.SIGINT)
        done = running.done()
    ports = done.json["ports"]
    assert ports[wire.name]["rx_frames"] == (
        ports[other.name]["tx_frames"] + ports[other.name]["tx_dropped"]["full"]
    )


def test_a_switch_learns_and_shows_its_table(make_wire: MakeWire, plugin: dict[str, str]) -> None:
    a, b, c = make_wire(), make_wire(), make_wire()
    with Netbe("switch", a, b, c, "--table", env=plugin) as running:
        running.line()
        a.ours.send(frame(255, 1))
        assert b.ours.recv(100)
        assert c.ours.recv(100)
        b.ours.send(frame(1, 2))
        assert a.ours.recv(100) == frame(1, 2)
        running.signal(signal.SIGINT)
        done = running.done()
    assert done.status == 0
    table = done.out.split("\n\n")[1].splitlines()
    assert table[0].split() == ["address", "vlan", "port", "age"]
    assert [line.split()[:3] for line in table[1:]] == [
        ["02:00:00:00:00:01", "0", a.name],
        ["02:00:00:00:00:02", "0", b.name],
    ]


@pytest.mark.parametrize("by_number", [False, True])
def test_vlans_are_given_by_the_name_of_a_port_or_its_number(
    by_number: bool,  # noqa: FBT001 - a parameter of the test
    make_wire: MakeWire,
    plugin: dict[str, str],
) -> None:
    wires = [make_wire(), make_wire(), make_wire()]
    a, b, c = wires
    one, two, three = range(1, 4) if by_number else (one.name for one in wires)
    trunk = ("--trunk", f"{three}=10", "--trunk", "3=20")
    words = ("--access", f"{one}=10", "--access", f"{two}=20", *trunk, "--table")
    with Netbe("switch", *wires, *words, "--json", env=plugin) as running:
        a.ours.send(frame(255, 1))
        assert c.ours.recv(100) == frame(255, 1, tag=10)
        b.ours.send(frame(255, 2))
        assert c.ours.recv(100) == frame(255, 2, tag=20)
        c.ours.send(frame(1, 3, tag=10))
        assert a.ours.recv(100) == frame(1, 3)
        running.signal(signal.SIGINT)
        done = running.done()
    assert {(entry["mac"][-2:], entry["vlan"], entry["port"]) for entry in done.json["table"]} == {
        ("01", 10, a.name),
        ("02", 20, b.name),
        ("03", 10, c.name),
    }


def test_a_trunk_with_an_access_vlan_has_it_untagged(wire: Wire, other: Wire, plugin: dict[str, str]) -> None:
    words = ("--trunk", "1=20", "--access", "1=10", "--trunk", "2=all", "--json")
    with Netbe("switch", wire, other, *words, env=plugin) as running:
        wire.ours.send(frame(255, 1))
        assert other.ours.recv(100) == frame(255, 1, tag=10)
        wire.ours.send(frame(255, 1, tag=20))
        assert other.ours.recv(100) == frame(255, 1, tag=20)
        running.signal(signal.SIGINT)
        assert running.done().status == 0


def test_a_trunk_of_all_vlans_takes_any(wire: Wire, other: Wire, plugin: dict[str, str]) -> None:
    with Netbe(
        "switch", wire, other, "--trunk", "1=all", "--trunk", "2=all", "--json", env=plugin
    ) as running:
        wire.ours.send(frame(255, 1, tag=4094))
        assert other.ours.recv(100) == frame(255, 1, tag=4094)
        running.signal(signal.SIGINT)
        assert running.done().status == 0
