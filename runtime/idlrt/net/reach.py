"""By which of its addresses others reach this machine."""

from __future__ import annotations

import socket

__all__ = ["host_towards"]


def host_towards(host: str, port: int) -> str:
    """The address of this machine that connections to `host` come from. Nothing is sent: the system is only asked for
    the way. This machine itself if there is none.
    """
    try:
        found = socket.getaddrinfo(host, port or 1, type=socket.SOCK_DGRAM)
    except OSError:
        return "127.0.0.1"
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as asking:
                asking.connect(address)
                return str(asking.getsockname()[0])
        except OSError:
            continue
    return "127.0.0.1"
