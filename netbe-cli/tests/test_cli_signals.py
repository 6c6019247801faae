# SPDX-License-Identifier: BSD-2-Clause
"""Ctrl-C and SIGTERM end a command in order, with its summary; a second one ends it at once."""

import signal
import subprocess

import pytest
from command import Netbe, Wire
from pumping import frame, until

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("which", BOTH, ids=lambda which: which.name)
@pytest.mark.parametrize("command", ["bridge", "switch"])
def test_a_signal_ends_a_pump_with_its_summary(
    command: str, which: signal.Signals, wire: Wire, other: Wire, plugin: dict[str, str]
) -> None:
    with Netbe(command, wire, other, env=plugin) as running:
        assert "running" in running.line()
        running.signal(which)
        done = running.done()
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("ran ")


@pytest.mark.parametrize("which", BOTH, ids=lambda which: which.name)
def test_a_signal_ends_gen_with_its_summary(
    which: signal.Signals, wire: Wire, plugin: dict[str, str]
) -> None:
    with Netbe("gen", wire, "--json", env=plugin) as running:
        assert wire.ours.recv(100)
        running.signal(which)
        done = running.done()
    assert (done.status, done.err) == (0, "")
    assert done.json["frames"] > 0


@pytest.mark.parametrize("which", BOTH, ids=lambda which: which.name)
def test_a_signal_ends_a_slow_gen_between_two_frames(
    which: signal.Signals, wire: Wire, plugin: dict[str, str]
) -> None:
    with Netbe("gen", wire, "--rate", "0.01", "--json", env=plugin) as running:
        assert wire.ours.recv(100)
        running.signal(which)
        done = running.done()
    assert (done.status, done.json["frames"]) == (0, 1)


@pytest.mark.parametrize("which", BOTH, ids=lambda which: which.name)
def test_a_signal_ends_sink_with_its_summary(
    which: signal.Signals, wire: Wire, plugin: dict[str, str]
) -> None:
    with Netbe("sink", wire, "--json", env=plugin) as running:
        for _ in range(3):
            wire.ours.send(frame(2, 1))
            assert until(wire.drained)
        running.signal(which)
        done = running.done()
    assert (done.status, done.err) == (0, "")
    assert 1 <= done.json["frames"] <= 3


def test_the_second_ctrl_c_ends_what_the_first_cannot(plugin: dict[str, str]) -> None:
    with Netbe("gen", "stuck0", env=plugin) as running:
        assert running.line() == "stuck"
        running.signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(0.3)
        running.signal(signal.SIGINT)
        done = running.done()
    assert done.status == 130
    assert "Traceback" not in done.err


def test_the_second_sigterm_ends_what_the_first_cannot(plugin: dict[str, str]) -> None:
    with Netbe("gen", "stuck0", env=plugin) as running:
        assert running.line() == "stuck"
        running.signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(0.3)
        running.signal(signal.SIGTERM)
        assert running.done().status == -signal.SIGTERM
