# SPDX-License-Identifier: BSD-2-Clause
"""Bringing in one plugin: import it, check it, register it, and keep what it describes.

Each thing that can be wrong with it is an error that names the prefix, the distribution with its version and
the entry point, with the cause chained.
"""

import inspect
from functools import reduce
from importlib import import_module

from netbe.entrypoints import EntryPoint
from netbe.errors import PluginError, PluginLevelError
from netbe.hooks import new_manager, plugin_manager
from netbe.locking import ForkSafeLock
from netbe.spec import API_LEVEL, OLDEST_API_LEVEL, BackendSpec

HOOK = "netbe_backends"

_lock = ForkSafeLock()
_specs: dict[int, tuple[object, dict[str, BackendSpec]]] = {}
"""What each registered plugin described, by the plugin's id; the plugin itself keeps the id its own."""
_loaded: dict[tuple[str, str], dict[str, BackendSpec]] = {}
"""The same by the identity of an entry point."""


def load(entry: EntryPoint) -> BackendSpec:
    """The description of the backend that an entry point promises, its plugin brought in if it was not.

    No lock is held while code of the plugin runs, so one that hangs stops only who asked for it.

    Raises:
        PluginError: it is installed but cannot be used (ELIBBAD).
        PluginLevelError: it is written for another level of the plugin API (ENOTSUP).
    """
    specs = _loaded.get(entry.identity)
    if specs is None:
        specs = _specs_of(entry, _import(entry))
        _loaded[entry.identity] = specs
    try:
        return specs[entry.name]
    except KeyError:
        described = ", ".join(sorted(specs)) or "none"
        raise broken(entry, f"its plugin describes no such backend (it describes: {described})") from None


def loaded(entry: EntryPoint) -> BackendSpec | None:
    """What ``load`` would return, if that needs no import."""
    return _loaded.get(entry.identity, {}).get(entry.name)


def broken(entry: EntryPoint, why: str) -> PluginError:
    """The error for a plugin that is installed and cannot be used."""
    return PluginError(f"{_about(entry)} is installed but cannot be used: {why}")


def _about(entry: EntryPoint) -> str:
    return f"the backend {entry.name!r} of {entry.distribution} (entry point {entry.value!r})"


def _import(entry: EntryPoint) -> object:
    module, _, attributes = entry.value.partition("[")[0].partition(":")
    try:
        found: object = import_module(module.strip())
        return reduce(getattr, filter(None, attributes.strip().split(".")), found)
    except (Exception, SystemExit) as exc:
        raise broken(entry, f"importing it raised {type(exc).__name__}: {exc}") from exc


def _specs_of(entry: EntryPoint, plugin: object) -> dict[str, BackendSpec]:
    """What a plugin describes; it is registered, once even if several entry points share it."""
    with _lock:
        if id(plugin) in _specs:
            return _specs[id(plugin)][1]
    specs = _describe(entry, plugin)
    manager = plugin_manager()
    with _lock:
        # Another thread may have come as far in the meantime; then what it was told counts.
        if id(plugin) not in _specs:
            if not manager.is_registered(plugin):  # the program itself may have, to watch
                manager.register(plugin, f"{entry.distribution.name}:{entry.value}")
            _specs[id(plugin)] = (plugin, specs)
        return _specs[id(plugin)][1]


def _describe(entry: EntryPoint, plugin: object) -> dict[str, BackendSpec]:
    """Try a plugin out on a plugin manager of its own, so that the real one never sees a broken one."""
    if inspect.isclass(plugin):
        raise broken(entry, f"it is the class {plugin.__name__}; the entry point must name an instance of it")
    trial = new_manager()
    try:
        trial.register(plugin)
        trial.check_pending()
    except Exception as exc:
        _refuse_level(entry, plugin)  # a newer plugin may well have hooks that we do not know
        raise broken(entry, f"its hooks do not fit: {' '.join(str(exc).split())}") from exc
    hook = trial.hook.netbe_backends
    if not hook.get_hookimpls():
        raise broken(entry, _why_no_hook(plugin))
    try:
        specs = [spec for answer in hook() for spec in answer]
    except (Exception, SystemExit) as exc:
        raise broken(entry, f"its {HOOK}() raised {type(exc).__name__}: {exc}") from exc
    return _checked(entry, specs)


def _checked(entry: EntryPoint, specs: list[object]) -> dict[str, BackendSpec]:
    table: dict[str, BackendSpec] = {}
    for spec in specs:
        if not isinstance(spec, BackendSpec):
            raise broken(entry, f"its {HOOK}() gave {spec!r} where a netbe.BackendSpec belongs")
        _check_level(entry, spec)
        if spec.prefix in table:
            raise broken(entry, f"its {HOOK}() describes {spec.prefix!r} twice")
        table[spec.prefix] = spec
    return table


def _check_level(entry: EntryPoint, spec: BackendSpec) -> None:
    if spec.api_level > API_LEVEL:
        raise PluginLevelError(
            f"{_about(entry)} is written for level {spec.api_level} of the plugin API, newer than the "
            f"{API_LEVEL} of this netbe-core: upgrade netbe-core"
        )
    if spec.api_level < OLDEST_API_LEVEL:
        raise PluginLevelError(
            f"{_about(entry)} is written for level {spec.api_level} of the plugin API, older than the "
            f"{OLDEST_API_LEVEL} that this netbe-core still takes: upgrade {entry.distribution.name}"
        )


def _refuse_level(entry: EntryPoint, plugin: object) -> None:
    """Raise if the plugin says that it needs another level; it may be in no state to say anything."""
    try:
        specs = list(getattr(plugin, HOOK)())
    except Exception:  # noqa: BLE001 - the caller has the better error
        return
    for spec in specs:
        if isinstance(spec, BackendSpec):
            _check_level(entry, spec)


def _why_no_hook(plugin: object) -> str:
    if callable(getattr(plugin, HOOK, None)):
        return f"its {HOOK}() is not marked with @netbe.hookimpl"
    return f"{plugin!r} has no {HOOK}()"
