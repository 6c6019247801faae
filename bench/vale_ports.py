# SPDX-License-Identifier: BSD-2-Clause
"""Programs at the ports of a switch, each to be run in a process of its own.

    vale_ports.py burst NAME SIZE SECONDS                one prepared batch, sent again and again
    vale_ports.py send NAME SIZE SECONDS                 one frame a call
    vale_ports.py senders LIBRARY PAIRS SIZE SECONDS     ports s0, s1...: each sends to the receiver of its number
    vale_ports.py receivers LIBRARY PAIRS                ports r0, r1...: what they received together, as JSON

The first two are about Python; the others only prepare what peers/many_ports.c, the LIBRARY, then does.
"""

import ctypes
import json
import selectors
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

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
        senders(rest[0], int(rest[1]), int(rest[2]), float(rest[3]))
    elif what == "receivers":
        print(json.dumps({"pps": receivers(rest[0], int(rest[1]))}))
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


def senders(library: str, pairs: int, size: int, seconds: float) -> None:
    """Every port in turn sends a burst to the receiver of its number, or a part of it, or none when it is full."""
    with ExitStack() as stack:
        ports = [stack.enter_context(netbe.open(f"{SWITCH}:s{i},full=wait")) for i in range(pairs)]
        _hear_from(ports, pairs)
        data = b"".join(frame(size, address(1, i), address(0, i)) for i in range(pairs))
        failed = ctypes.CDLL(library).send_in_turn(
            _addresses(ports), ctypes.c_uint32(pairs), data, ctypes.c_uint32(size), _nanoseconds(seconds)
        )
        if failed:
            raise netbe.NetbeError(f"a sender failed with errno {-failed}")


def _addresses(ports: Sequence[netbe.Backend]) -> "ctypes.Array[ctypes.c_void_p]":
    return (ctypes.c_void_p * len(ports))(*(port.port().address for port in ports))


def _nanoseconds(seconds: float) -> ctypes.c_uint64:
    return ctypes.c_uint64(int(seconds * 1e9))


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


def receivers(library: str, pairs: int) -> float:
    """Frames a second that all ports together received, from the first to the last."""
    with ExitStack() as stack:
        ports = [stack.enter_context(netbe.open(f"{SWITCH}:r{i}")) for i in range(pairs)]
        _await_senders(pairs)
        for i, port in enumerate(ports):
            port.send(frame(60, _BROADCAST, address(1, i)))
        for i, port in enumerate(ports):
            for _ in range(pairs - 1):  # what the others sent to all
                if not port.rx_discard():
                    raise RuntimeError(f"receiver {i} did not hear all others")
        receive = ctypes.CDLL(library).receive_in_turn
        receive.restype = ctypes.c_int64
        spent = ctypes.c_uint64()
        frames = receive(_addresses(ports), ctypes.c_uint32(pairs), _nanoseconds(IDLE), ctypes.byref(spent))
        if frames < 0:
            raise netbe.NetbeError(f"a receiver failed with errno {-frames}")
    return frames / (spent.value / 1e9) if spent.value else 0.0


def _await_senders(pairs: int) -> None:
    from netbe_netmap.embedded import members  # noqa: PLC0415 - the receivers alone need it

    end = time.monotonic() + 10
    while sum(member.port.startswith("s") for member in members(SWITCH)) < pairs:
        if time.monotonic() > end:
            raise RuntimeError("the senders do not come")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
