# SPDX-License-Identifier: BSD-2-Clause
"""`FdBackend`: the contract over anything that is a descriptor with one frame a read."""

import os
import socket
import stat
from collections.abc import Sequence

from netbe._native import ffi, lib
from netbe.backend import MAX_FRAME, MIN_FRAME
from netbe.features import NO_FEATURES, Features
from netbe.native import Port, held
from netbe.portbackend import PortBackend

_EOF_IS_HANGUP = 0x1
_SOCKET = 0x2


class FdBackend(PortBackend):
    """A backend whose frames are what ``read`` gives and ``write`` takes, one frame each.

    A tap is one with its own way to open; so is a datagram socket, or one end of a
    ``socketpair(AF_UNIX, SOCK_SEQPACKET)``. It has a native port for each descriptor.
    """

    def __init__(  # noqa: PLR0913 - each names a property of the descriptor
        self,
        name: str,
        fd: int | Sequence[int],
        *,
        device_hdr_len: int = 0,
        capabilities: Features = NO_FEATURES,
        min_frame: int = MIN_FRAME,
        max_frame: int = MAX_FRAME,
        eof_is_hangup: bool | None = None,
    ) -> None:
        """Own the descriptor `fd`, or several that are queues of one device, from now on.

        They become non-blocking and close-on-exec. `device_hdr_len` is the virtio-net header (0, 10, 12
        bytes) that each read and write has in front. `eof_is_hangup` says that a read of 0 bytes means that
        the peer is gone; by default it does for SEQPACKET sockets, and not where empty datagrams exist. When
        this raises, the descriptors stay the caller's.
        """
        if capabilities and not device_hdr_len:
            raise ValueError(
                f"{name}: offloads need a device_hdr_len of 10 or 12 bytes, to tell what a frame asks for"
            )
        fds = (fd,) if isinstance(fd, int) else tuple(fd)
        self.device_hdr_len = device_hdr_len
        self.capabilities = capabilities
        ports: list[Port] = []
        try:
            for one in fds:
                os.set_blocking(one, False)
                os.set_inheritable(one, False)
                ports.append(_open_port(one, device_hdr_len, min_frame, max_frame, eof_is_hangup))
            super().__init__(name, ports)
        except BaseException:
            for port in ports:
                port.close()
            raise
        self._fds = fds

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors, for what only their kind can do. They stay the backend's."""
        return self._fds

    def _shutdown(self) -> None:
        for fd in self._fds:
            os.close(fd)


def _open_port(fd: int, hdr_len: int, min_frame: int, max_frame: int, eof_is_hangup: bool | None) -> Port:  # noqa: FBT001
    flags = 0
    if stat.S_ISSOCK(os.fstat(fd).st_mode):
        flags |= _SOCKET
        if eof_is_hangup is None:
            eof_is_hangup = _socket_type(fd) == socket.SOCK_SEQPACKET
    if eof_is_hangup:
        flags |= _EOF_IS_HANGUP
    port = lib.nb_fd_port_new(fd, fd, flags, hdr_len, min_frame, max_frame, ffi.NULL)
    if port == ffi.NULL:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    size = ffi.new("size_t *")
    return Port(
        int(ffi.cast("uintptr_t", port)),
        free=lambda: lib.nb_fd_port_free(port),
        rx_memory=held(lib.nb_fd_memory(port, size), size),
    )


def _socket_type(fd: int) -> int:
    sock = socket.socket(fileno=os.dup(fd))
    try:
        return sock.type
    finally:
        sock.close()
