# SPDX-License-Identifier: BSD-2-Clause
"""Ethernet by name: `open` a backend, send and receive frames, join backends with `Bridge` and `Switch`.

The names below are loaded when they are first used: importing netbe costs little, and neither pluggy nor the
extension is loaded before something needs it.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netbe import aio as aio
    from netbe import errors as errors
    from netbe import events as events
    from netbe import hooks as hooks
    from netbe import options as options
    from netbe import registry as registry
    from netbe import testing as testing
    from netbe import traffic as traffic
    from netbe.backend import Backend as Backend
    from netbe.batch import FrameBatch as FrameBatch
    from netbe.errors import BackendBusy as BackendBusy
    from netbe.errors import BackendClosed as BackendClosed
    from netbe.errors import BackendFull as BackendFull
    from netbe.errors import BackendGone as BackendGone
    from netbe.errors import BadHeaderError as BadHeaderError
    from netbe.errors import BadNameError as BadNameError
    from netbe.errors import DeviceNotFoundError as DeviceNotFoundError
    from netbe.errors import ForkedError as ForkedError
    from netbe.errors import FrameSizeError as FrameSizeError
    from netbe.errors import FrameTooLong as FrameTooLong
    from netbe.errors import LinkDownError as LinkDownError
    from netbe.errors import NameTooLongError as NameTooLongError
    from netbe.errors import NetbeError as NetbeError
    from netbe.errors import NetbePermissionError as NetbePermissionError
    from netbe.errors import NetbeTimeoutError as NetbeTimeoutError
    from netbe.errors import NoNativePort as NoNativePort
    from netbe.errors import NotSupportedError as NotSupportedError
    from netbe.errors import OptionError as OptionError
    from netbe.errors import PluginConflictError as PluginConflictError
    from netbe.errors import PluginError as PluginError
    from netbe.errors import PluginLevelError as PluginLevelError
    from netbe.errors import UnknownPrefixError as UnknownPrefixError
    from netbe.events import Event as Event
    from netbe.events import EventLoop as EventLoop
    from netbe.fdbackend import FdBackend as FdBackend
    from netbe.features import Features as Features
    from netbe.hooks import hookimpl as hookimpl
    from netbe.iov import buf_to_iov as buf_to_iov
    from netbe.iov import count_iov as count_iov
    from netbe.iov import iov_to_buf as iov_to_buf
    from netbe.names import Name as Name
    from netbe.native import Port as Port
    from netbe.opening import open as open  # noqa: A004 - netbe.open, as gzip.open
    from netbe.options import Option as Option
    from netbe.pair import make_pair as make_pair
    from netbe.portbackend import PortBackend as PortBackend
    from netbe.pump import Bridge as Bridge
    from netbe.pump import Switch as Switch
    from netbe.pump import SwitchPort as SwitchPort
    from netbe.seed import netbe_cleanup as netbe_cleanup
    from netbe.seed import netbe_get_cap as netbe_get_cap
    from netbe.seed import netbe_get_vnet_hdr_len as netbe_get_vnet_hdr_len
    from netbe.seed import netbe_init as netbe_init
    from netbe.seed import netbe_link_up as netbe_link_up
    from netbe.seed import netbe_peek_recvlen as netbe_peek_recvlen
    from netbe.seed import netbe_recv as netbe_recv
    from netbe.seed import netbe_rx_disable as netbe_rx_disable
    from netbe.seed import netbe_rx_discard as netbe_rx_discard
    from netbe.seed import netbe_rx_enable as netbe_rx_enable
    from netbe.seed import netbe_send as netbe_send
    from netbe.seed import netbe_set_cap as netbe_set_cap
    from netbe.spec import BackendSpec as BackendSpec
    from netbe.stats import DropReason as DropReason
    from netbe.stats import Stats as Stats
    from netbe.vnet import GsoType as GsoType
    from netbe.vnet import VnetHeader as VnetHeader

# Public names by the module that has them.
_PUBLIC: dict[str, tuple[str, ...]] = {
    "errors": (
        "BackendBusy",
        "BackendClosed",
        "BackendFull",
        "BackendGone",
        "BadHeaderError",
        "BadNameError",
        "DeviceNotFoundError",
        "ForkedError",
        "FrameSizeError",
        "FrameTooLong",
        "LinkDownError",
        "NameTooLongError",
        "NetbeError",
        "NetbePermissionError",
        "NetbeTimeoutError",
        "NoNativePort",
        "NotSupportedError",
        "OptionError",
        "PluginConflictError",
        "PluginError",
        "PluginLevelError",
        "UnknownPrefixError",
    ),
    "backend": ("Backend",),
    "batch": ("FrameBatch",),
    "events": ("Event", "EventLoop"),
    "fdbackend": ("FdBackend",),
    "features": ("Features",),
    "hooks": ("hookimpl",),
    "iov": ("buf_to_iov", "count_iov", "iov_to_buf"),
    "names": ("Name",),
    "native": ("Port",),
    "opening": ("open",),
    "options": ("Option",),
    "pair": ("make_pair",),
    "portbackend": ("PortBackend",),
    "pump": ("Bridge", "Switch", "SwitchPort"),
    "seed": (
        "netbe_cleanup",
        "netbe_get_cap",
        "netbe_get_vnet_hdr_len",
        "netbe_init",
        "netbe_link_up",
        "netbe_peek_recvlen",
        "netbe_recv",
        "netbe_rx_disable",
        "netbe_rx_discard",
        "netbe_rx_enable",
        "netbe_send",
        "netbe_set_cap",
    ),
    "spec": ("BackendSpec",),
    "stats": ("DropReason", "Stats"),
    "vnet": ("GsoType", "VnetHeader"),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

_MODULES = ("aio", "errors", "events", "hooks", "options", "registry", "testing", "traffic")
__all__ = ["get_include", *sorted(_HOME), *_MODULES]  # noqa: PLE0604 - all are strings


def get_include() -> str:
    """The folder of ``netbe.h``, for the compiler's ``-I``."""
    from pathlib import Path  # noqa: PLC0415 - only authors of native ports need it

    return str(Path(__file__).parent / "include")


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib import metadata  # noqa: PLC0415 - reading metadata costs more than importing netbe

        return metadata.version("netbe-core")
    home = _HOME.get(name)
    if home is not None:
        value: object = getattr(importlib.import_module(f"netbe.{home}"), name)
    elif name in __all__:
        value = importlib.import_module(f"netbe.{name}")
    else:
        raise AttributeError(f"module 'netbe' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
