"""The leaf of the call stack: puts a call on a connection and brings its answer back.

There are two, for threads (`idlrt.client.blocking`) and for asyncio (`idlrt.client.aio`). What they say when
something goes wrong is written here once, because it is the same.
"""

from __future__ import annotations

import os
from typing import Any, Final, Protocol

from idlrt.client.peer_state import PeerState
from idlrt.client.protocol_probe import ProtocolUnknown
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NotSent,
    Overloaded,
    RemoteProtocolError,
)
from idlrt.protocol import ClientConnection, PongReceived, ResponseReceived
from idlrt.protocol.foreign import ForeignProtocol

__all__ = [
    "RESPONSES",
    "AsyncSender",
    "BlockingSender",
    "broken",
    "client_closed",
    "connect_failed",
    "deadline_exceeded",
    "is_full",
    "lost",
    "no_room",
    "not_needed",
    "not_sent",
    "result_of",
]


class BlockingSender(Protocol):
    """The leaf of blocking clients: its coroutine never suspends. Safe to share between threads."""

    @property
    def carries_metadata(self) -> bool:
        """Whether metadata travels with calls; else calls with explicit metadata are refused."""
        ...

    async def send(self, call: Call) -> Any:
        """The result of `call`.

        Raises:
            RpcError: as `idlrt.errors` says.
        """
        ...

    def found_again(self) -> None:
        """The server can be reached, as somebody else has seen: the next call tries to connect, whatever happened
        before.
        """
        ...

    def connections(self) -> int:
        """How many there are."""
        ...

    def stats(self) -> PoolStats:
        """Return the statistics of its connections; a `ClientStats` where there are several servers."""
        ...

    def close(self) -> None:
        """Close connections. Calls under way end first; new ones are refused."""
        ...


class AsyncSender(Protocol):
    """The leaf of asyncio clients."""

    @property
    def carries_metadata(self) -> bool:
        """See `BlockingSender.carries_metadata`."""
        ...

    async def send(self, call: Call) -> Any:
        """See `BlockingSender.send`."""
        ...

    def found_again(self) -> None:
        """See `BlockingSender.found_again`."""
        ...

    def connections(self) -> int:
        """See `BlockingSender.connections`."""
        ...

    def stats(self) -> PoolStats:
        """See `BlockingSender.stats`."""
        ...

    def retire(self) -> None:
        """Close connections when the calls under way have ended; new ones are refused."""
        ...

    async def close(self) -> None:
        """Close connections. Calls under way fail; new ones are refused."""
        ...


RESPONSES: Final = (ResponseReceived, PongReceived)
"""Events that complete a call or a ping."""
# A server that leaves so many calls unanswered is not going to answer; a new connection may help.
_MAX_CANCELLED = 4096


def is_full(connection: ClientConnection) -> bool:
    """Whether cancelled calls leave no room on a connection until they are answered."""
    cancelled = connection.cancelled
    return cancelled > min(_MAX_CANCELLED, connection.capabilities.max_in_flight - 1 - connection.in_flight)


def result_of(response: ResponseReceived | PongReceived, call: Call) -> Any:
    """Return the result of a call; `None` for a ping.

    Raises:
        RpcError: what the server threw, or why there is no result.
    """
    if isinstance(response, PongReceived):
        return None
    try:
        return response.result()
    except RemoteProtocolError as error:
        raise broken(call, error) from error
    except ApplicationError as error:
        if error.code == ApplicationCode.LOADSHEDDING:
            what = f"{call.target} did not take {call.method.full_name}: {error.message}"
            raise Overloaded(what).push_back(error.retry_after) from error
        if error.code == ApplicationCode.TIMEOUT:
            what = f"{call.target} did not begin {call.method.full_name}: {error.message}"
            raise DeadlineExceeded(what).push_back(error.retry_after) from error
        raise


def _what(call: Call) -> str:
    return f"{call.method.full_name} at {call.target}"


def is_of_tls(error: BaseException | None) -> bool:
    """Whether TLS says so. (Who does not use it does not import it.)"""
    return error is not None and any(each.__name__ == "SSLError" for each in type(error).__mro__)


def is_end(error: BaseException | None) -> bool:
    """Whether the other side has ended the connection, in whatever way."""
    if error is None or isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return True
    return any(each.__name__ == "SSLEOFError" for each in type(error).__mro__)


def reason(error: BaseException | None) -> str:
    """What the operating system, or TLS, says."""
    if error is None:
        return "the server closed the connection"
    if isinstance(error, TimeoutError) and not error.strerror:
        return "no answer in time"
    if is_of_tls(error):
        from idlrt.net.tls_context import tls_reason

        return tls_reason(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio puts other words into `strerror`
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def connect_failed(call: Call, error: BaseException, seconds: float, peer: PeerState) -> ConnectFailed:
    """No connection could be made.

    Args:
        seconds: that it was tried for.
        peer: the server.
    """
    if isinstance(error, ProtocolUnknown):
        what = f"cannot tell what {call.target} speaks, for {call.method.full_name}"
        return ConnectFailed(f"{what}: {error}; does something else listen there?")
    what = f"cannot connect to {call.target} for {call.method.full_name}"
    why = f"no answer within {seconds:.3g} s" if isinstance(error, TimeoutError) else reason(error)
    advice = "is the server running there?"
    if peer.is_encrypted:
        if isinstance(error, TimeoutError):
            advice = "is the server running there, and does it speak TLS?"
        elif is_end(error):
            why = "the server closed the connection during the TLS handshake"
            advice = "does it speak TLS? If not, connect without tls="
        elif is_of_tls(error):
            from idlrt.net.tls_context import tls_advice

            advice = tls_advice(error)
    return ConnectFailed(f"{what}: {why}; {advice}")


# What a server says about the certificate that a client showed, or did not.
_NOT_ACCEPTED = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")


def not_sent(call: Call, error: BaseException) -> NotSent:
    """The connection broke before the whole call was handed over, so nobody can have worked on it."""
    return NotSent(f"could not send {_what(call)}: {reason(error)}")


def lost(call: Call, error: BaseException | None, peer: PeerState) -> ConnectionLost | ConnectFailed:
    """The connection ended before the answer came."""
    if is_of_tls(error) and any(word in str(error) for word in _NOT_ACCEPTED):
        # A client hears that it was not accepted only when it has sent something already.
        what = f"{call.target} did not accept this client for {call.method.full_name}"
        return ConnectFailed(f"{what}: {reason(error)}; which certificate does it want?")
    what = f"lost the connection while waiting for {_what(call)}"
    if not peer.has_answered and is_end(error):
        why = "the server closed the connection and has never answered anything"
        return ConnectionLost(f"{what}: {why}; {peer.doubts()}")
    return ConnectionLost(f"{what}: {reason(error)}; the server may have worked on it")


def no_room(call: Call, connections: int) -> Overloaded:
    """All connections were in use for as long as the call could wait."""
    what = f"could not send {_what(call)} within {call.deadline.timeout:.3g} s"
    return Overloaded(f"{what}: all {connections} connections are in use; raise max_connections")


def not_needed(call: Call) -> NotSent:
    """While it waited for a connection somebody else was quicker."""
    return NotSent(f"did not send {_what(call)}: another instance has answered")


def deadline_exceeded(call: Call, peer: PeerState | None = None) -> DeadlineExceeded:
    """Time is over.

    Args:
        peer: the server, if the whole call was handed over to it.
    """
    what = f"no answer from {_what(call)} within {call.deadline.timeout:.3g} s"
    if peer is not None and not peer.has_answered:
        what = f"{what}, and none ever before; {peer.doubts()}"
    return DeadlineExceeded(what)


def broken(call: Call, error: RemoteProtocolError) -> RemoteProtocolError | ConnectFailed:
    """What came is no answer. From a server that speaks another protocol there is no connection that calls can use."""
    if isinstance(error, ForeignProtocol):
        failure = ConnectFailed(f"cannot call {_what(call)}: {error}")
        failure.__cause__ = error
        return failure
    return RemoteProtocolError(f"cannot read the answer of {_what(call)}: {error}")


def client_closed(call: Call) -> NotSent:
    """The caller closed the client before."""
    return NotSent(f"cannot call {_what(call)}: the client is closed")
