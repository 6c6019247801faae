# SPDX-License-Identifier: BSD-2-Clause
"""`Tap`: the contract over Linux's tap driver."""

import contextlib
import errno
import os
import select
import threading
from dataclasses import dataclass, field
from typing import Self

import netbe.fdbackend
from netbe.errors import NotSupportedError, from_errno
from netbe.features import NO_FEATURES, Features
from netbe.stats import DropReason, Stats
from netbe_tap import linux
from netbe_tap.namespaces import run_inside
from netbe_tap.settings import Settings, applied


@dataclass(frozen=True)
class Request:
    """How a tap is to be opened."""

    ifname: str
    """The interface; with ``%d`` the kernel chooses a number."""
    settings: Settings = field(default_factory=Settings)
    persist: bool | None = None
    owner: int | None = None
    group: int | None = None
    netns: str | None = None
    queues: int = 1
    offloads: bool = True


class Tap(netbe.fdbackend.FdBackend):
    """An Ethernet tap of the kernel: what is sent here the kernel receives on the interface, and back.

    The descriptor always has a virtio-net header of 12 bytes; `set_cap` chooses the offloads and the header
    at the contract. Several queues are several native ports; in Python frames are received from all of them
    and sent on the first.
    """

    def __init__(self, name: str, opened: "_Opened", *, offloads: bool) -> None:
        capabilities = opened.capabilities if offloads else Features(0)
        super().__init__(name, opened.fds, device_hdr_len=linux.HEADER, capabilities=capabilities)
        self.ifname = opened.ifname
        """The interface's name."""
        self._counters = opened.counters
        self._drops_before = opened.drops
        self._drops = 0
        self._drops_lock = threading.Lock()
        self._process = os.getpid()

    @classmethod
    def open(cls, name: str, request: Request) -> Self:
        """Make the interface or attach to it; on failure nothing is left behind, nothing is changed."""
        opened = run_inside(request.netns, lambda: _open(request))
        try:
            return cls(name, opened, offloads=request.offloads)
        except BaseException:
            opened.close()
            raise

    def _negotiate(self, features: Features, vnet_hdr_len: int) -> None:
        # Every queue shares the device's state, so one descriptor will do.
        try:
            linux.set_offloads(self.fds[0], features)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise from_errno(error.errno or errno.EIO, self.name) from error
            raise NotSupportedError(
                f"{self.ifname}: the kernel refuses these offloads: {', '.join(features.names())}",
                hint="USO4 and USO6 go together, and everything needs CSUM",
            ) from error

    def _link_up(self) -> bool:
        # The driver says POLLOUT while the interface is up, POLLERR when it was deleted.
        with self._wait_lock:
            if self._closed:
                return False
            poller = select.poll()
            poller.register(self.fds[0], select.POLLOUT)
            events = poller.poll(0)
        return bool(events) and not events[0][1] & (select.POLLERR | select.POLLNVAL)

    def _device_stats(self) -> Stats:
        """What the kernel dropped because nobody read."""
        with self._drops_lock:
            self._look_at_drops()
            return Stats(rx_dropped={DropReason.FULL: self._drops}) if self._drops else Stats()

    def _look_at_drops(self) -> None:
        # A deleted interface counts no more; another one may have its name by now.
        if self._counters >= 0 and (ifname := linux.attached_to(self.fds[0])) is not None:
            self._drops = max(self._drops, linux.kernel_drops(self._counters, ifname) - self._drops_before)

    def _shutdown(self) -> None:
        # In a forked child another thread's lock may never be released.
        with self._drops_lock if os.getpid() == self._process else contextlib.nullcontext():
            self._look_at_drops()
            if self._counters >= 0:
                os.close(self._counters)
                self._counters = -1
        super()._shutdown()


@dataclass
class _Opened:
    """What opening has acquired."""

    fds: list[int] = field(default_factory=list)
    ifname: str = ""
    counters: int = -1
    drops: int = 0
    capabilities: Features = NO_FEATURES

    def close(self) -> None:
        for fd in (*self.fds, self.counters):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(fd)


def _open(request: Request) -> _Opened:
    """Everything that happens inside the network namespace."""
    opened = _Opened(ifname=request.ifname)
    try:
        for _ in range(request.queues):
            opened.fds.append(linux.open_device())
            opened.ifname = linux.attach(opened.fds[-1], opened.ifname, multi_queue=request.queues > 1)
        first = opened.fds[0]
        linux.set_header(first)
        opened.capabilities = linux.probe_capabilities(first)
        opened.counters = linux.open_counters()
        opened.drops = linux.kernel_drops(opened.counters, opened.ifname)
        with applied(opened.ifname, request.settings):
            # Last, since these outlive us.
            if request.owner is not None:
                linux.set_owner(first, request.owner)
            if request.group is not None:
                linux.set_group(first, request.group)
            if request.persist is not None:
                linux.set_persistent(first, persistent=request.persist)
    except BaseException:
        opened.close()
        raise
    return opened
