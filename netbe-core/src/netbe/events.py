# SPDX-License-Identifier: BSD-2-Clause
"""`EventLoop`: call me when frames can be received. bhyve's ``mevent``, thin on `selectors`.

An event is added disabled, then enabled, disabled and at last deleted. The loop is run on one thread, or
stepped from a program's own loop. Callbacks run on that thread only; the other calls may come from any.
"""

import contextlib
import os
import selectors
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

from netbe.errors import BackendClosed, ForkedError, NetbeError, NotSupportedError
from netbe.locking import ForkSafeLock

if TYPE_CHECKING:
    from netbe.backend import Backend

READ = selectors.EVENT_READ
"""The descriptor is readable; of a backend: frames can be received."""

WRITE = selectors.EVENT_WRITE
"""The descriptor is writable."""

_PAUSE = 0.005
"""Seconds between two looks at a backend that has no descriptor."""


class Event:
    """One callback for one source. Made by `EventLoop.add`."""

    def __init__(
        self, loop: "EventLoop", source: "int | Backend", callback: Callable[["Event"], object], kind: int
    ) -> None:
        self.loop = loop
        self.source = source
        self.kind = kind
        self._callback = callback
        self._enabled = False
        self._deleted = False
        self._paused = False  # a pump has the backend
        self._watched = False
        self._fresh = False  # watched since the loop last looked
        self._fd = -1
        # Grows with each enable and disable: a wake-up that was queued under another count is stale.
        self._count = 0
        # Held while the callback runs, so that disable() on another thread waits for its end.
        self._running = threading.RLock()

    def __repr__(self) -> str:
        state = "deleted" if self._deleted else "enabled" if self._enabled else "disabled"
        return f"<Event of {self.source!r}, {state}>"

    @property
    def enabled(self) -> bool:
        """Whether the callback is called when the source is ready."""
        return self._enabled

    def enable(self) -> None:
        """Call the callback while the source is ready; frames that a backend holds already count."""
        self.loop._check()  # noqa: SLF001 - of this module
        with self._running:
            if self._deleted:
                raise BackendClosed(f"{self!r} cannot be enabled", hint="add a new one")
            if not self._enabled:
                self._enabled = True
                self._count += 1
                try:
                    self.loop._watch(self)  # noqa: SLF001 - of this module
                except BaseException:
                    self._enabled = False
                    raise

    def disable(self) -> None:
        """Stop. Once this has returned the callback is not called, not even for what was already queued.

        From another thread it waits for a callback that is running; a callback may disable its own event.
        """
        if self.loop._forked:  # noqa: SLF001 - of this module; and a thread of the parent's may hold the lock
            self._enabled = False
            return
        self._enabled = False  # at once: a loop that calls without pause would get the lock again and again
        with self._running:
            self._enabled = False
            self._count += 1
            self.loop._unwatch(self)  # noqa: SLF001 - of this module

    def delete(self) -> None:
        """Disable it for good. May be called again."""
        if self.loop._forked:  # noqa: SLF001 - of this module
            self._enabled, self._deleted = False, True
            return
        with self._running:
            self.disable()
            self._deleted = True

    # --- For a backend whose ports a pump takes: the descriptor is then the pump's to watch.

    @contextlib.contextmanager
    def _paused_by(self) -> Iterator[None]:
        """What the ``with`` does bars the backend; when it succeeds, the event stays quiet until `_resume`."""
        with self._running:
            yield
            self._count += 1
            self._paused = True
            self.loop._unwatch(self)  # noqa: SLF001 - of this module

    def _resume(self) -> None:
        # Without the lock: a callback that stops a pump waits for this, on another thread.
        self._paused = False
        with contextlib.suppress(OSError):  # closed meanwhile
            self.loop._watch(self)  # noqa: SLF001 - of this module

    @property
    def _pending(self) -> bool:
        return self.kind == READ and not isinstance(self.source, int) and self.source.pending

    @property
    def _arrived(self) -> bool:
        return self.kind == READ and not isinstance(self.source, int) and self._fires

    @property
    def _fires(self) -> bool:
        """Whether there is a frame behind a wake-up: a descriptor may stay readable after the last was taken."""
        if self.kind == WRITE or isinstance(self.source, int):
            return True
        try:
            return self.source.peek_recvlen() > 0
        except NetbeError:
            return True  # for the callback to meet

    def _run(self, count: int) -> bool:
        """Call the callback, unless it was disabled, or disabled and enabled, since `count`."""
        with self._running:
            if not self._enabled or self._paused or self._count != count:
                return False
            self._callback(self)
            return True


class EventLoop:
    """Waits for many sources and calls their callbacks. A context manager."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.RLock()
        # Several events may share a descriptor; the selector knows it once.
        self._by_fd: dict[int, list[Event]] = {}
        self._without_fd: list[Event] = []
        self._stopping = False
        self._closed = False
        self._freed = False
        self._forked = False
        self._thread: int | None = None
        self._waker, self._wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._waker, READ)
        _loops.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def add(self, source: "int | Backend", callback: Callable[[Event], object], kind: int = READ) -> Event:
        """An event, disabled, for a descriptor or a backend; ``callback(event)`` runs on the loop's thread.

        `kind` is `READ` or `WRITE`. A backend's descriptor is asked for when the event is enabled.
        """
        if kind not in (READ, WRITE):
            raise ValueError(f"kind is {kind}; it is READ or WRITE")
        if isinstance(source, int) and source < 0:
            raise ValueError(f"{source} is no descriptor")
        return Event(self, source, callback, kind)

    def run(self) -> None:
        """Wait and call until `stop` or `close`. What a callback raises ends it, and comes out here.

        A `stop` that came first ends it at once: who stops a thread's loop need not know whether it runs yet.
        """
        self._check()
        try:
            while not (self._stopping or self._closed):
                self.step(None)
        finally:
            self._stopping = False

    def step(self, timeout: float | None = 0) -> int:
        """Wait at most `timeout` seconds (None: until something happens), then call what is ready, once each.

        Returns how many callbacks were called.
        """
        with self._lock:
            self._check()
            outer = self._thread  # a callback may step its own loop
            if outer not in (None, threading.get_ident()):
                raise NetbeError(
                    "the event loop is running on another thread", hint="give each thread its own"
                )
            self._thread = threading.get_ident()
        try:
            return sum(event._run(count) for event, count in self._wait(timeout))  # noqa: SLF001 - of this module
        finally:
            with self._lock:
                self._thread = outer
                if self._closed and outer is None:
                    self._free()

    def _check(self) -> None:
        if self._forked:
            raise ForkedError(
                "the event loop was made before this process was forked", hint="make one in the child"
            )
        if self._closed:
            raise BackendClosed("the event loop is closed", hint="make a new one")

    def _wait(self, timeout: float | None) -> list[tuple[Event, int]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            held = self._held()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if held:
                left = 0.0  # epoll knows nothing of what is held in user space
            elif self._without_fd and (left is None or left > _PAUSE):
                left = _PAUSE
            ready = dict.fromkeys(held)
            for key, mask in self._selector.select(left):
                if key.fd == self._waker:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._waker, 4096)
                    continue
                with self._lock:
                    events = list(self._by_fd.get(key.fd, ()))
                for event in events:
                    count = event._count  # noqa: SLF001 - of this module
                    # A hang-up shows as readable and writable, whatever was asked for.
                    if event.kind & mask and event._fires:  # noqa: SLF001
                        ready[event, count] = None
            # The descriptor's event may be enabled anew: such a one has a new count and waits for its turn.
            over = self._stopping or self._closed
            if ready or over or (deadline is not None and time.monotonic() >= deadline):
                return list(ready)

    def _held(self) -> list[tuple[Event, int]]:
        """Enabled events whose backend holds a frame, or has no descriptor and a frame that can be had."""
        with self._lock:
            watched = [event for events in self._by_fd.values() for event in events]
            blind = list(self._without_fd)
        held = []
        for event in watched:
            count = event._count  # noqa: SLF001 - of this module
            # A descriptor that has to be armed says nothing until somebody has looked and found no frame.
            fresh, event._fresh = event._fresh, False  # noqa: SLF001
            if event._pending or (fresh and event._arrived):  # noqa: SLF001
                held.append((event, count))
        for event in blind:
            count = event._count  # noqa: SLF001
            if event._fires:  # noqa: SLF001
                held.append((event, count))
        return held

    def stop(self) -> None:
        """Make `run` return after the callbacks that are ready now. From any thread, or a signal handler."""
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """Forget all events; those that are enabled become disabled. A `run` that is going on returns.

        From any thread, or a callback. In a forked child it frees only what is the child's own.
        """
        with self._lock if not self._forked else contextlib.nullcontext():
            if self._closed:
                return
            self._closed = True
            events = [*self._without_fd, *(event for events in self._by_fd.values() for event in events)]
        for event in events:
            event.disable()
        if self._forked:
            self._free()
            return
        with self._lock:
            if self._thread is None:
                self._free()
            else:
                self._wake()  # the thread that is in step() frees it when it leaves

    def _free(self) -> None:
        self._freed = True
        self._selector.close()
        os.close(self._waker)
        os.close(self._wake_end)

    def _wake(self) -> None:
        if self._forked:  # the parent's loop has the same pipe
            return
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._freed:
                os.write(self._wake_end, b"w")

    def _watch(self, event: Event) -> None:
        with self._lock:
            if event._watched or event._paused or not event._enabled or self._closed:  # noqa: SLF001 - of this module
                return
            fd = event.source if isinstance(event.source, int) else event.source.fileno()
            event._fd = fd  # noqa: SLF001
            if fd >= 0:
                self._by_fd.setdefault(fd, []).append(event)
                try:
                    self._select(fd)
                except BaseException:  # such as a descriptor that is none
                    self._by_fd[fd].remove(event)
                    if not self._by_fd[fd]:
                        del self._by_fd[fd]
                    raise
            elif event.kind == READ:
                self._without_fd.append(event)
            else:
                raise NotSupportedError(f"{event.source!r} has no descriptor that could become writable")
            event._watched = event._fresh = True  # noqa: SLF001
            self._wake()

    def _unwatch(self, event: Event) -> None:
        with self._lock:
            if not event._watched:  # noqa: SLF001 - of this module
                return
            event._watched = False  # noqa: SLF001
            fd = event._fd  # noqa: SLF001
            if fd < 0:
                self._without_fd.remove(event)
            else:
                self._by_fd[fd].remove(event)
                self._select(fd)

    def _select(self, fd: int) -> None:
        """Tell the selector what the events of a descriptor want together."""
        events = self._by_fd.get(fd, [])
        mask = 0
        for event in events:
            mask |= event.kind
        known = fd in self._selector.get_map()
        if mask and known:
            self._selector.modify(fd, mask)
        elif mask:
            self._selector.register(fd, mask)
        else:
            self._by_fd.pop(fd, None)
            if known:
                self._selector.unregister(fd)


_loops: "weakref.WeakSet[EventLoop]" = weakref.WeakSet()
_default: EventLoop | None = None
_default_lock = ForkSafeLock()


def default_loop() -> EventLoop:
    """The process's own loop, for `netbe_init` and `netbe.open` without one. The program runs or steps it."""
    global _default  # noqa: PLW0603 - one a process
    with _default_lock:
        if _default is None:
            _default = EventLoop()
        return _default


def _after_fork_in_child() -> None:
    """The loops are the parent's: their epoll instances and pipes are shared, and must not be touched."""
    global _default  # noqa: PLW0603 - one a process
    for loop in list(_loops):
        loop._forked = True  # noqa: SLF001 - of this module
    _default = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
