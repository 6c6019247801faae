# SPDX-License-Identifier: BSD-2-Clause
"""`Run`: one run of the engine in C, from taking the backends' ports to giving them back.

The threads hold a `Run` and not the pump, so that a pump which nobody holds any more can be collected, and
stops. Backends know the `Run` as their user: `close` on one stops it.
"""

import atexit
import contextlib
import errno
import os
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netbe._native import ffi, lib
from netbe.backend import Backend
from netbe.errors import NetbeError, from_errno
from netbe.features import Features
from netbe.native import Port, stats_of
from netbe.shovel import Shovel
from netbe.stats import Stats

if TYPE_CHECKING:
    from netbe._native import CData

_HDR_LEN = 12
"""Bytes of virtio-net header that a pump agrees on with a backend that nobody has agreed with."""

_PATIENCE = 2.0
"""Seconds that the end of the interpreter waits for a backend's Python code."""

_ON_FULL = {"wait": 0, "drop": 1}
_NO_HEADER = ffi.new("struct netbe_vnet_hdr *")


@dataclass(frozen=True)
class Plan:
    """How the engine is to run; times in seconds, as the pump's user gave them."""

    what: str
    learning: bool
    on_full: str
    wait: float
    spin: float
    threads: int | None
    ageing: float = 0.0
    table_size: int = 0
    vlans: Sequence[tuple[int, Sequence[int]]] | None = None
    """For each port its pvid (0 none) and its tagged VLANs; None: no filtering."""


@dataclass
class _Member:
    """One backend in the pump."""

    backend: Backend
    name: str
    ports: list[Port]
    switched: bool = False  # offloads were switched on by the pump, to be switched off again
    shovel: Shovel | None = None
    stats: Stats = field(default_factory=Stats)


class Run:
    """The engine, its threads and its members. Begins to run when it is made."""

    def __init__(self, plan: Plan, backends: Sequence[Backend], names: Sequence[str]) -> None:
        """Take the backends' ports and start.

        Raises:
            BackendBusy, BackendClosed: one of them is not to be had; then none is taken.
        """
        self._what = plan.what
        self._members: list[_Member] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._left = 0
        self._finished = threading.Event()
        self._result = 0
        self.forked = False
        self.engine: CData = ffi.NULL
        try:
            for backend, name in zip(backends, names, strict=True):
                self._take(backend, name)
            queues = max(len(member.ports) for member in self._members)
            count = queues if plan.threads is None else plan.threads
            self._make_engine(plan, count)
            self._hand_over()
        except BaseException:
            self._give_back()
            raise
        self.began = time.monotonic()
        self.ended: float | None = None
        self._start(count)

    def __repr__(self) -> str:
        return f"<{self._what} of {', '.join(member.name for member in self._members)}>"

    # --- Taking and giving back --------------------------------------------------------------------------

    def _take(self, backend: Backend, name: str) -> None:
        ports = backend._acquire(self)  # noqa: SLF001 - the protocol between backends and pumps, as below
        member = _Member(backend, name, ports)
        self._members.append(member)
        if not backend._negotiated:  # noqa: SLF001
            can = backend.get_cap()
            with backend._alone():  # noqa: SLF001
                backend._set_cap(can, _HDR_LEN)  # noqa: SLF001
            member.switched = True
        if not ports:
            member.shovel = Shovel(backend)
            member.ports = [member.shovel.port]

    def _make_engine(self, plan: Plan, threads: int) -> None:
        config = ffi.new(
            "struct nb_engine_config *",
            {
                "nports": len(self._members),
                "nthreads": threads,
                "learning": plan.learning,
                "on_full": _ON_FULL[plan.on_full],
                "wait_ns": round(plan.wait * 1e9),
                "spin_ns": round(plan.spin * 1e9),
                "fdb_size": plan.table_size,
                "vlan_filtering": plan.vlans is not None,
                "ageing_ns": round(plan.ageing * 1e9),
            },
        )
        engine = lib.nb_engine_new(config)
        if engine == ffi.NULL:
            raise OSError(ffi.errno, f"no engine for {self!r}: {os.strerror(ffi.errno)}")
        self.engine = ffi.gc(engine, lib.nb_engine_free)
        for index, member in enumerate(self._members):
            for port in member.ports:
                _check(lib.nb_engine_add_queue(engine, index, port._port), member.name)  # noqa: SLF001
        for index, (pvid, tagged) in enumerate(plan.vlans or ()):
            allowed = ffi.new("uint64_t[64]")
            for vlan in tagged:
                allowed[vlan // 64] |= 1 << vlan % 64
            _check(lib.nb_engine_set_vlan(engine, index, pvid, allowed), self._members[index].name)

    def _hand_over(self) -> None:
        """What backends hold of frames that were received in part goes first."""
        for index, member in enumerate(self._members):
            for frame in member.backend._take_partial():  # noqa: SLF001
                _check(lib.nb_engine_inject(self.engine, index, _NO_HEADER, frame, len(frame)), member.name)

    def _give_back(self) -> None:
        if self.engine != ffi.NULL:
            lib.nb_engine_detach(self.engine)
        for index, member in enumerate(self._members):
            if member.shovel is not None:
                member.shovel.stop()
            if self.engine != ffi.NULL:
                member.stats = self._engine_stats(index)
            if member.switched and not member.backend.closed:
                backend = member.backend
                # A device that is gone cannot be switched back.
                with backend._alone(), contextlib.suppress(OSError):  # noqa: SLF001
                    backend._set_cap(Features(0), 0)  # noqa: SLF001
            member.backend._release(self)  # noqa: SLF001

    def _start(self, count: int) -> None:
        self._threads = [
            threading.Thread(target=_work, args=(self, n), name=f"netbe {self._what} {n}", daemon=True)
            for n in range(count)
        ]
        self._left = count
        _running.add(self)
        try:
            for member in self._members:
                if member.shovel is not None:
                    member.shovel.start()
            for thread in self._threads:
                thread.start()
        except RuntimeError:  # no more threads to be had: those that began end, and so does the run
            lib.nb_engine_stop(self.engine)
            for thread in self._threads:
                if thread.ident is None:
                    self.thread_ended(0)
            raise

    # --- Running -----------------------------------------------------------------------------------------

    def thread_ended(self, result: int) -> None:
        """One of the threads has left C. The last one cleans up."""
        with self._lock:
            if result:
                self._result = result
                lib.nb_engine_stop(self.engine)
            self._left -= 1
            if self._left:
                return
        try:
            self._give_back()
        finally:
            self.ended = time.monotonic()
            _running.discard(self)
            self._finished.set()

    @property
    def running(self) -> bool:
        """Whether frames are moved."""
        return not self._finished.is_set() and not self.forked

    def stop(self, timeout: float | None = None) -> None:
        """Stop, and wait until the backends are given back. From any thread, any number of times."""
        if self.forked:
            return
        lib.nb_engine_stop(self.engine)
        mine = {*self._threads, *(member.shovel.thread for member in self._members if member.shovel)}
        if threading.current_thread() not in mine:  # as a finalizer may be: it can't wait for itself
            self._finished.wait(timeout)

    def wait(self, timeout: float | None) -> bool:
        """Wait until it has ended."""
        return self.forked or self._finished.wait(timeout)

    def errors(self) -> dict[str, NetbeError]:
        """Ports that were given up, by name."""
        result: dict[str, NetbeError] = {}
        for index, member in enumerate(self._members):
            number = -lib.nb_engine_port_error(self.engine, index)
            shovel = member.shovel
            if shovel is not None and shovel.error is not None:
                result[member.name] = shovel.error
            elif number > 0:
                result[member.name] = from_errno(number, member.name)
        return result

    def error(self) -> NetbeError | None:
        """Why it ended by itself; None when it runs, or was stopped."""
        if not self._result:
            return None
        errors = self.errors()
        for error in errors.values():
            if error.errno == -self._result:
                return error
        return next(iter(errors.values()), None) or from_errno(-self._result, self._what)

    def _engine_stats(self, index: int) -> Stats:
        raw = ffi.new("struct netbe_port_stats *")
        lib.nb_engine_stats(self.engine, index, raw)
        shovel = self._members[index].shovel
        return stats_of(raw) + shovel.stats if shovel is not None else stats_of(raw)

    def stats(self) -> dict[str, Stats]:
        """The counters of each port."""
        with self._lock:
            running = self._left > 0 and not self.forked
            if running:
                return {member.name: self._engine_stats(i) for i, member in enumerate(self._members)}
        self._finished.wait(None if not self.forked else 0)
        return {member.name: member.stats for member in self._members}


def _work(run: Run, number: int) -> None:
    run.thread_ended(lib.nb_engine_run(run.engine, number))


def _check(result: int, name: str) -> None:
    if result < 0:
        raise from_errno(-result, name) if result != -errno.EINVAL else ValueError(f"{name}: not a port")


_running: "weakref.WeakSet[Run]" = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Before the interpreter goes: daemon threads in C would be cut off in the middle of a frame."""
    for run in list(_running):
        run.stop(_PATIENCE)


def _after_fork_in_child() -> None:
    """The threads are the parent's, and so are the descriptors that wake them: touch nothing."""
    for run in list(_running):
        run.forked = True
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
