# SPDX-License-Identifier: BSD-2-Clause
"""Hooks of a plugin, and the one plugin manager that knows those in use.

A plugin describes its backends in ``netbe_backends``; it, or the program itself, may also watch backends come
and go. None of this is on a frame's way. This is the only file that imports pluggy, and ``import netbe`` does
not import this file.
"""

from typing import TYPE_CHECKING

import pluggy

from netbe.locking import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netbe.backend import Backend
    from netbe.spec import BackendSpec

PROJECT = "netbe"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's function as the implementation of the hook of its name."""


class Hooks:
    """The hooks there are. Arguments are only ever added; an implementation takes those it wants."""

    @staticmethod
    @hookspec
    def netbe_backends() -> "Iterable[BackendSpec]":  # type: ignore[empty-body]
        """Describe the backends of this plugin, one ``BackendSpec`` for each of its entry points.

        Called once, when a name is first opened that one of the entry points takes.
        """

    @staticmethod
    @hookspec
    def netbe_backend_opened(backend: "Backend") -> None:
        """Watch: ``netbe.open`` is about to hand out ``backend``.

        Called on the thread that opens, for plugins that are in use or that the program has registered. What
        it raises is logged and harms nobody.
        """

    @staticmethod
    @hookspec
    def netbe_backend_closed(backend: "Backend") -> None:
        """Watch: ``backend``, which ``netbe.open`` had handed out, is closed.

        Called once, on the thread that closes, when its calls already raise ``BackendClosed``. What it raises
        is logged and harms nobody.
        """


_manager: pluggy.PluginManager | None = None
_lock = ForkSafeLock()


def plugin_manager() -> pluggy.PluginManager:
    """The one plugin manager, made when first asked for.

    A program that wants to watch registers an object of its own::

        netbe.hooks.plugin_manager().register(Watcher())
    """
    global _manager  # noqa: PLW0603 - one for the process is what it is for
    with _lock:
        if _manager is None:
            _manager = new_manager()
        return _manager


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    return manager


def notify(hook: str, backend: "Backend") -> None:
    """Call an observing hook of everyone registered; one that raises stops neither us nor the others."""
    for implementation in getattr(plugin_manager().hook, hook).get_hookimpls():
        try:
            implementation.function(*(backend for _ in implementation.argnames))
        except Exception:
            import logging  # noqa: PLC0415 - takes longer than most opens do

            logging.getLogger(PROJECT).exception("%s of %s raised", hook, implementation.plugin_name)
