# SPDX-License-Identifier: BSD-2-Clause
"""``netbe.open``: from a name to a backend."""

from typing import TYPE_CHECKING

from netbe.backend import Backend
from netbe.errors import BadNameError, NetbeError
from netbe.hooks import notify
from netbe.names import Name
from netbe.options import parse_options
from netbe.plugins import broken, load
from netbe.registry import choose

if TYPE_CHECKING:
    from netbe.backend import Callback
    from netbe.entrypoints import EntryPoint
    from netbe.events import EventLoop
    from netbe.spec import BackendSpec


def open(  # noqa: A001 - netbe.open, as gzip.open
    name: str,
    *,
    callback: "Callback | None" = None,
    loop: "EventLoop | None" = None,
    distribution: str | None = None,
    **options: object,
) -> Backend:
    """Open the backend that ``name`` says; the longest installed prefix that begins the name takes it.

    Exactly one plugin is imported, and that only once in a process. When this raises, nothing is left behind.

    Args:
        name: ``DEVICE[,OPTION=VALUE]…``, see ``netbe.names``: ``"tap0"``, ``"lan0,type=tap,mtu=9000"``.
        callback: called with the backend on the loop's thread when frames can be received; receiving is
            disabled at first, see ``Backend.recv_enable``.
        loop: the event loop that calls it; the process's own (``netbe.events.default_loop``) if not given.
        distribution: which distribution's backend to open, where several provide the prefix.
        **options: more options, as if they stood in the name; ``type`` too. ``None`` is "not given".

    Raises:
        BadNameError, NameTooLongError: the name follows no rule, or the backend refuses the rest of it.
        UnknownPrefixError: nothing installed takes it; the message says what to install.
        OptionError: the backend has no such option or does not take the value; or it is given twice.
        PluginConflictError: two distributions provide the prefix; the message says how to prefer one.
        PluginLevelError, PluginError: it is installed, but for another netbe-core, or broken.
        OSError: what the system says, most of it as a ``NetbeError``.
    """
    parsed = _with_type(Name.parse(name), options.pop("type", None))
    if loop is not None and callback is None:
        msg = "open() got a loop and no callback for it to call"
        raise TypeError(msg)
    chosen, entry = choose(parsed, distribution)
    spec = load(entry)
    values = parse_options(spec.options, chosen.options, options, of=f"the backend {chosen.prefix!r}")
    backend = _make(spec, entry, chosen, values)
    try:
        if callback is not None:
            backend._attach_callback(callback, loop or _default_loop())  # noqa: SLF001 - core's own
        backend._on_close.append(_closed)  # noqa: SLF001 - core's own
        notify("netbe_backend_opened", backend)
    except BaseException:
        backend.close()
        raise
    return backend


def _with_type(name: Name, kind: object) -> Name:
    """``name`` with the keyword ``type``."""
    if kind is None:
        return name
    if not isinstance(kind, str) or not kind:
        raise BadNameError(f"type={kind!r} names no prefix", hint="give type the prefix of a backend")
    if name.explicit:
        raise BadNameError(f"{name.text!r} says type= already", hint="give the type once")
    return name.with_type(kind)


def _make(spec: "BackendSpec", entry: "EntryPoint", name: Name, values: dict[str, object]) -> Backend:
    """Call the factory; raising anything but ``OSError``, or returning no backend, is the plugin's fault."""
    try:
        backend = spec.factory(name, **values)
    except NetbeError:
        raise
    except OSError as exc:
        exc.add_note(f"while {entry.distribution} opened {name.text!r}")
        raise
    except Exception as exc:
        raise broken(entry, f"opening {name.text!r} raised {type(exc).__name__}: {exc}") from exc
    if not isinstance(backend, Backend):
        raise broken(entry, f"opening {name.text!r} gave {backend!r} where a netbe.Backend belongs")
    return backend


def _default_loop() -> "EventLoop":
    from netbe.events import default_loop  # noqa: PLC0415 - seldom needed

    return default_loop()


def _closed(backend: Backend) -> None:
    notify("netbe_backend_closed", backend)
