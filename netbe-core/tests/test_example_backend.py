# SPDX-License-Identifier: BSD-2-Clause
"""The third-party backend of ``examples/``: installed, found by name, and it carries frames."""

import socket
import tomllib
from pathlib import Path

import pytest
from fakedist import Install, Opened

import netbe

EXAMPLE = Path(__file__).parents[2] / "examples" / "netbe-udp"
HERE, THERE = "127.83.1.1", "127.83.1.2"


@pytest.fixture
def installed(install: Install) -> None:
    """The example as its own pyproject.toml would have it installed."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = (EXAMPLE / "netbe_udp.py").read_text(encoding="utf-8")
    install(project["name"], project["entry-points"]["netbe.backends"], source, version=project["version"])


def free_port(host: str) -> int:
    """A UDP port that nothing uses, on an address that nothing else asks for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.usefixtures("installed")
def test_the_example_carries_frames_both_ways(opened: Opened) -> None:
    here, there = free_port(HERE), free_port(THERE)
    a = opened(f"udp:{THERE}:{there},bind={HERE}:{here}")
    b = opened(f"udp:{HERE}:{here}", bind=f"{THERE}:{there}")
    frame = bytes(range(60))
    assert a.send(frame) == len(frame)
    assert b.wait(5)
    assert b.recv() == frame
    b.send(frame[::-1])
    assert a.wait(5)
    assert a.recv() == frame[::-1]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "name", ["udp0", "udp:", "udp:host", "udp:host:port", "udp:1.2.3.4:99999", "x,type=udp"]
)
def test_the_example_refuses_a_rest_that_names_no_peer(name: str) -> None:
    with pytest.raises(netbe.BadNameError, match="write udp:HOST:PORT"):
        netbe.open(name)


@pytest.mark.usefixtures("installed")
def test_the_example_refuses_what_is_no_address_to_bind() -> None:
    with pytest.raises(netbe.OptionError, match="bind='x': it takes HOST:PORT"):
        netbe.open("udp:127.0.0.1:9,bind=x")
    with pytest.raises(netbe.OptionError, match="it takes HOST:PORT"):
        netbe.open("udp:127.0.0.1:9,bind=127.0.0.1:99999")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["udp:127.0.0.1:9,bind=192.0.2.1:0", "udp:::1:9"])
def test_what_the_system_refuses_the_example_names_the_backend(name: str) -> None:
    with pytest.raises(netbe.NetbeError, match=f"^{name}: .+") as caught:
        netbe.open(name)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.errno == caught.value.__cause__.errno


def test_the_example_is_short() -> None:
    lines = (EXAMPLE / "netbe_udp.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 30
