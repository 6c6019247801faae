# SPDX-License-Identifier: BSD-2-Clause
"""What can go wrong: `NetbeError`, an `OSError`, and below it one class a situation.

Each carries the errno that a C caller would expect, and a message that says what to do. A class that stands
for one of Python's own inherits from it too: `OSError`'s mapping from errno to class does not reach
subclasses.
"""

import contextlib
import errno as _errno
import os
from collections.abc import Iterator
from typing import ClassVar


class NetbeError(OSError):
    """The base of all. ``errno`` is set; ``hint``, when there is one, is the part that says what to do."""

    default_errno: ClassVar[int] = _errno.EIO
    """The errno of this situation, unless another is given."""

    hint: str | None

    def __init__(self, message: str, *, errno: int | None = None, hint: str | None = None) -> None:
        super().__init__(
            self.default_errno if errno is None else errno, f"{message}: {hint}" if hint else message
        )
        self.hint = hint

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[object, ...]:
        # OSError would hand errno and text to __init__ when it is unpickled.
        return (_rebuild, (type(self), self.errno, self.strerror, self.__dict__))


def _rebuild(kind: type[NetbeError], errno: int, text: str, state: dict[str, object]) -> NetbeError:
    error = kind.__new__(kind, errno, text)
    OSError.__init__(error, errno, text)
    error.__dict__.update(state)
    return error


class BackendFull(NetbeError, BlockingIOError):
    """`send`: no room for the frame now (EAGAIN). Wait for room, then send it again."""

    default_errno = _errno.EAGAIN


class FrameTooLong(NetbeError):
    """`recv_into`: too little room (EMSGSIZE). The frame is kept; ``needed`` is its length in bytes."""

    default_errno = _errno.EMSGSIZE

    def __init__(
        self, message: str, *, needed: int, errno: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, errno=errno, hint=hint)
        self.needed = needed


class FrameSizeError(NetbeError, ValueError):
    """`send`: outside ``min_frame`` .. ``max_frame`` (EINVAL below, EMSGSIZE above). Nothing was sent."""

    default_errno = _errno.EMSGSIZE


class BadHeaderError(NetbeError, ValueError):
    """`send`: the virtio-net header makes no sense for its frame (EINVAL). Nothing was sent."""

    default_errno = _errno.EINVAL


class BadNameError(NetbeError, ValueError):
    """The name does not follow the grammar, or the backend of its prefix refuses the rest (EINVAL)."""

    default_errno = _errno.EINVAL


class NameTooLongError(NetbeError, ValueError):
    """The name, or a part of it, is longer than it may be (ENAMETOOLONG). Nothing is ever cut to fit."""

    default_errno = _errno.ENAMETOOLONG


class UnknownPrefixError(NetbeError, LookupError):
    """No installed backend takes this name (EINVAL)."""

    default_errno = _errno.EINVAL


class OptionError(NetbeError, ValueError):
    """An option that the backend does not know, or a value that it does not take (EINVAL)."""

    default_errno = _errno.EINVAL


class PluginError(NetbeError):
    """A distribution is installed and offers the prefix, but its plugin does not work (ELIBBAD)."""

    default_errno = _errno.ELIBBAD


class PluginConflictError(PluginError):
    """Two distributions offer the same prefix (EEXIST)."""

    default_errno = _errno.EEXIST


class PluginLevelError(PluginError):
    """A plugin was made for another level of the plugin API (ENOTSUP)."""

    default_errno = _errno.ENOTSUP


class NotSupportedError(NetbeError):
    """The backend, or this machine, cannot do what was asked (EOPNOTSUPP). Nothing has changed."""

    default_errno = _errno.EOPNOTSUPP


class NoNativePort(NotSupportedError):
    """`Backend.port`: this backend has no port in C, or not one of that number (EOPNOTSUPP)."""


class BackendBusy(NetbeError):
    """A pump has the backend's ports, another task waits on it, or another program has the device (EBUSY)."""

    default_errno = _errno.EBUSY


class BackendClosed(NetbeError, ValueError):
    """Used after `close` (EBADF)."""

    default_errno = _errno.EBADF


class BackendGone(NetbeError, ConnectionError):
    """The other side is gone for good: the device was deleted (ENODEV), the peer closed (EPIPE)."""

    default_errno = _errno.ENODEV


class LinkDownError(NetbeError):
    """The link is down for now, and the frame was not sent (ENETDOWN, or the kernel's EIO)."""

    default_errno = _errno.ENETDOWN


class ForkedError(NetbeError):
    """Used in a child process after a fork (EBADF). The child opens a backend of its own."""

    default_errno = _errno.EBADF


class NetbePermissionError(NetbeError, PermissionError):
    """Not permitted (EPERM, EACCES)."""

    default_errno = _errno.EPERM


class DeviceNotFoundError(NetbeError, FileNotFoundError):
    """No such device, interface or namespace (ENOENT, ENXIO)."""

    default_errno = _errno.ENOENT


class NetbeTimeoutError(NetbeError, TimeoutError):
    """It took longer than it was given (ETIMEDOUT)."""

    default_errno = _errno.ETIMEDOUT


_BY_ERRNO: dict[int, type[NetbeError]] = {
    _errno.EAGAIN: BackendFull,
    _errno.ENOBUFS: BackendFull,
    _errno.EINVAL: BadHeaderError,
    _errno.EMSGSIZE: FrameSizeError,
    _errno.EPERM: NetbePermissionError,
    _errno.EACCES: NetbePermissionError,
    _errno.EBUSY: BackendBusy,
    _errno.EBADF: BackendClosed,
    _errno.ENODEV: BackendGone,
    _errno.EBADFD: BackendGone,
    _errno.EPIPE: BackendGone,
    _errno.ECONNRESET: BackendGone,
    _errno.ECONNREFUSED: BackendGone,
    _errno.ENOTCONN: BackendGone,
    _errno.ENXIO: BackendGone,
    _errno.EIO: LinkDownError,
    _errno.ENETDOWN: LinkDownError,
    _errno.ENOENT: DeviceNotFoundError,
    _errno.EOPNOTSUPP: NotSupportedError,
    _errno.ETIMEDOUT: NetbeTimeoutError,
}

_ADVICE: dict[type[NetbeError], str] = {
    BackendFull: "it is full; wait for room and send again",
    BadHeaderError: "the frame or its virtio-net header makes no sense to it",
    FrameSizeError: "the frame is longer than it takes",
    BackendGone: "its other side is gone; close it, and open it again when the device or peer is back",
    LinkDownError: "its link is down; bring the interface up",
}


def from_errno(errno: int, name: str) -> NetbeError:
    """The error for what the backend called `name` answered to a frame with `errno` (positive)."""
    kind = _BY_ERRNO.get(errno, NetbeError)
    return kind(f"{name}: {_ADVICE.get(kind) or os.strerror(errno)}", errno=errno)


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn a plain `OSError` from the backend called `name` into the `NetbeError` of its errno."""
    try:
        yield
    except NetbeError:
        raise
    except OSError as error:
        raise from_errno(error.errno or _errno.EIO, name) from error
