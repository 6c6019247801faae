# SPDX-License-Identifier: BSD-2-Clause
"""Header size and offloads belong to the device and outlive a program: set at every attach, and really set."""

import fcntl
import os
from collections.abc import Callable

import pytest
from needs import need_programs
from taps import (
    IFF_MULTI_QUEUE,
    IFF_NO_PI,
    IFF_TAP,
    IFF_VNET_HDR,
    TUNGETVNETHDRSZ,
    TUNGETVNETLE,
    TUNSETOFFLOAD,
    TUNSETPERSIST,
    TUNSETVNETHDRSZ,
    TUNSETVNETLE,
    device_features,
    frame,
    get_int,
    raw_tap,
    set_int,
    unchanged,
    wire,
)

import netbe
from lab import PATIENCE, Host, until
from netbe import Features
from netbe_tap import linux
from netbe_tap.backend import Tap

pytestmark = pytest.mark.e2e

Opener = Callable[..., Tap]

PLAIN = IFF_TAP | IFF_NO_PI
EVERY = Features.offloads()
GUEST = Features.guest_offloads()
SHOWN = {
    Features.GUEST_CSUM: "tx-checksum-ip-generic",
    Features.GUEST_TSO4: "tx-tcp-segmentation",
    Features.GUEST_ECN: "tx-tcp-ecn-segmentation",
    Features.GUEST_TSO6: "tx-tcp6-segmentation",
    Features.GUEST_USO4: "tx-udp-segmentation",
}
"""By what name ``ethtool -k`` shows each."""


def shown(host: Host) -> Features:
    """The offloads that the kernel says the interface has."""
    features = device_features(host)
    found = Features(0)
    for feature, name in SHOWN.items():
        if features[name] == "on":
            found |= feature
    return found | (Features.GUEST_USO6 if found & Features.GUEST_USO4 else Features(0))


@pytest.fixture
def stale(host: Host) -> None:
    """A persistent tap that another program left with an odd header, of the machine's endianness, and offloads."""
    need_programs("ethtool")
    with host.entered(), raw_tap("tap0", PLAIN | IFF_VNET_HDR) as raw:
        set_int(raw, TUNSETVNETLE, 0)
        set_int(raw, TUNSETVNETHDRSZ, 20)
        fcntl.ioctl(raw, TUNSETOFFLOAD, 0x6F)
        fcntl.ioctl(raw, TUNSETPERSIST, 1)


@pytest.mark.usefixtures("stale")
def test_a_persistent_tap_keeps_its_header_and_offloads_without_being_asked(host: Host) -> None:
    with host.entered(), raw_tap("tap0", PLAIN) as raw:
        assert get_int(raw, TUNGETVNETHDRSZ) == 20
        assert get_int(raw, TUNGETVNETLE) == 0
        assert shown(host) == GUEST & ~Features.GUEST_UFO


@pytest.mark.usefixtures("stale")
def test_what_another_program_left_is_set_anew_at_the_open(host: Host, tap: Opener) -> None:
    backend = tap()
    (fd,) = backend.fds
    assert get_int(fd, TUNGETVNETHDRSZ) == 12
    assert get_int(fd, TUNGETVNETLE) == 1
    assert shown(host) == 0
    with wire(host) as kernel:
        kernel.send(frame(60))
        assert backend.wait(PATIENCE)
        assert backend.recv() == frame(60)
        backend.send(frame(61))
        assert kernel.recv(100) == frame(61)


def test_our_own_offloads_are_off_again_at_the_next_open(host: Host, tap: Opener) -> None:
    need_programs("ethtool")
    first = tap(persist="on")
    first.set_cap(EVERY, 12)
    first.close()
    assert shown(host) & Features.GUEST_TSO4, "the kernel keeps them"
    assert tap().features == 0
    assert shown(host) == 0


@pytest.mark.parametrize("flags", [[], ["vnet_hdr"], ["pi"], ["pi", "vnet_hdr"]])
def test_an_interface_made_with_other_flags_gives_and_takes_frames(
    flags: list[str], host: Host, tap: Opener
) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap", *flags)
    backend = tap()
    with wire(host) as kernel:
        kernel.send(frame(60))
        assert backend.wait(PATIENCE)
        assert backend.recv() == frame(60)
        backend.send(frame(61))
        assert kernel.recv(100) == frame(61)


@pytest.mark.parametrize("size", [0, 1, 9])
def test_the_driver_refuses_headers_below_10_bytes(size: int, host: Host, tap: Opener) -> None:
    (fd,) = tap().fds
    with pytest.raises(OSError, match="Invalid argument"):
        set_int(fd, TUNSETVNETHDRSZ, size)


@pytest.mark.parametrize("length", [0, 10, 12])
def test_the_descriptor_has_a_header_of_12_bytes_whatever_the_contract_says(
    length: int, host: Host, tap: Opener
) -> None:
    backend = tap()
    backend.set_cap(Features(0), length)
    (fd,) = backend.fds
    with wire(host) as kernel:
        kernel.send(frame(60))
        assert os.read(fd, 1000)[12:] == frame(60)
        kernel.send(frame(60))
        assert backend.wait(PATIENCE)
        received = backend.recv()
        assert received is not None
        assert received[length:] == frame(60)
        assert received[:length] == b"\0\0\0\0\0\0\0\0\0\0\1\0"[:length]
        assert backend.send(received) == length + 60
        assert kernel.recv(100) == frame(60)


def test_another_queue_gets_headers_that_it_did_not_ask_for(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    with host.entered(), raw_tap("tap0", PLAIN | IFF_MULTI_QUEUE) as sibling:
        assert get_int(sibling, TUNGETVNETHDRSZ) == 12
    for fd in backend.fds:
        assert get_int(fd, TUNGETVNETHDRSZ) == 12


def test_one_attaching_sets_the_header_for_all_queues(host: Host, tap: Opener) -> None:
    with host.entered(), raw_tap("tap0", PLAIN | IFF_MULTI_QUEUE | IFF_VNET_HDR) as sibling:
        set_int(sibling, TUNSETVNETHDRSZ, 24)
        tap(queues=2)
        assert get_int(sibling, TUNGETVNETHDRSZ) == 12


# --- offloads, as the interface has them


@pytest.mark.parametrize(
    "features",
    [
        Features(0),
        Features.GUEST_CSUM,
        Features.GUEST_CSUM | Features.GUEST_TSO4,
        Features.GUEST_CSUM | Features.GUEST_TSO6,
        Features.GUEST_CSUM | Features.GUEST_TSO4 | Features.GUEST_ECN,
        Features.GUEST_CSUM | Features.GUEST_USO4 | Features.GUEST_USO6,
        GUEST & ~Features.GUEST_UFO,
    ],
    ids=lambda features: "+".join(features.names()) or "none",
)
@pytest.mark.parametrize("queues", [1, 2])
def test_the_interface_has_what_was_agreed_and_no_more(
    features: Features, queues: int, host: Host, tap: Opener
) -> None:
    need_programs("ethtool")
    backend = tap(queues=queues)
    backend.set_cap(EVERY, 12)
    backend.set_cap(features | Features.host_offloads(), 12)
    assert shown(host) == features
    backend.set_cap(Features(0), 0)
    assert shown(host) == 0


def test_fragmentation_is_taken_and_changes_nothing_for_who_reads(host: Host, tap: Opener) -> None:
    backend = tap()
    backend.set_cap(Features.GUEST_CSUM | Features.GUEST_UFO, 12)
    assert device_features(host)["tx-udp-segmentation"] == "off"
    assert backend.features & Features.GUEST_UFO


@pytest.mark.parametrize("alone", [Features.GUEST_USO4, Features.GUEST_USO6])
def test_what_the_kernel_refuses_is_refused_and_nothing_has_changed(
    alone: Features, host: Host, tap: Opener
) -> None:
    need_programs("ethtool")
    backend = tap()
    backend.set_cap(Features.GUEST_CSUM | Features.GUEST_TSO4, 10)
    same = unchanged(lambda: (shown(host), backend.features, backend.vnet_hdr_len))
    with pytest.raises(netbe.NotSupportedError, match="USO4 and USO6 go together"):
        backend.set_cap(Features.GUEST_CSUM | alone, 12)
    assert same()


@pytest.mark.parametrize(
    ("features", "length"),
    [
        (Features.GUEST_TSO4, 12),
        (Features.HOST_TSO4, 12),
        (EVERY, 0),
        (Features(0), 11),
        (Features(0), 24),
        (Features.MAC, 12),
    ],
)
def test_what_the_contract_refuses_does_not_reach_the_kernel(
    features: Features, length: int, host: Host, tap: Opener
) -> None:
    need_programs("ethtool")
    backend = tap()
    backend.set_cap(Features.GUEST_CSUM | Features.GUEST_TSO4, 10)
    same = unchanged(lambda: (shown(host), backend.features, backend.vnet_hdr_len))
    with pytest.raises(netbe.NotSupportedError):
        backend.set_cap(features, length)
    assert same()


def test_a_deleted_interface_agrees_to_nothing(host: Host, tap: Opener) -> None:
    backend = tap()
    host.ip("link", "delete", "tap0")
    with pytest.raises(netbe.BackendGone):
        backend.set_cap(EVERY, 12)
    assert (backend.features, backend.vnet_hdr_len) == (0, 0)


# Defect 15 of the seed: a tap offered no offloads.
def test_every_offload_is_there_unless_it_is_told_off(tap: Opener) -> None:
    assert tap("tap0").get_cap() == EVERY
    off = tap("tap1", offloads="off")
    assert off.get_cap() == 0
    with pytest.raises(netbe.NotSupportedError, match="cannot do CSUM"):
        off.set_cap(Features.CSUM, 12)
    off.set_cap(Features(0), 12)


def test_a_kernel_before_6_2_has_no_uso(tap: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    real = linux.set_offloads

    def older(fd: int, features: Features) -> None:
        if features & (Features.GUEST_USO4 | Features.GUEST_USO6):
            raise OSError(22, "Invalid argument")
        real(fd, features)

    monkeypatch.setattr(linux, "set_offloads", older)
    uso = Features.GUEST_USO4 | Features.GUEST_USO6 | Features.HOST_USO
    backend = tap()
    assert backend.get_cap() == EVERY & ~uso
    backend.set_cap(backend.get_cap(), 12)


def test_a_kernel_that_does_not_set_the_header_is_found_out(
    host: Host, tap: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux, "TUNSETVNETHDRSZ", TUNSETVNETLE)  # succeeds, and does something else
    with pytest.raises(netbe.NotSupportedError, match="header of 12 bytes"):
        tap()
    until(lambda: host.interfaces() == ["lo"], "nothing is left behind")
