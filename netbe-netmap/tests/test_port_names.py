# SPDX-License-Identifier: BSD-2-Clause
"""Names of ports and NICs: what they mean, and what is said to those that mean nothing."""

import re

import pytest

import netbe
from netbe.errors import BadNameError, DeviceNotFoundError, NameTooLongError, NotSupportedError, OptionError
from netbe.names import Name
from netbe_netmap import kernel
from netbe_netmap.names import End, Pipe, PortName, Rings, parse, port_name


@pytest.mark.parametrize(
    ("text", "meaning", "request_name"),
    [
        ("vale0:a", PortName("vale0", "a"), "vale0:a"),
        ("valea:1", PortName("valea", "1"), "valea:1"),
        ("vale:x", PortName("vale", "x"), "vale:x"),
        ("vale_lab:up-link.5", PortName("vale_lab", "up-link.5"), "vale_lab:up-link.5"),
        ("vale0:a{1", PortName("vale0", "a", pipe=Pipe(End.MASTER, "1")), "vale0:a{1"),
        ("netmap:eth0", PortName(None, "eth0"), "eth0"),
        ("netmap:eth0-3", PortName(None, "eth0", Rings.ONE, 3), "eth0"),
        ("netmap:br-lan", PortName(None, "br-lan"), "br-lan"),
        ("netmap:br-lan-0", PortName(None, "br-lan", Rings.ONE, 0), "br-lan"),
        ("netmap:eth0^", PortName(None, "eth0", Rings.HOST), "eth0"),
        ("netmap:eth0*", PortName(None, "eth0", Rings.BOTH), "eth0"),
        ("netmap:x{1", PortName(None, "x", pipe=Pipe(End.MASTER, "1")), "x{1"),
        ("netmap:x}ab", PortName(None, "x", pipe=Pipe(End.SLAVE, "ab")), "x}ab"),
    ],
)
def test_a_name_is_taken_apart_and_put_together(text: str, meaning: PortName, request_name: str) -> None:
    assert parse(text) == meaning
    assert meaning.request == request_name
    assert str(meaning) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vale", "vale:PORT"),
        ("vale0", "vale0:PORT"),
        ("vale0:", "vale0:PORT"),
        ("vale0:a b", "letters, digits"),
        ("vale0:a:b", "letters, digits"),
        ("vale0:-", "letters, digits"),
        ("vale0:x^", "rings=N"),
        ("vale0:x*", "rings=N"),
        ("vale0:x-1", "rings=N"),
        ("vale-x:a", "underscores"),
        ("vale 0:a", "underscores"),
        ("vale0:a{", "pipe's id"),
        ("vale0:a{1{2", "pipe's id"),
        ("vale0:{1", "names no port"),
        ("netmap", "netmap:NIC"),
        ("netmap0", "netmap:0"),
        ("netmap:", "netmap:NIC"),
        ("netmap:netmap:eth0", "netmap:eth0"),
        ("netmap:vale0:a", "write vale0:a"),
        ("netmap:lo", "loopback"),
        ("netmap:lo^", "loopback"),
        ("netmap:{1", "netmap:NAME{1"),
        ("netmap:eth 0", "cannot be"),
        ("netmap:eth0/R", "exclusive=on"),
        ("netmap:eth0@1", "exclusive=on"),
        ("netmap:eth0-16", "no ring 16"),
        ("netmap:eth0*^", "cannot be"),
        ("netmap:^", "names no NIC"),
        ("netmap:..", "cannot be"),
    ],
)
def test_what_netmap_would_misread_is_refused_and_put_right(text: str, says: str) -> None:
    with pytest.raises(BadNameError, match=re.escape(says)):
        parse(text)


@pytest.mark.parametrize(
    "text",
    ["vale567890123456:a", "vale0:a234567890123456", "netmap:e234567890123456", "netmap:e234567890123456{1"],
)
def test_a_part_that_is_too_long_is_never_cut(text: str) -> None:
    with pytest.raises(NameTooLongError):
        parse(text)
    assert parse(text.replace("6", "", 1)) is not None


def test_a_type_opens_what_has_no_prefix() -> None:
    assert port_name(Name.parse("lan0^,type=netmap")) == PortName(None, "lan0", Rings.HOST)
    assert port_name(Name.parse("netmap:lan0,type=netmap")) == PortName(None, "lan0")
    assert port_name(Name.parse("vale1:b,type=vale")) == PortName("vale1", "b")
    with pytest.raises(BadNameError, match="vale0:b"):
        port_name(Name.parse("b,type=vale"))


@pytest.fixture
def no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "DEVICE", "/nonexistent/netmap")


@pytest.mark.usefixtures("no_module")
def test_without_the_module_a_nic_is_an_error_that_says_what_to_use_instead() -> None:
    with pytest.raises(DeviceNotFoundError, match="tap0,bridge=BRIDGE"):
        netbe.open("netmap:eth0")
    with pytest.raises(NotSupportedError, match="tap0,bridge=BRIDGE"):
        netbe.open("netmap:eth0,provider=embedded")
    with pytest.raises(DeviceNotFoundError, match="modprobe"):
        netbe.open("vale0:a,provider=kernel")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vale0:a,slots=1", "slots"),
        ("vale0:a,slots=4097", "slots"),
        ("vale0:a,rings=17", "rings"),
        ("vale0:a,provider=other", "provider"),
        ("vale0:a,full=maybe", "full"),
        ("netmap:x{1,full=drop", "never drops"),
        ("netmap:eth0-1,rings=2", "one ring"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_opened(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        netbe.open(text)


def test_the_kernel_cannot_wait_for_a_full_receiver_and_says_so() -> None:
    with pytest.raises(NotSupportedError, match="provider=embedded"):
        netbe.open("vale0:a,provider=kernel,full=wait")
