# SPDX-License-Identifier: BSD-2-Clause
"""Taps without the driver and without the right: what is said, and what an owner can do all the same."""

import errno
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from taps import NOBODY, as_nobody, refusal

import netbe
from lab import Host
from netbe_tap import linux
from netbe_tap.backend import Tap

Opener = Callable[..., Tap]

e2e = pytest.mark.e2e


def test_without_the_device_the_message_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux, "DEVICE", str(tmp_path / "tun"))
    with pytest.raises(netbe.DeviceNotFoundError, match=r"modprobe tun.*--device /dev/net/tun") as caught:
        netbe.open("tap0")
    assert caught.value.errno == errno.ENOENT
    assert isinstance(caught.value, FileNotFoundError)


def test_a_device_without_its_driver_is_told_likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux, "DEVICE", str(tmp_path / "tun"))
    with socket.socket(socket.AF_UNIX) as nobody_listens:
        nobody_listens.bind(linux.DEVICE)
        with pytest.raises(netbe.DeviceNotFoundError, match="modprobe tun") as caught:
            netbe.open("tap0")
    assert caught.value.errno == errno.ENXIO


def test_a_device_that_may_not_be_opened_is_a_permission_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(linux.os, "open", refuse)
    with pytest.raises(netbe.NetbePermissionError, match=r"chmod a\+rw /dev/net/tun") as caught:
        netbe.open("tap0")
    assert caught.value.errno == errno.EACCES
    assert isinstance(caught.value, PermissionError)


def test_a_driver_that_is_another_one_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tun").touch()
    monkeypatch.setattr(linux, "DEVICE", str(tmp_path / "tun"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(netbe.NetbeError, match="tap0 cannot be opened") as caught:
        netbe.open("tap0")
    assert caught.value.errno == errno.ENOTTY
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@e2e
def test_a_user_may_not_make_a_tap_and_is_told_how_to_get_one(host: Host) -> None:
    kind, number, text = as_nobody(host, refusal("tap0"))
    assert (kind, number) == ("NetbePermissionError", errno.EPERM)
    assert "no permission to make tap0" in text
    assert "ip tuntap add tap0 mode tap user NAME" in text
    assert host.interfaces() == ["lo"]


@e2e
def test_a_user_may_not_use_the_tap_of_another(host: Host) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap", "user", 4711)
    kind, number, text = as_nobody(host, refusal("tap0"))
    assert (kind, number) == ("NetbePermissionError", errno.EPERM)
    assert "no permission to use tap0" in text


_ECHO = """
backend = netbe.open("tap0")
assert os.geteuid() == 65534
backend.send(b"\\xff" * 6 + bytes(54))
answer = [backend.link_up, backend.stats.tx_frames, backend.wait(0), str(backend.recv())]
backend.close()
"""


@e2e
@pytest.mark.parametrize("right", ["owner", "group"])
def test_who_owns_a_persistent_tap_uses_it_without_privilege(right: str, host: Host, tap: Opener) -> None:
    tap("tap0", persist="on", **{right: NOBODY}).close()
    assert as_nobody(host, _ECHO) == [True, 1, False, "None"]
    assert host.interfaces() == ["lo", "tap0"]


@e2e
def test_the_owner_may_not_change_settings_but_may_name_those_that_are(host: Host, tap: Opener) -> None:
    tap("tap0", persist="on", owner=NOBODY, mtu=1400).close()
    assert as_nobody(host, refusal("tap0,mtu=1400,up=on")) is None
    kind, number, text = as_nobody(host, refusal("tap0,mtu=1300"))
    assert (kind, number) == ("NetbePermissionError", errno.EPERM)
    assert "no permission to set mtu=1300 of tap0" in text
    assert host.link("tap0")["mtu"] == 1400


@e2e
def test_the_owner_of_an_interface_that_is_down_is_told_how_to_go_on(host: Host, tap: Opener) -> None:
    tap("tap0", persist="on", owner=NOBODY, up="off").close()
    kind, _, text = as_nobody(host, refusal("tap0"))
    assert kind == "NetbePermissionError"
    assert "up=on of tap0" in text
    assert "up=keep" in text
    assert as_nobody(host, refusal("tap0,up=keep")) is None


@e2e
def test_a_user_may_not_enter_a_namespace(host: Host) -> None:
    kind, number, text = as_nobody(host, refusal(f"tap0,netns={host.name}"))
    assert (kind, number) == ("NetbePermissionError", errno.EPERM)
    assert "root" in text


@e2e
def test_somebody_elses_process_is_no_way_in(host: Host) -> None:
    kind, number, _ = as_nobody(host, refusal("tap0,netns=1"))
    assert (kind, number) == ("NetbePermissionError", errno.EACCES)
