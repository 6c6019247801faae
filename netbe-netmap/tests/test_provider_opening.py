# SPDX-License-Identifier: BSD-2-Clause
"""Opening what cannot be opened, over both providers: the error says what is wrong, and nothing is left behind."""

import errno

import pytest
from providers import Provider, descriptors, drain, mappings, numbered, receive, take

import netbe

BAD_NAMES = [
    "vale",
    "vale0",
    "vale0:",
    "vale-1:a",
    "vale0:a b",
    "vale0:a^",
    "vale0:a*",
    "vale0:a-1",
    "vale0:a{",
    "vale0:a}",
    "vale0:{1",
    "vale0:a{1}2",
    "netmap:",
    "netmap:lo",
    "netmap:vale0:a",
    "netmap:a b",
    "netmap:eth0-16",
    "netmap:{1",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_means_nothing_is_refused_with_what_to_write_instead(
    provider: Provider, name: str
) -> None:
    with pytest.raises(netbe.BadNameError) as caught:
        provider.open(name)
    assert caught.value.errno == errno.EINVAL
    assert caught.value.hint


@pytest.mark.parametrize("name", ["vale456789012345:a", "vale0:a234567890123456", "netmap:a234567890123456"])
def test_a_part_with_more_than_15_characters_is_refused_and_never_cut(provider: Provider, name: str) -> None:
    with pytest.raises(netbe.NameTooLongError):
        provider.open(name)


def test_parts_of_15_characters_are_ports_of_their_own(provider: Provider) -> None:
    one = provider.open("vale45678901234:a23456789012345")
    two = provider.open("vale45678901234:a23456789012346")
    one.send(numbered(1, 60))
    assert receive(two) == numbered(1, 60)
    assert drain(one) == []


@pytest.mark.parametrize("name", ["vale_1:x", "valeLab:x.y", "vale0:x-y", "vale0:1"])
def test_names_with_all_that_is_allowed_open(provider: Provider, name: str) -> None:
    switch = name.partition(":")[0]
    one, two = provider.open(name), provider.open(f"{switch}:other")
    one.send(numbered(1, 60))
    assert receive(two) == numbered(1, 60)


def test_a_nic_that_there_is_not_is_told_so_or_that_none_can_be_had(provider: Provider) -> None:
    with pytest.raises((netbe.DeviceNotFoundError, netbe.NotSupportedError)) as caught:
        provider.open("netmap:nbtnone")
    assert caught.value.hint


@pytest.mark.parametrize(
    "options", ["slots=1", "slots=4097", "rings=0", "rings=17", "full=maybe", "mode=999"]
)
def test_options_out_of_bounds_are_refused(provider: Provider, options: str) -> None:
    with pytest.raises(netbe.OptionError):
        provider.open(f"vale0:a,{options}")


@pytest.mark.parametrize("slots", [64, 100, 4096])
def test_a_port_with_the_slots_that_were_asked_for_carries_frames_around_its_rings(
    provider: Provider, slots: int
) -> None:
    one, two = provider.open("vale0:a", slots=slots), provider.open("vale0:b", slots=slots)
    sent = [numbered(number, 60 + number % 2500) for number in range(slots + 300)]
    got = []
    for begin in range(0, len(sent), 16):
        assert one.send_burst(sent[begin : begin + 16]) == len(sent[begin : begin + 16])
        got += take(two, len(sent[begin : begin + 16]))
    assert got == sent


def test_a_port_of_several_rings_sends_and_receives(provider: Provider) -> None:
    one, two = provider.open("vale0:a", rings=2), provider.open("vale0:b", rings=2)
    assert (one.nports, two.nports) == (2, 2)
    for number in range(5):
        one.send(numbered(number, 60))
        two.send(numbered(number, 3000))
    assert [receive(two) for _ in range(5)] == [numbered(number, 60) for number in range(5)]
    assert [receive(one) for _ in range(5)] == [numbered(number, 3000) for number in range(5)]


def test_the_same_port_twice_is_refused_or_one_port_that_both_have(provider: Provider) -> None:
    first = provider.open("vale0:a")
    if provider.same_port_twice_is_refused:
        with pytest.raises(netbe.BackendBusy) as caught:
            provider.open("vale0:a")
        assert caught.value.errno == errno.EBUSY
    else:
        second, other = provider.open("vale0:a"), provider.open("vale0:b")
        other.send(numbered(1, 60))
        assert second.wait(5)
        assert second.recv() == numbered(1, 60)
        assert first.link_up


@pytest.mark.parametrize(("before", "after"), [("on", "on"), ("on", "off"), ("off", "on")])
def test_an_exclusive_port_is_its_openers_alone(provider: Provider, before: str, after: str) -> None:
    provider.open("vale0:a", exclusive=before)
    with pytest.raises(netbe.BackendBusy):
        provider.open("vale0:a", exclusive=after)


class NoLoop:
    """An event loop that takes nobody in."""

    class Error(Exception):
        pass

    def add(self, *_: object) -> None:
        raise self.Error


# Defect 1 of the seed: memory was freed inside the backend when the open failed, and the descriptor leaked
# when the registration of the event did.
def test_an_open_that_fails_leaves_nothing_behind(provider: Provider) -> None:
    held = provider.open("vale0:a", exclusive=True)
    with netbe.EventLoop() as loop:
        before = descriptors(), mappings()
        for name, more in (
            ("vale0:a", {}),
            ("vale0:a", {"callback": print, "loop": loop}),
            ("vale0:b", {"callback": print, "loop": NoLoop()}),
            ("vale0:b{1", {"callback": print, "loop": NoLoop()}),
            ("netmap:nbtnone", {}),
            ("vale0:", {}),
            ("vale0:b,slots=0", {}),
        ):
            for _ in range(3):
                with pytest.raises((OSError, NoLoop.Error)):
                    provider.open(name, **more)
                assert (descriptors(), mappings()) == before, name
    (other,) = provider.ports("b")
    held.send(numbered(1, 60))
    assert receive(other) == numbered(1, 60)


def test_a_port_that_is_closed_leaves_nothing_behind(provider: Provider) -> None:
    before = descriptors(), mappings()
    for _ in range(3):
        ports = [*provider.ports("a", "b", rings=2), provider.open("vale0:c{1"), provider.open("vale0:c}1")]
        ports[0].send(numbered(1, 60))
        receive(ports[1])
        for port in ports:
            port.close()
        assert (descriptors(), mappings()) == before
