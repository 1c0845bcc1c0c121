"""Finding out what a server speaks, before the first call is sent to it.

Each candidate is tried over a separate connection with a ping, which invokes no handler. The first one that gets a
response is the server's protocol. A server that speaks another one closes the connection, or waits for bytes that never
arrive, so each try has a separate timeout. The connection is closed afterwards: some servers close it after a ping, and
a call must not be sent into a closing connection.

The result is kept for the instance, until the server closes a fresh connection before its first response. A failure is
not kept, because a server that is busy, or about to start, looks the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from idlrt.client.peer_state import PeerState
from idlrt.client.ping import ping_before
from idlrt.core import Call
from idlrt.protocol import ClientProtocol

__all__ = ["Ask", "ProtocolUnknown", "find_protocol"]

Ask = Callable[[ClientProtocol, Call], Awaitable[str]]
"""Sends a ping in a protocol over a separate connection. Returns why it was not answered; empty text if it was.

Raises `OSError` if there is no connection, or if the server is known to speak something else."""


class ProtocolUnknown(OSError):
    """The server answered in none of the protocols that come into question, or speaks another one."""


async def find_protocol(peer: PeerState, call: Call, ask: Ask) -> ClientProtocol:
    """Return what `peer` speaks, and note it there.

    Args:
        call: the one that waits for it; each try takes at most half of its remaining time.

    Raises:
        OSError: no connection could be made; `ProtocolUnknown` if nothing was answered.
    """
    failures: list[str] = []
    for protocol in peer.protocols:
        why = await ask(protocol, ping_before(call, peer.probe_timeout))
        if not why:
            peer.protocol = protocol
            return protocol
        failures.append(f"{protocol.name}: {why}")
    raise ProtocolUnknown("; ".join(failures))
