# SPDX-License-Identifier: BSD-2-Clause
"""Which distributions announce plugins: a lean scan of installed metadata that imports none of them.

It reads one small file a distribution, ``entry_points.txt``, and of that only groups that begin with
``netbe.``; names and versions come from folder names until a message needs the exact ones. That is why this
does not go through ``importlib.metadata``, which takes several times as long (importing it alone costs more
than this whole scan). Its rules hold all the same: folders are searched in the order of ``sys.path``, and of
two distributions with one name the first hides the second, as it does for imports. What is not a plain folder
(a zip file, an egg, somebody's finder) is left to ``importlib_metadata``.
"""

import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

GROUPS = "netbe."
"""How the groups begin that are looked at."""

_SECTION = f"[{GROUPS}".encode()

_METADATA_FOLDERS = (".dist-info", ".egg-info")
_HEADERS = ("METADATA", "PKG-INFO")
_SEPARATORS = re.compile(r"[-_.]+")


def normal(name: str) -> str:
    """A distribution's name in the one form in which names are compared (PyPA's name normalization)."""
    return _SEPARATORS.sub("-", name).lower()


class Distribution:
    """One installed distribution."""

    def __init__(self, folder: str, name: str, version: str) -> None:
        """``folder``: where its metadata lies, empty if in none; the rest as known without reading."""
        self.folder = folder
        self._known = name, version

    @cached_property
    def name(self) -> str:
        """Its name as its author writes it."""
        return self._headers.get("Name", self._known[0])

    @cached_property
    def version(self) -> str:
        """Its version, or ``"?"``."""
        return self._headers.get("Version", self._known[1]) or "?"

    @property
    def key(self) -> str:
        """Its name for comparison."""
        return normal(self._known[0])

    @cached_property
    def _headers(self) -> dict[str, str]:
        for file in _HEADERS if self.folder else ():
            try:
                text = _read(f"{self.folder}{os.sep}{file}").decode("utf-8", "replace")
            except OSError:
                continue
            lines = itertools.takewhile(str.strip, text.splitlines())  # an empty line ends the headers
            pairs = (line.partition(": ") for line in lines if not line.startswith((" ", "\t")))
            return {key: value.strip() for key, _, value in pairs if value.strip()}
        return {}

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class EntryPoint(NamedTuple):
    """One line of a distribution's entry points: in a group, a name and the object it stands for."""

    group: str
    name: str
    value: str
    distribution: Distribution

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two of them the same: the distribution and the value."""
        return self.distribution.key, self.value


@dataclass(frozen=True)
class Scan:
    """What one scan found."""

    entry_points: list[EntryPoint] = field(default_factory=list)
    unreadable: list[tuple[Distribution, OSError]] = field(default_factory=list)


def scan(path: Iterable[str] | None = None) -> Scan:
    """Read the entry points of everything installed on ``path`` (``sys.path``), and import nothing."""
    result = Scan()
    seen: set[str] = set()
    for folder in dict.fromkeys(
        entry for entry in (sys.path if path is None else path) if isinstance(entry, str)
    ):
        found = _in_folder(folder)
        if found is None:
            _elsewhere(result, seen, path=[folder])
        else:
            for key, distribution in found:
                if key not in seen:
                    seen.add(key)
                    _collect(result, distribution)
    if path is None:
        for finder in sys.meta_path:
            if _finds_distributions(finder):
                _elsewhere(result, seen, finder=finder)
    return result


def _in_folder(folder: str) -> Iterator[tuple[str, Distribution]] | None:
    """Distributions whose metadata lies in ``folder``; None if that is no plain folder."""
    folder = folder or os.curdir
    if folder.endswith(".egg"):
        return None
    try:
        entries = os.listdir(folder)  # noqa: PTH208 - a Path for each name costs more than the listing
    except NotADirectoryError:
        return None
    except OSError:  # not there, or not ours to read: the import system passes over it too
        entries = []
    names = [name for name in entries if name.endswith(_METADATA_FOLDERS) and name[0] != "~"]
    # Leftovers of broken upgrades lie beside the real thing: what pip renamed to begin with a tilde, and
    # older versions. Any order of those will do, as long as it is one.
    names.sort(key=lambda name: (name.endswith(".dist-info"), name), reverse=True)
    return (_from_folder(folder, name) for name in names)


def _from_folder(folder: str, name: str) -> tuple[str, Distribution]:
    stem, _, kind = name.rpartition(".")
    project, _, version = stem.partition("-")
    if kind == "egg-info":
        version = version.partition("-")[0]  # NAME-VERSION-py3.11.egg-info
    return normal(project), Distribution(f"{folder}{os.sep}{name}", project, version)


def _collect(result: Scan, distribution: Distribution) -> None:
    try:
        found = _read(f"{distribution.folder}{os.sep}entry_points.txt")
    except (FileNotFoundError, NotADirectoryError):  # an .egg-info may be a single file
        return
    except OSError as exc:
        result.unreadable.append((distribution, exc))
        return
    result.entry_points.extend(_parse(found, distribution))


def _read(file: str) -> bytes:
    """All of a file. A file object would cost as much again as these calls, and there are hundreds."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.read(fd, 65536)
        more = found if len(found) == 65536 else b""  # noqa: PLR2004 - the line above
        while more:
            more = os.read(fd, 65536)
            found += more
        return found
    finally:
        os.close(fd)


def _parse(found: bytes, distribution: Distribution) -> list[EntryPoint]:
    """The entry points of our groups, in the text of an ``entry_points.txt``."""
    start = found.find(_SECTION)
    if start < 0:
        return []
    entry_points = []
    group = ""
    for raw in found[start:].decode("utf-8", "replace").split("\n"):
        line = raw.strip()
        if line.startswith("["):
            group = line.strip("[]")
        elif "=" in line and group.startswith(GROUPS) and line[0] not in "#;":
            name, _, value = line.partition("=")
            entry_points.append(EntryPoint(group, name.rstrip(), value.lstrip(), distribution))
    return entry_points


def _finds_distributions(finder: object) -> bool:
    """Whether a finder on ``sys.meta_path`` knows distributions outside of ``sys.path``."""
    kind = finder if isinstance(finder, type) else type(finder)
    known = {"PathFinder", "MetadataPathFinder"}  # the standard library's, and its backport's
    return hasattr(finder, "find_distributions") and kind.__name__ not in known


def _elsewhere(result: Scan, seen: set[str], *, path: list[str] | None = None, finder: object = None) -> None:
    """Ask ``importlib_metadata`` for what lies in no plain folder."""
    from importlib_metadata import DistributionFinder, MetadataPathFinder  # noqa: PLC0415 - it is slow

    if finder is None:
        finder = MetadataPathFinder
        context = DistributionFinder.Context(path=path)  # type: ignore[no-untyped-call]
    else:
        context = DistributionFinder.Context()  # type: ignore[no-untyped-call]
    try:
        for other in finder.find_distributions(context):  # type: ignore[attr-defined]
            name = other.metadata["Name"] or ""
            if name and normal(name) not in seen:
                seen.add(normal(name))
                text = (other.read_text("entry_points.txt") or "").encode()
                result.entry_points.extend(_parse(text, Distribution("", name, other.version)))
    except Exception as exc:  # noqa: BLE001 - code of strangers; a scan must not fail by it
        where = path[0] if path else type(finder).__name__
        error = OSError(f"metadata in {where} cannot be read: {exc!r}")
        result.unreadable.append((Distribution("", where, ""), error))
