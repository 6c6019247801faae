# SPDX-License-Identifier: BSD-2-Clause
"""The helpers that users' own tests are given."""

import pytest

import netbe
from netbe import testing


def test_a_pair_is_two_ends_that_are_closed_at_the_end() -> None:
    with testing.pair() as (near, far):
        testing.send(near, testing.ethernet(b"one"), testing.ethernet(b"two"))
        assert testing.receive(far) == testing.ethernet(b"one")
        assert testing.receive(far) == testing.ethernet(b"two")
        assert testing.quiet(far)
    assert near.closed
    assert far.closed


def test_waiting_for_a_frame_that_never_comes_ends() -> None:
    with (
        testing.pair() as (near, _),
        pytest.raises(netbe.NetbeTimeoutError, match=r"no frame within 0\.02 s"),
    ):
        testing.receive(near, timeout=0.02)


def test_waiting_for_room_that_never_comes_ends() -> None:
    frames = [bytes(60_000)] * 100
    with testing.pair() as (near, _), pytest.raises(netbe.NetbeTimeoutError, match=r"no room within 0\.02 s"):
        testing.send(near, *frames, timeout=0.02)


def test_a_peer_that_is_gone_is_told_at_once() -> None:
    with testing.pair() as (near, far):
        far.close()
        with pytest.raises(netbe.BackendGone):
            testing.receive(near)


def test_a_frame_has_its_fields_where_ieee_802_puts_them() -> None:
    frame = testing.ethernet(b"x", dst=testing.station(2), src=testing.station(0x01020304), vlan=4095)
    assert frame[:18].hex(" ") == "02 00 00 00 00 02 02 00 01 02 03 04 81 00 0f ff 88 b5"
    assert len(frame) == 60
    assert len(testing.ethernet(bytes(100))) == 114
    assert testing.ethernet()[:6] == testing.BROADCAST


@pytest.mark.parametrize(
    "wrong", [{"dst": b"short"}, {"src": bytes(7)}, {"vlan": 4096}, {"ethertype": 1 << 16}]
)
def test_what_fits_no_field_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"6 bytes|VLAN|EtherType"):
        testing.ethernet(**wrong)  # type: ignore[arg-type]
