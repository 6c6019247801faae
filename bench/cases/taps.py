# SPDX-License-Identifier: BSD-2-Clause
"""Two taps in two network namespaces, joined by one process; iperf3 across."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from lab import Lab, build, missing, program, run
from report import Case, Subject

NETBE = str(Path(sys.executable).parent / "netbe")
Join = Callable[[Lab], AbstractContextManager[None]]


@contextmanager
def case(*, quick: bool) -> Iterator[Case]:
    """Ours as bridge and as switch, beside the loops that one could write and the switches one could install."""
    lacking = missing("ip", "iperf3", "ping")
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        lacking = "root and /dev/net/tun"
    if lacking:
        yield Case("taps", "Two taps bridged", [], {}, cannot=f"needs {lacking}")
        return
    seconds = 2 if quick else 5
    loop = build("tap_loop.c")
    joins: list[tuple[str, Join, str]] = [
        ("netbe bridge", _netbe("bridge"), ""),
        ("netbe switch, 3 ports", _netbe("switch", "tap:nbc"), ""),
        ("netbe bridge, one tap without offloads", _netbe("bridge", options=",offloads=off"), ""),
        ("C loop, read/write, vnet headers and offloads", _loop(loop, "offload"), ""),
        ("C loop, read/write, no header", _loop(loop, "plain"), ""),
        ("vde_switch", _vde, missing("vde_switch")),
        ("socat", _socat, missing("socat")),
    ]
    subjects = [
        Subject(name, _measured(join, seconds), lack and f"{lack} is not installed")
        for name, join, lack in joins
    ]
    subjects.append(Subject("veth pair, no bridge", _measured(_veth, seconds), limit=True))
    yield Case("taps", "Two taps bridged", subjects, {"TCP": "Gbit/s", "UDP": "16-byte kpps received"})


def _measured(join: Join, seconds: float) -> Callable[[], dict[str, float]]:
    def once() -> dict[str, float]:
        with Lab(seconds) as lab, join(lab):
            return lab.throughput()

    return once


def _netbe(command: str, *more: str, options: str = "") -> Join:
    @contextmanager
    def join(lab: Lab) -> Iterator[None]:
        names = [f"tap:nb{side},netns={name}" for side, name in zip("ab", lab.names, strict=True)]
        names[1] += options
        with program(NETBE, command, *names, *more, "--json"):
            lab.address("nba", "nbb")
            yield

    return join


def _loop(loop: Path, mode: str) -> Join:
    @contextmanager
    def join(lab: Lab) -> Iterator[None]:
        with program(loop, mode, "nba", "nbb"):
            lab.adopt("nba", "nbb")
            lab.address("nba", "nbb")
            yield

    return join


@contextmanager
def _vde(lab: Lab) -> Iterator[None]:
    with program("vde_switch", "-s", lab.scratch / "vde", "-t", "nba", "-t", "nbb"):
        lab.adopt("nba", "nbb")
        lab.address("nba", "nbb")
        yield


@contextmanager
def _socat(lab: Lab) -> Iterator[None]:
    ends = [f"TUN,tun-type=tap,tun-name={name},iff-no-pi,iff-up" for name in ("nba", "nbb")]
    with program("socat", "-b", "70000", *ends):
        lab.adopt("nba", "nbb")
        lab.address("nba", "nbb")
        yield


@contextmanager
def _veth(lab: Lab) -> Iterator[None]:
    run("ip", "link", "add", "nba", "type", "veth", "peer", "name", "nbb")
    lab.adopt("nba", "nbb")
    lab.address("nba", "nbb")
    yield
