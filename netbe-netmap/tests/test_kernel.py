# SPDX-License-Identifier: BSD-2-Clause
"""The kernel provider over a mock of the module; whether the module is like its mock is checked elsewhere."""

import errno
import gc
import os

import pytest
from mockkernel import SLOTS, MockKernel

from netbe.errors import (
    BackendBusy,
    BackendFull,
    BackendGone,
    DeviceNotFoundError,
    NetbeError,
    NetbePermissionError,
    NotSupportedError,
    OptionError,
)
from netbe.features import Features
from netbe_netmap import kernel
from netbe_netmap._native import lib
from netbe_netmap.backend import OFFLOADS, NetmapBackend
from netbe_netmap.names import PortName, parse

FRAME = bytes(range(60))


def opened(mock: MockKernel, name: str = "vale0:a", **options: object) -> NetmapBackend:
    return kernel.open_kernel(name, parse(name), system=mock, **options)  # type: ignore[arg-type]


def test_frames_go_and_come_with_one_or_many_slots() -> None:
    with opened(MockKernel()) as backend:
        for length in (14, 60, 2048, 2049, 9000):
            frame = os.urandom(length)
            assert backend.send(frame) == length
            assert backend.peek_recvlen() == length
            assert backend.recv() == frame
        assert backend.recv() is None


def test_a_burst_is_one_sync() -> None:
    mock = MockKernel()
    with opened(mock) as backend:
        mock.syncs.clear()
        assert backend.send_burst([FRAME] * 5) == 5
        assert mock.syncs == ["tx"]


def test_defect_4_a_full_ring_is_an_error_that_the_caller_sees() -> None:
    with opened(MockKernel()) as backend:
        # One ring to send, one to receive, and nobody takes anything.
        assert backend.send_burst([FRAME] * 20) == 2 * (SLOTS - 1)
        with pytest.raises(BackendFull):
            backend.send(FRAME)
        assert backend.stats.tx_frames == 2 * (SLOTS - 1)


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("open", errno.EACCES),
        ("register", errno.ENOMEM),
        ("map", errno.EINVAL),
        ("get header", errno.ENXIO),
    ],
)
@pytest.mark.parametrize("rings", [1, 3])
def test_defect_1_an_open_that_fails_leaves_nothing_behind(step: str, number: int, rings: int) -> None:
    mock = MockKernel(rings)
    mock.fail[step] = number
    with pytest.raises(NetbeError) as caught:
        opened(mock)
    assert caught.value.errno == number
    assert mock.left_behind == (0, 0)


def test_defect_1_nor_does_one_that_fails_half_way_through_its_rings() -> None:
    mock = MockKernel(3)
    mock.fail["map"] = [0, 0, 0, errno.ENOMEM]
    with pytest.raises(NetbeError):
        opened(mock)
    assert mock.left_behind == (0, 0)


def test_defect_1_nor_does_a_region_that_is_not_laid_out_as_known() -> None:
    for at in (kernel_word(20 + 4), kernel_word(56)):
        mock = MockKernel()
        mock.region.put(at, "<I", 0x7FFFFFF1)
        with pytest.raises(NotSupportedError, match="laid out"):
            opened(mock)
        assert mock.left_behind == (0, 0)


@pytest.mark.parametrize("name", ["netmap:eth9^", "netmap:eth9*"])
def test_defect_1_nor_do_the_ports_that_were_made_before_one_that_was_not(name: str) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are wanted
    mock = MockKernel(1, 2)
    last_host_ring = 64 + 56 + 8 * 5
    mock.region.put(last_host_ring, "<q", 1 << 40)
    with pytest.raises(NotSupportedError, match="laid out"):
        opened(mock, name)
    assert mock.left_behind == (0, 0)
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def kernel_word(offset: int) -> int:
    return 64 + offset


def test_closing_lets_go_of_everything() -> None:
    mock = MockKernel(2)
    backend = opened(mock)
    assert mock.left_behind == (2, 2)
    backend.close()
    gc.collect()
    assert mock.left_behind == (0, 0)


def test_the_request_says_what_the_name_and_the_options_say() -> None:
    mock = MockKernel()
    with opened(mock, "netmap:eth9-0", slots=512, exclusive=True):
        pass
    with opened(mock, "netmap:x{1"), opened(mock, "vale0:a", rings=1):
        pass
    kinds = [(name, said["nr_mode"]) for what, name, said in mock.requests if what == "register"]
    assert kinds == [
        ("eth9", lib.NM_MODE_ONE_NIC),
        ("x{1", lib.NM_MODE_ALL_NIC),
        ("vale0:a", lib.NM_MODE_ALL_NIC),
    ]
    first, pipe, switch = (said for _, _, said in mock.requests)
    assert first["nr_tx_slots"] == 512
    assert pipe["nr_tx_slots"] == 0
    assert switch["nr_tx_rings"] == 1
    assert first["nr_flags"] & lib.NM_FLAG_EXCLUSIVE
    assert not pipe["nr_flags"] & lib.NM_FLAG_EXCLUSIVE
    for said in (first, pipe, switch):
        assert said["nr_flags"] & lib.NM_FLAG_NO_TX_POLL
        assert said["nr_flags"] & lib.NM_FLAG_ACCEPT_VNET_HDR


def test_each_of_several_rings_is_a_port_with_a_descriptor_of_its_own() -> None:
    mock = MockKernel(3)
    with opened(mock, "vale0:a", rings=3, exclusive=True) as backend:
        assert backend.nports == 3
        assert len({backend.port(number).rx_fd for number in range(3)}) == 3
        assert [said["nr_ringid"] for _, _, said in mock.requests] == [0, 0, 1, 2]
        assert backend.send(FRAME) == len(FRAME)
        assert backend.recv() == FRAME


@pytest.mark.parametrize(
    ("name", "modes", "ports"),
    [
        ("netmap:eth9", [lib.NM_MODE_ALL_NIC], 1),
        ("netmap:eth9^", [lib.NM_MODE_SW], 1),
        ("netmap:eth9*", [lib.NM_MODE_ALL_NIC, lib.NM_MODE_SW], 2),
    ],
)
def test_a_suffix_chooses_the_rings_of_the_nic_or_of_the_host(
    name: str, modes: list[int], ports: int
) -> None:
    mock = MockKernel(1, 1)
    with opened(mock, name) as backend:
        assert backend.nports == ports
        assert [said["nr_mode"] for _, _, said in mock.requests] == modes
        assert {wanted for _, wanted, _ in mock.requests} == {"eth9"}
        assert len(mock.open_fds) == len(modes)


def test_the_hosts_rings_are_those_behind_the_nics(monkeypatch: pytest.MonkeyPatch) -> None:
    mock = MockKernel(2, 1)
    # A name that is no NIC's, so that no link is looked at.
    monkeypatch.setattr(PortName, "nic", None)
    with opened(mock, "netmap:eth9^") as backend:
        backend.send(FRAME)
        assert mock.region.get(mock.region.tx[2] + 20, "<I") == (1,)
        assert backend.recv() == FRAME


def test_a_switch_port_whose_host_rings_have_offset_0_is_read_right() -> None:
    with opened(MockKernel(1, 1, host_entries=False)) as backend:
        backend.send(FRAME)
        assert backend.recv() == FRAME


def test_another_number_of_rings_than_asked_for_is_an_error() -> None:
    mock = MockKernel(2)
    with pytest.raises(OptionError, match="has 2 rings"):
        opened(mock, rings=4)
    assert mock.left_behind == (0, 0)


@pytest.mark.parametrize("length", [0, 10, 12])
def test_a_switch_port_gets_the_header_that_was_agreed_on(length: int) -> None:
    mock = MockKernel()
    with opened(mock) as backend:
        backend.set_cap(Features.CSUM if length else Features(0), length)
        assert mock.header == length
        frame = bytes(length) + FRAME
        backend.send(frame)
        assert mock.region.get(mock.region.tx[0] + 256 + 4, "<H") == (length + len(FRAME),)
        assert backend.recv()[length:] == FRAME  # type: ignore[index]


def test_what_had_arrived_before_the_header_changed_is_still_read_right() -> None:
    with opened(MockKernel()) as backend:
        backend.send(FRAME)
        backend.set_cap(Features(0), 12)
        backend.send(bytes(12) + FRAME)
        assert [backend.recv()[12:] for _ in range(2)] == [FRAME, FRAME]  # type: ignore[index]


def test_a_header_that_the_kernel_refuses_changes_nothing() -> None:
    mock = MockKernel()
    with opened(mock) as backend:
        backend.set_cap(Features.CSUM, 10)
        mock.fail["header"] = errno.EBUSY
        with pytest.raises(NotSupportedError, match="refuses"):
            backend.set_cap(OFFLOADS, 12)
        assert (backend.features, backend.vnet_hdr_len, mock.header) == (Features.CSUM, 10, 10)
        backend.send(bytes(10) + FRAME)
        assert backend.recv() == bytes(10) + FRAME
        del mock.fail["header"]
        backend.set_cap(OFFLOADS, 12)
        assert mock.header == 12


def test_a_header_that_somebody_set_before_is_taken_over() -> None:
    mock = MockKernel()
    mock.header = 12
    with opened(mock) as backend:
        assert backend.send(FRAME) == len(FRAME)
        assert backend.recv() == FRAME
        assert mock.region.get(mock.region.tx[0] + 256 + 4, "<H") == (12 + len(FRAME),)


@pytest.mark.parametrize("name", ["netmap:x{1", "vale0:x}1", "netmap:eth9"])
def test_pipes_and_nics_have_no_header_and_are_never_asked(name: str) -> None:
    mock = MockKernel()
    with opened(mock, name) as backend:
        assert backend.get_cap() == Features(0)
        backend.set_cap(Features(0), 12)
        assert not [what for what, _, _ in mock.requests if what == "header"]


@pytest.mark.parametrize(
    ("step", "number", "kind", "says"),
    [
        ("open", errno.EACCES, NetbePermissionError, "root"),
        ("open", errno.ENOENT, DeviceNotFoundError, "modprobe"),
        ("register", errno.EBUSY, BackendBusy, "exclusive"),
        ("register", errno.ENOMEM, NetbeError, "eight switches"),
        ("register", errno.ENXIO, DeviceNotFoundError, "no such port"),
        ("register", errno.EINVAL, NotSupportedError, "API"),
        ("register", errno.EIO, NetbeError, "virtio-net header"),
    ],
)
def test_an_errno_is_told_as_what_is_really_wrong(step: str, number: int, kind: type, says: str) -> None:
    mock = MockKernel()
    mock.fail[step] = number
    with pytest.raises(kind, match=says) as caught:
        opened(mock)
    assert caught.value.errno == number


def test_an_interface_that_is_not_there_and_slots_that_are_refused_are_named() -> None:
    mock = MockKernel()
    mock.fail["register"] = errno.ENXIO
    with pytest.raises(DeviceNotFoundError, match="no such interface"):
        opened(mock, "netmap:eth9")
    mock.fail["register"] = errno.EINVAL
    with pytest.raises(OptionError, match="slots=3"):
        opened(mock, slots=3)
    with pytest.raises(DeviceNotFoundError, match="no ring 7"):
        opened(mock, "netmap:eth9-7")


def test_a_device_that_is_deleted_is_gone_for_sender_and_receiver() -> None:
    mock = MockKernel()
    with opened(mock) as backend:
        assert backend.link_up
        mock.fail["sync"] = errno.EIO  # so until the last descriptor is closed
        with pytest.raises(BackendGone):
            backend.recv()
        for _ in range(2):
            with pytest.raises(BackendGone):
                backend.send(FRAME)
        assert backend.stats.tx_frames == 0
        assert not backend.link_up


def test_a_sync_that_is_interrupted_is_made_again() -> None:
    mock = MockKernel()
    with opened(mock) as backend:
        mock.fail["sync"] = [errno.EINTR, errno.EINTR, 0, 0]
        backend.send(FRAME)
        assert backend.recv() == FRAME
