# SPDX-License-Identifier: BSD-2-Clause
"""Options: ready parsers, both ways of giving them, and what is said of those that do not fit."""

import errno
from pathlib import Path

import pytest

from netbe.errors import OptionError
from netbe.options import Choice, Integer, Option, Size, boolean, parse_options

MTU = Option("mtu", Integer(68, 65535), "largest IP packet", metavar="BYTES")
UP = Option("up", boolean, "bring it up", default=True)
NETNS = Option("netns", str, "namespace to open it in")
DECLARED = (MTU, UP, NETNS)


@pytest.mark.parametrize("text", ["on", "yes", "1", "true", "ON"])
def test_boolean_takes_words_for_true(text: str) -> None:
    assert boolean(text) is True


@pytest.mark.parametrize("text", ["off", "no", "0", "false", "Off"])
def test_boolean_takes_words_for_false(text: str) -> None:
    assert boolean(text) is False


@pytest.mark.parametrize("text", ["", "2", "o", "enable", "on "])
def test_boolean_refuses_anything_else(text: str) -> None:
    with pytest.raises(ValueError, match="on or off"):
        boolean(text)


def test_integer_takes_decimal_and_hexadecimal_between_its_limits() -> None:
    assert [Integer()(text) for text in ("0", "-7", "+7", "0x1F")] == [0, -7, 7, 31]
    assert Integer(68, 65535)("68") == 68
    assert Integer(68, 65535)("65535") == 65535


@pytest.mark.parametrize(
    "text", ["", "67", "65536", "1e3", "1_000", " 99", "99 ", "٩٩", "0x", "99.0", "-0x44"]
)
def test_integer_refuses_what_is_none_or_outside(text: str) -> None:
    with pytest.raises(ValueError, match="whole number from 68 to 65535"):
        Integer(68, 65535)(text)


def test_integer_names_the_limit_it_has() -> None:
    with pytest.raises(ValueError, match=r"of at least 1$"):
        Integer(1)("0")
    with pytest.raises(ValueError, match=r"of at most 1$"):
        Integer(high=1)("2")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("1k", 1024),
        ("64K", 65536),
        ("1MiB", 1 << 20),
        ("2GB", 2 << 30),
    ],
)
def test_size_counts_bytes_by_1024(text: str, size: int) -> None:
    assert Size()(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5K", "1KK", "1 K", "1X", "3", "2M"])
def test_size_refuses_what_is_none_or_outside(text: str) -> None:
    with pytest.raises(ValueError, match="at least 4 and at most 1048576"):
        Size(4, 1 << 20)(text)


def test_choice_takes_its_words_and_suggests_the_closest() -> None:
    on_full = Choice("wait", "drop")
    assert on_full("drop") == "drop"
    assert on_full.metavar == "wait|drop"
    with pytest.raises(ValueError, match="one of wait, drop; did you mean drop"):
        on_full("drp")
    with pytest.raises(ValueError, match="needs words"):
        Choice()


def test_an_option_shows_its_parsers_metavar_unless_it_has_its_own() -> None:
    assert [option.usage for option in DECLARED] == ["mtu=BYTES", "up=on|off", "netns=NETNS"]


@pytest.mark.parametrize(
    "name", ["", "on-full", "9p", "a b", "type", "callback", "loop", "distribution", "ä"]
)
def test_an_option_cannot_have_a_name_that_open_could_not_take(name: str) -> None:
    with pytest.raises(ValueError, match="no option can be named"):
        Option(name, str, "")


def test_a_factory_gets_every_declared_option_with_its_value_or_its_default() -> None:
    assert parse_options(DECLARED, {"mtu": "99"}, {}, of="it") == {"mtu": 99, "up": True, "netns": None}


def test_keywords_are_parsed_as_if_they_stood_in_the_name() -> None:
    given = {"mtu": 99, "up": False, "netns": Path("/run/netns/a")}
    assert parse_options(DECLARED, {}, given, of="it") == {"mtu": 99, "up": False, "netns": "/run/netns/a"}
    with pytest.raises(OptionError, match=r"mtu='1'.*from 68 to 65535"):
        parse_options(DECLARED, {}, {"mtu": 1}, of="it")


def test_a_keyword_of_none_is_not_given() -> None:
    assert parse_options(DECLARED, {"mtu": "99"}, {"mtu": None}, of="it")["mtu"] == 99


def test_an_object_that_cannot_stand_in_a_name_is_handed_on() -> None:
    thing = object()
    assert parse_options(DECLARED, {}, {"netns": thing}, of="it")["netns"] is thing


def test_an_option_given_both_ways_is_refused() -> None:
    with pytest.raises(OptionError, match=r"'mtu'.*in the name.*as a keyword") as caught:
        parse_options(DECLARED, {"mtu": "99"}, {"mtu": 99}, of="it")
    assert caught.value.errno == errno.EINVAL


def test_an_unknown_option_is_refused_with_the_known_and_the_closest() -> None:
    with pytest.raises(
        OptionError, match=r"tap has no option 'mut'; it takes mtu, netns, up\. Did you mean 'mtu'"
    ):
        parse_options(DECLARED, {"mut": "99"}, {}, of="tap")
    with pytest.raises(OptionError, match="null takes no options"):
        parse_options((), {"a": "1"}, {}, of="null")


def test_a_value_that_is_not_taken_says_what_is_and_chains_the_parsers_error() -> None:
    with pytest.raises(OptionError, match="tap does not take up='maybe': it takes on or off") as caught:
        parse_options(DECLARED, {"up": "maybe"}, {}, of="tap")
    assert isinstance(caught.value.__cause__, ValueError)
