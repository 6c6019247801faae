# SPDX-License-Identifier: BSD-2-Clause
"""`Backend`: the contract between whoever has frames and whatever carries them.

Who uses a backend calls the public methods, and finds in each what it returns and raises. Who writes one
derives from `Backend` and writes two or three short methods that begin with an underscore (see "For
authors" below); peeking, keeping a frame that did not fit, counting, virtio-net headers and offloads in
software, threads, forks and the promise after `recv_disable` are done here and in `netbe.software`.
"""

import abc
import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from netbe import refusals
from netbe.errors import (
    NetbeError,
    NoNativePort,
    NotSupportedError,
)
from netbe.features import Features
from netbe.iov import Buffers, buf_to_iov, count_iov
from netbe.stats import Stats
from netbe.vnet import HEADER_LENGTHS

if TYPE_CHECKING:
    from netbe.batch import FrameBatch
    from netbe.events import Event, EventLoop
    from netbe.inplace import LentFrames, Slots
    from netbe.native import Port
    from netbe.path import Path

MIN_FRAME = 14
"""Bytes of the shortest frame: an Ethernet header (IEEE 802.3, 3.1.1, without padding and FCS)."""

MAX_FRAME = 65535 + 14 + 8
"""Bytes of the longest frame: an IP packet of 65,535 bytes, an Ethernet header and two VLAN tags."""

LONGEST = 69632
"""Bytes that hold any frame with its header (``NETBE_FRAME_MAX`` in netbe.h)."""

Callback = Callable[["Backend"], object]
"""What `recv_enable` switches on: called on the event loop's thread when frames can be received."""


class Backend(abc.ABC):
    """One Ethernet port, by the contract.

    A *frame* begins with the destination address and ends with the payload, without FCS. When `set_cap`
    agreed on a virtio-net header, every frame that is sent or received has it in front, and all lengths
    count it.

    One thread may receive while another sends. `set_cap` and `close` wait for both. Nothing here blocks,
    except `wait`. After a fork, the child's calls raise `ForkedError`.
    """

    # --- For authors -------------------------------------------------------------------------------------

    min_frame: int = MIN_FRAME
    """Bytes of the shortest frame that is taken, header not counted."""

    max_frame: int = MAX_FRAME
    """Bytes of the longest frame that is taken, header not counted, when it asks for no segmentation."""

    device_hdr_len: int = 0
    """Bytes of virtio-net header that `_transmit` and `_receive` have before each frame: 0, 10 or 12."""

    capabilities: Features = Features(0)
    """Offloads that the device itself does; needs a `device_hdr_len`. The rest is done in software."""

    def _transmit(self, frame: bytes) -> None:
        """Send one frame, with a header of `device_hdr_len` bytes in front. Must not block.

        Raises `BackendFull` when there is no room now, another `NetbeError` when it cannot be sent. A plain
        `OSError` is translated.
        """
        raise NotSupportedError(f"{self.name} cannot send")

    def _receive(self) -> bytes | None:
        """Take the next frame, with a header of `device_hdr_len` bytes; None when there is none now.

        Raises `BackendGone` when the other side is gone for good. Must not block.
        """
        raise NotSupportedError(f"{self.name} cannot receive")

    def _shutdown(self) -> None:
        """Free what the backend has. Called once, by `close`; in a forked child too."""

    def _negotiate(self, features: Features, vnet_hdr_len: int) -> None:
        """Make the device do these offloads, a subset of `capabilities`; raise, and change nothing, if it can't."""

    def _link_up(self) -> bool:
        """Whether the other side is there."""
        return True

    def _device_stats(self) -> Stats:
        """Counters that only the device knows, such as the kernel's own drops; added to `stats`."""
        return Stats()

    def arm_send(self) -> tuple[int, int] | None:
        """Ask for a wake-up when there is room again, after `BackendFull`.

        Returns a descriptor and the event to wait for (`selectors.EVENT_READ` or `EVENT_WRITE`), or None
        when this backend has no such thing and the caller tries again after a pause. Look again (send once
        more) before you sleep.
        """
        return None

    def fileno(self) -> int:
        """The descriptor that is readable when frames can be received; -1 when there is none.

        Look at `pending` before you wait on it: frames that are held in user space are invisible to it.
        """
        return -1

    # --- State -------------------------------------------------------------------------------------------

    # Why calls are refused now (closed, forked, lent to a pump); None while they are not. One word, so that
    # the fast path has one thing to look at.
    _barred: Callable[["Backend"], NetbeError] | None = None

    _alive: ClassVar["weakref.WeakSet[Backend]"] = weakref.WeakSet()

    name: str
    """The name that it was opened by."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._features = Features(0)
        self._vnet_hdr_len = 0
        self._negotiated = False
        self._closed = False
        self._rx_lock = threading.Lock()
        self._tx_lock = threading.Lock()
        self._wait_lock = threading.Lock()
        self._user: object | None = None
        self._event: Event | None = None
        self._wakers: set[int] = set()
        self._on_close: list[Callable[[Backend], object]] = []
        Backend._alive.add(self)
        self._path = self._make_path()

    def _make_path(self) -> "Path":
        from netbe.software import SoftwarePath  # noqa: PLC0415 - loads the extension

        return SoftwarePath(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}{' closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            if self._barred is not refusals.forked:
                warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=2)
            with contextlib.suppress(Exception):
                self.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def features(self) -> Features:
        """What the last successful `set_cap` switched on."""
        return self._features

    @property
    def vnet_hdr_len(self) -> int:
        """Bytes of virtio-net header before each frame at this contract: 0, 10 or 12."""
        return self._vnet_hdr_len

    @property
    def link_up(self) -> bool:
        """Whether frames can reach the other side now; False after `close`."""
        return not self._closed and self._link_up()

    @property
    def pending(self) -> bool:
        """Whether a frame is held in user space, where `fileno` says nothing of it."""
        return not self._closed and self._path.pending

    @property
    def stats(self) -> Stats:
        """What went through since it was opened; the device's own drops are in it. A snapshot."""
        return self._path.stats() + self._device_stats()

    @property
    def nports(self) -> int:
        """How many native ports (queues) it has; 0 when it has none."""
        return 0

    def port(self, index: int = 0) -> "Port":
        """Native port (queue) number `index`; `NoNativePort` when there is none."""
        raise NoNativePort(
            f"{self.name} has no native port {index}", hint="a pump carries its frames in Python"
        )

    def _check(self) -> None:
        if self._barred is not None:
            raise self._barred(self)

    # --- Sending -----------------------------------------------------------------------------------------

    def send(self, iov: Buffers) -> int:
        """Send one frame, gathered from `iov`; returns its length in bytes, the header included.

        Raises:
            BackendFull: no room now (EAGAIN); nothing was sent.
            FrameSizeError: shorter than `min_frame` or longer than `max_frame`; nothing was sent.
            BadHeaderError: the virtio-net header does not fit the frame; nothing was sent.
            LinkDownError, BackendGone: the other side is not there now, or for good.
        """
        with self._tx_lock:
            self._check()
            return self._path.send(iov)

    def send_burst(self, frames: "FrameBatch | Iterable[Buffers]") -> int:
        """Send many frames, in order; returns how many went.

        Raises what `send` raises, only when the first frame did not go; later it returns how many went, and
        the next call raises.
        """
        sent = 0
        with self._tx_lock:
            self._check()
            for frame in frames:
                try:
                    self._path.send(frame)
                except NetbeError:
                    if sent == 0:
                        raise
                    break
                sent += 1
        return sent

    def reserve(self, length: int, count: int = 1) -> "Slots":
        """Room where frames are sent from, to be written in place; see `PortBackend.reserve`."""
        raise refusals.no_slots(self)

    # --- Receiving ---------------------------------------------------------------------------------------

    def peek_recvlen(self) -> int:
        """The length in bytes of the next frame, its header included, without taking it; 0 when there is none.

        Peeking again gives the same answer.
        """
        with self._rx_lock:
            self._check()
            return len(self._path.head() or b"")

    def recv(self) -> bytes | None:
        """Take the next frame; None when there is none now. Raises `BackendGone` when none can come."""
        with self._rx_lock:
            self._check()
            frame = self._path.head()
            if frame is not None:
                self._path.take()
            return frame

    def recv_into(self, iov: Buffers) -> int:
        """Take the next frame, scattered into `iov`; returns its length, 0 when there is none now.

        Raises:
            FrameTooLong: `iov` has too little room (EMSGSIZE). The frame is kept: offer more room, or take
                it out with `rx_discard`. The error's ``needed`` is its length.
        """
        with self._rx_lock:
            self._check()
            frame = self._path.head()
            if frame is None:
                return 0
            room = count_iov(iov)
            if room < len(frame):
                raise refusals.too_little_room(len(frame), room)
            buf_to_iov(frame, iov)
            self._path.take()
            return len(frame)

    def recv_burst(self, batch: "FrameBatch") -> int:
        """Empty `batch`, then fill it with the frames that are there and fit; returns how many.

        Raises `FrameTooLong` when not even the first fits, `ValueError` for a batch that was made of frames.
        """
        batch._empty()  # noqa: SLF001 - of this package
        with self._rx_lock:
            self._check()
            while len(batch) < batch.max_frames:
                try:
                    frame = self._path.head()
                except NetbeError:
                    if len(batch):
                        break
                    raise
                if frame is None:
                    break
                if not batch.fits(len(frame)):
                    if len(batch) == 0:
                        raise refusals.too_little_room(len(frame), batch.capacity)
                    break
                batch.append(frame)
                self._path.take()
        return len(batch)

    def lend(self, max_frames: int = 64) -> "LentFrames":
        """Frames to be looked at where they lie; see `PortBackend.lend`."""
        raise refusals.no_lending(self)

    def rx_discard(self) -> int:
        """Take the next frame and drop it, counted; returns its length, 0 when there is none now."""
        with self._rx_lock:
            self._check()
            frame = self._path.head()
            if frame is None:
                return 0
            self._path.take(discard=True)
            return len(frame)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a frame can be received, for at most `timeout` seconds (None: as long as it takes).

        Returns whether one can. Another thread's `close` ends it with `BackendClosed`. A backend without a
        descriptor is looked at every few milliseconds.
        """
        from netbe.waiting import wait_readable  # noqa: PLC0415 - seldom needed

        return wait_readable(self, timeout)

    # --- Offloads ----------------------------------------------------------------------------------------

    def get_cap(self) -> Features:
        """The offloads that it can do: CSUM and HOST_* is what it takes, GUEST_* what it may hand out."""
        self._check_open()
        return self.capabilities

    def set_cap(self, features: Features, vnet_hdr_len: int = 0) -> None:
        """Switch offloads on, all others off, and agree on a header of 0, 10 or 12 bytes before each frame.

        A transaction: when it raises `NotSupportedError`, nothing has changed. Waits for running calls.
        Frames that were received under the old agreement and are still held are given by the new one.
        """
        features = Features(features)
        if vnet_hdr_len not in HEADER_LENGTHS:
            raise NotSupportedError(f"a virtio-net header has 0, 10 or 12 bytes, not {vnet_hdr_len}")
        with self._alone():
            self._check()
            self._set_cap(features, vnet_hdr_len)
            self._negotiated = True

    def _set_cap(self, features: Features, vnet_hdr_len: int) -> None:
        refused = features & ~self.get_cap()
        if refused:
            raise NotSupportedError(
                f"{self.name} cannot do {', '.join(Features(refused).names())}",
                hint="ask for no more than get_cap() tells",
            )
        if features & Features.offloads() and vnet_hdr_len == 0:
            raise NotSupportedError(
                f"{', '.join(features.names())} without a virtio-net header: a frame could not say what it needs",
                hint="agree on a header of 10 or 12 bytes",
            )
        features.check()
        self._negotiate(features, vnet_hdr_len)
        self._features, self._vnet_hdr_len = features, vnet_hdr_len
        self._path.agreed()

    # --- The callback ------------------------------------------------------------------------------------

    def _attach_callback(self, callback: Callback, loop: "EventLoop") -> None:
        """Give it the callback that `recv_enable` switches on; disabled at first."""
        self._event = loop.add(self, lambda _: callback(self))

    def recv_enable(self) -> None:
        """Call the callback, given when it was opened, while frames can be received; held ones count.

        Not while a pump has the backend: the frames are the pump's then.
        """
        self._check_open()
        if self._event is None:
            raise NotSupportedError(
                f"{self.name} was opened without a callback",
                hint="open it with callback= and, if need be, loop=",
            )
        self._event.enable()

    def recv_disable(self) -> None:
        """Stop calling it. After this returns it is not called, not even for an event already queued."""
        if self._event is not None:
            self._event.disable()

    # --- A pump's hold -----------------------------------------------------------------------------------

    def _acquire(self, user: object) -> "list[Port]":
        """Lend the ports to a pump: from now on this backend's own calls raise `BackendBusy`.

        The list is empty where there is no native port: then `_path` may be driven, under the locks.
        """
        quiet = contextlib.nullcontext() if self._event is None else self._event._paused_by()  # noqa: SLF001 - for this
        with quiet, self._alone():
            self._check()
            self._user = user
            self._barred = refusals.busy
            return []

    def _take_partial(self, most: int | None = None) -> list[bytes]:
        """The rest of a frame that was given out in pieces, one by one without header; for a pump to begin with.

        When fewer than `most` come, that was all, and nothing is lent any more.
        """
        return []

    def _release(self, user: object) -> None:
        """Take the ports back."""
        resumed = None
        with self._alone():
            if self._user is user:
                self._user = None
                if self._barred is refusals.busy:
                    self._barred = None
                    resumed = self._event
        if resumed is not None:
            resumed._resume()  # noqa: SLF001 - as above

    # --- The end -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free everything; may be called again. Blocked calls of other threads end with `BackendClosed`.

        A pump that has the ports is stopped first. In a forked child it frees only what is the child's own.
        """
        user, forked = self._user, self._barred is refusals.forked
        if user is not None and not forked and not self._closed:
            stop = getattr(user, "stop", None)
            if stop is not None:
                stop()
        with contextlib.ExitStack() as stack:
            if not forked:  # in a child another thread's lock may never be released
                stack.enter_context(self._wait_lock)
            if self._closed:
                return
            self._closed = True
            self._barred = refusals.closed
            for waker in self._wakers:
                with contextlib.suppress(OSError):
                    os.eventfd_write(waker, 1)
        if self._event is not None and not forked:
            self._event.delete()
        with contextlib.ExitStack() as stack:
            if not forked:
                stack.enter_context(self._alone())
            self._path.close()
            self._shutdown()
        if not forked:
            for observer in self._on_close:
                observer(self)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No call of another thread is running, or begins, meanwhile."""
        with self._rx_lock, self._tx_lock:
            yield

    @contextlib.contextmanager
    def _waker(self) -> Iterator[int]:
        """A descriptor that `close` makes readable."""
        waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            with self._wait_lock:
                self._check()
                self._wakers.add(waker)
            yield waker
        finally:
            with self._wait_lock:
                self._wakers.discard(waker)
            os.close(waker)

    def _forked(self) -> None:
        """In a forked child, which does not have the threads that may have held the locks."""
        self._barred = refusals.forked
        self._rx_lock, self._tx_lock, self._wait_lock = (threading.Lock() for _ in range(3))

    def _check_open(self) -> None:
        if self._barred is not None and self._barred is not refusals.busy:
            raise self._barred(self)


def _after_fork_in_child() -> None:
    for backend in list(Backend._alive):  # noqa: SLF001 - of this module
        if not backend._closed:  # noqa: SLF001
            backend._forked()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
