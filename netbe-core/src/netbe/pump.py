# SPDX-License-Identifier: BSD-2-Clause
"""`Bridge` and `Switch`: pumps, which join backends. Frames move in C, on threads of their own.

While a pump runs it has its backends for itself: their own `send` and `recv` raise `BackendBusy`. When it
ends, by `stop` or because a backend is gone, they are usable again, and what it could not bring on any more
is received from them as if it had never run.
"""

import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from netbe._native import ffi, lib
from netbe.backend import Backend
from netbe.errors import NetbeError
from netbe.pumprun import Plan, Run
from netbe.stats import Stats

OnFull = Literal["wait", "drop"]
"""What to do with a frame for a backend that is full."""

SPIN = 20e-6
"""Seconds for which ports in shared memory are looked at before a thread sleeps."""

_VLANS = range(1, 4095)
_THREADS_MAX = 64
_PORTS_MIN = 2
_PORTS_MAX = 4096
_DUMP = 256


@dataclass(frozen=True, slots=True)
class PumpStats:
    """A pump's counters since it was started. For each port, ``rx`` is from the backend, ``tx`` is to it.

    A frame that a backend refused, or had no room for, is in its ``tx_dropped`` with the reason; one that
    was not let in is in its ``rx_dropped``.
    """

    ports: dict[str, Stats]
    """By the port's name."""

    seconds: float
    """How long the pump has run, or ran."""

    flooded: int = 0
    """Frames that went to every port (of their VLAN); a switch's."""

    table_full: int = 0
    """Frames whose source was not learned, because the table was full; a switch's."""

    @property
    def total(self) -> Stats:
        """The sum over all ports."""
        return sum(self.ports.values(), Stats())

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "seconds": self.seconds,
            "ports": {name: stats.as_dict() for name, stats in self.ports.items()},
            "total": self.total.as_dict(),
            "flooded": self.flooded,
            "table_full": self.table_full,
        }


class Pump:
    """What `Bridge` and `Switch` have in common. ``with`` starts it and stops it.

    It can be started again after it ended; the counters begin anew then. One that is collected, or alive
    when the interpreter ends, is stopped.
    """

    def __init__(self, plan: Plan, backends: Sequence[Backend], names: Sequence[str]) -> None:
        _check_plan(plan, backends)
        self._plan = plan
        self._backends = tuple(backends)
        self._names = _unique(names)
        self._run: Run | None = None
        self._finalizer: weakref.finalize[[], Pump] | None = None

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return f"<{type(self).__name__} of {', '.join(self._names)}: {state}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Take the backends and begin to move frames; what they hold in user space goes first.

        Raises:
            BackendBusy: a pump has one of them; then none is taken.
            BackendClosed, ForkedError: one of them is not to be had.
            RuntimeError: it runs already.
        """
        if self.running:
            raise RuntimeError(f"{self!r} was started already")
        self._run = Run(self._plan, self._backends, self._names)
        self._finalizer = weakref.finalize(self, self._run.stop)
        self._finalizer.atexit = False  # the run itself sees to that

    def stop(self) -> None:
        """End it, within 100 ms, and give the backends back. May be called again, and from any thread.

        Frames that are held because a backend is full are left where they came from.
        """
        if self._run is not None:
            self._run.stop()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it ends, at most `timeout` seconds; returns whether it has. Ctrl-C interrupts it.

        It ends by `stop`, or because backends are gone: then `error` says why.
        """
        return self._run is None or self._run.wait(timeout)

    @property
    def running(self) -> bool:
        """Whether it has the backends and moves frames."""
        return self._run is not None and self._run.running

    @property
    def error(self) -> NetbeError | None:
        """Why it ended by itself; None when it runs, was stopped, or never ran."""
        return None if self._run is None or self._run.running else self._run.error()

    @property
    def errors(self) -> dict[str, NetbeError]:
        """The ports that were given up because their backend is gone, by name."""
        return {} if self._run is None else self._run.errors()

    def stats(self) -> PumpStats:
        """The counters now, or those of the last run."""
        run = self._run
        if run is None:
            return PumpStats({name: Stats() for name in self._names}, 0.0)
        counters = ffi.new("uint64_t[2]")
        ports = run.stats()
        lib.nb_engine_switch_stats(run.engine, counters, counters + 1)
        seconds = (run.ended or time.monotonic()) - run.began
        return PumpStats(ports, seconds, counters[0], counters[1])


class Bridge(Pump):
    """Joins two backends back to back: each frame of one goes to the other, unchanged and in order.

    What the receiver was not agreed to do (a checksum, segmentation) is done in software on the way. A
    backend on which `set_cap` was never called is switched to all it can do while the bridge runs.

    When one backend is gone for good the bridge brings over what was received and ends; see `error`.
    """

    def __init__(  # noqa: PLR0913 - two backends, and options by keyword
        self,
        a: Backend,
        b: Backend,
        *,
        on_full: OnFull = "wait",
        wait: float = 0.1,
        threads: int | None = None,
        spin: float = SPIN,
    ) -> None:
        """Prepare a bridge of `a` and `b`; `start` starts it.

        `on_full`: ``"wait"`` holds a frame for a full backend back for at most `wait` seconds; after that
        the backend counts as stuck, and frames for it are dropped at once until it takes one. ``"drop"``
        drops at once. `threads`: how many threads move frames; by default one for each queue of the backend
        that has most. `spin`: seconds for which ports in shared memory are polled before a thread sleeps.
        """
        plan = Plan("bridge", learning=False, on_full=on_full, wait=wait, spin=spin, threads=threads)
        super().__init__(plan, (a, b), (a.name, b.name))


@dataclass(frozen=True)
class SwitchPort:
    """A backend as a port of a `Switch`, and the VLANs that it is in (IEEE 802.1Q).

    An access port: ``SwitchPort(backend, pvid=10)``. A trunk of all VLANs: ``SwitchPort(backend,
    trunk=True)``; of some: ``SwitchPort(backend, pvid=None, tagged=[10, 20])``.
    """

    backend: Backend

    pvid: int | None = 1
    """The VLAN of untagged frames (1 to 4094), which leave untagged too; None: they are dropped."""

    tagged: Iterable[int] = ()
    """The VLANs whose frames come and leave with a tag."""

    trunk: bool = False
    """In all VLANs, tagged (but for `pvid`)."""

    name: str = ""
    """In counters and the table; by default the backend's."""

    vlans: frozenset[int] = field(init=False, repr=False)
    """The tagged VLANs, all of them."""

    def __post_init__(self) -> None:
        vlans = frozenset(_VLANS if self.trunk else self.tagged)
        wrong = [
            vlan for vlan in (*vlans, *(() if self.pvid is None else (self.pvid,))) if vlan not in _VLANS
        ]
        if wrong:
            raise ValueError(f"{wrong[0]} is no VLAN: they are numbered 1 to 4094")
        object.__setattr__(self, "vlans", vlans)
        object.__setattr__(self, "name", self.name or self.backend.name)

    @property
    def _plain(self) -> bool:
        return self.pvid == 1 and not self.vlans


@dataclass(frozen=True, slots=True)
class TableEntry:
    """An address that a switch has learned."""

    mac: str
    """As in ``02:00:00:00:00:01``."""

    vlan: int
    """0 on a switch without VLAN filtering."""

    port: str
    """The name of the port behind which it is."""

    age: float
    """Seconds since it was last heard; up to a second more than the truth."""


class Switch(Pump):
    """A learning switch (IEEE 802.1Q): a frame goes to the port behind which its destination was heard.

    Broadcast, multicast and unknown destinations go to all other ports; frames for the reserved group
    addresses 01-80-C2-00-00-00 to -0F to none. A port that is full loses frames, the others do not wait
    for it. A backend that is gone is given up (see `errors`), its addresses are forgotten, the others go on;
    when none is left the switch ends.
    """

    ports: tuple[SwitchPort, ...]
    """In the order given."""

    def __init__(  # noqa: PLR0913 - options by keyword
        self,
        ports: Iterable[Backend | SwitchPort],
        *,
        on_full: OnFull = "drop",
        wait: float = 0.1,
        ageing: float = 300.0,
        table_size: int = 65536,
        vlan_filtering: bool | None = None,
        threads: int | None = None,
        spin: float = SPIN,
    ) -> None:
        """Prepare a switch of 2 to 4096 `ports`; `start` starts it.

        `ageing`: seconds after which an address that was not heard is forgotten (0: never). `table_size`:
        how many addresses are held; frames from further ones are forwarded and their source not learned.
        `vlan_filtering`: whether VLANs are kept apart; by default they are when any port says something
        about VLANs. Without it tags are passed on like any other bytes. The rest is as in `Bridge`; with
        ``on_full="wait"`` a port that is full holds back who sends to it, once, for at most `wait` seconds.
        """
        self.ports = tuple(one if isinstance(one, SwitchPort) else SwitchPort(one) for one in ports)
        if vlan_filtering is None:
            vlan_filtering = not all(port._plain for port in self.ports)  # noqa: SLF001 - of this module
        if ageing < 0 or not 1 <= table_size <= 1 << 26:
            raise ValueError("ageing must not be negative, and table_size 1 to 67,108,864")
        vlans = [(port.pvid or 0, sorted(port.vlans)) for port in self.ports] if vlan_filtering else None
        plan = Plan(
            "switch",
            learning=True,
            on_full=on_full,
            wait=wait,
            spin=spin,
            threads=threads,
            ageing=ageing,
            table_size=table_size,
            vlans=vlans,
        )
        super().__init__(plan, [port.backend for port in self.ports], [port.name for port in self.ports])

    def table(self) -> list[TableEntry]:
        """The addresses known now, by port, VLAN and address; after the end, those that were known then."""
        run = self._run
        if run is None:
            return []
        fdb = lib.nb_engine_fdb(run.engine)
        now = time.monotonic_ns() if run.ended is None else round(run.ended * 1e9)
        cursor = ffi.new("uint64_t *")
        room = ffi.new("struct nb_fdb_entry[]", _DUMP)
        found = []
        while count := lib.nb_fdb_dump(fdb, cursor, room, _DUMP, now):
            for i in range(count):
                one = room[i]
                mac = bytes(one.mac).hex(":")
                found.append((one.port, TableEntry(mac, one.vid, self._names[one.port], one.age_ns / 1e9)))
        found.sort(key=lambda pair: (pair[0], pair[1].vlan, pair[1].mac))
        return [entry for _, entry in found]


def _check_plan(plan: Plan, backends: Sequence[Backend]) -> None:
    if not _PORTS_MIN <= len(backends) <= _PORTS_MAX:
        raise ValueError(f"a {plan.what} has {_PORTS_MIN} to {_PORTS_MAX} ports, not {len(backends)}")
    if len(set(map(id, backends))) != len(backends):
        raise ValueError(f"a {plan.what} cannot have the same backend twice")
    if plan.on_full not in ("wait", "drop"):
        raise ValueError(f'on_full is "wait" or "drop", not {plan.on_full!r}')
    if plan.wait < 0 or plan.spin < 0:
        raise ValueError("wait and spin are seconds, and not negative")
    if plan.threads is not None and not 1 <= plan.threads <= _THREADS_MAX:
        raise ValueError(f"a {plan.what} has 1 to {_THREADS_MAX} threads, not {plan.threads}")


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, those that occur again with a number."""
    result: list[str] = []
    for name in names:
        number = 1
        unique = name
        while unique in result:
            number += 1
            unique = f"{name}#{number}"
        result.append(unique)
    return tuple(result)
