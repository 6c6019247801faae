# SPDX-License-Identifier: BSD-2-Clause
"""A NIC's link: down, nothing of netmap's is called that would block; on real interfaces, over a mock of netmap."""

import contextlib
import os
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from mockkernel import MockKernel
from needs import need_lab

from lab import Host, run, until
from netbe.errors import BackendGone, LinkDownError
from netbe_netmap import kernel
from netbe_netmap.backend import NetmapBackend
from netbe_netmap.names import parse
from netbe_tap.namespaces import run_inside

pytestmark = pytest.mark.e2e

FRAME = bytes(range(60))


@dataclass
class Nic:
    """An Ethernet cable whose one end netmap has."""

    ifname: str
    ip: Callable[..., str]
    inside: str | None

    def link(self, state: str) -> None:
        # The far end, as a cable that is pulled.
        self.ip("link", "set", f"{self.ifname}p", state)

    def open(self, mock: MockKernel) -> NetmapBackend:
        name = f"netmap:{self.ifname}"
        return run_inside(self.inside, lambda: kernel.open_kernel(name, parse(name), system=mock))


@pytest.fixture(params=["here", "another namespace"])
def nic(request: pytest.FixtureRequest) -> Iterator[Nic]:
    need_lab()
    with contextlib.ExitStack() as stack:
        ifname = f"nbt{os.getpid() % 1000000}"
        if request.param == "here":
            made = Nic(ifname, lambda *words: run("ip", *words), None)
            stack.callback(run, "ip", "link", "delete", ifname, check=False)
        else:  # where /sys shows other interfaces than ours
            host = stack.enter_context(Host())
            made = Nic(ifname, host.ip, host.name)
        made.ip("link", "add", ifname, "type", "veth", "peer", f"{ifname}p")
        made.ip("link", "set", ifname, "up")
        yield made


def refuses(backend: NetmapBackend) -> bool:
    try:
        backend.send(FRAME)
    except LinkDownError:
        return True
    return False


def polled(backend: NetmapBackend) -> bool:
    """Whether netmap's own descriptor is in what one polls; adding it would poll it."""
    (mine,) = backend.device.system.open_fds  # type: ignore[attr-defined]
    fdinfo = f"/proc/self/fdinfo/{backend.fileno()}"
    with open(fdinfo) as file:  # noqa: PTH123 - a line of proc
        return any(line.split()[:2] == ["tfd:", str(mine)] for line in file)


def test_while_the_link_is_down_nothing_that_would_block_is_called(nic: Nic) -> None:
    mock = MockKernel()
    nic.link("down")
    with nic.open(mock) as backend:
        assert not backend.link_up
        assert refuses(backend)
        assert backend.recv() is None
        assert mock.syncs == []
        assert not polled(backend)
        assert not backend.wait(0.05)
    assert mock.left_behind == (0, 0)


def test_a_link_that_comes_up_wakes_and_one_that_goes_down_stops_the_syncs(nic: Nic) -> None:
    mock = MockKernel()
    nic.link("down")
    with nic.open(mock) as backend:
        assert backend.recv() is None
        poller = select.poll()
        poller.register(backend.fileno(), select.POLLIN)
        nic.link("up")
        assert poller.poll(5000)  # the change of the link itself
        until(lambda: not refuses(backend), "the link comes up")
        until(lambda: backend.recv() == FRAME, "the frame comes round")
        assert backend.link_up
        assert polled(backend)
        nic.link("down")
        until(lambda: not backend.link_up, "the link goes down")
        before = len(mock.syncs)
        assert refuses(backend)
        assert backend.recv() is None
        assert not polled(backend)
        assert len(mock.syncs) == before


def test_an_interface_that_is_deleted_is_gone(nic: Nic) -> None:
    mock = MockKernel()
    nic.link("up")
    with nic.open(mock) as backend:
        until(lambda: backend.link_up, "the link comes up")
        nic.ip("link", "delete", nic.ifname)
        before = len(mock.syncs)
        with pytest.raises(BackendGone):
            backend.recv()
        assert not backend.link_up
        assert len(mock.syncs) == before


def test_an_interfaces_mtu_bounds_its_frames(nic: Nic) -> None:
    nic.ip("link", "set", nic.ifname, "mtu", 9000)
    with nic.open(MockKernel()) as backend:
        assert backend.max_frame == 9018
