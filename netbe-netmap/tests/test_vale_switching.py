# SPDX-License-Identifier: BSD-2-Clause
"""The embedded switch as a switch: who gets which frame, and that it is the frame which was sent."""

import contextlib
import random
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from gso_frames import TCPV4, USO, Recipe, cut
from vales import EVERYBODY, attach, drain, frame, fresh_folder, mac, ports, push, take

import netbe
from netbe.features import Features


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_folder(monkeypatch) as path:
        yield path


def introduce(*members: netbe.Backend) -> None:
    """Each says its address, its place in the list from 1."""
    for number, member in enumerate(members, 1):
        member.send(frame(EVERYBODY, number))
    for member in members:
        drain(member)


@pytest.mark.parametrize("dst", [EVERYBODY, b"\x01\0\x5e\0\0\1", b"\x33\x33\0\0\0\1", mac(77)])
def test_broadcast_multicast_and_unknown_go_to_all_but_the_sender(dst: bytes) -> None:
    with ports("a", "b", "c") as (a, b, c):
        sent = frame(dst, 1, b"hello")
        a.send(sent)
        assert drain(b) == drain(c) == [sent]
        assert drain(a) == []


def test_a_learned_address_is_sent_to_alone() -> None:
    with ports("a", "b", "c") as members:
        introduce(*members)
        a, b, c = members
        a.send(frame(mac(2), 1))
        assert len(drain(b)) == 1
        assert drain(c) == []


def test_an_address_that_moves_is_learned_again_at_once() -> None:
    with ports("a", "b", "c") as members:
        introduce(*members)
        a, b, c = members
        c.send(frame(EVERYBODY, 2))
        drain(a)
        drain(b)
        a.send(frame(mac(2), 1))
        assert drain(b) == []
        assert len(drain(c)) == 1


def test_a_group_address_as_source_is_not_learned() -> None:
    with ports("a", "b", "c") as (a, b, c):
        group = b"\x01\0\x5e\0\0\1"
        b.send(EVERYBODY + group + b"\x88\xb5" + bytes(46))
        drain(a)
        drain(c)
        a.send(frame(group, 1))
        assert len(drain(b)) == len(drain(c)) == 1


def test_frames_to_ones_own_address_are_filtered_and_counted() -> None:
    with ports("a", "b") as (a, b):
        introduce(a, b)
        a.send(frame(mac(1), 1))
        assert drain(a) == drain(b) == []
        assert a.stats.tx_dropped == {"discarded": 1}


def test_the_addresses_of_a_port_that_leaves_are_flooded_again() -> None:
    with ports("a", "b", "c") as members:
        introduce(*members)
        a, b, c = members
        b.close()
        a.send(frame(mac(2), 1))
        assert len(drain(c)) == 1


def test_alone_on_a_switch_frames_are_dropped_and_counted_for_ever() -> None:
    with attach("a", slots=4096) as a:
        for _ in range(10_000):
            a.send(frame(EVERYBODY, 1))
        assert a.stats.tx_dropped == {"discarded": 10_000}


def test_a_port_that_comes_later_gets_what_is_sent_from_then_on() -> None:
    with ports("a", "b") as (a, b):
        a.send(frame(EVERYBODY, 1, b"one"))
        with attach("c") as c:
            a.send(frame(EVERYBODY, 1, b"two"))
            assert drain(c) == [frame(EVERYBODY, 1, b"two")]
        a.send(frame(EVERYBODY, 1, b"three"))
        assert drain(b) == [frame(EVERYBODY, 1, text) for text in (b"one", b"two", b"three")]


def test_what_a_port_sent_before_it_left_still_arrives() -> None:
    with attach("b") as b:
        for times in range(3):
            with attach("a") as a:
                for number in range(50):
                    a.send(frame(EVERYBODY, 1, b"%d %d" % (times, number)))
        assert drain(b) == [
            frame(EVERYBODY, 1, b"%d %d" % (times, number)) for times in range(3) for number in range(50)
        ]


def sizes() -> list[int]:
    edges = {k * 2112 + d for k in range(1, 32) for d in (-13, -12, -1, 0, 1)}
    return sorted(
        n for n in edges | set(range(14, 300)) | {1514, 1518, 9014, 65549, 65556, 65557} if n <= 65557
    )


def test_frames_of_all_sizes_arrive_as_they_were_sent() -> None:
    random.seed(1)
    with ports("a", "b") as (a, b):
        for size in sizes():
            sent = EVERYBODY + mac(1) + random.randbytes(size - 12)
            a.send(sent)
            assert b.peek_recvlen() == size
            assert b.recv() == sent
        for size in (13, 65558):
            with pytest.raises(netbe.FrameSizeError):
                a.send(bytes(size))
        assert b.stats.rx_frames == a.stats.tx_frames == len(sizes())
        assert b.stats.rx_bytes == a.stats.tx_bytes == sum(sizes())


def test_long_frames_pass_the_end_of_a_small_ring() -> None:
    random.seed(2)
    with ports("a", "b", slots=64) as (a, b):
        for _ in range(300):
            sent = EVERYBODY + mac(1) + random.randbytes(random.choice([2, 1500, 9000, 30_000, 65_545]))
            a.send(sent)
            assert b.recv() == sent


@pytest.mark.parametrize("theirs", [0, 10, 12])
@pytest.mark.parametrize("ours", [0, 10, 12])
def test_header_lengths_are_converted_between_ports(ours: int, theirs: int) -> None:
    with ports("a", "b") as (a, b):
        a.set_cap(Features.offloads() if ours else Features(0), ours)
        b.set_cap(Features.offloads() if theirs else Features(0), theirs)
        for size in (14, 60, 1514, 2100, 2112, 9014, 65557):
            sent = frame(EVERYBODY, 1, b"text", size) if size > 14 else EVERYBODY + mac(1) + b"\x88\xb5"
            a.send(bytes(ours) + sent)
            received = b.recv()
            assert received is not None
            assert received[theirs:] == sent
            assert received[: min(theirs, 10)] == bytes(min(theirs, 10))


def tso(payload: int = 50_000, kind: int = TCPV4) -> tuple[bytes, list[bytes]]:
    """A frame to be cut, with its header, and the pieces that it is to become."""
    random.seed(payload)
    recipe = Recipe(kind, payload=random.randbytes(payload), gso_size=1448)
    whole = recipe.build()
    return whole.header + whole.data, cut(whole)


@pytest.mark.parametrize("kind", [TCPV4, USO])
@pytest.mark.parametrize("payload", [3000, 50_000, 65_000])
def test_a_frame_to_be_cut_arrives_whole_where_there_is_a_header_and_cut_where_there_is_none(
    payload: int, kind: int
) -> None:
    whole, pieces = tso(payload, kind)
    with ports("a", "b", "c") as (a, b, c):
        a.set_cap(Features.offloads(), 10)
        b.set_cap(Features.offloads(), 12)
        a.send(whole)
        received = b.recv()
        assert received is not None
        assert received[:10] == whole[:10]
        assert received[12:] == whole[10:]
        assert drain(c) == pieces
        assert drain(b) == []


def test_each_frame_keeps_its_own_header() -> None:
    whole, _ = tso(4000)
    plain = bytes(10) + frame(EVERYBODY, 1, b"plain")
    with ports("a", "b") as (a, b):
        a.set_cap(Features.offloads(), 10)
        b.set_cap(Features.offloads(), 10)
        order = [whole, plain, plain, whole, plain] * 30
        sent = a.send_burst(order)
        assert sent == len(order)
        assert drain(b) == order


def test_64_ports_are_there_and_each_hears_each() -> None:
    names = [f"p{number}" for number in range(64)]
    with ports(*names) as members:
        with pytest.raises(netbe.BackendBusy, match="all 64 ports"):
            attach("one-more")
        introduce(*members)
        for number, member in enumerate(members, 1):
            member.send(frame(mac(number % 64 + 1), number, b"next"))
        for number, member in enumerate(members, 1):
            assert drain(member) == [frame(mac(number), (number - 2) % 64 + 1, b"next")]
        members[10].close()
        with attach("one-more") as late:
            late.send(frame(EVERYBODY, 99))
            assert all(len(drain(member)) == 1 for member in members if member is not members[10])


@pytest.mark.parametrize("rings", [(1, 2), (2, 1), (4, 3), (3, 4), (4, 4)])
def test_ports_of_any_number_of_rings_hear_all_rings_of_others(rings: tuple[int, int]) -> None:
    from netbe._native import lib

    with attach("a", rings=rings[0]) as a, attach("b", rings=rings[1]) as b:
        expected = []
        for ring in range(rings[0]):
            sent = frame(EVERYBODY, 1, b"ring %d" % ring)
            assert lib.nb_io_send(a._path.ios[ring], sent, len(sent)) == len(sent)
            expected.append(sent)
        assert a.nports == rings[0]
        assert sorted(drain(b)) == expected
        assert b.wait(0) is False


def test_bursts_arrive_in_order() -> None:
    frames = [frame(EVERYBODY, 1, b"%d" % number, 60 + number % 1000) for number in range(400)]
    batch = netbe.FrameBatch(max_frames=64)
    with ports("a", "b", wait=True) as (a, b):
        received = []
        for begin in range(0, 400, 100):
            push(a, netbe.FrameBatch(frames[begin : begin + 100]))
            while b.recv_burst(batch):
                received += [bytes(one) for one in batch]
        assert received == frames


def test_two_switches_are_apart() -> None:
    with attach("a", "vale0") as a, attach("a", "vale1") as other, attach("b", "vale0") as b:
        a.send(frame(EVERYBODY, 1))
        assert len(drain(b)) == 1
        assert drain(other) == []


def test_many_senders_share_a_receiver_who_is_slower_than_all() -> None:
    names = [f"p{number}" for number in range(30)]
    with ports(*names, slots=64) as members, attach("sink", slots=64) as sink:
        introduce(*members)
        sink.send(frame(EVERYBODY, 99))
        for member in members:
            drain(member)
        heard: dict[int, int] = {}
        for _ in range(40):
            for number, member in enumerate(members, 1):
                member.send_burst([frame(mac(99), number)] * 40)
            for _ in range(60):
                one = sink.recv()
                if one is not None:
                    source = struct.unpack(">H", one[10:12])[0]
                    heard[source] = heard.get(source, 0) + 1
        drain(sink)
        assert len(heard) == 30
        assert max(heard.values()) <= 4 * min(heard.values())
        for member in members:
            drain(member)


def test_a_bridge_joins_a_switch_to_a_cable() -> None:
    inner, outer = pair()
    with (
        contextlib.closing(inner),
        contextlib.closing(outer),
        ports("up", "a") as (up, a),
        netbe.Bridge(up, inner),
    ):
        sent = [frame(EVERYBODY, 1, b"%d" % number, 60 + 20 * number) for number in range(300)]
        for one in sent:
            a.send(one)
            assert take(outer) == one
            outer.send(one)
            assert take(a) == one


def pair() -> tuple[netbe.Backend, netbe.Backend]:
    return netbe.open("pair:vale-test"), netbe.open("pair:vale-test")


def test_a_switch_pump_forwards_between_vale_switches() -> None:
    with contextlib.ExitStack() as stack:
        ups = [stack.enter_context(attach("up", f"vale{number}")) for number in range(3)]
        ends = [stack.enter_context(attach("end", f"vale{number}")) for number in range(3)]
        stack.enter_context(netbe.Switch(ups))
        for number, end in enumerate(ends):
            end.send(frame(EVERYBODY, number + 1))
            for other in ends:
                if other is not end:
                    assert take(other) == frame(EVERYBODY, number + 1)
        for to, (one, other) in enumerate(pairwise(ends), 2):
            for number in range(100):
                sent = frame(mac(to), to - 1, b"%d" % number, 1514)
                one.send(sent)
                assert take(other) == sent
        assert [drain(end) for end in ends] == [[], [], []]


def test_rings_take_turns_in_a_bridge_of_several_queues() -> None:
    with contextlib.ExitStack() as stack:
        up, down = (
            stack.enter_context(attach("up", "vale0", rings=4)),
            stack.enter_context(attach("up", "vale1", rings=2)),
        )
        a, b = stack.enter_context(attach("a", "vale0")), stack.enter_context(attach("b", "vale1"))
        stack.enter_context(netbe.Bridge(up, down))
        for number in range(200):
            a.send(frame(EVERYBODY, 1, b"%d" % number))
            assert take(b) == frame(EVERYBODY, 1, b"%d" % number)
            b.send(frame(mac(1), 2, b"%d" % number))
            assert take(a) == frame(mac(1), 2, b"%d" % number)
