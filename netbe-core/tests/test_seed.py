# SPDX-License-Identifier: BSD-2-Clause
"""The calls by bhyve's names, with a backend and with none."""

import errno
from collections.abc import Iterator

import pytest
from pumping import PATIENCE, descriptors, frame

import netbe
from netbe import Backend, EventLoop, Features
from netbe.seed import no_backend

ONE, TWO = frame(1, 2, "one"), frame(1, 2, "two") + bytes(100)


@pytest.fixture
def ends() -> Iterator[tuple[Backend, Backend]]:
    one, two = netbe.netbe_init("pair:seed", None), netbe.netbe_init("pair:seed", None)
    yield one, two
    netbe.netbe_cleanup(one)
    netbe.netbe_cleanup(two)


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    with EventLoop() as one:
        yield one


# --- netbe_init, netbe_cleanup


def test_init_opens_the_backend_of_its_prefix(ends: tuple[Backend, Backend]) -> None:
    assert [one.name for one in ends] == ["pair:seed", "pair:seed"]
    assert all(one.link_up for one in ends)


def test_an_unknown_prefix_is_einval() -> None:
    with pytest.raises(netbe.UnknownPrefixError) as caught:
        netbe.netbe_init("nothing0", None)
    assert caught.value.errno == errno.EINVAL


def test_other_errors_are_the_backends_own_and_nothing_is_left_behind(loop: EventLoop) -> None:
    with netbe.netbe_init("pair:warm", None):
        pass
    before = descriptors()
    for name in ("pair:", "pair", "pair:x,room=none", "pair:x,colour=red", "nothing0"):
        with pytest.raises(netbe.NetbeError) as caught:
            netbe.netbe_init(name, print, loop=loop)
        assert caught.value.errno == errno.EINVAL
    assert descriptors() == before


def test_cleanup_closes_and_takes_none(ends: tuple[Backend, Backend]) -> None:
    netbe.netbe_cleanup(ends[0])
    assert ends[0].closed
    assert not ends[1].link_up
    netbe.netbe_cleanup(ends[0])
    netbe.netbe_cleanup(None)


# Defect 9 of the seed: a name longer than 80 characters was silently cut.
@pytest.mark.parametrize("length", [80, 81, 82, 200, 250])
def test_names_that_differ_only_at_the_end_are_different_however_long(length: int) -> None:
    stem = "pair:".ljust(length - 1, "x")
    with (
        netbe.netbe_init(stem + "a", None) as a,
        netbe.netbe_init(stem + "b", None) as b,
        netbe.netbe_init(stem + "a", None) as other_a,
    ):
        assert len(a.name) == length
        netbe.netbe_send(a, ONE)
        assert netbe.netbe_peek_recvlen(b) == 0
        assert netbe.netbe_peek_recvlen(other_a) == len(ONE)


# Defect 9 of the seed.
@pytest.mark.parametrize("name", ["pair:" + "x" * 251, "pair:" + "x" * 5000, "nothing" + "x" * 5000])
def test_a_name_that_is_too_long_is_enametoolong(name: str) -> None:
    with pytest.raises(netbe.NameTooLongError) as caught:
        netbe.netbe_init(name, None)
    assert caught.value.errno == errno.ENAMETOOLONG


# --- frames


def test_send_peek_recv_and_discard(ends: tuple[Backend, Backend]) -> None:
    one, two = ends
    assert netbe.netbe_peek_recvlen(two) == netbe.netbe_recv(two, bytearray(9)) == 0
    assert netbe.netbe_rx_discard(two) == 0
    assert netbe.netbe_send(one, [ONE[:10], ONE[10:]]) == len(ONE)
    assert netbe.netbe_send(one, TWO) == len(TWO)
    assert netbe.netbe_send(one, ONE) == len(ONE)
    assert [netbe.netbe_peek_recvlen(two) for _ in range(3)] == [len(ONE)] * 3
    room = [bytearray(20), bytearray(2000)]
    assert netbe.netbe_recv(two, room) == len(ONE)
    assert b"".join(room)[: len(ONE)] == ONE
    with pytest.raises(netbe.FrameTooLong):
        netbe.netbe_recv(two, bytearray(20))
    assert netbe.netbe_rx_discard(two) == len(TWO)
    assert netbe.netbe_recv(two, bytearray(2000)) == len(ONE)


def test_capabilities_and_header_length(ends: tuple[Backend, Backend]) -> None:
    one, _ = ends
    assert netbe.netbe_get_vnet_hdr_len(one) == 0
    assert netbe.netbe_get_cap(one) == Features.offloads()
    netbe.netbe_set_cap(one, Features.CSUM, 10)
    assert (one.features, netbe.netbe_get_vnet_hdr_len(one)) == (Features.CSUM, 10)
    with pytest.raises(netbe.NotSupportedError):
        netbe.netbe_set_cap(one, Features.CSUM, 11)
    assert (one.features, netbe.netbe_get_vnet_hdr_len(one)) == (Features.CSUM, 10)


# --- the callback


def test_receiving_starts_disabled_and_the_callback_gets_its_parameter(loop: EventLoop) -> None:
    called: list[object] = []
    param = object()
    near = netbe.netbe_init("pair:callback", called.append, param, loop=loop)
    with near, netbe.netbe_init("pair:callback", None) as far:
        netbe.netbe_send(far, ONE)
        assert loop.step(0.02) == 0
        netbe.netbe_rx_enable(near)
        assert loop.step(PATIENCE) == 1
        assert called == [param]
        netbe.netbe_rx_disable(near)
        assert loop.step(0.02) == 0
        assert called == [param]
        assert netbe.netbe_peek_recvlen(near) == len(ONE)


# Defect 12 of the seed: disabling enabled.
def test_what_was_disabled_is_called_again_only_when_it_was_enabled_again(loop: EventLoop) -> None:
    called: list[object] = []
    near = netbe.netbe_init("pair:callback", called.append, loop=loop)
    with near, netbe.netbe_init("pair:callback", None) as far:
        netbe.netbe_rx_disable(near)
        netbe.netbe_send(far, ONE)
        for _ in range(2):
            netbe.netbe_rx_enable(near)
            netbe.netbe_rx_disable(near)
            assert loop.step(0.02) == 0
        netbe.netbe_rx_enable(near)
        assert loop.step(PATIENCE) == 1
    assert called == [near]


def test_without_a_callback_there_is_nothing_to_enable(ends: tuple[Backend, Backend]) -> None:
    with pytest.raises(netbe.NotSupportedError, match="callback="):
        netbe.netbe_rx_enable(ends[0])
    netbe.netbe_rx_disable(ends[0])


# --- None stands for "no backend"


# The contract: None stands for "no backend": what is sent is dropped and counted.
def test_what_is_sent_to_none_is_dropped_and_counted() -> None:
    before = no_backend.tx_dropped
    assert netbe.netbe_send(None, ONE) == len(ONE)
    assert netbe.netbe_send(None, [ONE, memoryview(TWO)]) == len(ONE) + len(TWO)
    assert no_backend.tx_dropped == before + 2


def test_nothing_is_received_from_none() -> None:
    room = bytearray(b"#" * 100)
    assert netbe.netbe_peek_recvlen(None) == 0
    assert netbe.netbe_recv(None, room) == 0
    assert room == b"#" * 100
    assert netbe.netbe_rx_discard(None) == 0


# Defect 10 of the seed: get_cap without a backend was an assertion.
def test_none_has_no_capabilities() -> None:
    assert netbe.netbe_get_cap(None) == Features(0)
    assert netbe.netbe_get_vnet_hdr_len(None) == 0


def test_without_a_backend_receiving_can_be_enabled_and_disabled() -> None:
    netbe.netbe_rx_enable(None)
    netbe.netbe_rx_disable(None)


@pytest.mark.parametrize("hdr_len", [0, 10, 12])
def test_without_a_backend_any_header_that_exists_is_agreed(hdr_len: int) -> None:
    netbe.netbe_set_cap(None, Features(0), hdr_len)


@pytest.mark.parametrize(("features", "hdr_len"), [(Features.CSUM, 12), (Features(0), 11), (Features(0), -1)])
def test_without_a_backend_no_feature_is_agreed_and_no_other_header(features: Features, hdr_len: int) -> None:
    with pytest.raises(netbe.NotSupportedError, match="without a backend"):
        netbe.netbe_set_cap(None, features, hdr_len)


# The contract: None stands for "no backend": the link is down.
def test_without_a_backend_the_link_is_down() -> None:
    assert not netbe.netbe_link_up(None)
    near, far = netbe.make_pair()
    with near, far:
        assert netbe.netbe_link_up(near)
        far.close()
        assert not netbe.netbe_link_up(near)
