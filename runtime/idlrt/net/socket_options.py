"""Socket options: no delay, keepalive, corking and unacknowledged bytes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
from typing import Final

__all__ = ["close_inherited_socket", "configure", "cork", "keep_alive", "unacknowledged"]

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
# State of a closed connection in `struct tcp_info` of Linux.
_TCP_CLOSE: Final = 7
_CORK: Final = getattr(socket, "TCP_CORK", None)
# Idle time before the first keepalive probe and interval of probes, in seconds, and the number of probes.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


def configure(connected: socket.socket) -> None:
    """Set the options of an accepted connection: non-blocking, `TCP_NODELAY` and keepalive."""
    connected.setblocking(False)
    if connected.family not in _INTERNET:
        return
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keep_alive(connected)


def keep_alive(connected: socket.socket) -> None:
    """Enable TCP keepalive, so that the connection fails when the other side has vanished."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, seconds)


def close_inherited_socket(found: socket.socket) -> None:
    """Close an inherited socket in a forked child at once, even if other objects refer to it."""
    descriptor = found.detach()  # -1 once it is closed
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def cork(connected: socket.socket) -> None:
    """Send the end of stream in the same packet as the last bytes: a client that has read its last response then knows
    that it must not send another request.
    """
    if _CORK is not None and connected.family in _INTERNET:
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, _CORK, 1)


def unacknowledged(connected: socket.socket) -> int:
    """Return the number of sent bytes that the peer has not acknowledged; 0 where the system does not report it."""
    try:
        count = int(struct.unpack("i", fcntl.ioctl(connected, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0
    return count if count and not _is_reset(connected) else 0


def _is_reset(connected: socket.socket) -> bool:
    """Whether the peer has reset the connection: the kernel still counts bytes that will never be acknowledged."""
    if not hasattr(socket, "TCP_INFO") or connected.family == getattr(socket, "AF_UNIX", None):
        return False
    try:
        return connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
    except OSError:
        return True
