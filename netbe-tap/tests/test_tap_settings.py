# SPDX-License-Identifier: BSD-2-Clause
"""Interfaces made and attached to, and their settings, as the kernel tells them."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from needs import need, need_programs
from taps import MAC, raw_tap, unchanged

import netbe
from lab import Host, run, until
from netbe_tap.backend import Tap

pytestmark = pytest.mark.e2e

Opener = Callable[..., Tap]


def settings(host: Host, ifname: str = "tap0") -> dict[str, Any]:
    """What an option could have changed."""
    link = host.link(ifname)
    data = {"vnet_hdr": True, **link["linkinfo"]["info_data"]}
    for untold in ("vnet_hdr", "numqueues", "numdisabled", "pi"):
        data.pop(untold, None)
    state = ("mtu", "address", "master")
    return {key: link.get(key) for key in state} | data | {"up": "UP" in link["flags"]}


@pytest.fixture
def persistent(host: Host) -> Iterator[str]:
    """An interface that is there already, up, with settings that none has by chance."""
    host.ip("tuntap", "add", "tap0", "mode", "tap", "user", 4711, "group", 4712)
    host.ip("link", "set", "tap0", "address", "02:00:00:00:aa:aa", "mtu", 1300, "up")
    return "tap0"


def test_an_interface_is_made_brought_up_and_gone_at_the_end(host: Host, tap: Opener) -> None:
    made = tap("tap7")
    assert made.ifname == "tap7"
    assert "UP" in host.link("tap7")["flags"]
    assert host.link("tap7")["linkinfo"]["info_data"]["type"] == "tap"
    made.close()
    assert host.interfaces() == ["lo"]


def test_the_kernel_chooses_numbers_and_the_backend_knows_them(host: Host, tap: Opener) -> None:
    assert [tap(name).ifname for name in ("tap", "tap", "vmnet", "tap,queues=2")] == [
        *("tap0", "tap1", "vmnet0", "tap2")
    ]
    assert host.interfaces() == ["lo", "tap0", "tap1", "vmnet0", "tap2"]


@pytest.mark.parametrize("name", ["tap:lan0", "lan0,type=tap", "vmnet:lan0"])
def test_an_interface_may_have_any_name(name: str, host: Host, tap: Opener) -> None:
    assert tap(name).ifname == "lan0"
    assert host.interfaces() == ["lo", "lan0"]


def test_each_setting_is_made(host: Host, tap: Opener) -> None:
    host.ip("link", "add", "br0", "type", "bridge")
    tap(mtu=9000, mac=MAC, up="on", bridge="br0", persist=True, owner=4711, group=4712)
    assert settings(host) == {
        "mtu": 9000,
        "address": MAC,
        "master": "br0",
        "up": True,
        "type": "tap",
        "persist": True,
        "multi_queue": False,
        "user": 4711,
        "group": 4712,
    }


@pytest.mark.parametrize("mtu", [68, 65521])
def test_the_kernel_takes_both_ends_of_the_range_of_mtu(mtu: int, host: Host, tap: Opener) -> None:
    tap(mtu=mtu)
    assert host.link("tap0")["mtu"] == mtu


# Defect 11 of the seed.
@pytest.mark.parametrize(("up", "is_up"), [("on", True), ("off", False), ("keep", False)])
def test_a_new_interface_is_up_unless_told_otherwise(up: str, is_up: bool, host: Host, tap: Opener) -> None:  # noqa: FBT001
    assert tap(up=up).link_up is is_up
    assert settings(host)["up"] is is_up


@pytest.mark.parametrize("was", ["up", "down"])
def test_up_keep_keeps_what_was(was: str, persistent: str, host: Host, tap: Opener) -> None:
    host.ip("link", "set", "tap0", was)
    same = unchanged(lambda: settings(host))
    tap(up="keep")
    assert same()


def test_up_off_takes_an_interface_down(persistent: str, host: Host, tap: Opener) -> None:
    tap(up="off")
    assert not settings(host)["up"]


def test_attaching_leaves_what_was_not_named_and_so_does_the_end(
    persistent: str, host: Host, tap: Opener
) -> None:
    same = unchanged(lambda: settings(host))
    one = tap()
    assert same()
    one.close()
    assert same()


def test_persist_on_leaves_the_interface_and_off_takes_it_away(host: Host, tap: Opener) -> None:
    tap(persist="on").close()
    assert host.interfaces() == ["lo", "tap0"]
    tap().close()
    assert host.interfaces() == ["lo", "tap0"]
    tap(persist="off").close()
    assert host.interfaces() == ["lo"]


# Defect 11 of the seed: a renamed tap could not be opened, and the interface was not brought up.
def test_a_renamed_tap_is_opened_by_its_new_name_and_brought_up(
    persistent: str, host: Host, tap: Opener
) -> None:
    host.ip("link", "set", "tap0", "down")
    host.ip("link", "set", "tap0", "name", "lan0")
    assert tap("lan0,type=tap").ifname == "lan0"
    assert host.interfaces() == ["lo", "lan0"], "it is the same interface"
    assert settings(host, "lan0")["up"]


def test_a_setting_that_is_there_already_is_not_made_again(persistent: str, host: Host, tap: Opener) -> None:
    host.ip("link", "add", "br0", "type", "bridge")
    host.ip("link", "set", "tap0", "master", "br0")
    same = unchanged(lambda: settings(host))
    tap(mtu=1300, mac="02:00:00:00:AA:AA", bridge="br0")
    assert same()


# --- the namespace


def test_a_namespace_is_named_by_name_path_or_process(host: Host) -> None:
    inside = host.start("sleep", 60)
    try:
        link = Path(f"/proc/{inside.pid}/ns/net")
        named = Path(f"/run/netns/{host.name}")
        until(lambda: link.stat().st_ino == named.stat().st_ino, "it is inside")
        for number, netns in enumerate([host.name, str(named), str(link), str(inside.pid)]):
            with netbe.open("tap", netns=netns):
                assert host.interfaces() == ["lo", "tap0"], number
            assert host.interfaces() == ["lo"]
    finally:
        inside.kill()
        inside.wait()


def test_nothing_of_this_process_stays_in_the_other_namespace(host: Host, tap: Opener) -> None:
    def namespaces() -> set[str]:
        return {str(task.readlink()) for task in Path("/proc/self/task").glob("*/ns/net")}

    before = Path("/proc/thread-self/ns/net").readlink()
    threads = threading.active_count()
    tap()
    assert Path("/proc/thread-self/ns/net").readlink() == before
    until(lambda: namespaces() == {str(before)}, "the thread that was inside has ended")
    assert threading.active_count() == threads


def test_a_namespace_that_is_not_there_is_named_and_so_is_a_file_that_is_none(
    tmp_path: Path, host: Host
) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(netbe.DeviceNotFoundError, match="no-such-namespace"):
        netbe.open("tap0", netns="no-such-namespace")
    with pytest.raises(netbe.DeviceNotFoundError, match="no network namespace '/proc/self/no'"):
        netbe.open("tap0", netns="/proc/self/no")
    with pytest.raises(netbe.DeviceNotFoundError, match="cannot be entered"):
        netbe.open("tap0", netns=str(file))


def test_a_failure_inside_leaves_this_thread_outside(host: Host, tap: Opener) -> None:
    before = Path("/proc/thread-self/ns/net").readlink()
    with pytest.raises(netbe.BadNameError):
        tap("tap:lo")
    assert Path("/proc/thread-self/ns/net").readlink() == before


# --- refused


def test_without_the_bridge_nothing_is_made(host: Host, tap: Opener) -> None:
    with pytest.raises(netbe.DeviceNotFoundError, match="no bridge 'br0'") as caught:
        tap(mtu=9000, bridge="br0", persist="on")
    assert "ip link add br0 type bridge" in str(caught.value)
    assert host.interfaces() == ["lo"]


def test_what_is_no_bridge_is_not_joined(host: Host, tap: Opener) -> None:
    with pytest.raises(netbe.BadNameError, match="'lo' is no bridge"):
        tap(bridge="lo")
    assert host.interfaces() == ["lo"]


def test_what_the_kernel_refuses_is_named_and_everything_is_taken_back(
    persistent: str, host: Host, tap: Opener
) -> None:
    host.ip("link", "add", "br0", "type", "bridge")
    host.ip("link", "set", "tap0", "down")
    # A macvlan takes what comes in before a bridge could: the kernel refuses to join the two.
    host.ip("link", "add", "mv0", "link", "tap0", "type", "macvlan")
    same = unchanged(lambda: settings(host))
    with pytest.raises(netbe.OptionError, match="tap0 does not take bridge=br0"):
        tap(mtu=1400, mac=MAC, bridge="br0", persist="off", owner=1, group=2)
    assert same()


_IN_A_USER_NAMESPACE = """
import json, sys, netbe
from pathlib import Path
netbe.open("tap0", persist="on", mtu=1300, up="off").close()
try:
    netbe.open("tap0", **json.loads(sys.argv[1]))
except netbe.OptionError as error:
    device = Path("/sys/class/net/tap0")
    print(json.dumps([error.errno, str(error), (device / "mtu").read_text(), (device / "flags").read_text()]))
"""


@pytest.mark.parametrize("option", ["owner", "group"])
def test_a_user_whom_the_kernel_does_not_know_is_refused_and_everything_taken_back(
    option: str, host: Host
) -> None:
    need_programs("unshare")
    enter = ("unshare", "--user", "--map-root-user", "--net", "--mount")
    need("user namespaces", there="0" in run(*enter, "id", "-u", check=False))
    options = json.dumps({"mtu": 1400, option: 4711})
    mounted = f'mount -t sysfs sysfs /sys && exec "{sys.executable}" -W error -c "$@"'
    said = run(*enter, "sh", "-c", mounted, "sh", _IN_A_USER_NAMESPACE, options)
    number, text, mtu, flags = json.loads(said)
    assert (number, f"does not take {option}=4711" in text) == (22, True)
    assert (mtu, int(flags, 16) & 1) == ("1300\n", 0)


@pytest.mark.parametrize("kind", ["bridge", "veth"])
def test_an_interface_of_another_kind_is_not_taken(kind: str, host: Host, tap: Opener) -> None:
    host.ip("link", "add", "tap0", "type", kind)
    same = unchanged(lambda: host.link("tap0")["flags"])
    with pytest.raises(netbe.BadNameError, match="tap0 exists and is no tap"):
        tap()
    assert same()


def test_a_tun_is_not_taken_and_stays(host: Host, tap: Opener) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tun")
    with pytest.raises(netbe.BadNameError, match="tap0 is a tun, which carries no Ethernet"):
        tap()
    assert host.interfaces() == ["lo", "tap0"]


def test_a_tap_in_use_is_busy_and_its_user_goes_on(host: Host, tap: Opener) -> None:
    first = tap(mtu=1300)
    with pytest.raises(netbe.BackendBusy, match="tap0 is in use by another program"):
        tap(mtu=1400)
    assert first.link_up
    assert host.link("tap0")["mtu"] == 1300


def test_what_the_kernel_says_of_a_name_is_passed_on(host: Host, tap: Opener) -> None:
    with pytest.raises(netbe.NetbeError, match="cannot be opened"):
        tap("tap:all")  # sysctl has a folder of that name
    with host.entered(), raw_tap("tap0"):
        assert host.interfaces() == ["lo", "tap0"], "nothing was left that stands in the way"
