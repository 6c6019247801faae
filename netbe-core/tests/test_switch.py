# SPDX-License-Identifier: BSD-2-Clause
"""The learning switch as its users meet it: where frames go, what is known, which VLANs stay apart."""

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
from pumping import PATIENCE, frame, packet_pair, quiet, send_all, take, until

import netbe
from netbe import DropReason, Switch, SwitchPort
from netbe.backend import Backend

Plug = Callable[[int], tuple[list[Backend], list[Backend]]]


@pytest.fixture
def plug() -> Iterator[Plug]:
    """Makes cables: the ends for the switch, and the stations at their far ends."""
    with contextlib.ExitStack() as stack:

        def make(count: int) -> tuple[list[Backend], list[Backend]]:
            pairs = [netbe.make_pair(f"port{n}") for n in range(count)]
            for pair in pairs:
                for end in pair:
                    stack.enter_context(end)
            return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

        yield make


def test_a_frame_goes_where_its_destination_was_heard_and_everywhere_before(plug: Plug) -> None:
    ends, stations = plug(3)
    with Switch(ends) as switch:
        stations[0].send(frame(2, 1, "who"))
        assert take(stations[1]) == take(stations[2]) == frame(2, 1, "who")
        stations[1].send(frame(1, 2, "me"))
        assert take(stations[0]) == frame(1, 2, "me")
        stations[0].send(frame(2, 1, "you"))
        assert take(stations[1]) == frame(2, 1, "you")
        assert quiet(stations[2])
        stations[0].send(frame(255, 1, "all"))
        assert take(stations[1]) == take(stations[2]) == frame(255, 1, "all")
        assert quiet(stations[0])
        assert switch.stats().flooded == 2


def test_the_table_says_which_address_is_where_and_an_address_that_moves_is_relearned(plug: Plug) -> None:
    ends, stations = plug(3)
    with Switch(ends) as switch:
        for number, station in enumerate(stations):
            station.send(frame(255, number + 1))
        assert until(lambda: len(switch.table()) == 3)
        assert [(one.mac, one.vlan, one.port) for one in switch.table()] == [
            ("02:00:00:00:00:01", 0, "port0/a"),
            ("02:00:00:00:00:02", 0, "port1/a"),
            ("02:00:00:00:00:03", 0, "port2/a"),
        ]
        assert all(0 <= one.age < PATIENCE for one in switch.table())
        stations[2].send(frame(255, 1))
        assert until(
            lambda: switch.table()[-1].mac == "02:00:00:00:00:03" and switch.table()[1].port == "port2/a"
        )
    assert len(switch.table()) == 3  # as it was at the end


def test_an_address_that_is_not_heard_is_forgotten(plug: Plug) -> None:
    ends, stations = plug(3)
    with Switch(ends, ageing=0.2) as switch:
        stations[1].send(frame(255, 2))
        assert take(stations[0])
        assert take(stations[2])
        stations[0].send(frame(2, 1, "known"))
        assert take(stations[1])
        assert quiet(stations[2])
        time.sleep(0.25)
        assert switch.table() == []
        stations[0].send(frame(2, 1, "unknown"))
        assert take(stations[2]) == frame(2, 1, "unknown")


def test_a_full_table_forwards_all_the_same_and_says_so(plug: Plug) -> None:
    ends, stations = plug(2)
    with Switch(ends, table_size=10) as switch:
        for number in range(1, 31):
            stations[0].send(frame(255, number))
            assert take(stations[1])
        assert len(switch.table()) == 10
        assert switch.stats().table_full == 20


def test_reserved_group_addresses_are_not_forwarded(plug: Plug) -> None:
    ends, stations = plug(2)
    with Switch(ends) as switch:
        for last in range(17):
            stations[0].send(bytes([1, 0x80, 0xC2, 0, 0, last]) + frame(0, 1)[6:])
        assert (take(stations[1]) or b"")[5] == 16
        assert quiet(stations[1])
        assert switch.stats().ports["port0/a"].rx_dropped == {DropReason.FILTERED: 16}


def test_vlans_stay_in_their_ports(plug: Plug) -> None:
    ends, stations = plug(4)
    ports = [
        SwitchPort(ends[0], pvid=10, name="desk"),
        SwitchPort(ends[1], pvid=10),
        SwitchPort(ends[2], pvid=20),
        SwitchPort(ends[3], pvid=None, trunk=True, name="uplink"),
    ]
    desk, neighbour, elsewhere, uplink = stations
    with Switch(ports) as switch:
        desk.send(frame(255, 1, "ten"))
        assert take(neighbour) == frame(255, 1, "ten")
        assert take(uplink) == frame(255, 1, "ten", tag=10)
        uplink.send(frame(255, 9, "twenty", tag=20))
        assert take(elsewhere) == frame(255, 9, "twenty")
        uplink.send(frame(255, 9, "nothing"))  # untagged: not taken
        assert quiet(neighbour)
        assert quiet(elsewhere)
        # The same address in another VLAN is another station.
        elsewhere.send(frame(1, 7, "for 1 in 20"))
        assert take(uplink) == frame(1, 7, "for 1 in 20", tag=20)
        assert quiet(desk)
        desk.send(frame(255, 1, "tagged", tag=20))
        assert quiet(elsewhere)
        assert [(one.mac[-2:], one.vlan, one.port) for one in switch.table()] == [
            ("01", 10, "desk"),
            ("07", 20, "port2/a"),
            ("09", 20, "uplink"),
        ]
        drops = switch.stats().ports
        assert drops["uplink"].rx_dropped == {DropReason.FILTERED: 1}
        assert drops["desk"].rx_dropped == {DropReason.FILTERED: 1}


def test_without_vlan_filtering_tags_are_bytes_like_any_other(plug: Plug) -> None:
    ends, stations = plug(2)
    with Switch([SwitchPort(ends[0], tagged=[5]), ends[1]], vlan_filtering=False):
        stations[0].send(frame(255, 1, tag=77))
        assert take(stations[1]) == frame(255, 1, tag=77)


def test_a_large_frame_keeps_its_offload_through_a_tag(plug: Plug) -> None:
    from test_pump import _large

    ends, stations = plug(2)
    header, large = _large(5000, 1000)
    for station in stations:
        station.set_cap(netbe.Features.offloads(), 12)
    with Switch([SwitchPort(ends[0], pvid=10), SwitchPort(ends[1], pvid=None, tagged=[10])]):
        stations[0].send(header + large)
        got = take(stations[1]) or b""
        expected = netbe.VnetHeader.unpack(header)
        tagged = netbe.VnetHeader.unpack(got[:12])
        assert got[12:] == large[:12] + b"\x81\x00\x00\x0a" + large[12:]
        assert (tagged.csum_start, tagged.hdr_len) == (expected.csum_start + 4, expected.hdr_len + 4)
        assert tagged.gso_size == expected.gso_size
        stations[1].send(got)
        assert take(stations[0]) == header + large


@pytest.mark.parametrize("on_full", ["drop", "wait"])
def test_a_port_whose_reader_stopped_does_not_stop_the_others(plug: Plug, on_full: netbe.pump.OnFull) -> None:
    ends, stations = plug(2)
    stuck, other = packet_pair()
    frames = [frame(255, 1, str(n)) for n in range(3000)]
    with stuck, other, Switch([*ends, stuck], on_full=on_full) as switch:
        begin = time.monotonic()
        got = []
        for start in range(0, 3000, 100):
            send_all(stations[0], frames[start : start + 100])
            got += [take(stations[1]) for _ in range(100)]
        assert time.monotonic() - begin < PATIENCE
        assert got == frames
        stats = switch.stats().ports["packets"]
        assert stats.tx_frames + stats.tx_dropped[DropReason.FULL] == 3000


def test_a_backend_that_is_gone_is_given_up_and_the_others_go_on(plug: Plug) -> None:
    ends, stations = plug(3)
    with Switch(ends) as switch:
        stations[1].send(frame(255, 2))
        assert take(stations[0])
        assert take(stations[2])
        stations[1].close()
        assert until(lambda: bool(switch.errors))
        assert isinstance(switch.errors["port1/a"], netbe.BackendGone)
        assert switch.table() == []
        stations[0].send(frame(2, 1, "now unknown"))
        assert take(stations[2]) == frame(2, 1, "now unknown")
        assert switch.running
        stations[0].close()
        stations[2].close()
        assert switch.join(PATIENCE)
        assert isinstance(switch.error, netbe.BackendGone)


def test_several_threads_share_one_table(plug: Plug) -> None:
    ends, stations = plug(4)
    with Switch(ends, threads=3) as switch:
        for number, station in enumerate(stations):
            station.send(frame(255, number + 1))
        for station in stations:
            assert [take(station) is not None for _ in range(3)] == [True] * 3
        for a in range(4):
            for b in range(4):
                if a != b:
                    stations[a].send(frame(b + 1, a + 1, f"{a} {b}"))
                    assert take(stations[b]) == frame(b + 1, a + 1, f"{a} {b}")
        assert switch.stats().flooded == 4


def test_what_can_not_be_is_refused(plug: Plug) -> None:
    (one, two), _ = plug(2)
    with pytest.raises(ValueError, match="2 to 4096"):
        Switch([one])
    with pytest.raises(ValueError, match="twice"):
        Switch([one, SwitchPort(one)])
    for wrong in (0, 4095, -1):
        with pytest.raises(ValueError, match="is no VLAN"):
            SwitchPort(one, pvid=wrong)
        with pytest.raises(ValueError, match="is no VLAN"):
            SwitchPort(one, tagged=[wrong])
    with pytest.raises(ValueError, match="table_size"):
        Switch([one, two], table_size=0)
    assert Switch([one, two]).table() == []
    assert [port.name for port in Switch([one, SwitchPort(two, name="x")]).ports] == ["port0/a", "x"]
