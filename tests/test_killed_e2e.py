# SPDX-License-Identifier: BSD-2-Clause
"""A process that is killed leaves nothing behind, and no harm."""

import signal

import pytest
from needs import need_lab, need_programs
from wired import bridged, number_hosts, tap, v4

from lab import Host, Netbe, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    need_lab()
    need_programs("ping")


def kill(netbe: Netbe | None) -> None:
    assert netbe is not None
    netbe.process.send_signal(signal.SIGKILL)
    netbe.process.communicate()


def test_a_killed_bridge_leaves_no_interface() -> None:
    with bridged() as cable:
        assert cable.a.ping(v4(2), 1)
        kill(cable.netbe)
        until(lambda: cable.a.interfaces() == cable.b.interfaces() == ["lo"], "the taps are gone")


def test_a_killed_switch_of_taps_with_several_queues_leaves_no_interface() -> None:
    with (
        Host("a") as a,
        Host("b") as b,
        Netbe("switch", tap(a, queues=3), tap(b, queues=3)) as netbe,
    ):
        netbe.wait_for(a, "tap0")
        netbe.wait_for(b, "tap0")
        kill(netbe)
        until(lambda: a.interfaces() == b.interfaces() == ["lo"], "the taps are gone")


def test_a_persistent_tap_of_a_killed_bridge_is_bridged_again() -> None:
    with bridged(a={"persist": "on"}, b={"persist": "on"}) as cable:
        assert cable.a.ping(v4(2), 1)
        kill(cable.netbe)
        assert cable.a.interfaces() == cable.b.interfaces() == ["lo", "tap0"]
        assert cable.a.ping(v4(2), 1, wait=0.3) == 0
        with Netbe("bridge", tap(cable.a), tap(cable.b), "--json") as again:
            until(lambda: cable.a.ping(v4(2), 1, wait=1) == 1, "frames pass again")
            assert again.end()["errors"] == {}


def test_when_one_bridge_of_two_is_killed_the_other_goes_on() -> None:
    with bridged() as cable:
        with Netbe("bridge", tap(cable.a, "tap1"), tap(cable.b, "tap1")) as other:
            other.wait_for(cable.a, "tap1")
            other.wait_for(cable.b, "tap1")
            kill(other)
        until(lambda: "tap1" not in cable.a.interfaces(), "the taps are gone")
        assert cable.a.ping(v4(2), 20) == 20


def test_the_name_is_free_at_once_for_the_next() -> None:
    with Host("a") as a, Host("b") as b:
        for _ in range(3):
            with Netbe("bridge", tap(a), tap(b)) as netbe:
                netbe.wait_for(a, "tap0")
                netbe.wait_for(b, "tap0")
                number_hosts(a, b)
                until(lambda: a.ping(v4(2), 1, wait=1) == 1, "frames pass")
                kill(netbe)
            until(lambda: a.interfaces() == b.interfaces() == ["lo"], "the taps are gone")
