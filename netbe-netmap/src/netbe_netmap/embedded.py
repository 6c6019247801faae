# SPDX-License-Identifier: BSD-2-Clause
"""The embedded provider: VALE's switches and netmap's pipes in shared memory, for any user, with nothing to load.

A switch is a folder of files in shared memory; its members are the processes that the files' mode admits.
There is no daemon: who attaches makes what is missing, the last one out takes it away.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netbe.errors import (
    BackendBusy,
    BadNameError,
    NameTooLongError,
    NetbeError,
    NetbePermissionError,
    NetbeTimeoutError,
    NotSupportedError,
    OptionError,
)
from netbe.features import Features
from netbe.native import Port, services, stats_of
from netbe.portbackend import PortBackend
from netbe.stats import Stats
from netbe_netmap._native import ffi, lib
from netbe_netmap.names import End, PortName, parse

FOLDER = "NETBE_VALE_FOLDER"
"""The environment variable that says where the switches' folders are, instead of `home`'s answer."""

_NOBODY_SEEN = (1 << 32) - 1

PORTS = 64
"""Ports of a switch."""

SLOTS_DEFAULT, SLOTS_MIN = 1024, 64
RINGS_MAX = 4
BUFFERS = 2304
"""Buffers of a ring: those of its slots that are free at once, a few for every receiver there can be, and those
that receivers hold above that: enough for one to be far behind."""

FOLDER_BYTES = 89
"""Of the path of a switch's folder: a socket in it has an address of 107 bytes at most."""

AGEING_SECONDS = 300
PATIENCE = 5.0
"""Seconds for attempts at a folder that others take away and make again."""
MODE = 0o600


def home() -> Path:
    """Where this user's switches are: a folder of shared memory of their own.

    Raises:
        OptionError: the environment variable names a folder from where this process happens to be.
    """
    given = os.environ.get(FOLDER)
    if not given:
        return Path("/dev/shm") / f"netbe-{os.geteuid()}"  # noqa: S108 - shared memory
    if not given.startswith("/"):
        raise OptionError(
            f"{FOLDER}={given!r} is no absolute path", hint="write it from the root: /dev/shm/lab"
        )
    return Path(given)


@dataclass(frozen=True)
class Request:
    """How a port is to be attached."""

    switch: str
    """The folder's name: the switch's, or a pipe's."""
    port: str
    slots: int = SLOTS_DEFAULT
    rings: int = 1
    wait: bool = False
    """A full receiver makes the sender wait; else the frame is dropped and counted."""
    pipe: int = 0
    """0: a switch; 1: the master's end of a pipe; 2: the slave's."""
    mode: int = MODE


class EmbeddedPort(PortBackend):
    """A port of an embedded switch, or an end of a pipe."""

    capabilities = Features.offloads()
    device_hdr_len = 12

    def __init__(self, name: str, request: Request) -> None:
        """Attach; on failure nothing is left behind."""
        self._vale = _attach(name, request)
        self._rings = request.rings
        ports = [self._make_port(ring) for ring in range(request.rings)]
        self._pid = os.getpid()
        super().__init__(name, ports)

    def _make_port(self, ring: int) -> Port:
        size = ffi.new("size_t *")
        window = ffi.gc(lib.vale_hold_memory(self._vale, ring, size), lib.vale_drop_memory)
        memory = memoryview(ffi.buffer(window, size[0]))
        address = int(ffi.cast("uintptr_t", lib.vale_port(self._vale, ring)))
        return Port(address, tx_memory=memory, rx_memory=memory)

    def _shutdown(self) -> None:
        vale, self._vale = self._vale, ffi.NULL
        if vale != ffi.NULL:
            (lib.vale_detach if os.getpid() == self._pid else lib.vale_leave_to_parent)(vale)


def open_embedded(  # noqa: PLR0913 - the plugin's options
    name: str,
    port: PortName,
    *,
    full: str,
    slots: int | None,
    rings: int | None,
    mode: int | None,
    exclusive: bool,  # noqa: ARG001 - it is so anyway
) -> EmbeddedPort:
    """The embedded switch's answer to a name; arguments as the plugin's options.

    Every port is exclusive here, asked for or not.
    """
    slots, rings = slots or SLOTS_DEFAULT, rings or 1
    if slots < SLOTS_MIN:
        raise OptionError(f"{port}: a ring of the embedded switch has {SLOTS_MIN} slots or more, not {slots}")
    if rings > RINGS_MAX:
        raise OptionError(f"{port}: a port of the embedded switch has at most {RINGS_MAX} rings, not {rings}")
    if port.pipe is not None:
        where, pipe = f"{port.base}{{{port.pipe.id}", 1 if port.pipe.end is End.MASTER else 2
    else:
        assert port.switch is not None  # noqa: S101 - the plugin has sent NICs away
        where, pipe = port.switch, 0
    request = Request(
        where,
        port.port,
        slots=slots,
        rings=rings,
        wait=full == "wait",
        pipe=pipe,
        mode=MODE if mode is None else mode,
    )
    return EmbeddedPort(name, request)


def _attach(name: str, request: Request) -> object:
    folder = home() / request.switch
    if (length := len(os.fsencode(folder))) > FOLDER_BYTES:
        raise NameTooLongError(
            f"{name}: the path {folder} has {length} bytes, and at most {FOLDER_BYTES} will do",
            hint=f"name the switch or pipe shorter, or choose a shorter {FOLDER}",
        )
    made = ffi.new("struct vale **")
    config = ffi.new("struct vale_config *")
    kept = ffi.new("char[]", os.fsencode(folder)), ffi.new("char[]", request.port.encode())
    config.folder, config.name = kept
    config.mode = request.mode
    config.rings, config.slots, config.nbufs = request.rings, request.slots, BUFFERS
    config.wait, config.pipe = request.wait, request.pipe
    config.ageing_ns = AGEING_SECONDS * 10**9
    finish = time.monotonic() + PATIENCE
    with contextlib.ExitStack() as undo:
        while True:
            _make_folders(folder, request.mode, undo)
            result = lib.vale_attach(made, config, ffi.cast("struct netbe_services *", services()))
            # Else the last member has taken the folder away meanwhile.
            if result != -errno.ENOENT or time.monotonic() > finish:
                break
        if result < 0:
            raise _why_not(-result, name, folder)
        undo.pop_all()
    return made[0]


def _make_folders(folder: Path, mode: int, undo: contextlib.ExitStack) -> None:
    reach = 0o700 | (mode & 0o066) | (mode & 0o044) >> 2  # who may read files may enter their folder
    place = folder.parent
    try:
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o711 if mode & 0o077 else 0o700)
            undo.callback(_remove, place)
        owner = place.stat()
        # It may be there already, or be taken away at once by the last member: then attaching says so.
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            folder.mkdir(mode=0o700)
            undo.callback(_remove, folder)
            # Whatever the umask. A folder that hands its group on to what is in it goes on doing so.
            folder.chmod(reach | folder.stat().st_mode & stat.S_ISGID)
    except FileNotFoundError as error:
        raise NetbeError(
            f"{place} cannot be made: {place.parent} is not there",
            errno=error.errno,
            hint=f"make that one, or choose another place with {FOLDER}",
        ) from error
    except PermissionError as error:
        raise NetbePermissionError(
            f"no permission to make the switch's folder {folder}",
            errno=error.errno,
            hint=f"its owner may give it away with the option mode=, or choose another place with {FOLDER}",
        ) from error
    except OSError as error:
        raise NetbeError(
            f"the switch's folder {folder} cannot be made: {error.strerror}",
            errno=error.errno,
            hint=f"say with {FOLDER} where shared memory is",
        ) from error
    if owner.st_uid not in {os.geteuid(), 0} and not os.environ.get(FOLDER):
        raise NetbePermissionError(
            f"{folder.parent} belongs to another user",
            hint=f"remove it, or choose another place with {FOLDER}",
        )


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # somebody else uses it by now
        folder.rmdir()


def _why_not(number: int, name: str, folder: Path) -> NetbeError:  # noqa: PLR0911 - one for each cause
    match number:
        case errno.EBUSY:
            return BackendBusy(
                f"{name} is in use: a switch has each port once",
                hint="take another port name; `netbe vale list` shows who has it",
            )
        case errno.EUSERS:
            return BackendBusy(
                f"{name}: all {PORTS} ports of the switch are in use",
                hint="detach one, or use a second switch",
            )
        case errno.ETIMEDOUT:
            return NetbeTimeoutError(
                f"{name}: another member holds the lock of {folder} and does not let go",
                hint="`netbe vale list` shows the members",
            )
        case errno.EPROTO:
            return NotSupportedError(
                f"{name}: the files in {folder} are of another version, or no switch",
                hint="end the programs that use it, then remove that folder",
            )
        case errno.EMLINK:
            return NotSupportedError(
                f"{name}: {folder} is a pipe where you want a switch, or the reverse",
                hint="take another name",
            )
        case errno.ENOSPC | errno.ENOMEM:
            return NetbeError(
                f"{name}: no room in shared memory for the port",
                errno=number,
                hint=f"look at `df {folder.parent}`; fewer slots= or rings= take less",
            )
        case errno.EACCES | errno.EPERM:
            return NetbePermissionError(f"no permission to join {folder}", errno=number)
    return NetbeError(f"{name} cannot be attached: {os.strerror(number)}", errno=number)


@dataclass(frozen=True)
class Member:
    """A port as `members` finds it."""

    switch: str
    port: str
    name: str
    """What it is opened by: vale0:a, netmap:x}1."""
    pid: int
    uid: int | None
    """Whose file its memory is."""
    alive: bool
    rings: int
    slots: int
    bytes: int
    """Of shared memory."""
    stats: Stats


def switches() -> list[str]:
    """The names of this user's switches and pipes. `NetbeError` where their folder cannot be read."""
    folder = home()
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and _ours(entry.name)
            )
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise NetbePermissionError(f"no permission to look into {folder}", errno=error.errno) from error
    except OSError as error:
        raise NetbeError(f"{folder} cannot be read: {error.strerror}", errno=error.errno) from error


def _ours(folder: str) -> bool:
    try:
        parse(_name(folder, "x", 0))
    except (BadNameError, NameTooLongError):
        return False
    return True


def _name(folder: str, port: str, index: int) -> str:
    base, pipe, number = folder.partition("{")
    if not pipe:
        return f"{folder}:{port}"
    return f"{'' if ':' in base else 'netmap:'}{base}{'}' if index else '{'}{number}"


def memory(switch: str) -> int:
    """Bytes of shared memory that a switch takes, what the dead have left included."""
    taken = 0
    with contextlib.suppress(OSError), os.scandir(home() / switch) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # gone meanwhile
                taken += (
                    entry.stat(follow_symlinks=False).st_blocks * 512
                )  # stat(2)'s unit, whatever the page
    return taken


def members(switch: str) -> Iterator[Member]:
    """The ports of one switch. `NetbeError` where it cannot be read."""
    found = ffi.new("struct vale_info[]", PORTS)
    folder = home() / switch
    count = lib.vale_list(os.fsencode(folder), found, PORTS)
    if count == -errno.ENOENT:
        return
    if count < 0:
        raise _why_not(-count, switch, folder)
    for info in found[0:count]:
        port = ffi.string(info.name).decode(errors="replace")
        yield Member(
            switch,
            port,
            _name(switch, port, info.index),
            info.pid,
            None if info.uid == _NOBODY_SEEN else info.uid,
            bool(info.alive),
            info.rings,
            info.slots,
            info.bytes,
            stats_of(info.stats),
        )
