"""What connections of servers are told, and asked, beyond reading and writing."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
from typing import Final

__all__ = ["cork", "keep_alive", "prepare", "unacknowledged"]

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_CORK: Final = getattr(socket, "TCP_CORK", None)
_INFO: Final = getattr(socket, "TCP_INFO", 0)
# TCP_CLOSE of Linux's tcp_states.h; the first byte of `struct tcp_info` is the state.
_CLOSED: Final = 7
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


def cork(connected: socket.socket) -> None:
    """Let the end travel with the last bytes: a peer that has read its answer knows that no call may follow."""
    if _CORK is not None and connected.family in _INTERNET:
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, _CORK, 1)


def unacknowledged(connected: socket.socket) -> int:
    """Bytes that were sent and have not arrived; 0 where the system does not say, or the peer has reset the connection:
    the kernel goes on counting what will never arrive.
    """
    try:
        asks = _INFO != 0 and connected.family in _INTERNET
        if asks and connected.getsockopt(socket.IPPROTO_TCP, _INFO, 1)[0] == _CLOSED:
            return 0
        return int(struct.unpack("i", fcntl.ioctl(connected, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0
