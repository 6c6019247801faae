# SPDX-License-Identifier: BSD-2-Clause
"""Programs in Python at the ports of a switch, each to be run in a process of its own.

vale_python.py burst NAME SIZE SECONDS         one prepared batch, sent again and again
vale_python.py send NAME SIZE SECONDS          one frame a call
vale_python.py senders PAIRS SIZE SECONDS      ports s0, s1...: each sends to the receiver of its number
vale_python.py receivers PAIRS SECONDS         ports r0, r1...: what they received together, as JSON
"""

import json
import os
import selectors
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

import netbe

SWITCH = "vale0"
BURST = 64
"""Frames of a prepared batch, as many as `netbe gen` sends at once."""

IDLE = 0.5
"""Seconds without a frame after which the receivers are done."""


def main() -> None:
    """Do what the arguments say."""
    what, *rest = sys.argv[1:]
    if what == "senders":
        senders(int(rest[0]), int(rest[1]), float(rest[2]))
    elif what == "receivers":
        print(json.dumps({"pps": receivers(int(rest[0]), float(rest[1]))}))
    else:
        with netbe.open(rest[0]) as port:
            {"burst": burst, "send": single}[what](port, int(rest[1]), float(rest[2]))


def frame(size: int, destination: bytes, source: bytes) -> bytes:
    """A frame of a type that nobody minds."""
    return (destination + source + b"\x88\xb5").ljust(size, b"\0")


def address(side: int, number: int) -> bytes:
    """Of a sender's (0) or a receiver's (1) port."""
    return bytes((2, 0, 0, 0, side, number))


_BROADCAST = b"\xff" * 6


def burst(port: netbe.Backend, size: int, seconds: float) -> None:
    """Send a batch again and again; wait where the port is full."""
    batch = netbe.FrameBatch([frame(size, _BROADCAST, address(0, 0))] * BURST)
    send, room = port.send_burst, _room(port)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            for _ in range(64):
                send(batch)
        except netbe.BackendFull:
            room()


def single(port: netbe.Backend, size: int, seconds: float) -> None:
    """Send a frame again and again; wait where the port is full."""
    data = frame(size, _BROADCAST, address(0, 0))
    send, room = port.send, _room(port)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            for _ in range(4096):
                send(data)
        except netbe.BackendFull:
            room()


def _room(port: netbe.Backend) -> Callable[[], object]:
    """What waits until the port has room."""
    poll = selectors.DefaultSelector()

    def wait() -> None:
        armed = port.arm_send()
        if armed is None:
            time.sleep(0.001)
            return
        if not poll.get_map():
            poll.register(*armed)
        poll.select(0.001)

    return wait


def senders(pairs: int, size: int, seconds: float) -> None:
    """Every port in turn sends a batch to the receiver of its number, or a part of it, or none when it is full."""
    with ExitStack() as stack:
        ports = [stack.enter_context(netbe.open(f"{SWITCH}:s{i},full=wait")) for i in range(pairs)]
        _hear_from(ports, pairs)
        work = [
            (port.send_burst, netbe.FrameBatch([frame(size, address(1, i), address(0, i))] * BURST))
            for i, port in enumerate(ports)
        ]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sent = 0
            for send, batch in work:
                with suppress(netbe.BackendFull):
                    sent += send(batch)
            if not sent:
                os.sched_yield()


def _hear_from(ports: Sequence[netbe.Backend], count: int) -> None:
    """Wait for the frame that each receiver sends to all, and so is learned; other senders hear it, too."""
    room = netbe.FrameBatch()
    heard = [0] * len(ports)
    end = time.monotonic() + 10
    while min(heard) < count:
        if time.monotonic() > end:
            raise RuntimeError(f"of {count} receivers the ports heard {min(heard)}")
        for i, port in enumerate(ports):
            heard[i] += port.recv_burst(room)


def receivers(pairs: int, seconds: float) -> float:
    """Frames a second that all ports together received, from the first to the last."""
    with ExitStack() as stack:
        ports = [stack.enter_context(netbe.open(f"{SWITCH}:r{i}")) for i in range(pairs)]
        room = netbe.FrameBatch()
        _await_senders(pairs)
        for i, port in enumerate(ports):
            port.send(frame(60, _BROADCAST, address(1, i)))
        for port in ports:  # the others' frames to all
            while port.recv_burst(room):
                pass
        return _count([port.recv_burst for port in ports], room, seconds)


def _await_senders(pairs: int) -> None:
    from netbe_netmap.embedded import members  # noqa: PLC0415 - the receivers alone need it

    end = time.monotonic() + 10
    while sum(member.port.startswith("s") for member in members(SWITCH)) < pairs:
        if time.monotonic() > end:
            raise RuntimeError("the senders do not come")
        time.sleep(0.02)


def _count(receive: list[Callable[[netbe.FrameBatch], int]], room: netbe.FrameBatch, seconds: float) -> float:
    frames = 0
    now = time.monotonic()
    first = last = 0.0
    end = now + seconds + 10
    while now < (last + IDLE if frames else end):
        number = 0
        for recv in receive:
            number += recv(room)
        now = time.monotonic()
        if number:
            first = first or now
            last = now
            frames += number
        else:
            os.sched_yield()
    return frames / (last - first) if last > first else 0.0


if __name__ == "__main__":
    main()
