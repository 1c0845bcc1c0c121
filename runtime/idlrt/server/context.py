"""Dependencies of a server session: its connection, and the state that all sessions of a server share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, Protocol

import msgspec

from idlrt.core import AsyncioDriver, BlockingDriver, Driver, Listener, Peer, Served, ServerCall
from idlrt.protocol.events import RequestReceived
from idlrt.server.method_table import MethodEntry

__all__ = ["CallObserver", "CallTracer", "Load", "OnDone", "ServerContext", "Transport"]

OnDone = Callable[[Any, BaseException | None], None]
"""Completion callback: receives the result or the exception."""


class Transport(Protocol):
    """Interface between a session and its connection. `idlrt.net.Channel` implements it."""

    @property
    def peer(self) -> Peer:
        """The client."""
        ...

    @property
    def pending(self) -> int:
        """Number of bytes in the send buffer: handed to `send`, but not yet accepted by the kernel."""
        ...

    def send(self, data: bytes) -> None:
        """Send `data`. Bytes that cannot be written at once are buffered and counted in `pending`."""
        ...

    def pause_reading(self) -> None:
        """Stop reading, so that TCP flow control holds the client back."""
        ...

    def resume_reading(self) -> None:
        """Resume reading."""
        ...

    def close(self, *, discard: bool = False) -> None:
        """Close the connection once the send buffer is empty.

        Args:
            discard: whether the client may be sending a request that is not read: it must be able to finish, so that
                it reads its response.
        """
        ...


class Load:
    """Calls in flight of all sessions of a server, with their limits.

    Args:
        max_in_flight: maximum number of calls in flight.
        max_decoded: maximum memory of their arguments together, in bytes.

    Attributes:
        in_flight: number of calls in flight.
        decoded: memory of their arguments, in bytes.
    """

    __slots__ = ("decoded", "in_flight", "max_decoded", "max_in_flight")

    def __init__(self, max_in_flight: int = 8192, max_decoded: int = 512 << 20) -> None:
        self.in_flight = 0
        self.max_in_flight = max_in_flight
        self.decoded = 0
        self.max_decoded = max_decoded


class CallObserver(Protocol):
    """Observes the requests of a server: counts, measures or traces them. Called on the session's thread."""

    def answered(self, call: ServerCall, request_size: int, response_size: int) -> None:
        """Handle the end of a call with a result.

        Args:
            call: the call.
            request_size: size of the request in bytes.
            response_size: size of the response in bytes; 0 for none.
        """
        ...

    def ended(self, call: ServerCall, error: BaseException, request_size: int, response_size: int) -> None:
        """Handle the end of a call with an error; `call.outcome` has its kind.

        Args:
            call: the call.
            error: exception of the handler, a filter or a guard, or why the call was not started.
            request_size: size of the request in bytes.
            response_size: size of the response in bytes; 0 for none.
        """
        ...

    def refused(self, request: RequestReceived, code: int, received_at: float, response_size: int) -> None:
        """Handle the refusal of a request that did not become a call: its method is unknown, or it cannot be read.

        Args:
            request: the request.
            code: an `ApplicationCode`.
            received_at: time when it arrived, on the clock of the server.
            response_size: size of the response in bytes; 0 for none.
        """
        ...

    def connected(self, protocol: str) -> None:
        """Handle a connection whose protocol has been detected."""
        ...

    def connection_failed(self, kind: str) -> None:
        """Handle a connection that the server closes because of an error.

        Args:
            kind: `protocol`, `tls` or `timeout`.
        """
        ...


class CallTracer(Protocol):
    """Begins the traces of the calls of a server. Called on the session's thread.

    Attributes:
        enters: whether `enter` is to be called.
        begin_server: begins the trace of a call, `call.trace`, before anything else is done with it.
    """

    enters: bool
    begin_server: Callable[[ServerCall], None]

    def enter(self, call: ServerCall) -> None:
        """Make the trace known to other libraries; called before the handler, in its context, thread and task."""
        ...


class ServerContext(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """State and services that the sessions of a server share.

    Attributes:
        served: the services and their handlers.
        methods: entries of the method table, by method name on the wire.
        context: context variables of handlers; each call runs in a copy.
        call_soon: schedules a function for the end of the current loop iteration.
        run_async: runs a coroutine in a context and reports its result or error on the session's thread.
        run_worker: submits a function to the worker pool, which reports in the same way; returns `False` if the pool
            and its queue are full. `None`: there are no workers.
        driver: clock of the server, and `sleep` for filters of plain handlers.
        async_driver: `sleep` for filters of `async` handlers, on the same clock.
        timeout: timeout of calls whose client sends none, in seconds.
        load: calls in flight of all sessions.
        observer: observes all requests; `None` for no observer.
        tracer: begins the traces of calls; `None` if tracing was off when the server was created.
        notify: emits decision events of limits; `None` for no listeners.
        max_in_flight: maximum number of calls in flight of one connection.
        high_water: maximum size of unsent responses of one connection, in bytes; above it the session stops reading.
    """

    served: Served
    methods: Mapping[str, MethodEntry]
    context: Context
    call_soon: Callable[[Callable[[], None]], object]
    run_async: Callable[[Coroutine[Any, Any, Any], Context, OnDone], object]
    run_worker: Callable[[Callable[[], Any], OnDone], bool] | None = None
    driver: Driver = msgspec.field(default_factory=BlockingDriver)
    async_driver: Driver = msgspec.field(default_factory=AsyncioDriver)
    timeout: float = 60.0
    load: Load = msgspec.field(default_factory=Load)
    observer: CallObserver | None = None
    tracer: CallTracer | None = None
    notify: Listener | None = None
    max_in_flight: int = 256
    high_water: int = 1 << 20
