# SPDX-License-Identifier: BSD-2-Clause
"""`VnetHeader`: bytes as virtio 1.2, 5.1.6 and linux/virtio_net.h lay them out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netbe
from netbe import GsoType, VnetHeader
from netbe._native import ffi, lib
from netbe.vnet import HEADER_LENGTHS, HeaderFlags

bytes1, bytes2 = st.integers(0, 0xFF), st.integers(0, 0xFFFF)
headers = st.builds(VnetHeader, bytes1, bytes1, bytes2, bytes2, bytes2, bytes2, bytes2)


def test_each_field_is_little_endian_at_its_place() -> None:
    header = VnetHeader(1, 3, 0x0504, 0x0706, 0x0908, 0x0B0A, 0x0D0C)
    assert header.pack(12).hex(" ", 2) == "0103 0405 0607 0809 0a0b 0c0d"
    assert header.pack() == header.pack(12)
    assert header.pack(10) == header.pack(12)[:10]
    assert header.pack(0) == b""


def test_one_that_asks_for_nothing_is_zero_and_in_one_buffer() -> None:
    assert VnetHeader().pack(12) == bytes(10) + b"\x01\x00"
    assert VnetHeader().pack(10) == bytes(10)


@given(header=headers)
def test_what_was_packed_is_unpacked_the_same(header: VnetHeader) -> None:
    assert VnetHeader.unpack(header.pack(12)) == header
    short = VnetHeader.unpack(header.pack(10), 10)
    assert short.num_buffers == 1
    short.num_buffers = header.num_buffers
    assert short == header


@given(data=st.binary(min_size=12, max_size=40), length=st.sampled_from(HEADER_LENGTHS))
def test_any_bytes_are_unpacked_and_packed_the_same(data: bytes, length: int) -> None:
    for kind in (bytes, bytearray, memoryview):
        assert VnetHeader.unpack(kind(data), length).pack(length) == data[:length]


@given(header=headers)
def test_c_reads_the_same_fields(header: VnetHeader) -> None:
    raw = ffi.new("struct netbe_vnet_hdr *")
    assert lib.nb_hdr_load(raw, header.pack(12), 12) == 0
    fields = (raw.flags, raw.gso_type, raw.hdr_len, raw.gso_size, raw.csum_start, raw.csum_offset)
    assert VnetHeader(*fields, raw.num_buffers) == header


@pytest.mark.parametrize("length", [-1, 1, 9, 11, 13, 24])
def test_no_other_length_exists(length: int) -> None:
    with pytest.raises(netbe.BadHeaderError, match="0, 10 or 12"):
        VnetHeader().pack(length)
    with pytest.raises(netbe.BadHeaderError, match="0, 10 or 12"):
        VnetHeader.unpack(bytes(100), length)


@pytest.mark.parametrize(("length", "there"), [(10, 0), (10, 9), (12, 10), (12, 11)])
def test_too_few_bytes_are_an_error(length: int, there: int) -> None:
    with pytest.raises(netbe.BadHeaderError, match="too few"):
        VnetHeader.unpack(bytes(there), length)


@pytest.mark.parametrize("field", ["flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset"])
@pytest.mark.parametrize("value", [-1, 0x10000])
def test_a_number_that_its_field_cannot_hold_is_an_error(field: str, value: int) -> None:
    with pytest.raises(netbe.BadHeaderError, match=field):
        VnetHeader(**{field: value}).pack()


def test_numbers_are_those_of_the_specification() -> None:
    assert {kind.name: kind.value for kind in GsoType} == {
        "NONE": 0,
        "TCPV4": 1,
        "UDP": 3,
        "TCPV6": 4,
        "UDP_L4": 5,
    }
    assert VnetHeader.ECN == 0x80
    assert (HeaderFlags.NEEDS_CSUM, HeaderFlags.DATA_VALID) == (1, 2)
