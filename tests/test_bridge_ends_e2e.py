# SPDX-License-Identifier: BSD-2-Clause
"""How a bridge ends: on a signal, in time, because a tap is gone; and what it counts until then."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from needs import need_lab, need_programs
from wired import bridged, dropped, mac, number_hosts, plain_frame, ports_of, tap, udp_socket, v4

import netbe
from lab import PATIENCE, Host, Netbe, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    need_lab()
    need_programs("ping", "ethtool")


@contextlib.contextmanager
def load(host: Host, *, to: str) -> Iterator[None]:
    """A thread that sends datagrams as fast as it can; as broadcasts, so that no answer is waited for."""
    ending = threading.Event()

    def send() -> None:
        with udp_socket(host, broadcast=True) as giving:
            while not ending.is_set():
                with contextlib.suppress(OSError):
                    giving.sendto(bytes(1000), (to, 7001))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_a_second_with_a_summary_that_adds_up(how: signal.Signals) -> None:
    # Interfaces are taken down meanwhile, and the kernel may be busy with others': the best of three counts.
    assert min(_signalled(how) for _ in range(3)) < 1


def _signalled(how: signal.Signals) -> float:
    """Seconds from a signal to the end of a bridge under load, whose summary is looked at."""
    with bridged("--json") as cable:
        assert cable.netbe is not None
        assert cable.a.ping(v4(2), 50) == 50
        with load(cable.a, to="10.9.0.255"):
            time.sleep(0.2)  # of load: its length is arbitrary
            asked = time.monotonic()
            cable.netbe.process.send_signal(how)
            summary = cable.netbe.result()
            took = time.monotonic() - asked
        a, b = ports_of(summary)
        assert summary["errors"] == {}
        assert min(a["rx_frames"], b["rx_frames"]) >= 50
        assert a["rx_frames"] - sum(a["rx_dropped"].values()) == b["tx_frames"] + sum(
            b["tx_dropped"].values()
        )
        assert b["rx_frames"] == a["tx_frames"]
        assert (a["rx_bytes"], b["rx_bytes"]) == (b["tx_bytes"], a["tx_bytes"])
        assert cable.a.interfaces() == cable.b.interfaces() == ["lo"]
        return took


def test_it_counts_what_the_kernel_counts() -> None:
    with Host("a") as a, Host("b") as b:
        for host in (a, b):
            host.ip("tuntap", "add", "dev", "tap0", "mode", "tap")
        with Netbe("bridge", tap(a), tap(b), "--json") as running:
            until(lambda: "LOWER_UP" in a.link("tap0")["flags"], "the taps have a reader")
            until(lambda: "LOWER_UP" in b.link("tap0")["flags"], "the taps have a reader")
            number_hosts(a, b)
            assert a.ping(v4(2), 30) == 30
            summary = running.end()
        for host, port in zip((a, b), ports_of(summary), strict=True):
            kernel = host.link("tap0")["stats64"]
            assert port["rx_frames"] == kernel["tx"]["packets"] >= 30
            assert port["tx_frames"] == kernel["rx"]["packets"] >= 30
            assert dropped(port) == 0


def test_a_duration_ends_it() -> None:
    with bridged("--json", "--duration", "0.7") as cable:
        assert cable.netbe is not None
        began = time.monotonic()
        summary = cable.netbe.result()
        assert time.monotonic() - began < 2
        assert 0.7 <= summary["seconds"] < 1.5


def test_a_tap_deleted_meanwhile_ends_it_with_one_line_and_status_1() -> None:
    with bridged("--json") as cable, load(cable.a, to="10.9.0.255"):
        assert cable.netbe is not None
        cable.b.ip("link", "delete", "tap0")
        out, err = cable.netbe.process.communicate(timeout=PATIENCE)
        assert cable.netbe.process.returncode == 1
        assert len(err.splitlines()) == 1, err
        assert err.startswith("netbe: ")
        assert f"tap:tap0,netns={cable.b.name}" in err
        assert '"errors"' in out


def test_a_tap_deleted_while_nothing_is_sent_ends_it_too() -> None:
    with bridged() as cable:
        assert cable.netbe is not None
        cable.a.ip("link", "delete", "tap0")
        _, err = cable.netbe.process.communicate(timeout=PATIENCE)
        assert cable.netbe.process.returncode == 1
        assert len(err.splitlines()) == 1, err


def test_a_bridge_in_python_stops_within_100_ms_under_load_and_its_taps_are_usable_after_it() -> None:
    with Host("a") as a, Host("b") as b, netbe.open(tap(a)) as one, netbe.open(tap(b)) as other:
        number_hosts(a, b)
        bridge = netbe.Bridge(one, other)
        took = []
        with load(a, to="10.9.0.255"), load(b, to="10.9.0.255"):
            for _ in range(5):
                bridge.start()
                assert a.ping(v4(2), 1)
                asked = time.monotonic()
                bridge.stop()
                took.append(time.monotonic() - asked)
            until(lambda: other.recv() is not None, "a frame is received by hand")
        assert sorted(took)[len(took) // 2] < 0.1, took


def test_frames_for_a_full_backend_are_dropped_at_once_and_counted() -> None:
    mine, stuck = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        stuck,
        Host("a") as a,
        netbe.open(tap(a)) as one,
        netbe.FdBackend("stuck", mine.detach()) as other,
        netbe.Bridge(one, other, on_full="drop") as bridge,
    ):
        a.ip("link", "set", "tap0", "up")
        with a.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as giving:
            giving.bind(("tap0", 0))
            for number in range(3000):
                giving.send(plain_frame(mac(2), mac(1), b"%d" % number))
                if number % 100 == 99:  # so that the tap's own queue is not too short
                    until(lambda: bridge.stats().ports[one.name].rx_frames > number - 50, "taken")  # noqa: B023
        until(lambda: bridge.stats().ports[one.name].rx_frames >= 3000, "all are taken")
        bridge.stop()
        into, out = bridge.stats().ports.values()
    assert out.tx_dropped.keys() == {netbe.DropReason.FULL}
    assert 0 < out.tx_frames < 3000
    assert out.tx_frames + out.tx_dropped[netbe.DropReason.FULL] == into.rx_frames


def test_the_command_drops_for_a_full_backend_too() -> None:
    with Host("a") as a, Netbe("bridge", tap(a), "pair:nobody", "--on-full", "drop", "--json") as running:
        running.wait_for(a, "tap0")
        until(lambda: "LOWER_UP" in a.link("tap0")["flags"], "the tap is up")
        with load(a, to="10.9.0.255"):
            a.address("tap0", f"{v4(1)}/24")
            until(lambda: a.link("tap0")["stats64"]["tx"]["packets"] > 3000, "a load")
        into, out = ports_of(running.end())
    assert 0 < out["tx_frames"] < 3000
    assert out["tx_dropped"]["full"] > 0
    assert out["tx_frames"] + out["tx_dropped"]["full"] == into["rx_frames"]
