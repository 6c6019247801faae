# SPDX-License-Identifier: BSD-2-Clause
"""Work inside a network namespace, with the caller staying where it is."""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from netbe.errors import DeviceNotFoundError, NetbePermissionError

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_NAMED = Path("/run/netns")

_T = TypeVar("_T")


def parse_namespace(text: str) -> str:
    """What `run_inside` takes; `ValueError` for what names nothing."""
    if text in ("", ".", ".."):
        raise ValueError("a namespace is a name, a path or a process number")
    return text


def run_inside(namespace: str | None, work: Callable[[], _T]) -> _T:
    """The result of `work` done in the namespace: a name of ``ip netns``, a path, or a process number.

    A namespace belongs to a thread, so it is entered by a thread made for it, which then ends.
    """
    if namespace is None:
        return work()
    path = _path(namespace)
    result: list[_T] = []
    failure: list[BaseException] = []

    def inside() -> None:
        try:
            _enter(path, namespace)
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            failure.append(error)

    thread = threading.Thread(target=inside, name=f"netns {namespace}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _path(namespace: str) -> Path:
    if namespace.isdecimal():
        return Path("/proc") / namespace / "ns" / "net"
    return Path(namespace) if "/" in namespace else _NAMED / namespace


def _enter(path: Path, namespace: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise NetbePermissionError(
            f"no permission to look at {path}", errno=error.errno, hint="run as root"
        ) from error
    except OSError as error:
        raise DeviceNotFoundError(
            f"there is no network namespace {namespace!r}",
            hint="ip netns list shows them; a path and a process number will do too",
        ) from error
    try:
        # os.setns came with Python 3.12.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            kind = NetbePermissionError if number == 1 else DeviceNotFoundError
            raise kind(
                f"the network namespace {namespace!r} cannot be entered: {os.strerror(number)}",
                errno=number,
                hint="entering one takes CAP_SYS_ADMIN (root)",
            )
    finally:
        os.close(fd)
