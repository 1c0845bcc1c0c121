"""Interfaces of client transports: what sends the calls of a client, and returns their results.

A transport is the last step of the call stack. Transports to one server are in `idlrt.client.blocking` (one call at a
time per connection), `idlrt.client.shared` (connections that threads share) and `idlrt.client.aio` (asyncio); the
transport of a cluster (`idlrt.client.connecting`) picks one of them for each attempt.
"""

from __future__ import annotations

from typing import Any, Protocol

from idlrt.client.stats import PoolStats
from idlrt.core import Call

__all__ = ["AsyncClientTransport", "BlockingClientTransport", "ClientTransport"]


class ClientTransport(Protocol):
    """The methods that blocking and asyncio transports share."""

    @property
    def carries_metadata(self) -> bool:
        """Whether metadata travels with calls; if not, calls with explicit metadata are rejected."""
        ...

    async def send(self, call: Call) -> Any:
        """Send `call` and return its result.

        Raises:
            RpcError: the call failed; see `idlrt.errors`.
        """
        ...

    def reset_backoff(self) -> None:
        """Reset the connection backoff, because the server has responded elsewhere: the next call tries to connect."""
        ...

    def connections(self) -> int:
        """Return the number of connections."""
        ...

    def stats(self) -> PoolStats:
        """Return connection statistics; a `ClientStats` if there are several servers."""
        ...


class BlockingClientTransport(ClientTransport, Protocol):
    """Transport of blocking clients. Safe to share between threads; the coroutine of `send` never suspends."""

    def close(self) -> None:
        """Close the connections. Calls in flight finish first; new ones are rejected."""
        ...


class AsyncClientTransport(ClientTransport, Protocol):
    """Transport of asyncio clients. It belongs to one event loop."""

    def retire(self) -> None:
        """Close the connections once the calls in flight have finished; new calls are rejected."""
        ...

    async def close(self) -> None:
        """Close the connections. Calls in flight fail; new ones are rejected."""
        ...
