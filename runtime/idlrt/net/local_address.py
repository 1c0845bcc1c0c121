"""Local address that other machines can reach, for servers that listen on all interfaces."""

from __future__ import annotations

import socket

__all__ = ["local_host_for"]


def local_host_for(host: str, port: int) -> str:
    """Return the local IP address from which this machine connects to `host`, or 127.0.0.1 if there is no route.

    No packet is sent: connecting a UDP socket only looks up the route.
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
