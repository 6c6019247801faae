# SPDX-License-Identifier: BSD-2-Clause
"""The calls of bhyve's ``net_backends.h`` by their names, over the same objects.

Who knows bhyve knows this. A backend is what `netbe_init` returned, or None where a frontend runs without
one: its link is down, nothing is received, and what is sent is dropped and counted in `no_backend`.
"""

from dataclasses import dataclass

from netbe.backend import Backend, Callback
from netbe.events import EventLoop
from netbe.features import Features
from netbe.iov import Buffers, count_iov
from netbe.vnet import HEADER_LENGTHS


@dataclass
class NoBackend:
    """What went nowhere, in this process, because there was no backend."""

    tx_dropped: int = 0
    """Frames that were sent to None."""


no_backend = NoBackend()
"""The counter behind None."""


def netbe_init(
    devname: str, cb: Callback | None, param: object = None, *, loop: EventLoop | None = None
) -> Backend:
    """Open the backend that `devname` names; receiving is disabled at first.

    `cb` is called as ``cb(param)``, on the thread of `loop` (the process's own loop by default), while
    frames can be received and `netbe_rx_enable` was called; `param` None stands for the backend itself.
    Raises what `netbe.open` raises; nothing is left behind.
    """
    from netbe.opening import open as open_backend  # noqa: PLC0415 - the dispatch, only when a name is opened

    if cb is None:
        return open_backend(devname)
    return open_backend(devname, callback=lambda be: cb(be if param is None else param), loop=loop)  # type: ignore[arg-type]


def netbe_cleanup(be: Backend | None) -> None:
    """Close the backend; None is accepted."""
    if be is not None:
        be.close()


def netbe_send(be: Backend | None, iov: Buffers) -> int:
    """Send one frame gathered from `iov`; returns its length. See `Backend.send`."""
    if be is None:
        no_backend.tx_dropped += 1
        return count_iov(iov)
    return be.send(iov)


def netbe_peek_recvlen(be: Backend | None) -> int:
    """The length of the next frame without taking it, 0 when there is none. See `Backend.peek_recvlen`."""
    return 0 if be is None else be.peek_recvlen()


def netbe_recv(be: Backend | None, iov: Buffers) -> int:
    """Take one frame, scattered into `iov`; its length, 0 when there is none. See `Backend.recv_into`."""
    return 0 if be is None else be.recv_into(iov)


def netbe_rx_discard(be: Backend | None) -> int:
    """Take one frame and drop it; its length, 0 when there is none. See `Backend.rx_discard`."""
    return 0 if be is None else be.rx_discard()


def netbe_rx_enable(be: Backend | None) -> None:
    """Switch the receive callback on. See `Backend.recv_enable`."""
    if be is not None:
        be.recv_enable()


def netbe_rx_disable(be: Backend | None) -> None:
    """Switch it off: it is not called after this has returned. See `Backend.recv_disable`."""
    if be is not None:
        be.recv_disable()


def netbe_get_cap(be: Backend | None) -> Features:
    """The virtio-net features that the backend can do; none without a backend. See `Backend.get_cap`."""
    return Features(0) if be is None else be.get_cap()


def netbe_set_cap(be: Backend | None, features: Features, vnet_hdr_len: int) -> None:
    """Switch features on and agree on a header length; a transaction. See `Backend.set_cap`.

    Without a backend any header length that exists is fine, and no feature is.
    """
    if be is not None:
        be.set_cap(features, vnet_hdr_len)
    elif features or vnet_hdr_len not in HEADER_LENGTHS:
        from netbe.errors import NotSupportedError  # noqa: PLC0415 - only where it fails

        raise NotSupportedError(
            "without a backend there are no features", hint="agree on none, and on a header of 0, 10 or 12"
        )


def netbe_get_vnet_hdr_len(be: Backend | None) -> int:
    """The header length at the contract: 0, 10 or 12. See `Backend.vnet_hdr_len`."""
    return 0 if be is None else be.vnet_hdr_len


def netbe_link_up(be: Backend | None) -> bool:
    """Whether frames can reach the other side; without a backend they can't. Not among the seed's calls."""
    return be is not None and be.link_up
