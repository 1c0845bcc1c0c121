"""Errors of clients: their messages, in one place for blocking and asyncio clients.

The class of an error tells whether a server may have processed the call (`idlrt.errors`). A message names the method,
the target and the cause, and ends with what to do about it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from idlrt.client.peer_state import PeerState
from idlrt.client.protocol_probe import ProtocolUnknown
from idlrt.core import Call, Freshness, Snapshot
from idlrt.errors import (
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    NotSent,
    Overloaded,
    RegistryError,
    RemoteProtocolError,
)
from idlrt.protocol.foreign import ForeignProtocol
from idlrt.route import Pool, Step
from idlrt.route.chain import Chain, no_instance_reason

__all__ = [
    "bad_response",
    "client_closed",
    "connect_failed",
    "connection_lost",
    "deadline_exceeded",
    "no_instance",
    "no_snapshot",
    "not_sent",
    "pool_exhausted",
    "reason",
    "superseded",
]

# TLS alerts by which a server rejects the certificate of a client, or the lack of one.
_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")


def no_instance(
    call: Call, name: str, snapshot: Snapshot | None, states: Sequence[str], pool: Pool[Any], chain: Chain
) -> NoInstance:
    """Build the error of a call that no instance can receive.

    Args:
        name: of the service.
        snapshot: the newest one of the service.
        states: of all instances, see `EndpointSet.states`.
        pool: the instances before routing.
        chain: the routers.
    """
    what = f"{name} for {call.method.full_name}"
    if snapshot is None or not states:
        return NoInstance(
            f"no instance of {what}: none is registered; check that the service is running and registered in this group"
        )
    if pool.endpoints:
        steps: list[Step] = []
        chain.route(call, pool, steps)
        return NoInstance(no_instance_reason(what, steps))
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    freshness = "" if snapshot.freshness is Freshness.LIVE else f" ({snapshot.freshness.value} data)"
    return NoInstance(f"no instance of {what}: {len(states)} registered{freshness}, none available: {counted}")


def no_snapshot(error: RegistryError, call: Call) -> NoInstance:
    """Build the error of a call to a service that the registry has not described yet."""
    return NoInstance(f"cannot call {call.method.full_name}: {error}")


def _what(call: Call) -> str:
    return f"{call.method.full_name} at {call.target}"


def _is_tls_error(error: BaseException | None) -> bool:
    """Whether an error comes from TLS. Compares names, so that programs without TLS need not import `ssl`."""
    return error is not None and any(each.__name__ == "SSLError" for each in type(error).__mro__)


def _is_disconnect(error: BaseException | None) -> bool:
    """Whether an error means that the server has closed the connection, orderly or not."""
    if error is None or isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return True
    return any(each.__name__ == "SSLEOFError" for each in type(error).__mro__)


def reason(error: BaseException | None) -> str:
    """Return the cause of a failed connection in words; `None` means that the server closed it."""
    if error is None:
        return "the server closed the connection"
    if isinstance(error, TimeoutError) and not error.strerror:
        return "timed out"
    if _is_tls_error(error):
        from idlrt.net.tls_context import tls_reason

        return tls_reason(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        text = os.strerror(error.errno)  # asyncio puts other words into `strerror`
        return text[:1].lower() + text[1:]
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def connect_failed(call: Call, error: BaseException, seconds: float, peer: PeerState) -> ConnectFailed:
    """Build the error of a call for which no connection could be established.

    Args:
        seconds: how long it was tried.
        peer: the server.
    """
    if isinstance(error, ProtocolUnknown):
        what = f"cannot detect the protocol of {call.target} for {call.method.full_name}"
        return ConnectFailed(f"{what}: {error}; does another program listen on this address?")
    what = f"cannot connect to {call.target} for {call.method.full_name}"
    why = f"timed out after {seconds:.3g} s" if isinstance(error, TimeoutError) else reason(error)
    advice = "is the server running?"
    if peer.is_encrypted:
        if isinstance(error, TimeoutError):
            advice = "is the server running, and does it support TLS?"
        elif _is_disconnect(error):
            why = "the server closed the connection during the TLS handshake"
            advice = "if it does not support TLS, connect without tls="
        elif _is_tls_error(error):
            from idlrt.net.tls_context import tls_advice

            advice = tls_advice(error)
    return ConnectFailed(f"{what}: {why}; {advice}")


def not_sent(call: Call, error: BaseException) -> NotSent:
    """Build the error of a call whose connection broke before all of it was sent: no server has processed it."""
    return NotSent(f"cannot send {_what(call)}: {reason(error)}")


def connection_lost(call: Call, error: BaseException | None, peer: PeerState) -> ConnectionLost | ConnectFailed:
    """Build the error of a call whose connection ended before the response.

    Args:
        error: the cause; `None` if the server closed the connection.
        peer: the server.
    """
    if _is_tls_error(error) and any(word in str(error) for word in _CERTIFICATE_ALERTS):
        # With TLS 1.3 a client learns that it was rejected only after it has sent something.
        what = f"{call.target} rejected the TLS handshake of {call.method.full_name}"
        return ConnectFailed(f"{what}: {reason(error)}; check the client certificate that the server requires")
    what = f"lost the connection while waiting for {_what(call)}"
    if not peer.has_answered and _is_disconnect(error):
        why = "the server closed the connection and has never responded"
        return ConnectionLost(f"{what}: {why}; {peer.hints()}")
    return ConnectionLost(f"{what}: {reason(error)}; the server may have processed the call")


def pool_exhausted(call: Call, connections: int) -> Overloaded:
    """Build the error of a call that waited for a connection until its deadline, because all were in use."""
    what = f"cannot send {_what(call)} within {call.deadline.timeout:.3g} s"
    used = f"all {connections} connections are in use" if connections > 1 else "the only connection is in use"
    return Overloaded(f"{what}: {used}; raise max_connections")


def superseded(call: Call) -> NotSent:
    """Build the error of a call that waited for a connection while another attempt succeeded."""
    return NotSent(f"did not send {_what(call)}: another instance has responded")


def deadline_exceeded(call: Call, peer: PeerState | None = None) -> DeadlineExceeded:
    """Build the error of a call that got no response before its deadline.

    Args:
        peer: the server, if all of the call was sent to it.
    """
    what = f"no response from {_what(call)} within {call.deadline.timeout:.3g} s"
    if peer is not None and not peer.has_answered:
        what = f"{what}, and the server has never responded; {peer.hints()}"
    return DeadlineExceeded(what)


def bad_response(call: Call, error: RemoteProtocolError) -> RemoteProtocolError | ConnectFailed:
    """Build the error of a call whose response cannot be read.

    It is a `ConnectFailed` if the server turned out to speak another protocol: no connection to it is of use then.
    """
    if isinstance(error, ForeignProtocol):
        failure = ConnectFailed(f"cannot call {_what(call)}: {error}")
        failure.__cause__ = error
        return failure
    return RemoteProtocolError(f"cannot read the response of {_what(call)}: {error}")


def client_closed(call: Call) -> NotSent:
    """Build the error of a call that was made after the client was closed."""
    return NotSent(f"cannot call {_what(call)}: the client is closed")
