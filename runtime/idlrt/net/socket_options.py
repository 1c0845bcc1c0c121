"""What connections of servers are told, and asked, beyond reading and writing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
from typing import Final

__all__ = ["cork", "forget_socket", "keep_alive", "prepare", "unacknowledged"]

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
# The state of a connection that is no more, in Linux's `struct tcp_info`.
_TCP_CLOSE: Final = 7
_CORK: Final = getattr(socket, "TCP_CORK", None)
# Seconds of silence after which the kernel asks whether the peer is still there, and between its questions.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


def prepare(connected: socket.socket) -> None:
    """Set a connection up: small answers leave at once, and peers that vanish are noticed."""
    connected.setblocking(False)
    if connected.family not in _INTERNET:
        return
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keep_alive(connected)


def keep_alive(connected: socket.socket) -> None:
    """Let the system ask a TCP peer that is silent whether it is still there, and lose it when it does not answer."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, seconds)


def forget_socket(found: socket.socket) -> None:
    """In a child of the process: close the child's copy of a socket at once, whoever else refers to it there."""
    descriptor = found.detach()  # -1 once it is closed
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def cork(connected: socket.socket) -> None:
    """Let the end travel with the last bytes: a peer that has read its answer knows that no call may follow."""
    if _CORK is not None and connected.family in _INTERNET:
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, _CORK, 1)


def unacknowledged(connected: socket.socket) -> int:
    """Bytes that were sent and may still arrive; 0 where the system does not say."""
    try:
        count = int(struct.unpack("i", fcntl.ioctl(connected, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0
    return count if count and not _is_reset(connected) else 0


def _is_reset(connected: socket.socket) -> bool:
    """Whether the peer has thrown the connection away: what it has not taken it never will, but it is counted still."""
    if not hasattr(socket, "TCP_INFO") or connected.family == getattr(socket, "AF_UNIX", None):
        return False
    try:
        return connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
    except OSError:
        return True
