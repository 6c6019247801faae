# SPDX-License-Identifier: BSD-2-Clause
"""Ctrl-C and SIGTERM end a command in order, with its summary; a second one ends it at once."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from command import PATIENCE, Netbe, Wire
from pumping import frame, until

from netbe_cli.signals import ending

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


def test_a_signal_at_any_moment_is_heard() -> None:
    # The timer's signal comes in the middle of anything that the main thread does while it looks.
    code = (
        "import random, signal\n"
        "from netbe_cli.signals import ending\n"
        "for _ in range(1000):\n"
        "    with ending(None) as end:\n"
        "        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))\n"
        "        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-4))\n"
        "        while not end.sleep(0):\n"
        "            pass\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=True)


def test_a_signal_ends_a_sleep_at_once() -> None:
    with ending(None) as end:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        begin = time.monotonic()
        assert end.sleep(PATIENCE)
    assert time.monotonic() - begin < PATIENCE / 4


def test_after_the_end_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(which) for which in BOTH]
    with ending(0.0) as end:
        assert end.due
        assert end.sleep(PATIENCE)
        assert [signal.getsignal(which) for which in BOTH] != before
    assert [signal.getsignal(which) for which in BOTH] == before


def test_a_sleep_until_what_has_passed_is_none() -> None:
    with ending(None) as end:
        assert not end.sleep(-1e-9)
