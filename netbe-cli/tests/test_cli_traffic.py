# SPDX-License-Identifier: BSD-2-Clause
"""``netbe gen`` and ``netbe sink``: what they send and count, how fast, for how long, and what they print."""

import select
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest
from command import Done, Netbe, Wire, netbe

import netbe as netbe_library
from netbe_cli.output import WHY

GEN = {"name", "frames", "bytes", "seconds", "pps", "drops", "reasons", "full"}
SINK = {
    "name",
    "frames",
    "bytes",
    "seconds",
    "pps",
    "drops",
    "reasons",
    "numbered",
    "lost",
    "duplicated",
    "reordered",
}
STAMP = struct.Struct(">6sHQQ")


def stamped(number: int, stream: int = 0, size: int = 60) -> bytes:
    head = b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x88\xb5" + STAMP.pack(b"netbe\1", stream, number, 0)
    return head.ljust(size, b"\0")


class Drain:
    """Takes every frame that comes out of a wire, on a thread, until the other side is gone."""

    def __init__(self, wire: Wire) -> None:
        self.frames: list[bytes] = []
        self._wire = wire
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while frame := self._wire.ours.recv(1 << 17):
            self.frames.append(frame)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.theirs.close()
        self._thread.join(30)


def generated(wire: Wire, plugin: dict[str, str], *words: object) -> tuple[Done, list[bytes]]:
    with Drain(wire) as drain:
        done = netbe("gen", wire, *words, env=plugin)
    return done, drain.frames


def test_gen_sends_numbered_frames_of_the_size_and_addresses_asked_for(
    wire: Wire, plugin: dict[str, str]
) -> None:
    words = ("--count", 1000, "--size", 128, "--dst", "02:00:00:00:00:aa", "--src", "02:00:00:00:00:BB")
    done, frames = generated(wire, plugin, *words, "--stream", 7, "--json")
    assert (done.status, done.err) == (0, "")
    head = bytes.fromhex("0200000000aa 0200000000bb 88b5")
    assert {(len(frame), frame[:14]) for frame in frames} == {(128, head)}
    found = [STAMP.unpack_from(frame, 14) for frame in frames]
    assert [one[:3] for one in found] == [(b"netbe\1", 7, number) for number in range(1000)]
    assert found[0][3] <= found[-1][3]


def test_gen_says_what_it_sent_as_json(wire: Wire, plugin: dict[str, str]) -> None:
    done, frames = generated(wire, plugin, "--count", 100, "--size", 100, "--json")
    document = done.json
    assert set(document) == GEN
    assert (document["name"], document["frames"], document["bytes"]) == (wire.name, 100, 10_000)
    assert (len(frames), document["drops"]) == (100, 0)
    assert document["pps"] == pytest.approx(100 / document["seconds"])


def test_gen_says_what_it_sent_in_words(wire: Wire, plugin: dict[str, str]) -> None:
    done, _ = generated(wire, plugin, "--count", 1234, "--size", 60)
    first, second = done.out.splitlines()
    assert first.startswith(f"sent 1,234 frames of 60 bytes to {wire.name} in ")
    assert first.endswith("frames/s")
    assert second.startswith("dropped 0; the backend was full ")


@pytest.mark.parametrize("size", [14, 37, 38, 60, 1514, 9014, 65535])
def test_a_frame_of_any_size_goes_and_has_a_number_where_there_is_room(
    size: int, wire: Wire, plugin: dict[str, str]
) -> None:
    done, frames = generated(wire, plugin, "--count", 3, "--size", size, "--json")
    assert done.json["bytes"] == 3 * size
    assert [len(frame) for frame in frames] == [size] * 3
    assert all((frame[14:20] == b"netbe\1") == (size >= 38) for frame in frames)


@pytest.mark.parametrize("rate", [50, 5000])
def test_the_rate_is_kept(rate: int, wire: Wire, plugin: dict[str, str]) -> None:
    done, frames = generated(wire, plugin, "--rate", rate, "--duration", 1, "--json")
    document = done.json
    assert document["frames"] == len(frames)
    # The first goes at once; a machine that is busy makes it late, never early.
    assert rate * 0.8 <= document["frames"] <= rate * document["seconds"] + 1
    assert 1 <= document["seconds"] < 1.5


def test_a_rate_may_be_written_in_thousands(wire: Wire, plugin: dict[str, str]) -> None:
    done, _ = generated(wire, plugin, "--rate", "0.2k", "--count", 20, "--json")
    assert 0.09 <= done.json["seconds"] < 1
    assert done.json["frames"] == 20


def test_gen_waits_where_the_backend_is_full_and_ends_in_time(wire: Wire, plugin: dict[str, str]) -> None:
    done = netbe("gen", wire, "--duration", 0.3, "--json", env=plugin)
    document = done.json
    assert document["full"] > 0
    assert document["drops"] == 0
    assert 0.3 <= document["seconds"] < 1.5
    taken = 0
    while select.select([wire.ours], [], [], 0)[0]:
        taken += len(wire.ours.recv(100)) == 60
    assert taken == document["frames"]


def test_gen_fails_when_the_other_side_is_gone(wire: Wire, plugin: dict[str, str]) -> None:
    with Netbe("gen", wire, "--rate", 100, "--json", env=plugin) as running:
        assert wire.ours.recv(100)
        wire.theirs.close()
        wire.ours.close()
        done = running.done()
    assert done.status == 1
    assert done.err.startswith("netbe: ")
    assert done.err.count("\n") == 1


def sunk(wire: Wire, plugin: dict[str, str], frames: list[bytes], *words: object) -> dict[str, Any]:
    for frame in frames:
        wire.ours.send(frame)
    done = netbe("sink", wire, *words, "--json", env=plugin)
    assert (done.status, done.err) == (0, "")
    document: dict[str, Any] = done.json
    assert set(document) == SINK
    assert document["name"] == wire.name
    return document


def test_sink_counts_frames_and_bytes(wire: Wire, plugin: dict[str, str]) -> None:
    found = sunk(wire, plugin, [bytes(60), bytes(100), bytes(1514)], "--count", 3)
    assert (found["frames"], found["bytes"], found["drops"], found["numbered"]) == (3, 1674, 0, 0)


def test_sink_takes_no_more_than_the_count(wire: Wire, plugin: dict[str, str]) -> None:
    found = sunk(wire, plugin, [stamped(number) for number in range(20)], "--count", 12)
    assert (found["frames"], found["bytes"], found["numbered"]) == (12, 720, 12)


@pytest.mark.parametrize(
    ("numbers", "lost", "doubled", "reordered"),
    [
        (list(range(50)), 0, 0, 0),
        ([0, 1, 4, 5, 9], 5, 0, 0),
        ([0, 1, 1, 2, 2, 2], 0, 3, 0),
        ([0, 2, 1, 3, 6, 5, 4], 0, 0, 3),
        ([10, 11, 13, 12, 12, 15], 1, 1, 1),
    ],
)
def test_sink_tells_what_was_lost_doubled_and_out_of_order(
    numbers: list[int], lost: int, doubled: int, reordered: int, *, wire: Wire, plugin: dict[str, str]
) -> None:
    found = sunk(wire, plugin, [stamped(number) for number in numbers], "--count", len(numbers))
    assert found["numbered"] == len(numbers)
    assert (found["lost"], found["duplicated"], found["reordered"]) == (lost, doubled, reordered)


def test_streams_are_numbered_apart(wire: Wire, plugin: dict[str, str]) -> None:
    frames = [stamped(number, stream) for number in range(5) for stream in (1, 2)]
    found = sunk(wire, plugin, frames, "--count", 10)
    assert (found["numbered"], found["lost"], found["duplicated"]) == (10, 0, 0)


def test_sink_can_leave_the_numbers_alone(wire: Wire, plugin: dict[str, str]) -> None:
    found = sunk(wire, plugin, [stamped(0), stamped(9)], "--count", 2, "--no-sequence")
    assert (found["frames"], found["numbered"], found["lost"]) == (2, 0, 0)


def test_sink_ends_when_it_is_idle_but_not_before_the_first_frame(wire: Wire, plugin: dict[str, str]) -> None:
    with Netbe("sink", wire, "--idle", 0.2, "--json", env=plugin) as running:
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(0.8)
        wire.ours.send(stamped(0))
        assert running.done().json["frames"] == 1


def test_sink_ends_after_its_duration(wire: Wire, plugin: dict[str, str]) -> None:
    found = sunk(wire, plugin, [], "--duration", 0.2)
    assert (found["frames"], found["seconds"], found["pps"]) == (0, 0, 0)


def test_sink_says_what_came_in_words(wire: Wire, plugin: dict[str, str]) -> None:
    for number in (0, 1, 3):
        wire.ours.send(stamped(number))
    done = netbe("sink", wire, "--count", 3, env=plugin)
    lines = done.out.splitlines()
    assert lines[0].startswith(f"received 3 frames, 180 bytes from {wire.name} in ")
    assert lines[-1] == "numbered 3: lost 1, doubled 0, out of order 0"


@pytest.mark.parametrize("good", [0, 2])
def test_sink_says_why_frames_were_dropped(good: int, wire: Wire, plugin: dict[str, str]) -> None:
    for _ in range(2):
        for frame in (b"short", *(stamped(number) for number in range(good))):
            wire.ours.send(frame)
        words = ("--duration", 0.3, *(() if good else ("--json",)))
        done = netbe("sink", wire, *words, env=plugin)
        if good:
            line, reason = done.out.splitlines()[1:3]
            assert line.endswith("dropped 1")
            assert reason == "  too_short 1: shorter than the backend takes"
        else:
            assert (done.json["drops"], done.json["reasons"]) == (1, {"too_short": 1})


def test_each_reason_to_drop_has_words() -> None:
    assert set(WHY) == set(netbe_library.DropReason)


def test_sink_fails_when_the_other_side_is_gone(wire: Wire, plugin: dict[str, str]) -> None:
    with Netbe("sink", wire, "--json", env=plugin) as running:
        wire.ours.send(stamped(0))
        wire.theirs.close()
        wire.ours.shutdown(socket.SHUT_RDWR)
        done = running.done()
    assert done.status == 1
    assert done.err.startswith("netbe: ")
    assert done.err.count("\n") == 1


@pytest.fixture
def both(wire: Wire, plugin: dict[str, str]) -> Iterator[tuple[Netbe, Netbe]]:
    """A generator and a sink with one cable between them."""
    ours = Wire(wire.theirs, wire.ours)
    with (
        Netbe("sink", wire, "--idle", 1, "--json", env=plugin) as sink,
        Netbe("gen", ours, "--count", 20_000, "--size", 200, "--json", env=plugin) as gen,
    ):
        yield gen, sink


def test_what_gen_sends_sink_receives_in_order_and_without_loss(both: tuple[Netbe, Netbe]) -> None:
    gen, sink = (one.done().json for one in both)
    assert gen["frames"] == sink["frames"] == sink["numbered"] == 20_000
    assert gen["bytes"] == sink["bytes"]
    assert (sink["lost"], sink["duplicated"], sink["reordered"]) == (0, 0, 0)
    assert sink["pps"] == pytest.approx(20_000 / sink["seconds"])
