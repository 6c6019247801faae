# SPDX-License-Identifier: BSD-2-Clause
"""The looks that ``netbe doctor`` takes. Each returns findings and harms nothing."""

import ctypes
import os
import platform
import resource
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CAP_NET_ADMIN = 12  # linux/capability.h
_CAP_NET_RAW = 13
_SYS_IO_URING_SETUP = 425  # asm-generic/unistd.h
_AF_XDP = 44  # linux/socket.h

_ROOM = 64 << 20  # bytes of shared memory below which a switch of some ports has too little

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
"""File systems."""

OK = "ok"
MISSING = "missing"
WARNING = "warning"
BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: str
    """ok; missing: not here, and only what needs it is affected; warning; broken: should work and does not."""
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Take every look."""
    looks: tuple[Callable[[], list[Finding]], ...] = (
        _python,
        _core,
        _plugins,
        _embedded,
        _tun,
        _rights,
        _namespaces,
        _sockets,
        _uring,
        _devices,
        _limits,
        _hugepages,
    )
    return [finding for look in looks for finding in look()]


def _python() -> list[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}"
    return [Finding("python", OK, found)]


def _core() -> list[Finding]:
    import netbe  # noqa: PLC0415 - a look

    try:
        a, b = netbe.make_pair()
        with a, b:
            a.send(bytes(60))
            works = b.recv() == bytes(60)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return [
            Finding(
                "netbe-core", BROKEN, f"{error}", "install it anew: pip install --force-reinstall netbe-core"
            )
        ]
    return [
        Finding("netbe-core", OK if works else BROKEN, f"{netbe.__version__}, its extension carries frames")
    ]


def _plugins() -> list[Finding]:
    from netbe import registry  # noqa: PLC0415 - a look

    findings = []
    for info in registry.list_backends(check=True):
        what = f"backend {info.prefix or '?'}"
        if info.error:
            advice = f"pip install --upgrade {info.distribution}, or uninstall it"
            findings.append(
                Finding(what, BROKEN, f"{info.distribution} {info.version}: {info.error}", advice)
            )
        else:
            findings.append(Finding(what, OK, f"{info.distribution} {info.version}: {info.summary}"))
    return findings


def _embedded() -> list[Finding]:
    from netbe import NetbeError, PluginError  # noqa: PLC0415 - a look
    from netbe_cli.embedded import load  # noqa: PLC0415

    what = "embedded switch"
    try:
        embedded = load()
    except PluginError as error:
        return [Finding(what, BROKEN, str(error), error.hint or "")]
    except NetbeError as error:
        return [Finding(what, MISSING, str(error), error.hint or "")]
    elsewhere = f"say with {embedded.FOLDER} where switches are to be"
    try:
        folder = embedded.home()
        names = embedded.switches()
        there = folder if folder.exists() else folder.parent
        if not there.exists():
            found = f"{folder} cannot be made: {there} is not there"
            return [Finding(what, WARNING, found, f"make that one, or {elsewhere}")]
        space = os.statvfs(there)
    except OSError as error:
        return [_trouble(what, error, elsewhere)]
    return [
        _place(what, folder, there, space.f_bavail * space.f_frsize, elsewhere),
        *_switches(what, folder, names),
    ]


def _trouble(what: str, error: OSError, advice: str) -> Finding:
    """An error with its own advice, where it has one."""
    hint = getattr(error, "hint", None)
    return Finding(what, WARNING, str(error).removesuffix(f": {hint}"), hint or advice)


def _place(what: str, folder: Path, there: Path, free: int, elsewhere: str) -> Finding:
    """The folder in which embedded switches are or will be."""
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(what, WARNING, f"{there} cannot be written to", elsewhere)
    kind = _file_system(there)
    if kind and kind not in _IN_MEMORY:
        advice = f"{elsewhere}: on tmpfs, as /dev/shm is"
        return Finding(what, WARNING, f"{folder} is on {kind}, and not in memory: frames are slow", advice)
    if free < _ROOM:
        advice = "a port takes about 5 MiB: enlarge shared memory (in a container: --shm-size 1g)"
        return Finding(what, WARNING, f"{folder}: {free >> 20:,} MiB free", advice)
    return Finding(what, OK, f"{folder}: {free >> 20:,} MiB free")


def _file_system(path: Path) -> str:
    """Its kind as mountinfo calls it; empty where that cannot be seen."""
    device = path.stat().st_dev
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    return next((line.partition(" - ")[2].split()[0] for line in lines if line.split()[2] == number), "")


def _switches(what: str, folder: Path, names: list[str]) -> list[Finding]:
    """What is wrong with the switches that are there; one that cannot be read hides no other."""
    from netbe_cli.embedded import load  # noqa: PLC0415 - a look

    embedded = load()
    findings, leftover = [], []
    for name in names:
        try:
            alive = [member.alive for member in embedded.members(name)]
        except OSError as error:
            findings.append(_trouble(what, error, f"look at {folder / name}"))
        else:
            leftover += [name] if alive and not any(alive) else []
    if leftover:
        paths = shlex.join(str(folder / name) for name in leftover)
        advice = f"the next one to attach clears it up; or: rm -r {paths}"
        found = f"left behind by processes that died: {', '.join(leftover)}"
        findings.append(Finding(what, WARNING, found, advice))
    return findings


def _tun() -> list[Finding]:
    device = Path("/dev/net/tun")
    if not device.exists():
        advice = "load the driver (modprobe tun); in a container, pass the device in (--device /dev/net/tun)"
        return [Finding("/dev/net/tun", MISSING, "not here: no tap, no vmnet", advice)]
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        advice = "run as root, or: chmod a+rw /dev/net/tun"
        return [Finding("/dev/net/tun", WARNING, f"cannot be opened: {error.strerror}", advice)]
    return [Finding("/dev/net/tun", OK, "can be opened")]


def _rights() -> list[Finding]:
    effective = 0
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                effective = int(line.split()[1], 16)
    except OSError:
        return []
    findings = []
    for name, bit, advice in (
        (
            "CAP_NET_ADMIN",
            _CAP_NET_ADMIN,
            (
                "run as root; or use a persistent tap of yours (ip tuntap add tap0 mode tap user NAME), or a "
                "namespace of your own (unshare --user --map-root-user --net)"
            ),
        ),
        ("CAP_NET_RAW", _CAP_NET_RAW, "run as root to capture on or send to an existing interface"),
    ):
        has = bool(effective >> bit & 1)
        findings.append(Finding(name, OK if has else MISSING, "yes" if has else "no", "" if has else advice))
    return findings


def _namespaces() -> list[Finding]:
    if Path("/proc/self/ns/net").exists():
        return [Finding("network namespaces", OK, "yes")]
    return [Finding("network namespaces", MISSING, "no", "the kernel was built without CONFIG_NET_NS")]


def _sockets() -> list[Finding]:
    findings = []
    for name, family, kind in (
        ("AF_PACKET", getattr(socket, "AF_PACKET", 17), socket.SOCK_RAW),
        ("AF_XDP", _AF_XDP, socket.SOCK_RAW),
    ):
        try:
            socket.socket(family, kind, 0).close()
        except PermissionError:
            findings.append(Finding(name, WARNING, "not permitted", "it takes CAP_NET_RAW"))
        except OSError as error:
            advice = f"the kernel was built without {name.replace('AF_', 'CONFIG_')}"
            findings.append(Finding(name, MISSING, f"{error.strerror}", advice))
        else:
            findings.append(Finding(name, OK, "yes"))
    return findings


def _uring() -> list[Finding]:
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(_SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(120))
    if fd >= 0:
        os.close(fd)
        return [Finding("io_uring", OK, "yes")]
    reason = os.strerror(ctypes.get_errno())
    return [
        Finding(
            "io_uring", MISSING, reason, "see sysctl kernel.io_uring_disabled, or the container's seccomp"
        )
    ]


def _devices() -> list[Finding]:
    findings = []
    for path, what, advice in (
        (
            "/dev/netmap",
            "netmap:, and vale: in the kernel",
            "modprobe netmap, if it is installed; vale ports and pipes work without it",
        ),
        ("/dev/kvm", "virtual machines at full speed", "load kvm_intel or kvm_amd; in a VM, allow nesting"),
        ("/dev/vhost-net", "virtio-net in the kernel", "modprobe vhost_net"),
    ):
        if Path(path).exists():
            usable = os.access(path, os.R_OK | os.W_OK)
            state, found = (OK, f"here: {what}") if usable else (WARNING, "here, not permitted")
            findings.append(Finding(path, state, found, "" if usable else "run as root, or join its group"))
        else:
            findings.append(Finding(path, MISSING, f"not here: {what}", advice))
    return findings


def _limits() -> list[Finding]:
    findings = []
    for what, which, enough, unit, advice in (
        (
            "open files",
            resource.RLIMIT_NOFILE,
            1024,
            1,
            "ulimit -n 65536, where many backends are open at once",
        ),
        (
            "locked memory",
            resource.RLIMIT_MEMLOCK,
            1 << 26,
            1 << 20,
            "ulimit -l unlimited, for AF_XDP and io_uring",
        ),
    ):
        soft, _ = resource.getrlimit(which)
        endless = soft == resource.RLIM_INFINITY
        found = "unlimited" if endless else f"{soft // unit:,}{' MiB' if unit > 1 else ''}"
        good = endless or soft >= enough
        findings.append(Finding(what, OK if good else WARNING, found, "" if good else advice))
    return findings


def _hugepages() -> list[Finding]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return []
    total = next((int(line.split()[1]) for line in lines if line.startswith("HugePages_Total:")), 0)
    if total:
        return [Finding("huge pages", OK, f"{total}")]
    advice = "sysctl vm.nr_hugepages=512, where a DPDK program is the peer"
    return [Finding("huge pages", MISSING, "none reserved", advice)]
