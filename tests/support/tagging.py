# SPDX-License-Identifier: BSD-2-Clause
"""802.1Q tags on all that an interface sends, taken off all that it receives: what a VLAN interface does.

By two programs for the kernel's own machine, because a kernel may be built without VLAN interfaces.
"""

import ctypes
import os
import platform
import socket
import struct

from pyroute2 import IPRoute

from lab import Host

_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_BPF_PROG_LOAD, _BPF_PROG_TYPE_SCHED_CLS = 5, 3
_VLAN_PUSH, _VLAN_POP = 18, 19  # linux/bpf.h: its helpers
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # linux/pkt_sched.h

_MOV, _CALL, _EXIT = 0xB7, 0x85, 0x95  # of a register and a constant


def _program(*instructions: tuple[int, int, int]) -> int:
    """A descriptor of a program; each instruction is operation, register, constant."""
    code = b"".join(struct.pack("=BBhi", op, register, 0, value) for op, register, value in instructions)
    text = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQ",
        _BPF_PROG_TYPE_SCHED_CLS,
        len(instructions),
        ctypes.addressof(text),
        ctypes.addressof(licence),
    ).ljust(64, b"\0")
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SYS_BPF[platform.machine()]
    fd: int = libc.syscall(number, _BPF_PROG_LOAD, ctypes.create_string_buffer(attributes, 64), 64)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd


def tag_all(host: Host, ifname: str, vlan: int) -> None:
    """From now on the interface's traffic is tagged."""
    end = ((_MOV, 0, 0), (_EXIT, 0, 0))
    push = _program((_MOV, 2, socket.htons(0x8100)), (_MOV, 3, vlan), (_CALL, 0, _VLAN_PUSH), *end)
    pop = _program((_CALL, 0, _VLAN_POP), *end)
    try:
        with host.entered(), IPRoute() as route:
            index = route.link_lookup(ifname=ifname)[0]
            route.tc("add", "clsact", index)
            for fd, parent in ((push, _EGRESS), (pop, _INGRESS)):
                route.tc(
                    "add-filter",
                    "bpf",
                    index,
                    ":1",
                    fd=fd,
                    name="tag",
                    parent=parent,
                    classid=1,
                    direct_action=1,
                )
    finally:
        os.close(push)
        os.close(pop)
