# SPDX-License-Identifier: BSD-2-Clause
"""The index of installed backends, and which of them a name means.

The index is read from metadata once, without importing any plugin, and kept; ``refresh`` drops it, after
something was installed into a process that goes on.

A name is taken by the longest prefix that begins it. Where two distributions provide that prefix, neither
is guessed: the environment variable ``NETBE_PREFER`` (``"tap=netbe-tap,vale=my-switch"``) or the argument
``distribution=`` says which.
"""

import difflib
import importlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from netbe.entrypoints import EntryPoint, Scan, normal, scan
from netbe.errors import PluginConflictError, PluginError, UnknownPrefixError
from netbe.locking import ForkSafeLock
from netbe.names import Name
from netbe.spec import valid_prefix

GROUP = "netbe.backends"
"""The group of entry points that announce backends."""

PREFER = "NETBE_PREFER"
"""The environment variable that settles conflicts: ``PREFIX=DISTRIBUTION``, separated by commas or spaces."""

KNOWN = {
    "netmap": "netbe-netmap",
    "tap": "netbe-tap",
    "vale": "netbe-netmap",
    "vmnet": "netbe-tap",
}
"""What to install for a prefix: an entry point that is not there cannot say it."""


class Index:
    """What is installed in one group, at the time of a scan. Never changes."""

    def __init__(self, found: Scan, group: str) -> None:
        """Sort what ``found`` has in ``group`` by name; one that is there twice counts once."""
        self.table: dict[str, list[EntryPoint]] = {}
        self.unusable: list[EntryPoint] = []
        self.unreadable = found.unreadable
        for entry in found.entry_points:
            if entry.group != group:
                continue
            if not valid_prefix(entry.name) or not entry.value:
                self.unusable.append(entry)
                continue
            same = self.table.setdefault(entry.name, [])
            if entry.identity not in {other.identity for other in same}:
                same.append(entry)

    def of(self, distribution: str) -> "dict[str, list[EntryPoint]]":
        """The part of the table that one distribution provides."""
        key = normal(distribution)
        mine = {
            name: [e for e in entries if e.distribution.key == key] for name, entries in self.table.items()
        }
        return {name: entries for name, entries in mine.items() if entries}


_lock = ForkSafeLock()
_scan: Scan | None = None
_indexes: dict[str, Index] = {}


def index(group: str = GROUP) -> Index:
    """The index of a group; the first call in a process scans, for all groups."""
    global _scan  # noqa: PLW0603 - the cache
    found = _indexes.get(group)
    if found is None:
        with _lock:
            if _scan is None:
                _scan = scan()
            found = _indexes.setdefault(group, Index(_scan, group))
    return found


def refresh() -> None:
    """Forget the scan, so that the next call sees what was installed since. Loaded plugins stay loaded."""
    global _scan  # noqa: PLW0603 - the cache
    with _lock:
        _scan = None
        _indexes.clear()
    importlib.invalidate_caches()


def choose(name: Name, distribution: str | None = None) -> tuple[Name, EntryPoint]:
    """Find who takes a name: the name with its prefix filled in, and the entry point. Imports nothing.

    Args:
        name: the name taken apart.
        distribution: consider only what this one provides.

    Raises:
        UnknownPrefixError: nothing installed takes it (EINVAL).
        PluginConflictError: several distributions do, and none is preferred (EEXIST).
    """
    installed = index()
    table = installed.table if distribution is None else installed.of(distribution)
    if name.explicit:
        if name.prefix not in table:
            raise UnknownPrefixError(_unknown(name, table, distribution))
        return name, _preferred(name.prefix, table[name.prefix])
    for length in range(min(len(name.device), max(map(len, table), default=0)), 0, -1):
        prefix = name.device[:length]
        if prefix in table:
            return name.with_prefix(prefix), _preferred(prefix, table[prefix])
    raise UnknownPrefixError(_unknown(name, table, distribution))


def _preferred(prefix: str, entries: list[EntryPoint]) -> EntryPoint:
    if len(entries) == 1:
        return entries[0]
    wanted = _preferences().get(prefix)
    chosen = [entry for entry in entries if entry.distribution.key == wanted]
    if len(chosen) == 1:
        return chosen[0]
    raise PluginConflictError(_conflict(prefix, entries, wanted))


def _preferences() -> dict[str, str]:
    pairs = (word.partition("=") for word in re.split(r"[\s,;]+", os.environ.get(PREFER, "")) if word)
    return {prefix: normal(distribution) for prefix, _, distribution in pairs}


def _conflict(prefix: str, entries: list[EntryPoint], wanted: str | None) -> str:
    providers = sorted({str(entry.distribution) for entry in entries})
    example = min(entry.distribution.name for entry in entries)
    if len({entry.distribution.key for entry in entries}) == 1:
        values = " and ".join(sorted(entry.value for entry in entries))
        return (
            f"{providers[0]} provides the backend {prefix!r} more than once, as {values}: "
            "its installation is damaged; install it again"
        )
    missed = f" {PREFER} prefers {wanted}, which is none of them." if wanted else ""
    return (
        f"the backend {prefix!r} is provided by {' and by '.join(providers)}.{missed} Say which one: "
        f'set {PREFER}="{prefix}={example}", open it with distribution="{example}", or uninstall the other'
    )


def _unknown(name: Name, table: dict[str, list[EntryPoint]], distribution: str | None) -> str:
    """What to say of a name that nothing takes: what there is, and what to install."""
    what = f"type={name.prefix}" if name.explicit else repr(name.device)
    there = ", ".join(sorted(table)) or "none"
    if distribution is not None:
        provides = f"which provides: {there}" if table else "which is not installed or provides no backend"
        return f"no backend for {what} in the distribution {distribution!r}, {provides}"
    message = f"no installed backend takes {what}; installed are: {there}."
    asked = name.prefix if name.explicit else name.device
    missing = _longest_of(KNOWN.keys() - table.keys(), asked, exact=name.explicit)
    if missing:
        return f"{message} The backend {missing!r} comes with {KNOWN[missing]}: pip install {KNOWN[missing]}"
    word = asked if name.explicit else re.split(r"[^A-Za-z_+.-]", asked, maxsplit=1)[0]
    close = difflib.get_close_matches(word, {*table, *KNOWN}, 1)
    if close:
        source = "" if close[0] in table else f" (pip install {KNOWN[close[0]]})"
        return f"{message} Did you mean {close[0]!r}{source}?"
    if name.explicit:
        return message
    return f"{message} A device of any name is opened by saying whose it is: {name.device},type=PREFIX"


def _longest_of(prefixes: Iterable[str], text: str, *, exact: bool) -> str:
    fitting = (prefix for prefix in prefixes if (text == prefix if exact else text.startswith(prefix)))
    return max(fitting, key=len, default="")


@dataclass(frozen=True)
class OptionInfo:
    """An option of a backend, for showing."""

    name: str
    metavar: str
    help: str
    default: str
    """As Python writes it; empty if there is none."""


@dataclass(frozen=True)
class BackendInfo:
    """A backend that is installed, for showing."""

    prefix: str
    """Empty if the metadata could not be read."""
    distribution: str
    version: str
    value: str
    """The entry point's: ``MODULE:OBJECT``."""
    error: str | None = None
    """Why it cannot be opened, as far as is known; without a check, what the metadata alone shows."""
    loaded: bool = False
    """Whether the plugin was brought in, here or for a check, so that what follows is known."""
    summary: str = ""
    options: tuple[OptionInfo, ...] = ()


def list_backends(*, check: bool = False, timeout: float = 10.0) -> list[BackendInfo]:
    """List what is installed, sorted by prefix and distribution. Never raises over what it finds.

    Args:
        check: bring each plugin in, and tell what is wrong with it. That happens in a process of its own, so
            that one that hangs, crashes or prints does it there, and nothing is imported here.
        timeout: seconds that one plugin has for its check.
    """
    found = index()
    entries = sorted(
        (entry for entries in found.table.values() for entry in entries),
        key=lambda entry: (entry.name, entry.distribution.key),
    )
    infos = [describe(entry) for entry in entries]
    if check:
        from netbe.checking import check_all  # noqa: PLC0415 - seldom needed

        infos = check_all(infos, timeout)
    infos = [replace(info, error=info.error or _contested(info, found)) for info in infos]
    infos.extend(replace(_info(entry), error=_unusable(entry)) for entry in found.unusable)
    infos.extend(
        BackendInfo("", distribution.name, distribution.version, "", error=f"metadata cannot be read: {exc}")
        for distribution, exc in found.unreadable
    )
    return infos


def describe(entry: EntryPoint, *, bring_in: bool = False) -> BackendInfo:
    """What is known of one entry point; with ``bring_in`` after loading its plugin, or why that fails."""
    from netbe.plugins import load, loaded  # noqa: PLC0415 - pluggy, which an index does not need

    info = _info(entry)
    try:
        spec = load(entry) if bring_in else loaded(entry)
    except PluginError as exc:
        return replace(info, error=str(exc))
    if spec is None:
        return info
    options = tuple(
        OptionInfo(option.name, option.metavar, option.help, _shown(option.default))
        for option in spec.options
    )
    return replace(info, loaded=True, summary=spec.summary, options=options)


def _shown(default: object) -> str:
    return "" if default is None else repr(default)


def _info(entry: EntryPoint) -> BackendInfo:
    return BackendInfo(entry.name, entry.distribution.name, entry.distribution.version, entry.value)


def _unusable(entry: EntryPoint) -> str:
    if not entry.value:
        return "its entry point names no object"
    return "its entry point's name cannot be a prefix: a letter, then letters, digits and _ . + -, 63 at most"


def _contested(info: BackendInfo, found: Index) -> str | None:
    try:
        chosen = _preferred(info.prefix, found.table[info.prefix])
    except PluginConflictError as exc:
        return str(exc)
    if chosen.distribution.key == normal(info.distribution):
        return None
    return f"{PREFER} prefers {chosen.distribution}"
