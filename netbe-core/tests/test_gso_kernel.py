# SPDX-License-Identifier: BSD-2-Clause
"""Software offload gives what Linux gives, byte for byte.

The kernel is asked by writing a frame with its virtio-net header into one tap and reading it, cut, from
another whose reader takes no offloads; a bridge of the kernel joins the two.
"""

import contextlib
import errno
import fcntl
import os
import select
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from gso_frames import (
    DESTINATION_MAC,
    NEEDS_CSUM,
    NONE,
    SOURCE_MAC,
    TCP,
    TCPV4,
    TCPV6,
    UFO,
    USO,
    Frame,
    Recipe,
    RefusedError,
    accepts,
    cut,
    payloads,
    recipes,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from needs import need_lab

pytestmark = pytest.mark.e2e

# linux/if_tun.h
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ, TUNSETVNETLE = 0x400454CA, 0x400454D0, 0x400454D8, 0x400454DC
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
END = DESTINATION_MAC + SOURCE_MAC + b"\x88\xb5end of what was cut".ljust(60, b".")
ANSWER_SECONDS = 5


class Kernel:
    """Two taps in a network namespace of their own, on one bridge."""

    def __init__(self, into: int, out: int) -> None:
        """Take the descriptors of the two."""
        self._into, self._out = into, out

    def cut(self, frame: Frame) -> list[bytes]:
        """Return what the kernel makes of a frame; RefusedError where it takes no such header."""
        try:
            os.write(self._into, frame.header + frame.data)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise RefusedError from error
            raise
        os.write(self._into, Frame(END).header + END)
        frames: list[bytes] = []
        while True:
            assert select.select([self._out], [], [], ANSWER_SECONDS)[0], (
                "the kernel lost the frame that ends"
            )
            got = os.read(self._out, 70000)
            if got == END:
                return frames
            frames.append(got)


def _tap(name: str, flags: int) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | flags))
    return fd


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)


def _join(tag: str, fds: list[int]) -> Kernel:
    names = (f"{tag}a", f"{tag}b")
    # Nothing but our frames may come out, and no netfilter may look into them on the bridge.
    quiet = "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 > $f; done"
    quiet += "; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"
    _run("ip", "netns", "exec", tag, "sh", "-c", quiet)
    fcntl.ioctl(fds[0], TUNSETVNETHDRSZ, struct.pack("i", 10))
    fcntl.ioctl(fds[0], TUNSETVNETLE, struct.pack("i", 1))
    fcntl.ioctl(fds[1], TUNSETOFFLOAD, 0)
    bridge = ("name", "bridge", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
    _run("ip", "-n", tag, "link", "add", *bridge)
    _run("ip", "-n", tag, "link", "set", "bridge", "mtu", "65521", "up")
    for name in names:
        _run("ip", "link", "set", name, "netns", tag)
        # A frame of 65535 bytes becomes 8,190 when cut into pieces of 8.
        _run(
            "ip",
            "-n",
            tag,
            "link",
            "set",
            name,
            "mtu",
            "65521",
            "txqueuelen",
            "10000",
            "master",
            "bridge",
            "up",
        )
    return Kernel(*fds)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    need_lab()
    tag = f"nbg{os.getpid()}"
    with contextlib.ExitStack() as stack:
        _run("ip", "netns", "add", tag)
        stack.callback(_run, "ip", "netns", "del", tag)
        fds = []
        for name, flags in ((f"{tag}a", IFF_VNET_HDR), (f"{tag}b", 0)):
            fds.append(_tap(name, flags))
            stack.callback(os.close, fds[-1])
        yield _join(tag, fds)


def masked(frames: list[bytes], start: int) -> list[bytes]:
    """Without the number that the kernel draws at random for IPv6 fragments: 4 bytes at start."""
    return [frame[:start] + bytes(4) + frame[start + 4 :] for frame in frames]


oracle = settings(max_examples=300, deadline=None)


@oracle
@given(recipes((TCPV4, TCPV6)))
def test_tcp_is_cut_as_the_kernel_does(kernel: Kernel, recipe: Recipe) -> None:
    frame = recipe.build()
    # A segment that has no payload beyond its options is refused by the kernel and sent as it is by us.
    assume(not 0 <= recipe.gso_size - len(recipe.payload) < len(recipe.tcp_options))
    assert accepts(frame)
    assert cut(frame) == kernel.cut(frame)


@oracle
@given(recipes((USO,)))
def test_datagrams_are_cut_as_the_kernel_does(kernel: Kernel, recipe: Recipe) -> None:
    frame = recipe.build()
    assert accepts(frame)
    assert cut(frame) == kernel.cut(frame)


@oracle
@given(recipes((UFO,)).map(lambda recipe: replace(recipe, extensions=())))
def test_one_datagram_is_fragmented_as_the_kernel_does(kernel: Kernel, recipe: Recipe) -> None:
    frame = recipe.build()
    assert accepts(frame)
    ours, theirs = cut(frame), kernel.cut(frame)
    if recipe.version == 6 and len(ours) > 1:
        ident = 14 + 4 * len(recipe.tags) + 40 + 4
        assert len({piece[ident : ident + 4] for piece in ours}) == 1
        ours, theirs = masked(ours, ident), masked(theirs, ident)
    assert ours == theirs


@oracle
@given(st.data(), payloads(3000), st.none() | st.binary(min_size=2, max_size=2))
def test_a_checksum_is_finished_as_the_kernel_does(
    kernel: Kernel, data: st.DataObject, payload: bytes, seed: bytes | None
) -> None:
    body = DESTINATION_MAC + SOURCE_MAC + b"\x88\xb6" + bytes(30) + payload
    start = data.draw(st.integers(20, len(body) - 2), label="csum_start")
    offset = data.draw(st.integers(0, len(body) - 2 - start), label="csum_offset")
    if seed is not None:
        body = body[: start + offset] + seed + body[start + offset + 2 :]
    frame = Frame(body, flags=NEEDS_CSUM, csum_start=start, csum_offset=offset)
    assert accepts(frame)
    assert cut(frame) == kernel.cut(frame)


@oracle
@given(recipes((TCPV4, TCPV6, USO)), st.binary(min_size=2, max_size=2), st.binary(min_size=2, max_size=2))
def test_wrong_lengths_and_seeds_give_what_they_give_in_the_kernel(
    kernel: Kernel, recipe: Recipe, seed: bytes, length: bytes
) -> None:
    assume(not 0 <= recipe.gso_size - len(recipe.payload) < len(recipe.tcp_options))
    frame = recipe.build()
    data = bytearray(frame.data)
    l3 = 14 + 4 * len(recipe.tags)
    at = l3 + (2 if recipe.version == 4 else 4) if recipe.protocol == TCP else frame.csum_start + 4
    data[at : at + 2] = length
    data[frame.csum_start + frame.csum_offset : frame.csum_start + frame.csum_offset + 2] = seed
    frame = replace(frame, data=bytes(data))
    assert cut(frame) == kernel.cut(frame)


@oracle
@given(recipes(), st.data())
def test_what_the_kernel_refuses_is_refused(kernel: Kernel, recipe: Recipe, data: st.DataObject) -> None:
    frame = recipe.build()
    size = len(frame.data)
    near = st.sampled_from(
        [0, 13, 14, 19, 20, 33, 39, 40, 53, size - 8, size - 2, size - 1, size, 0xFFFE, 0xFFFF]
    )
    number = st.one_of(near.filter(lambda n: 0 <= n <= 0xFFFF), st.integers(0, 0xFFFF))
    changes: dict[str, Any] = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "flags": st.sampled_from([0, NEEDS_CSUM]),
                "gso_type": st.integers(0, 255),
                "gso_size": number,
                "csum_start": number,
                "csum_offset": number,
            },
        )
    )
    frame = replace(frame, **changes, hdr_len=0)
    try:
        kernel.cut(frame)
    except RefusedError:
        assert not accepts(frame)
        if frame.flags & NEEDS_CSUM or frame.gso_type != NONE:
            with pytest.raises(RefusedError):
                cut(frame)


@pytest.mark.parametrize("gso_type", [TCPV4, TCPV6, UFO])
def test_the_longest_packet_in_the_smallest_pieces(kernel: Kernel, gso_type: int) -> None:
    version = 6 if gso_type == TCPV6 else 4
    payload = bytes(range(256)) * 256
    headers = {TCPV4: 40, TCPV6: 20, UFO: 28}[gso_type]
    frame = Recipe(
        gso_type, version, payload[: 65535 - headers], gso_size=8, tags=((0x88A8, 7), (0x8100, 9))
    ).build()
    ours = cut(frame, burst=64)
    assert len(ours) > 8180
    assert ours == kernel.cut(frame)


def test_a_checksum_that_comes_out_as_zero(kernel: Kernel) -> None:
    for gso_type in (TCPV4, TCPV6, USO, UFO):
        recipe = Recipe(gso_type, 6 if gso_type == TCPV6 else 4, bytes(400), gso_size=200)
        step = 400 if gso_type == UFO else 200
        blank = cut(recipe.build())
        fix = b"".join(_checksum(recipe, blank[i // step]) + bytes(step - 2) for i in range(0, 400, step))
        frame = replace(recipe, payload=fix).build()
        ours = cut(frame)
        expected = b"\0\0" if recipe.protocol == TCP else b"\xff\xff"
        assert _checksum(recipe, ours[0]) == expected
        assert ours == kernel.cut(frame)


def _checksum(recipe: Recipe, piece: bytes) -> bytes:
    start = recipe.build().csum_start + recipe.build().csum_offset
    return piece[start : start + 2]
