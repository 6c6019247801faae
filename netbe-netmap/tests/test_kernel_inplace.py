# SPDX-License-Identifier: BSD-2-Clause
"""Slots and lent frames on the kernel's rings, over the mock: where they lie, and how long it is there."""

import gc
from pathlib import Path

from mockkernel import MockKernel

from netbe_netmap import kernel
from netbe_netmap._native import lib
from netbe_netmap.backend import NetmapBackend
from netbe_netmap.names import parse

FRAME = bytes(range(60))


def opened(mock: MockKernel) -> NetmapBackend:
    return kernel.open_kernel("vale0:a", parse("vale0:a"), system=mock)


def test_what_is_written_to_a_slot_comes_round_and_is_looked_at_in_place() -> None:
    with opened(MockKernel()) as backend:
        for number in range(30):
            with backend.reserve(60) as slots:
                slots[0][:] = bytes([number]) + FRAME[1:]
                assert slots.commit() == 1
            with backend.lend() as frames:
                assert list(frames) == [bytes([number]) + FRAME[1:]]


def test_the_region_goes_at_the_close_and_its_addresses_with_the_last_view() -> None:
    mock = MockKernel()
    with opened(mock) as backend:
        slots = backend.reserve(60)
        kept = slots[0][1:]
    assert mock.left_behind == (0, 0)
    gc.collect()
    assert mock.forgotten == 0
    assert len(bytes(kept)) == 59
    del kept
    gc.collect()
    assert mock.forgotten == 1


def test_a_real_mapping_is_zeros_after_it_was_taken_away(tmp_path: Path) -> None:
    system = kernel.System()
    path = tmp_path / "region"
    path.write_bytes(b"x" * 8192)
    with path.open("r+b") as file:
        base = system.map(file.fileno(), 8192)
    view = memoryview(kernel.ffi.buffer(base, 8192))
    assert view[:2] == b"xx"
    system.unmap(base, 8192)
    assert view == bytes(8192)
    view[:1] = b"y"
    assert path.read_bytes() == b"x" * 8192
    view.release()
    system.forget(base, 8192)
    assert lib.nm_kernel_unmap(base + 1, 8192) < 0
