"""What a session of a server has around it: below it a connection, beside it what all sessions of the server share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, Protocol

import msgspec

from idlrt.core import AsyncioDriver, BlockingDriver, Driver, Peer, Served
from idlrt.server.routes import Route

__all__ = ["Done", "Load", "Outlet", "Surroundings"]

Done = Callable[[Any, BaseException | None], None]
"""Is given the result of a piece of work, or its error."""


class Outlet(Protocol):
    """What a session needs of its connection. `idlrt.net.Channel` is one."""

    @property
    def peer(self) -> Peer:
        """Who is on the other side."""
        ...

    @property
    def pending(self) -> int:
        """Bytes that the peer has not taken yet."""
        ...

    def send(self, data: bytes) -> None:
        """Send `data`; what the peer does not take is counted in `pending`."""
        ...

    def pause_reading(self) -> None:
        """Let the peer wait."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...

    def close(self) -> None:
        """Close when everything has been sent."""
        ...


class Load:
    """What all sessions of a server have under way, and how much that may be.

    Args:
        max_in_flight: calls that may be unanswered.
        max_decoded: bytes of memory that their arguments may take together.

    Attributes:
        in_flight: calls that are unanswered.
        decoded: bytes of memory that their arguments take.
    """

    __slots__ = ("decoded", "in_flight", "max_decoded", "max_in_flight")

    def __init__(self, max_in_flight: int = 8192, max_decoded: int = 512 << 20) -> None:
        self.in_flight = 0
        self.max_in_flight = max_in_flight
        self.decoded = 0
        self.max_decoded = max_decoded


class Surroundings(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What the sessions of a server share.

    Attributes:
        served: what is called.
        routes: how calls get done, by the names on the wire.
        context: handlers see a copy of it each.
        call_soon: calls a function when what is going on is over.
        run_async: runs a coroutine in a context and reports result or error on the session's thread.
        run_worker: lets a worker do something and reports likewise; `False` if none can. `None`: there are no workers.
        driver: the server's clock, and what filters of plain handlers sleep with.
        async_driver: what filters of `async` handlers sleep with, on the same clock.
        timeout: seconds after which nobody cares for a call whose caller did not say how long it waits.
        load: what all sessions have under way.
        max_in_flight: calls of one connection that may be unanswered.
        high_water: bytes of answers that one peer may leave untaken.
    """

    served: Served
    routes: Mapping[str, Route]
    context: Context
    call_soon: Callable[[Callable[[], None]], object]
    run_async: Callable[[Coroutine[Any, Any, Any], Context, Done], object]
    run_worker: Callable[[Callable[[], Any], Done], bool] | None = None
    driver: Driver = msgspec.field(default_factory=BlockingDriver)
    async_driver: Driver = msgspec.field(default_factory=AsyncioDriver)
    timeout: float = 60.0
    load: Load = msgspec.field(default_factory=Load)
    max_in_flight: int = 256
    high_water: int = 1 << 20
