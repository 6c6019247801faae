# SPDX-License-Identifier: BSD-2-Clause
"""From a name to an interface: what is taken, what is refused. No privilege is needed."""

import errno
import subprocess
import sys

import pytest

import netbe
import netbe.registry
from netbe_tap.backend import Request


@pytest.mark.parametrize(
    ("name", "ifname"),
    [
        ("tap7", "tap7"),
        ("tap07", "tap07"),
        ("tap", "tap%d"),
        ("tap,mtu=1400", "tap%d"),
        ("tap:lan0", "lan0"),
        ("tap:tapestry0", "tapestry0"),
        ("tap:7", "7"),
        ("lan0,type=tap", "lan0"),
        ("tapestry0,type=tap", "tapestry0"),
        ("tap,type=tap", "tap"),
        ("vmnet0,type=tap", "vmnet0"),
        ("vmnet3", "vmnet3"),
        ("vmnet", "vmnet%d"),
        ("vmnet:lan0", "lan0"),
        ("lan0,type=vmnet", "lan0"),
        ("tap7,type=vmnet", "tap7"),
        ('tap:"a,b"', "a,b"),
        ("tap:netz-über", "netz-über"),
        ("tap:fifteen-bytes-x", "fifteen-bytes-x"),
        ("tap123456789012", "tap123456789012"),
    ],
)
def test_a_name_means_an_interface(name: str, ifname: str, requested: list[Request]) -> None:
    netbe.open(name)
    assert [request.ifname for request in requested] == [ifname]


# The contract: `tapestry0` is refused with a hint; `tap:tapestry0` opens an interface of that name.
@pytest.mark.parametrize(
    "name", ["tapestry0", "tap0a", "tap-1", "tap0.5", "tap²", "tap٣", "tape", "vmnetwork"]
)
def test_a_word_that_only_begins_like_tap_is_refused_with_a_hint(name: str, requested: list[Request]) -> None:
    prefix = "vmnet" if name.startswith("vmnet") else "tap"
    with pytest.raises(netbe.BadNameError) as caught:
        netbe.open(name)
    assert caught.value.errno == errno.EINVAL
    assert caught.value.hint is not None
    assert f"{prefix}:{name}" in caught.value.hint
    netbe.open(f"{prefix}:{name}")
    assert [request.ifname for request in requested] == [name], "the hint does what it says"


@pytest.mark.parametrize(
    "name",
    [
        "tap:sixteen-bytes-xy",
        "sixteen-bytes-xy,type=tap",
        "tap1234567890123",
        "tap:acht-zeichenäö",
        "vmnet12345678901",
    ],
)
def test_more_than_15_bytes_are_too_long_and_never_cut(name: str, requested: list[Request]) -> None:
    with pytest.raises(netbe.NameTooLongError, match=r"16 bytes.*15") as caught:
        netbe.open(name)
    assert caught.value.errno == errno.ENAMETOOLONG
    assert not requested


@pytest.mark.parametrize(
    "name",
    [
        "tap:",
        "tap:a/b",
        "tap:../a",
        "tap:a b",
        "tap:.",
        "tap:..",
        "tap:a:b",
        "tap:x%d",
        "x%d,type=tap",
        "a:b,type=tap",
        "tap:x,type=tap",
        "tap:a\N{NO-BREAK SPACE}b",
        "tap:\udcff",
    ],
)
def test_what_no_interface_can_be_called_is_refused(name: str, requested: list[Request]) -> None:
    with pytest.raises(netbe.BadNameError, match="cannot be the name of an interface") as caught:
        netbe.open(name)
    assert caught.value.errno == errno.EINVAL
    assert not requested


def test_a_name_that_is_refused_does_not_load_what_opens_taps() -> None:
    code = (
        "import sys, netbe\n"
        "try: netbe.open('tapestry0')\n"
        "except netbe.BadNameError: pass\n"
        "else: sys.exit('taken')\n"
        "print(sorted({'pyroute2', 'netbe_tap.backend'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_elsewhere_than_on_linux_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    with pytest.raises(netbe.NotSupportedError, match="works on Linux, and this is freebsd14"):
        netbe.open("tap0")


def test_vmnet_and_tap_take_the_same_options() -> None:
    specs = {entry.prefix: entry for entry in netbe.registry.list_backends(check=True)}
    assert specs["tap"].options == specs["vmnet"].options
    assert {option.name for option in specs["tap"].options} == {
        *("mtu", "mac", "up", "persist", "owner", "group", "bridge", "netns", "queues", "offloads")
    }
