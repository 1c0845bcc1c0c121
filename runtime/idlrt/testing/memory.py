"""Client and server joined in memory: everything of a real call but the sockets.

`connected(UserServiceClient, user_service(handler))` is a client whose calls go through client filters, codecs, a
protocol, a server session, server filters and guards to `handler` and back. A blocking client runs plain handlers on
the thread that calls, an asyncio client runs all of them on its event loop.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, cast

import msgspec

from idlrt.client import AsyncClient, Client, ConnectOptions
from idlrt.client.connecting import direct_async_transport, direct_blocking_transport
from idlrt.client.options import CALLS_PER_CONNECTION, CONNECT_DEFAULTS, MAX_CONNECTIONS
from idlrt.client.stub import connect_settings
from idlrt.client.transport_factory import Settings
from idlrt.core import LONGEST, Handlers, Peer, handler_context, notify, serve
from idlrt.core.keyword_options import check_names, documented
from idlrt.net.address import Address
from idlrt.protocol.detection import DetectingConnection, served_protocols
from idlrt.server import ServerFilter, ServerOptions
from idlrt.server.checks import with_validation
from idlrt.server.context import Load, OnDone, ServerContext
from idlrt.server.guards import server_guards
from idlrt.server.method_table import RunPlain, method_table
from idlrt.server.session import Session
from idlrt.server.settings import Settings as ServerSettings
from idlrt.server.workers import run_caught

if TYPE_CHECKING:
    from idlrt.client.transport import AsyncClientTransport, BlockingClientTransport
    from idlrt.server.coroutines import CoroutineRunner

__all__ = ["connected"]

C = TypeVar("C", bound=Client | AsyncClient)

_TARGET: Final = "memory"


@documented(ConnectOptions, CONNECT_DEFAULTS)
def connected(
    client: type[C],
    handlers: Handlers | Sequence[Handlers],
    *,
    server_filters: Sequence[ServerFilter] = (),
    server_options: ServerOptions | None = None,
    **options: Unpack[ConnectOptions],
) -> C:
    """Return a client of class `client` whose calls are served by `handlers`.

    Options of the network, of threads and of registries (`connect_timeout`, `tls`, `workers`, `registry`) are validated
    and have no other effect.

    Args:
        client: a generated client, blocking or asyncio.
        handlers: of one service, or of several, as `Server` takes them.
        server_filters: filters of the server, the outermost first; those of `server_options` are behind them.
        server_options: other options of the server, as `Server` takes them: `{"guards": {"limiter": {"rate": 100}}}`.
        options: see `ConnectOptions`.

    Raises:
        ConfigurationError: an option is invalid.
        TypeError: an option does not exist.
    """
    server = _Server(handlers, server_filters, server_options if server_options is not None else {})
    is_blocking = issubclass(client, Client)
    _, settings = connect_settings(client, _TARGET, options, 1 if is_blocking else CALLS_PER_CONNECTION)
    address, name = Address(_TARGET, 0), client.__thrift_service__.name
    transport: BlockingClientTransport | AsyncClientTransport
    if is_blocking:
        transport, planner = direct_blocking_transport(_blocking(server, settings), address, name, settings)
    else:
        transport, planner = direct_async_transport(_asynchronous(server, settings), address, name, settings)
    make = cast("Callable[..., C]", client)
    return make(transport, target=_TARGET, options={}, filters=settings.filters, planner=planner)


def _blocking(server: _Server, settings: Settings) -> BlockingClientTransport:
    from idlrt.client.blocking import PooledTransport
    from idlrt.client.connector import Connector

    connector = Connector(
        open=lambda seconds: _BlockingPair(server),
        peer=settings.peer(),
        service=settings.service,
        connect_timeout=LONGEST,  # nothing to wait for: the timeout of the call applies
    )
    return PooledTransport(
        connector,
        max_connections=settings.max_connections if settings.max_connections is not None else MAX_CONNECTIONS,
        ping_after=settings.idle,
        ping_timeout=settings.ping_timeout,
    )


def _asynchronous(server: _Server, settings: Settings) -> AsyncClientTransport:
    from idlrt.client.aio import Lost, MultiplexedTransport, Received

    async def open(received: Received, lost: Lost) -> _AsyncioPair:
        return _AsyncioPair(server, received, lost)

    return MultiplexedTransport(
        open,
        settings.peer(),
        settings.service,
        connect_timeout=LONGEST,  # nothing to wait for: the timeout of the call applies
        max_connections=settings.max_connections,
        calls_per_connection=settings.calls_per_connection,
        ping_after=settings.idle,
        ping_timeout=settings.ping_timeout,
    )


class _Server:
    """The server of all pairs of a client."""

    def __init__(
        self, handlers: Handlers | Sequence[Handlers], filters: Sequence[ServerFilter], options: ServerOptions
    ) -> None:
        check_names("Server", options, ServerOptions.__annotations__)
        self._served = serve(handlers)
        settings = ServerSettings(**options)
        # Once more, with all filters checked.
        self._settings = settings = msgspec.structs.replace(settings, filters=(*filters, *settings.filters))
        # Connections share the guards and their counters.
        self._guards = server_guards(settings.guards, settings.config, partial(notify, settings.listeners))
        self._protocols = served_protocols(settings.protocols)

    def session(
        self,
        transport: _Transport,
        call_soon: Callable[[Callable[[], None]], object],
        run_async: Callable[[Coroutine[Any, Any, Any], Context, OnDone], object],
        run_plain: RunPlain,
    ) -> Session:
        """Return the server's end of a new connection."""
        settings = self._settings
        shared = ServerContext(
            served=self._served,
            methods=method_table(
                self._served, with_validation(settings.filters, is_on=settings.validate), self._guards, run_plain
            ),
            context=handler_context(),
            call_soon=call_soon,
            run_async=run_async,
            timeout=settings.timeout,
            # For each connection: those of a blocking client are served by several threads.
            load=Load(settings.max_in_flight, settings.max_decoded_queued),
            max_in_flight=settings.max_in_flight_per_connection,
            high_water=settings.high_water,
        )
        return Session(
            transport,
            DetectingConnection(self._served, self._protocols, settings.reading),
            shared,
            lambda session: None,
        )


class _Transport:
    """The transport of a pair's session, an `Transport`."""

    def __init__(self, send: Callable[[bytes], None], close: Callable[[], None]) -> None:
        self.peer = Peer(address=_TARGET)
        self.pending = 0
        self._send = send
        self._close = close

    def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        self._send(data)

    def close(self, *, discard: bool = False) -> None:
        """Close the connection."""
        self._close()

    def pause_reading(self) -> None:
        """Do nothing: there is no socket buffer, the session keeps the bytes."""

    def resume_reading(self) -> None:
        """Do nothing, as `pause_reading`."""


class _BlockingPair:
    """A `BlockingTransport` with the server at its other end. `async` handlers, and filters that suspend, run on a
    separate thread.
    """

    def __init__(self, server: _Server) -> None:
        self._out: list[bytes] = []
        # Work of other threads for this one; `None` ends the connection.
        self._due: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._is_closed = False
        self._runner: CoroutineRunner | None = None
        transport = _Transport(self._out.append, self.close)
        self._session = server.session(transport, self._due.put, self._run_async, self._run_plain)

    def _run_async(self, coroutine: Coroutine[Any, Any, Any], context: Context, done: OnDone) -> None:
        if self._runner is None:
            from idlrt.server.coroutines import CoroutineRunner

            self._runner = CoroutineRunner(self._due.put)
        self._runner.run(coroutine, context, done)

    async def _run_plain(self, work: Callable[[], Any]) -> Any:
        """Run a plain handler behind a filter that suspends, on the thread that calls."""
        from idlrt.server.coroutines import run_on_thread

        return await run_on_thread(partial(_begin, work), self._due.put)

    def send(self, data: bytes, until: float) -> None:
        """Deliver bytes to the session on the calling thread."""
        if self._is_closed:
            raise ConnectionResetError("the connection is closed")
        self._session.data_received(data)

    def receive(self, until: float) -> bytes:
        """Return the bytes of the session, after running its work for this thread until there are some."""
        while not self._out and not self._is_closed:
            try:
                due = self._due.get(timeout=max(until - time.monotonic(), 0.0))
            except queue.Empty:
                raise TimeoutError("no data before the deadline") from None
            if due is not None:
                due()
        data = b"".join(self._out)
        self._out.clear()
        return data

    def wait_readable(self, until: float) -> bool:
        """Return at once: `receive` waits."""
        return True

    def is_quiet(self) -> bool:
        """Whether the connection is open and has no unread bytes."""
        return not self._out and not self._is_closed

    def close(self) -> None:
        """Close the connection and stop its thread."""
        self._is_closed = True
        self._due.put(None)
        if self._runner is not None:
            self._runner.stop()
            self._runner = None


def _begin(work: Callable[[], Any], is_cancelled: Callable[[], bool], tell: OnDone) -> None:
    tell(*run_caught(lambda: None if is_cancelled() else work()))


async def _run_here(work: Callable[[], Any]) -> Any:
    return work()


class _AsyncioPair:
    """An `AsyncTransport` with the server at its other end, on the same event loop."""

    def __init__(
        self, server: _Server, received: Callable[[bytes], None], lost: Callable[[Exception | None], None]
    ) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._received = received
        self._lost = lost
        self._is_closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        transport = _Transport(self._send, self.close)
        self._session = server.session(transport, self._loop.call_soon, self._run_async, _run_here)

    def _send(self, data: bytes) -> None:
        self._loop.call_soon(self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if not self._is_closing:
            self._received(data)

    def _run_async(self, coroutine: Coroutine[Any, Any, Any], context: Context, done: OnDone) -> None:
        import asyncio

        def finished(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if task.cancelled():
                done(None, asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                done(None, error)
            else:
                done(task.result(), None)

        task = self._loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(finished)

    def write(self, data: bytes) -> None:
        """Deliver bytes to the session."""
        if not self._is_closing:
            self._session.data_received(data)

    async def drain(self) -> None:
        """Return at once: nothing is buffered."""

    @property
    def is_blocked(self) -> bool:
        """Always false: nothing is buffered."""
        return False

    def is_quiet(self) -> bool:
        """Always true: received bytes are passed on at once."""
        return True

    @property
    def is_closing(self) -> bool:
        """Whether the connection was closed."""
        return self._is_closing

    def close(self) -> None:
        """Close the connection and cancel its handlers."""
        if not self._is_closing:
            self._is_closing = True
            for task in self._tasks:
                task.cancel()
            self._loop.call_soon(self._lost, None)

    def abort(self) -> None:
        """Close the connection."""
        self.close()
