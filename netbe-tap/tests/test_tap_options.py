# SPDX-License-Identifier: BSD-2-Clause
"""What the options of a tap mean, and what is said of values that make no sense. No privilege is needed."""

import errno
import grp
import os
import pwd
from typing import Any

import pytest

import netbe
from netbe_tap.backend import Request
from netbe_tap.settings import Settings


def setting(**changed: Any) -> dict[str, Any]:
    """Settings other than the ones that hold when nothing is said."""
    return {"settings": Settings(**changed)}


@pytest.mark.parametrize(
    ("option", "meaning"),
    [
        ("mtu=68", setting(mtu=68)),
        ("mtu=65521", setting(mtu=65521)),
        ("mac=02:00:00:aB:CD:ef", setting(mac="02:00:00:ab:cd:ef")),
        ("mac=02-00-00-00-00-01", setting(mac="02:00:00:00:00:01")),
        ("up=on", setting(up=True)),
        ("up=off", setting(up=False)),
        ("up=keep", setting(up=None)),
        ("bridge=br0", setting(bridge="br0")),
        ("persist=on", {"persist": True}),
        ("persist=no", {"persist": False}),
        ("owner=0", {"owner": 0}),
        ("owner=4294967294", {"owner": 4294967294}),
        (f"owner={pwd.getpwuid(os.getuid()).pw_name}", {"owner": os.getuid()}),
        ("group=65534", {"group": 65534}),
        (f"group={grp.getgrgid(os.getgid()).gr_name}", {"group": os.getgid()}),
        ("netns=blue", {"netns": "blue"}),
        ("netns=/proc/1/ns/net", {"netns": "/proc/1/ns/net"}),
        ("queues=1", {"queues": 1}),
        ("queues=256", {"queues": 256}),
        ("offloads=off", {"offloads": False}),
    ],
)
def test_an_option_means_one_thing_and_leaves_the_rest(
    option: str, meaning: dict[str, Any], requested: list[Request]
) -> None:
    netbe.open(f"tap0,{option}")
    assert requested == [Request("tap0", **meaning)]


def test_nothing_said_brings_the_interface_up_and_leaves_the_rest(requested: list[Request]) -> None:
    netbe.open("tap0")
    plain = Settings(mtu=None, mac=None, up=True, bridge=None)
    assert requested == [
        Request("tap0", plain, persist=None, owner=None, group=None, netns=None, queues=1, offloads=True)
    ]


def test_options_may_be_keywords_with_values_of_their_types(requested: list[Request]) -> None:
    netbe.open("tap0,netns=blue", mtu=1400, persist=True, queues=2, owner=7, group="8", bridge=None)
    assert requested == [
        Request("tap0", Settings(mtu=1400), persist=True, owner=7, group=8, netns="blue", queues=2)
    ]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("mtu=67", "from 68 to 65521"),
        ("mtu=65522", "from 68 to 65521"),
        ("mtu=big", "whole number"),
        ("mtu=", "whole number"),
        ("mac=02:00:00:00:00", "six pairs"),
        ("mac=02:00:00:00:00:0g", "six pairs"),
        ("mac=020000000001", "six pairs"),
        ("mac=01:00:5e:00:00:01", "first byte"),
        ("mac=ff:ff:ff:ff:ff:ff", "first byte"),
        ("mac=00:00:00:00:00:00", "all zero"),
        ("up=maybe", "on, off, keep"),
        ("persist=keep", "on or off"),
        ("owner=nobody-of-this-name", "no user 'nobody-of-this-name'"),
        ("owner=-1", "no user '-1'"),
        ("owner=4294967295", "4294967294"),
        ("owner=99999999999999999999", "4294967294"),
        ("group=no-such-group", "no group 'no-such-group'"),
        ("group=4294967295", "4294967294"),
        ("owner=", "no user ''"),
        ("bridge=", "name of an interface"),
        ("bridge=a/b", "name of an interface"),
        ("bridge=sixteen-bytes-xy", "16 bytes"),
        ("netns=", "name, a path or a process number"),
        ("netns=..", "name, a path or a process number"),
        ("queues=0", "from 1 to 256"),
        ("queues=257", "from 1 to 256"),
        ("offloads=some", "on or off"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_option(
    option: str, says: str, requested: list[Request]
) -> None:
    with pytest.raises(netbe.OptionError, match=option.partition("=")[0]) as caught:
        netbe.open(f"tap0,{option}")
    assert caught.value.errno == errno.EINVAL
    assert says in str(caught.value)
    assert not requested


def test_an_unknown_option_gets_the_nearest_one_as_a_hint(requested: list[Request]) -> None:
    with pytest.raises(netbe.OptionError, match=r"mtuu.*mtu"):
        netbe.open("tap0,mtuu=9000")
    assert not requested
