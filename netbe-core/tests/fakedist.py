# SPDX-License-Identifier: BSD-2-Clause
"""Makes distributions that look installed: metadata and a module in a folder that goes on ``sys.path``.

A test module uses the fixtures ``install`` and ``opened`` by importing them.
"""

import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from netbe import hooks, plugins, registry
from netbe.backend import Backend
from netbe.opening import open as netbe_open

WORKING = """
from netbe import Backend, BackendSpec, Option, hookimpl
from netbe.options import Integer, boolean


class Null(Backend):
    def __init__(self, name, given):
        super().__init__(name.text)
        self.parsed = name
        self.given = given

    def _transmit(self, frame):
        pass

    def _receive(self):
        return None


def factory(name, **given):
    return Null(name, given)


OPTIONS = (
    Option("mtu", Integer(68, 65535), "largest packet"),
    Option("up", boolean, "bring it up", default=True),
)


@hookimpl
def netbe_backends():
    return [BackendSpec(prefix, factory, "swallows frames", OPTIONS) for prefix in PREFIXES]
"""
"""A plugin with nothing wrong; PREFIXES is put before it."""


def module_of(distribution: str) -> str:
    """The module that a distribution's plugin is in."""
    return distribution.replace("-", "_").replace(".", "_").lower()


def working(*prefixes: str) -> str:
    """The source of a plugin with nothing wrong."""
    return f"PREFIXES = {prefixes!r}\n{WORKING}"


def files_of(
    distribution: str,
    prefixes: Mapping[str, str] | tuple[str, ...],
    source: str | None = None,
    *,
    version: str = "1.0",
    group: str = "netbe.backends",
) -> dict[str, str]:
    """The files of a distribution, by path.

    Args:
        distribution: its name.
        prefixes: its entry points: prefix to ``MODULE:OBJECT``, or only prefixes, for its own module.
        source: of its module; a working plugin for all the prefixes if not given.
        version: its version.
        group: of its entry points.
    """
    module = module_of(distribution)
    points = dict(prefixes) if isinstance(prefixes, Mapping) else dict.fromkeys(prefixes, module)
    lines = "".join(f"{prefix} = {value}\n" for prefix, value in points.items())
    info = f"{module}-{version}.dist-info"
    return {
        f"{module}.py": working(*points) if source is None else textwrap.dedent(source),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n\nA fake.\n",
        f"{info}/entry_points.txt": f"[console_scripts]\nunrelated = x:y\n\n[{group}]\n{lines}",
    }


def write(folder: Path, *files: Mapping[str, str]) -> Path:
    """Write the files of distributions into ``folder``."""
    for path, text in (item for one in files for item in one.items()):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return folder


def build_wheel(folder: Path, files: Mapping[str, str]) -> Path:
    """Make a wheel that pip installs, out of the files of one distribution."""
    info = next(path.partition("/")[0] for path in files if ".dist-info/" in path)
    tag = "Wheel-Version: 1.0\nGenerator: fakedist\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    everything = {**files, f"{info}/WHEEL": tag}
    everything[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*everything, f"{info}/RECORD"])
    wheel = folder / f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in everything.items():
            archive.writestr(path, text)
    return wheel


Install = Callable[..., None]
Opened = Callable[..., Any]
"""As the fixtures of their names; what a fake plugin's backend has is its own."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Makes distributions look installed; nothing of them, nor of what they did to the registry, stays."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(registry.PREFER, raising=False)
    monkeypatch.setattr(plugins, "_specs", {})
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(hooks, "_manager", None)

    def install(
        distribution: str,
        prefixes: Mapping[str, str] | tuple[str, ...],
        source: str | None = None,
        *,
        version: str = "1.0",
        folder: str = "",
        group: str = registry.GROUP,
    ) -> None:
        files = files_of(distribution, prefixes, source, version=version, group=group)
        write(tmp_path / folder, files)
        registry.refresh()

    registry.refresh()
    yield install
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[module]
    monkeypatch.undo()
    registry.refresh()


def plugin(body: str) -> str:
    """A plugin's source: the working one, with its hook replaced."""
    head = working("x").partition("@hookimpl")[0]
    return head + textwrap.dedent(body)


@pytest.fixture
def opened() -> Iterator[Opened]:
    """``netbe.open`` whose backends are closed afterwards."""
    backends: list[Backend] = []

    def opener(*args: object, **kwargs: object) -> Backend:
        backends.append(netbe_open(*args, **kwargs))  # type: ignore[arg-type]
        return backends[-1]

    yield opener
    for backend in backends:
        backend.close()
