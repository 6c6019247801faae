# SPDX-License-Identifier: BSD-2-Clause
"""`Features`: numbers and rules of virtio 1.2, section 5.1.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netbe
from netbe import Features

# Virtio 1.2, 5.1.3 "Feature bits" of a network device, and section 6 for VERSION_1.
SPECIFICATION = {
    "CSUM": 0,
    "GUEST_CSUM": 1,
    "CTRL_GUEST_OFFLOADS": 2,
    "MTU": 3,
    "MAC": 5,
    "GUEST_TSO4": 7,
    "GUEST_TSO6": 8,
    "GUEST_ECN": 9,
    "GUEST_UFO": 10,
    "HOST_TSO4": 11,
    "HOST_TSO6": 12,
    "HOST_ECN": 13,
    "HOST_UFO": 14,
    "MRG_RXBUF": 15,
    "STATUS": 16,
    "CTRL_VQ": 17,
    "CTRL_RX": 18,
    "CTRL_VLAN": 19,
    "GUEST_ANNOUNCE": 21,
    "MQ": 22,
    "CTRL_MAC_ADDR": 23,
    "VERSION_1": 32,
    "GUEST_USO4": 54,
    "GUEST_USO6": 55,
    "HOST_USO": 56,
    "HASH_REPORT": 57,
    "GUEST_HDRLEN": 59,
    "RSS": 60,
    "RSC_EXT": 61,
    "STANDBY": 62,
    "SPEED_DUPLEX": 63,
}
LINUX_ONLY = {"CTRL_RX_EXTRA": 20}
NEEDS = {
    "GUEST_TSO4": ["GUEST_CSUM"],
    "GUEST_TSO6": ["GUEST_CSUM"],
    "GUEST_ECN": ["GUEST_TSO4", "GUEST_TSO6"],
    "GUEST_UFO": ["GUEST_CSUM"],
    "GUEST_USO4": ["GUEST_CSUM"],
    "GUEST_USO6": ["GUEST_CSUM"],
    "HOST_TSO4": ["CSUM"],
    "HOST_TSO6": ["CSUM"],
    "HOST_ECN": ["HOST_TSO4", "HOST_TSO6"],
    "HOST_UFO": ["CSUM"],
    "HOST_USO": ["CSUM"],
}
any_features = st.lists(st.sampled_from(list(Features))).map(lambda some: Features(sum(set(some))))


def test_numbers_are_those_of_the_specification() -> None:
    bits = {one.name: one.value.bit_length() - 1 for one in Features}
    assert bits == SPECIFICATION | LINUX_ONLY


def test_the_seeds_eight_and_todays_are_what_a_contract_is_about() -> None:
    host = {"CSUM", "HOST_TSO4", "HOST_TSO6", "HOST_UFO", "HOST_ECN", "HOST_USO"}
    guest = {"GUEST_CSUM", "GUEST_TSO4", "GUEST_TSO6", "GUEST_UFO", "GUEST_ECN", "GUEST_USO4", "GUEST_USO6"}
    assert set(Features.host_offloads().names()) == host
    assert set(Features.guest_offloads().names()) == guest
    assert Features.offloads() == Features.host_offloads() | Features.guest_offloads()


@pytest.mark.parametrize("name", NEEDS)
def test_a_feature_needs_those_below_it(name: str) -> None:
    one = Features[name]
    with pytest.raises(netbe.NotSupportedError, match=f"{name} needs {' or '.join(NEEDS[name])}"):
        one.check()
    below = {"HOST_ECN": Features.CSUM, "GUEST_ECN": Features.GUEST_CSUM}.get(name, Features(0))
    for needed in NEEDS[name]:
        (one | below | Features[needed]).check()


@pytest.mark.parametrize("name", sorted(set(SPECIFICATION) - set(NEEDS)))
def test_other_features_stand_alone(name: str) -> None:
    Features[name].check()


def test_nothing_and_everything_pass_the_check() -> None:
    Features(0).check()
    Features.offloads().check()
    Features.host_offloads().check()
    Features.guest_offloads().check()


def test_the_mirror_of_all_is_all_and_of_a_side_the_other() -> None:
    assert Features.offloads().mirrored() == Features.offloads()
    assert Features.host_offloads().mirrored() == Features.guest_offloads()
    assert Features.guest_offloads().mirrored() == Features.host_offloads()
    assert (Features.CSUM | Features.MQ).mirrored() == Features.GUEST_CSUM


def test_only_who_takes_both_halves_of_uso_takes_it() -> None:
    assert Features.GUEST_USO4.mirrored() == Features.GUEST_USO6.mirrored() == Features(0)
    assert (Features.GUEST_USO4 | Features.GUEST_USO6).mirrored() == Features.HOST_USO


@given(features=any_features)
def test_mirrored_twice_nothing_is_gained(features: Features) -> None:
    twice = features.mirrored().mirrored()
    assert twice & ~features == 0
    assert features.mirrored() & ~Features.offloads() == 0


def test_names_are_lowest_first_and_unknown_bits_have_their_number() -> None:
    assert (Features.HOST_USO | Features.CSUM | Features.VERSION_1).names() == [
        "CSUM",
        "VERSION_1",
        "HOST_USO",
    ]
    assert Features(1 << 50 | 1).names() == ["CSUM", "bit 50"]
    assert Features(0).names() == []
