# SPDX-License-Identifier: BSD-2-Clause
"""A switch's ports: who gets which frame, whole, over both providers."""

import errno
from itertools import pairwise

import pytest
from providers import BROADCAST, Provider, drain, ethernet, numbered, receive, send_all, station, take

import netbe
from netbe import Backend, FrameBatch

LENGTHS = [14, 15, 59, 60, 61, 63, 64, 65, 127, 128, 1514, 2036, 2047, 2048, 2049, 4095, 4096, 4097, 9014, 30000, 65535, 65557]  # fmt: skip
"""Around a buffer's 2048 bytes and its multiples: one slot, several, as many as a frame may have."""


def fill(length: int) -> bytes:
    """A broadcast frame of that length, 14 bytes or more."""
    return numbered(length, max(length, 18))[:length]


def test_a_name_opens_a_port_of_the_provider_that_it_asks_for(provider: Provider) -> None:
    (port,) = provider.ports("a")
    assert port.name == f"vale0:a,provider={provider}"
    assert port.link_up
    assert (port.vnet_hdr_len, port.nports) == (0, 1)
    assert type(port).__name__ == {"embedded": "EmbeddedPort", "kernel": "NetmapBackend"}[provider.name]


def test_a_broadcast_reaches_every_port_but_its_sender(provider: Provider) -> None:
    sender, *others = provider.ports("a", "b", "c", "d")
    frame = ethernet(b"to everybody")
    assert sender.send(frame) == len(frame)
    assert [receive(other) for other in others] == [frame] * 3
    assert drain(sender) == []


def test_a_multicast_frame_is_flooded_as_well(provider: Provider) -> None:
    sender, *others = provider.ports("a", "b", "c")
    frame = ethernet(dst=b"\x33\x33\0\0\0\x01")
    sender.send(frame)
    assert [receive(other) for other in others] == [frame] * 2


def test_an_address_that_nobody_has_shown_is_flooded(provider: Provider) -> None:
    sender, *others = provider.ports("a", "b", "c")
    frame = ethernet(dst=station(9), src=station(1))
    sender.send(frame)
    assert [receive(other) for other in others] == [frame] * 2


def test_an_address_is_learned_from_what_its_station_sends(provider: Provider) -> None:
    one, two, three = provider.ports("a", "b", "c")
    two.send(ethernet(src=station(2)))
    take(one, 1)
    take(three, 1)
    frame = ethernet(b"to two", dst=station(2), src=station(1))
    one.send(frame)
    assert receive(two) == frame
    assert drain(three) == []


def test_a_station_that_moves_is_found_at_its_new_port(provider: Provider) -> None:
    one, two, three = provider.ports("a", "b", "c")
    for place in (two, three):
        place.send(ethernet(src=station(2)))
        take(one, 1)
    drain(two)
    drain(three)
    frame = ethernet(dst=station(2), src=station(1))
    one.send(frame)
    assert receive(three) == frame
    assert drain(two) == []


def test_switches_of_different_names_know_nothing_of_each_other(provider: Provider) -> None:
    one, other = provider.open("vale0:a"), provider.open("vale1:a")
    (near,) = provider.ports("b")
    one.send(ethernet())
    assert receive(near) == ethernet()
    assert drain(other) == []


def test_a_port_that_was_closed_gets_nothing_and_can_be_opened_again(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    two.close()
    one.send(ethernet(b"lost"))
    (again,) = provider.ports("b")
    one.send(ethernet(b"found"))
    assert receive(again) == ethernet(b"found")


@pytest.mark.parametrize("length", LENGTHS)
def test_a_frame_of_any_length_arrives_as_it_was_sent(provider: Provider, length: int) -> None:
    one, two = provider.ports("a", "b")
    assert one.send(fill(length)) == length
    assert two.wait(5)
    assert two.peek_recvlen() == length
    assert receive(two) == fill(length)
    assert two.recv() is None


def test_frames_of_all_lengths_stay_in_order_and_whole_over_the_rings_wrap(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    sent = [numbered(number, max(18, LENGTHS[number % len(LENGTHS)])) for number in range(600)]
    got = []
    for begin in range(0, len(sent), 20):
        send_all(one, sent[begin : begin + 20])
        got += take(two, 20)
    assert got == sent


def test_a_frame_gathered_from_pieces_is_one_frame(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    frame = fill(5000)
    cuts = [0, 1, 13, 14, 2047, 2048, 2050, 5000]
    assert one.send([frame[a:b] for a, b in pairwise(cuts)]) == 5000
    assert receive(two) == frame


def both_bounds(port: Backend) -> tuple[int, int]:
    return port.min_frame, port.max_frame


def test_frames_outside_the_bounds_are_refused_before_anything_is_sent(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    assert both_bounds(one) == (14, 65557)
    for length, number in ((0, errno.EINVAL), (13, errno.EINVAL), (65558, errno.EMSGSIZE), (99999, errno.EMSGSIZE)):  # fmt: skip
        with pytest.raises(netbe.FrameSizeError) as caught:
            one.send(bytes(length))
        assert caught.value.errno == number
    assert drain(two) == []
    assert one.stats.tx_frames == 0


def test_a_burst_goes_and_comes_in_order(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    sent = [numbered(number, 60 + number) for number in range(500)]
    assert one.send_burst(sent) == 500
    batch, got = FrameBatch(max_frames=64, capacity=64 * 2048), []
    while len(got) < 500:
        assert two.wait(5)
        assert two.recv_burst(batch) <= 64
        got += [bytes(frame) for frame in batch]
    assert got == sent
    assert two.recv_burst(batch) == 0


def test_a_burst_ends_before_a_frame_that_can_not_be_sent(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    sent = [fill(60), fill(3000), bytes(70000), fill(61)]
    assert one.send_burst(sent) == 2
    with pytest.raises(netbe.FrameSizeError):
        one.send_burst(sent[2:])
    assert drain(two) == [fill(60), fill(3000)]


def test_counters_add_up_to_what_was_done(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    one.send(fill(60))
    one.send_burst([fill(5000), fill(100)])
    take(two, 2)
    assert two.wait(5)
    assert two.rx_discard() == 100
    stats = one.stats
    assert (stats.tx_frames, stats.tx_bytes, stats.rx_frames) == (3, 5160, 0)
    stats = two.stats
    assert (stats.rx_frames, stats.rx_bytes) == (2, 5060)
    assert stats.rx_dropped == {netbe.DropReason.DISCARDED: 1}


def test_a_closed_port_refuses_every_call(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    one.send(fill(60))
    assert two.wait(5)
    two.close()
    two.close()
    for call in (two.recv, two.peek_recvlen, two.wait, lambda: two.send(fill(60)), two.get_cap):
        with pytest.raises(netbe.BackendClosed):
            call()
    assert not two.link_up
    assert two.stats.rx_frames == 0
    one.send(BROADCAST + bytes(54))  # to nobody


def test_a_port_of_a_switch_goes_through_a_pump(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    far, cable = netbe.make_pair()
    with far, cable, netbe.Bridge(two, cable):
        one.send(fill(9014))
        assert receive(far) == fill(9014)
        far.send(fill(60))
        assert receive(one) == fill(60)
