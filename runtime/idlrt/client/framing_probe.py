"""`framing="auto"`: find out what framing a server reads, before the first call is sent to it.

Each framing that comes into question is tried over a connection of its own, with a ping (`idlrt.client.ping`): a call
of a method that nobody has, so no server does anything for it. The first framing in which an answer comes is the
server's. A server that reads another one closes the connection, or waits for bytes that never come, so each try has a
timeout of its own. Its connection is closed again: some servers do that too after a method that they do not know, and a
call must not be sent into such an end.

What was found is kept for the instance, until the server closes a fresh connection before its first answer. What was
not found is not kept, because a server that is busy, or about to start, looks the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from idlrt.client.peer_state import PeerState
from idlrt.client.ping import ping_before
from idlrt.core import Call
from idlrt.wire.dialect import Dialect

__all__ = ["AUTO", "CANDIDATES", "Ask", "FramingUnknown", "find_dialect"]

AUTO: Final = "auto"
"""The name of the framing that means: find out."""

CANDIDATES: Final = ("framed", "unframed", "header")
"""What is tried, in this order unless an instance says what it reads: first what most servers read."""

Ask = Callable[[Dialect, Call], Awaitable[str]]
"""Sends a ping in a dialect over a connection of its own. Returns why that was not answered; empty text if it was.

Raises `OSError` if there is no connection, or if what the server speaks is known and not Thrift."""


class FramingUnknown(OSError):
    """The server answered in none of the framings, or speaks another protocol."""


async def find_dialect(peer: PeerState, call: Call, ask: Ask) -> Dialect:
    """Return what `peer` reads, and note it there.

    Args:
        call: the one that waits for it; each try takes at most half of what is left of its time.

    Raises:
        OSError: no connection could be made; `FramingUnknown` if nothing was answered.
    """
    failures: list[str] = []
    for dialect in peer.dialects:
        why = await ask(dialect, ping_before(call, peer.probe_timeout))
        if not why:
            peer.dialect = dialect
            return dialect
        failures.append(f"{dialect!r}: {why}")
    raise FramingUnknown("; ".join(failures))
