# SPDX-License-Identifier: BSD-2-Clause
"""``udp:HOST:PORT[,bind=HOST:PORT]``: Ethernet frames in UDP datagrams, one in each."""

import socket

import netbe


def address(text: str) -> tuple[str, int]:
    """HOST:PORT taken apart."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("it takes HOST:PORT")
    return host, int(port)


def open_udp(name: netbe.Name, *, bind: tuple[str, int]) -> netbe.Backend:
    """The factory."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            peer = address(name.rest.removeprefix(":"))
            sock.bind(bind)
            sock.connect(peer)
        except ValueError as exc:
            raise netbe.BadNameError(f"{name.text!r} names no peer", hint="write udp:HOST:PORT") from exc
        except OSError as exc:  # it names neither the backend nor the address
            raise netbe.NetbeError(f"{name.text}: {exc.strerror}", errno=exc.errno) from exc
        backend = netbe.FdBackend(name.text, sock.fileno(), max_frame=65507)
        sock.detach()  # it is the backend's now
    return backend


@netbe.hookimpl
def netbe_backends() -> list[netbe.BackendSpec]:
    """What this plugin has."""
    bind = netbe.Option("bind", address, "our own address", default=("", 0), metavar="HOST:PORT")
    return [netbe.BackendSpec("udp", open_udp, "frames in UDP datagrams", (bind,))]
