"""Free TCP ports for servers that are started later, and for addresses where no server listens.

The usual way to find a free port, to bind to port 0 and close the socket, returns a port of the kernel's ephemeral
range. Until the server binds to it, the kernel may give it to any process of the machine: to a client connection, or
to another test that binds to port 0. The server then fails with "Address already in use", and a port that was meant to
refuse connections accepts them.

The ports returned here are outside the ephemeral range, so the kernel assigns them to no socket by itself. They are
picked at random, so processes that run at the same time get different ports, and a process gets each port at most
once. A test that can keep its socket open, or can pass port 0 to the server, should do that instead.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

__all__ = ["free_port", "free_ports"]

_FIRST: Final = 10240
_LAST: Final = 65535
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What Linux has by default. The ranges of macOS, the BSDs and Windows begin above it.
_USUAL_FIRST: Final = 32768
# With fewer ports below the ephemeral range, processes would pick the same ones too often.
_FEWEST: Final = 1000

_given: Final[set[int]] = set()


def free_port() -> int:
    """Return a port that is free on 127.0.0.1 and was not returned before."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that are free on 127.0.0.1 and were not returned before.

    Raises:
        RuntimeError: there are not as many.
    """
    candidates = [port for port in _candidates() if port not in _given]
    random.Random().shuffle(candidates)  # seeded here, so that forked processes differ, too
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        if _is_free(port):
            found.append(port)
    if len(found) < count:
        raise RuntimeError(f"cannot find {count} free ports: {len(found)} of {len(candidates)} candidates are free")
    _given.update(found)
    return found


def _candidates() -> range:
    """Return the ports below the ephemeral range, or those above it if it begins too low."""
    try:
        first, last = map(int, _RANGE.read_text(encoding="ascii").split())
    except OSError:
        first, last = _USUAL_FIRST, _LAST
    below = range(_FIRST, first)
    return below if len(below) >= _FEWEST else range(max(last + 1, _FIRST), _LAST + 1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
