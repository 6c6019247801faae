# SPDX-License-Identifier: BSD-2-Clause
"""The embedded switch between processes: taps as its uplinks, `gen` and `sink`, other users, `netbe vale list`."""

import json
import os
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from needs import need_lab, need_programs
from vales import fresh_folder, line, running
from wired import Seen, plain_frame, sums_up, tap, udp_socket, v4, v6

import netbe
from lab import PATIENCE, Host, Netbe, run, transfer, until
from netbe_netmap import embedded

pytestmark = pytest.mark.e2e

EVERYBODY = "ff:ff:ff:ff:ff:ff"
OURS = "02:00:00:00:00:77"
ARP, IPV4 = 0x0806, 0x0800
SOL_UDP, UDP_SEGMENT = 17, 103  # linux/udp.h
PROGRAM = 7
"""The number of the program's address, where hosts have 1 and 2."""


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    need_lab()
    need_programs("ping")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_folder(monkeypatch) as made:
        yield made


def packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def checksum(data: bytes) -> bytes:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return struct.pack("!H", ~(total % 0xFFFF) & 0xFFFF)


def arp(kind: int, target_mac: bytes, target: str) -> bytes:
    """RFC 826: a request (1) or an answer (2) of the program."""
    head = (target_mac if kind == 2 else packed(EVERYBODY)) + packed(OURS) + struct.pack("!H", ARP)
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, kind) + packed(OURS) + socket.inet_aton(v4(PROGRAM))
    return (head + body + target_mac + socket.inet_aton(target)).ljust(60, b"\0")


def echo(to: bytes, target: str, text: bytes) -> bytes:
    """An ICMP echo request of the program."""
    icmp = b"\x08\0\0\0" + b"\0\x01\0\x01" + text
    icmp = icmp[:2] + checksum(icmp) + icmp[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0)
    addresses = socket.inet_aton(v4(PROGRAM)) + socket.inet_aton(target)
    head = head[:10] + checksum(head + addresses) + addresses
    return to + packed(OURS) + struct.pack("!H", IPV4) + head + icmp


def ask(backend: netbe.Backend, question: bytes, answer: bytes) -> bytes:
    """Send a frame, and wait for the one in which the answer is."""
    backend.send(question)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if backend.wait(0.2) and answer in (got := backend.recv() or b""):
            return got
    raise AssertionError(f"no frame with {answer!r}")


def ports() -> dict[str, Any]:
    """What `netbe vale list` says of the ports there are, by name."""
    switches = json.loads(run(sys.executable, "-m", "netbe_cli", "vale", "list", "--json"))["switches"]
    return {port["name"]: port for switch in switches for port in switch["ports"]}


def on_switch(*names: str) -> None:
    """Until these ports are there."""
    until(lambda: set(names) <= {member.name for member in embedded.members("vale0")}, f"{names} are there")


@pytest.fixture
def uplink() -> Iterator[tuple[Host, Netbe]]:
    """A host whose tap is on the switch, through a process of its own."""
    with Host("u") as host, Netbe("bridge", "vale0:up", tap(host), "--json") as bridge:
        bridge.wait_for(host, "tap0")
        host.address("tap0", f"{v4(1)}/24")
        on_switch("vale0:up")
        yield host, bridge
        bridge.end()


def test_a_program_speaks_with_the_kernel_through_a_tap_as_uplink(uplink: tuple[Host, Netbe]) -> None:
    host, bridge = uplink
    with netbe.open("vale0:x") as backend:
        answer = ask(backend, arp(1, bytes(6), v4(1)), packed(OURS) + socket.inet_aton(v4(PROGRAM)))
        mac = answer[6:12]
        assert mac.hex(":") == host.link("tap0")["address"]
        assert answer[28:32] == socket.inet_aton(v4(1))
        text = b"over a switch in memory " * 50
        answer = ask(backend, echo(mac, v4(1), text), text)
        assert (answer[:6], answer[6:12]) == (packed(OURS), mac)
        assert answer[34] == 0  # an echo reply
        seen = ports()
        assert seen["vale0:up"]["pid"] == bridge.process.pid
        assert (seen["vale0:x"]["pid"], seen["vale0:x"]["alive"]) == (os.getpid(), True)
        assert seen["vale0:up"]["stats"]["rx_frames"] >= 2


def test_frames_of_an_experimental_type_pass_an_uplink_both_ways_unharmed(
    uplink: tuple[Host, Netbe],
) -> None:
    host, _ = uplink
    with netbe.open("vale0:x") as backend, Seen(host) as tapped:
        for size in (60, 1000, 1514):
            text = b"of %d bytes" % size
            there = plain_frame(EVERYBODY, OURS, text).ljust(size, b"\1")
            backend.send(there)
            assert tapped.wait(text) == [there]
            back = plain_frame(OURS, "02:00:00:00:00:01", text).ljust(size, b"\2")
            tapped.send(back)
            assert ask(backend, there, text) == back


def test_a_large_send_of_the_kernel_is_finished_for_a_program_that_agreed_on_nothing(
    uplink: tuple[Host, Netbe],
) -> None:
    host, _ = uplink
    host.ip("neighbour", "add", v4(PROGRAM), "lladdr", OURS, "dev", "tap0")
    with netbe.open("vale0:x") as backend, udp_socket(host, v4(1)) as giving:
        backend.send(plain_frame(EVERYBODY, OURS, b"here I am"))
        giving.setsockopt(SOL_UDP, UDP_SEGMENT, 1200)
        giving.sendto(bytes(range(256)) * 50, (v4(PROGRAM), 7001))
        frames: list[bytes] = []
        end = time.monotonic() + PATIENCE
        while sum(len(frame) - 42 for frame in frames) < 12_800:
            assert time.monotonic() < end, [len(frame) for frame in frames]
            if backend.wait(0.2) and (got := backend.recv()) and got[:6] == packed(OURS):
                frames.append(got)
    assert [len(frame) for frame in frames] == [1242] * 10 + [842]
    assert b"".join(frame[42:] for frame in frames) == bytes(range(256)) * 50
    assert [frame for frame in frames if not sums_up(frame)] == []


def test_tcp_passes_unharmed_between_two_uplinks() -> None:
    with (
        Host("a") as a,
        Host("b") as b,
        Netbe("bridge", "vale0:a,full=wait", tap(a), "--json") as one,
        Netbe("bridge", "vale0:b,full=wait", tap(b), "--json") as other,
    ):
        for number, (host, bridge) in enumerate(((a, one), (b, other)), 1):
            bridge.wait_for(host, "tap0")
            host.address("tap0", f"{v4(number)}/24", f"{v6(number)}/64")
        on_switch("vale0:a", "vale0:b")
        assert a.ping(v4(2), 10, wait=10) >= 10
        for address in (v4, v6):
            transfer(b, a, address(2), 5_000_000)
            transfer(a, b, address(1), 5_000_000)
        for name, bridge in (("vale0:a,full=wait", one), ("vale0:b,full=wait", other)):
            assert "full" not in bridge.end()["ports"][name]["tx_dropped"]


def test_gen_and_sink_in_two_processes_lose_nothing_where_the_sender_waits_and_are_listed() -> None:
    count = 200_000
    with Netbe("sink", "vale0:b", "--count", count, "--json") as sink:
        on_switch("vale0:b")
        with Netbe("gen", "vale0:a,full=wait", "--rate", "1k", "--json") as slow:
            until(
                lambda: ports().get("vale0:a", {"stats": {"tx_frames": 0}})["stats"]["tx_frames"], "it sends"
            )
            seen = ports()
            assert slow.process.poll() is None, slow.process.communicate()
            assert {name: port["pid"] for name, port in seen.items()} == {
                "vale0:a": slow.process.pid,
                "vale0:b": sink.process.pid,
            }
            assert all(port["alive"] and port["program"] for port in seen.values())
            few = slow.end()["frames"]
        with Netbe("gen", "vale0:a,full=wait", "--count", count - few, "--stream", 1, "--json") as gen:
            assert gen.result()["frames"] == count - few
        got = sink.result()
    assert (got["frames"], got["numbered"]) == (count, count)
    assert (got["lost"], got["duplicated"], got["reordered"], got["drops"]) == (0, 0, 0, 0)
    assert ports() == {}


_OTHER_USER = """
import os, sys, time, traceback
import netbe
from netbe_netmap import embedded
folder, os.environ["NETBE_VALE_FOLDER"] = os.environ["NETBE_VALE_FOLDER"], sys.argv[2]
with netbe.open("vale0:w") as one, netbe.open("vale0:v") as other:  # all that is to be imported
    one.send(b"\\xff" * 12 + bytes(48))
    assert other.wait(5) and other.recv()
    list(embedded.members("vale0"))
os.environ["NETBE_VALE_FOLDER"] = folder
os.umask(0o022)
os.setgroups([2000])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
try:
    be = netbe.open(sys.argv[3])
except netbe.NetbePermissionError as error:
    print(error, flush=True)
else:
    print("on", flush=True)
    while (word := sys.stdin.readline()):
        if word == "send\\n":
            be.send(b"\\xff" * 12 + time.monotonic_ns().to_bytes(8) + bytes(40))
        elif be.wait(5):
            print(time.monotonic_ns() - int.from_bytes(be.recv()[12:20]), flush=True)
    be.close()
"""


@pytest.fixture
def shared(folder: Path) -> Path:
    """The test's folder belongs to a group, and hands that on."""
    os.chown(folder, -1, 2000)
    folder.chmod(0o2770)
    return folder


def tell(child: Any, word: str) -> None:
    child.stdin.write(f"{word}\n")
    child.stdin.flush()


def test_users_of_one_group_share_a_switch_by_its_mode_and_wake_each_other(shared: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as warm,
        running(_OTHER_USER, 1001, warm, "vale0:a,mode=660") as one,
    ):
        assert line(one) == "on"
        assert {path.stat().st_mode & 0o777 for path in (shared / "vale0").iterdir()} == {0o660}
        with running(_OTHER_USER, 1002, warm, "vale0:b,mode=660") as other:
            assert line(other) == "on"
            took = []
            for _ in range(5):
                tell(other, "receive")
                time.sleep(0.05)  # until it sleeps, most likely
                tell(one, "send")
                took.append(int(line(other)))
            assert sorted(took)[2] < 30_000_000, took  # a timer alone would take up to 250 ms
            for child in (other, one):
                child.stdin.close()
                assert child.wait(PATIENCE) == 0


def test_a_user_whom_the_mode_does_not_admit_is_told_so(shared: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as warm,
        running(_OTHER_USER, 1001, warm, "vale0:a") as one,
    ):
        assert line(one) == "on"
        with running(_OTHER_USER, 1002, warm, "vale0:b") as other:
            assert line(other).startswith("no permission to ")
            assert other.wait(PATIENCE) == 0
        one.stdin.close()
        assert one.wait(PATIENCE) == 0
