"""Protocol detection: probe a server before the first call is sent to it.

Each candidate protocol is tried over a separate connection with a ping, which invokes no handler. The first one that
gets a response is the server's protocol. A server with another protocol closes the connection, or waits for bytes that
never arrive, so each attempt has a separate timeout. The connection is closed afterwards: some servers close it after a
ping, and a call must not be sent over a closing connection.

The result is kept for the instance until the server closes a new connection before its first response. A failure is
not kept, because a server that is busy or starting looks the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from idlrt.client.peer_state import PeerState
from idlrt.client.ping import ping_before
from idlrt.core import Call
from idlrt.protocol import ClientProtocol

__all__ = ["Probe", "ProtocolUnknown", "find_protocol"]

Probe = Callable[[ClientProtocol, Call], Awaitable[str]]
"""Sends a ping in a protocol over a separate connection. Returns the reason if there was no response, else an empty
string.

Raises `OSError` if no connection could be established, or if the server is known to speak another protocol."""


class ProtocolUnknown(OSError):
    """The server responded in none of the candidate protocols, or speaks another one."""


async def find_protocol(peer: PeerState, call: Call, probe: Probe) -> ClientProtocol:
    """Detect the protocol of `peer`, store it there, and return it.

    Args:
        call: the call that waits for it; each attempt takes at most half of its remaining time.

    Raises:
        OSError: no connection could be established; `ProtocolUnknown` if there was no response in any protocol.
    """
    failures: list[str] = []
    for protocol in peer.protocols:
        why = await probe(protocol, ping_before(call, peer.probe_timeout))
        if not why:
            peer.protocol = protocol
            return protocol
        failures.append(f"{protocol.name}: {why}")
    raise ProtocolUnknown("; ".join(failures))
