# SPDX-License-Identifier: BSD-2-Clause
"""Rings that are full, over both providers: a switch drops and counts where it can, a pipe makes its sender wait."""

import contextlib
import select

import pytest
from providers import Provider, drain, numbered, receive, send_all, take

import netbe
from netbe import Backend, DropReason, FrameBatch

MORE = 3000
"""Frames that no ring of 1024 slots has room for."""


def fill(backend: Backend, length: int = 60) -> int:
    """Send until there is no room; how many frames that took."""
    for count in range(20_000):
        try:
            backend.send(numbered(count, length))
        except netbe.BackendFull:
            return count
    raise AssertionError("it never gets full")


@pytest.fixture(params=["vale0:x", "netmap:x"])
def ends(provider: Provider, request: pytest.FixtureRequest) -> list[Backend]:
    """Both ends of a pipe."""
    return [provider.open(f"{request.param}{end}1") for end in "{}"]


# Defect 4 of the seed: a full ring dropped the frame, and nobody could see it.
def test_what_a_receiver_on_a_switch_has_no_room_for_is_lost_and_counted_where_it_can_be(
    provider: Provider,
) -> None:
    one, two = provider.ports("a", "b")
    refused = 0
    for number in range(MORE):
        try:
            one.send(numbered(number, 60))
        except netbe.BackendFull:  # told, and so not lost
            refused += 1
    got = drain(two)
    assert 500 < len(got) < MORE
    assert got == [numbered(number, 60) for number in range(len(got))]
    lost = MORE - refused - len(got)
    assert lost > 0
    counted = one.stats.tx_dropped.get(DropReason.FULL, 0) + two.stats.rx_dropped.get(DropReason.FULL, 0)
    assert counted == (lost if provider.drops_are_counted else 0)


def test_a_receiver_that_does_not_read_holds_up_nobody_else(provider: Provider) -> None:
    one, two, _ = provider.ports("a", "b", "idle")
    got = []
    for begin in range(0, MORE, 100):
        frames = [numbered(number, 60) for number in range(begin, begin + 100)]
        assert one.send_burst(frames) == 100
        got += take(two, 100)
    assert got == [numbered(number, 60) for number in range(MORE)]


def test_a_receiver_that_reads_again_gets_frames_again(provider: Provider) -> None:
    one, two = provider.ports("a", "b")
    for round_ in range(3):
        for number in range(MORE):
            with contextlib.suppress(netbe.BackendFull):
                one.send(numbered(number, 60))
        assert len(drain(two)) > 500, round_
    one.send(numbered(7, 100))
    assert receive(two) == numbered(7, 100)


def test_a_sender_waits_for_a_slow_receiver_where_the_switch_can_do_that(provider: Provider) -> None:
    if not provider.waits_on_request:
        with pytest.raises(netbe.NotSupportedError, match="full=wait"):
            provider.open("vale0:a", full="wait")
        return
    one, two = provider.open("vale0:a", full="wait"), provider.open("vale0:b")
    got: list[bytes] = []

    def read_some() -> None:
        got.extend(filter(None, (two.recv() for _ in range(50))))

    sent = [numbered(number, 60) for number in range(MORE)]
    send_all(one, sent, read_some)
    assert got + drain(two) == sent


def test_a_pipe_carries_frames_both_ways_whole_and_in_order(ends: list[Backend]) -> None:
    for one, two in (ends, ends[::-1]):
        sent = [numbered(number, 18 + number * 331 % 65500) for number in range(150)]
        for begin in range(0, len(sent), 10):
            assert one.send_burst(sent[begin : begin + 10]) == 10
            assert take(two, 10) == sent[begin : begin + 10]
        assert two.recv() is None


def test_pipes_of_other_ids_and_the_port_of_the_same_name_hear_nothing(provider: Provider) -> None:
    one, two = provider.open("vale0:x{1"), provider.open("vale0:x}1")
    others = [provider.open("vale0:x{2"), provider.open("vale0:x}2"), provider.open("vale0:x"), provider.open("vale0:y")]  # fmt: skip
    one.send(numbered(1, 60))
    assert receive(two) == numbered(1, 60)
    others[3].send(numbered(2, 60))
    assert receive(others[2]) == numbered(2, 60)
    for other in (one, two, others[0], others[1]):
        assert drain(other) == []


def test_one_end_alone_is_no_error_and_neither_is_an_end_that_was_closed(provider: Provider) -> None:
    one = provider.open("vale0:x{1")
    assert one.link_up
    if provider.pipe_waits_for_its_other_end:
        with pytest.raises(netbe.BackendFull):
            one.send(numbered(0, 60))
    else:
        assert 500 < fill(one) < MORE
    two = provider.open("vale0:x}1")
    drain(two)
    two.send(numbered(1, 60))
    two.close()
    assert one.link_up
    assert receive(one) == numbered(1, 60)
    assert one.recv() is None
    again = provider.open("vale0:x}1")
    drain(again)
    one.send(numbered(2, 60))
    assert receive(again) == numbered(2, 60)


# Defect 4 again: in a pipe nothing is lost, and the sender is told.
def test_a_full_pipe_refuses_until_its_reader_has_taken_frames(ends: list[Backend]) -> None:
    one, two = ends
    count = fill(one)
    assert count >= 500
    for _ in range(3):
        with pytest.raises(netbe.BackendFull):
            one.send(numbered(0, 60))
    assert one.stats.tx_frames == count
    assert [two.recv() for _ in range(count)] == [numbered(number, 60) for number in range(count)]
    assert two.recv() is None
    assert one.send(numbered(5, 60)) == 60
    assert receive(two) == numbered(5, 60)
    assert (one.stats.tx_dropped, two.stats.rx_dropped) == ({}, {})


def test_a_frame_of_many_slots_that_a_pipe_has_no_room_for_leaves_no_part_of_it(ends: list[Backend]) -> None:
    one, two = ends
    count = fill(one, 30000)
    assert count >= 20
    assert [two.recv() for _ in range(count)] == [numbered(number, 30000) for number in range(count)]
    assert two.recv() is None
    send_all(one, [numbered(1, 65000)])
    assert receive(two) == numbered(1, 65000)


def test_a_burst_into_a_full_pipe_tells_how_many_went_and_the_next_call_raises(ends: list[Backend]) -> None:
    one, two = ends
    frames = [numbered(number, 100) for number in range(MORE)]
    went = one.send_burst(frames)
    assert 500 < went < MORE
    went += fill_with(one, frames[went:])
    with pytest.raises(netbe.BackendFull):
        one.send_burst(frames[went:])
    batch, got = FrameBatch(max_frames=100), []
    while two.recv_burst(batch):
        got += [bytes(frame) for frame in batch]
    assert got == frames[:went]


def fill_with(backend: Backend, frames: list[bytes]) -> int:
    for count, frame in enumerate(frames):
        try:
            backend.send(frame)
        except netbe.BackendFull:
            return count
    raise AssertionError("it never gets full")


def test_a_full_pipe_says_what_to_wait_for(ends: list[Backend]) -> None:
    one, two = ends
    fill(one)
    wanted = one.arm_send()
    assert wanted is not None
    fd, events = wanted
    poll = select.poll()
    poll.register(fd, select.POLLIN if events == 1 else select.POLLOUT)
    with pytest.raises(netbe.BackendFull):
        one.send(numbered(1, 60))
    assert poll.poll(0) == []
    while two.recv() is not None:
        pass
    assert poll.poll(5000)
    assert one.send(numbered(1, 60)) == 60


def test_a_pipe_makes_a_pumps_sender_wait_and_loses_nothing(provider: Provider) -> None:
    one, two = provider.open("vale0:x{1"), provider.open("vale0:x}1")
    far, cable = netbe.make_pair()
    sent = [numbered(number, 60) for number in range(MORE)]
    got: list[bytes] = []
    with far, cable, netbe.Bridge(cable, one):
        send_all(far, sent[:MORE], lambda: got.extend(filter(None, (two.recv() for _ in range(100)))))
        while len(got) < MORE:
            got.append(receive(two))
    assert got == sent
