# SPDX-License-Identifier: BSD-2-Clause
"""A backend without a native port in a pump: its frames are carried in Python, under the same rules."""

import gc
import threading
import time
from collections.abc import Iterator

import pytest
from pumping import PATIENCE, PythonBackend, descriptors, frame, send_all, take, until

import netbe
from netbe import Bridge, DropReason, Features, Switch


@pytest.fixture(params=[True, False], ids=["descriptor", "no descriptor"])
def backend(request: pytest.FixtureRequest) -> Iterator[PythonBackend]:
    with PythonBackend(descriptor=request.param) as one:
        yield one


@pytest.fixture
def cable() -> Iterator[tuple[netbe.PortBackend, netbe.PortBackend]]:
    near, far = netbe.make_pair("cable")
    with near, far:
        yield near, far


Cable = tuple[netbe.PortBackend, netbe.PortBackend]


def test_frames_go_both_ways_in_order(backend: PythonBackend, cable: Cable) -> None:
    there = [frame(2, 1, f"there {n}") for n in range(1000)]
    back = [frame(1, 2, f"back {n}") for n in range(1000)]
    with Bridge(backend, cable[0]) as bridge:
        sender = threading.Thread(target=send_all, args=(cable[1], back))
        sender.start()
        backend.arrive(*there)
        assert [take(cable[1]) for _ in there] == there
        sender.join()
        assert until(lambda: len(backend.sent) == 1000)
        assert backend.sent == back
        with pytest.raises(netbe.BackendBusy):
            backend.recv()
    stats = bridge.stats()  # at the end: a frame is counted a moment after it arrived
    assert stats.ports["python"].rx_frames == stats.ports["python"].tx_frames == 1000
    assert stats.total.dropped == 0
    assert backend.stats.rx_frames == backend.stats.tx_frames == 1000


def test_two_of_them_make_a_bridge() -> None:
    with PythonBackend("one") as one, PythonBackend("two") as two, Bridge(one, two):
        one.arrive(frame(2, 1))
        two.arrive(frame(1, 2))
        assert until(lambda: bool(one.sent and two.sent))
        assert (one.sent, two.sent) == ([frame(1, 2)], [frame(2, 1)])


def test_a_frame_that_was_looked_at_before_comes_first(backend: PythonBackend, cable: Cable) -> None:
    backend.arrive(frame(2, 1, "first"), frame(2, 1, "second"))
    assert backend.peek_recvlen() == 60
    with Bridge(backend, cable[0]):
        assert take(cable[1]) == frame(2, 1, "first")
        assert take(cable[1]) == frame(2, 1, "second")


def test_a_full_backend_is_waited_for(backend: PythonBackend, cable: Cable) -> None:
    frames = [frame(1, 2, str(n)) for n in range(300)]
    backend.room = 10
    with Bridge(backend, cable[0], wait=PATIENCE) as bridge:
        send_all(cable[1], frames)
        assert until(lambda: len(backend.sent) == 10)
        backend.room = 1 << 30
        assert until(lambda: len(backend.sent) == 300)
        assert bridge.stats().total.dropped == 0
    assert backend.sent == frames


def test_it_stops_at_once_though_the_backend_is_full_and_what_is_on_its_way_is_counted(
    backend: PythonBackend, cable: Cable
) -> None:
    backend.room = 10
    with Bridge(backend, cable[0], wait=PATIENCE) as bridge:
        send_all(cable[1], [frame(1, 2, str(n)) for n in range(100)])
        assert until(lambda: len(backend.sent) == 10)
        begin = time.monotonic()
        bridge.stop()
        assert time.monotonic() - begin < 0.15
    stats = bridge.stats().ports["python"]
    assert stats.tx_frames == 10
    left = 0
    while cable[0].recv():
        left += 1
    assert stats.tx_dropped == {DropReason.STOPPED: 90 - left}


def test_what_the_pump_had_not_brought_on_is_received_from_the_backend_again(backend: PythonBackend) -> None:
    near, far = netbe.make_pair("full", room=4096)
    frames = [frame(2, 1, str(n)).ljust(1400, b"\0") for n in range(600)]
    with near, far:
        backend.arrive(*frames)
        with Bridge(backend, near, wait=60) as bridge:
            assert until(lambda: bridge.stats().ports["full/a"].tx_frames > 50)
            time.sleep(0.05)
        got = []
        while (one := far.recv()) is not None:
            got.append(one)
        assert len(got) < 600
        while (one := backend.recv()) is not None:
            got.append(one)
        assert got == frames
        assert bridge.stats().total.dropped == 0
        assert backend.stats.rx_frames == 600


def test_what_it_refuses_is_counted_and_the_next_goes(cable: Cable) -> None:
    with PythonBackend() as backend:
        backend.max_frame = 100
        backend.min_frame = 50
        with Bridge(backend, cable[0]) as bridge:
            cable[1].send(frame(1, 2).ljust(101))
            cable[1].send(frame(1, 2)[:20])  # padded
            backend.transmit_error = netbe.LinkDownError("down")
            assert until(lambda: bridge.stats().ports["python"].tx_dropped.get(DropReason.LINK_DOWN) == 1)
            backend.transmit_error = OSError(5, "broken")
            cable[1].send(frame(1, 2))
            assert until(lambda: bridge.stats().ports["python"].tx_dropped.get(DropReason.LINK_DOWN) == 2)
            backend.transmit_error = None
            cable[1].send(frame(1, 2, "good"))
            assert until(lambda: backend.sent == [frame(1, 2, "good")])
            stats = bridge.stats().ports["python"]
    assert stats.tx_frames == 1
    assert stats.tx_dropped == {DropReason.TOO_LONG: 1, DropReason.LINK_DOWN: 2}


def test_a_large_frame_is_cut_for_a_backend_without_offloads(cable: Cable) -> None:
    from test_pump import _large

    header, large = _large(5000, 1000)
    cable[1].set_cap(Features.offloads(), 12)
    with PythonBackend() as backend, Bridge(backend, cable[0]):
        cable[1].send(header + large)
        assert until(lambda: len(backend.sent) == 5)
        assert b"".join(one[54:] for one in backend.sent) == large[54:]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(netbe.BackendGone("away"), netbe.BackendGone), (KeyError("a bug"), netbe.NetbeError)],
)
def test_a_backend_that_fails_ends_the_bridge_with_its_own_error(
    cable: Cable, failure: Exception, kind: type[netbe.NetbeError]
) -> None:
    with PythonBackend() as backend:
        bridge = Bridge(backend, cable[0])
        bridge.start()
        backend.receive_error = failure
        backend.arrive(frame(2, 1, "last words"))
        assert bridge.join(PATIENCE)
        assert isinstance(bridge.error, kind)
        assert failure in (bridge.error, bridge.error.__cause__)
        assert cable[1].recv() == frame(2, 1, "last words")


def test_a_switch_goes_on_without_it() -> None:
    ends = [netbe.make_pair(f"port{n}") for n in range(2)]
    with PythonBackend() as backend, Switch([backend, ends[0][0], ends[1][0]]) as switch:
        backend.arrive(frame(255, 1, "hello"))
        assert take(ends[0][1]) == take(ends[1][1]) == frame(255, 1, "hello")
        backend.transmit_error = netbe.BackendGone("away")
        ends[0][1].send(frame(255, 2, "to all"))
        assert take(ends[1][1]) == frame(255, 2, "to all")
        assert until(lambda: "python" in switch.errors)
        ends[0][1].send(frame(255, 2, "again"))
        assert take(ends[1][1]) == frame(255, 2, "again")
        assert switch.errors["python"] is backend.transmit_error
    for pair in ends:
        for end in pair:
            end.close()


def test_an_idle_one_is_left_alone(backend: PythonBackend, cable: Cable) -> None:
    with Bridge(backend, cable[0]):
        backend.arrive(frame(2, 1))
        assert take(cable[1])
        time.sleep(0.05)
        before = backend.looks
        time.sleep(0.2)
        looks = backend.looks - before
    assert looks == 0 if backend.fileno() >= 0 else looks < 100


def test_cycles_leak_nothing(backend: PythonBackend, cable: Cable) -> None:
    def cycle(times: int) -> None:
        for n in range(times):
            with Bridge(backend, cable[0]):
                backend.arrive(frame(2, 1, str(n)))
                assert take(cable[1]) == frame(2, 1, str(n))

    cycle(5)
    gc.collect()
    threads, fds = threading.active_count(), descriptors()
    cycle(100)
    gc.collect()
    assert threading.active_count() == threads
    assert descriptors() == fds
