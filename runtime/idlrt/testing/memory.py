"""Client and server joined in memory: everything of a real call but the sockets.

`connected(UserServiceClient, user_service(handler))` is a client whose calls go through filters, codecs,
a protocol and a server session to `handler` and back. A blocking client runs plain handlers on the thread that
calls, an asyncio client runs all of them on its event loop.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, cast

from idlrt.client import AsyncClient, Client
from idlrt.client.base import service_name
from idlrt.client.peer_state import PeerState
from idlrt.client.target import spoken_to
from idlrt.core import THRIFT, Filter, Handlers, Peer, Served, handler_context, serve
from idlrt.protocol.detection import Detecting, served_protocols
from idlrt.protocol.detection import protocol as protocol_named
from idlrt.serialization.base import DEFAULT_LIMITS
from idlrt.server.routes import routes
from idlrt.server.session import Session
from idlrt.server.surroundings import Done, Surroundings

if TYPE_CHECKING:
    from idlrt.server.coroutines import CoroutineRunner

__all__ = ["connected"]

C = TypeVar("C", bound=Client | AsyncClient)

_TARGET = "memory"


def connected(
    client: type[C],
    handlers: Handlers | Sequence[Handlers],
    *,
    timeout: float = 5.0,
    framing: str | None = None,
    protocol: str | None = None,
    multiplexed: bool | str = False,
    filters: Sequence[Filter] = (),
) -> C:
    """A client of class `client` whose calls `handlers` answer.

    Args:
        client: a generated client, blocking or asyncio.
        handlers: of one service, or of several, as `Server` takes them.
        timeout: seconds that a call may take as a whole.
        framing: see `connect` of the client; likewise `protocol` and `multiplexed`.
        filters: what stands in a call's way, the outermost first.
    """
    _, rpc, wire = spoken_to("", framing, protocol)
    peer = PeerState(*protocol_named(rpc or THRIFT).clients(wire, DEFAULT_LIMITS))
    served = serve(handlers)
    name = service_name(client, multiplexed)
    if issubclass(client, Client):
        from idlrt.client.blocking import PooledSender
        from idlrt.client.opening import Opening

        opening = Opening(open=lambda _: _BlockingPair(served), peer=peer, service=name, connect_timeout=timeout)
        pooled = PooledSender(opening, max_connections=16)
        return cast("C", client(pooled, target=_TARGET, options={"timeout": timeout}, filters=filters))

    from idlrt.client.aio import Lost, MultiplexedSender, Received

    async def open(received: Received, lost: Lost) -> _AsyncioPair:
        return _AsyncioPair(served, received, lost)

    shared = MultiplexedSender(open, peer, name, connect_timeout=timeout)
    asynchronous = cast("type[AsyncClient]", client)
    return cast("C", asynchronous(shared, target=_TARGET, options={"timeout": timeout}, filters=filters))


class _Outlet:
    """What the session of a pair writes to."""

    def __init__(self, send: Callable[[bytes], None], close: Callable[[], None]) -> None:
        self.peer = Peer(address=_TARGET)
        self.pending = 0
        self._send = send
        self._close = close

    def send(self, data: bytes) -> None:
        """See `Outlet.send`."""
        self._send(data)

    def close(self) -> None:
        """See `Outlet.close`."""
        self._close()

    def pause_reading(self) -> None:
        """A pair has no kernel in which bytes could wait: the session keeps them."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""


def _session(
    served: Served,
    outlet: _Outlet,
    call_soon: Callable[[Callable[[], None]], object],
    run_async: Callable[[Coroutine[Any, Any, Any], Context, Done], object],
) -> Session:
    around = Surroundings(
        served=served, routes=routes(served), context=handler_context(), call_soon=call_soon, run_async=run_async
    )
    return Session(outlet, Detecting(served, served_protocols(), DEFAULT_LIMITS), around, lambda session: None)


class _BlockingPair:
    """A `BlockingTransport` with the server at its other end. `async` handlers run on a thread of their own."""

    def __init__(self, served: Served) -> None:
        self._out: list[bytes] = []
        # What other threads want done here; `None` ends the connection.
        self._due: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._is_closed = False
        self._runner: CoroutineRunner | None = None
        outlet = _Outlet(self._out.append, self.close)
        self._session = _session(served, outlet, self._due.put, self._run_async)

    def _run_async(self, coroutine: Coroutine[Any, Any, Any], context: Context, done: Done) -> None:
        if self._runner is None:
            from idlrt.server.coroutines import CoroutineRunner

            self._runner = CoroutineRunner(self._due.put)
        self._runner.run(coroutine, context, done)

    def send(self, data: bytes, until: float) -> None:
        """See `BlockingTransport.send`."""
        if self._is_closed:
            raise ConnectionResetError("the pair is closed")
        self._session.data_received(data)

    def receive(self, until: float) -> bytes:
        """See `BlockingTransport.receive`."""
        while not self._out and not self._is_closed:
            try:
                due = self._due.get(timeout=max(until - time.monotonic(), 0.0))
            except queue.Empty:
                raise TimeoutError("nothing came") from None
            if due is not None:
                due()
        data = b"".join(self._out)
        self._out.clear()
        return data

    def is_quiet(self) -> bool:
        """See `BlockingTransport.is_quiet`."""
        return not self._out and not self._is_closed

    def close(self) -> None:
        """See `BlockingTransport.close`."""
        self._is_closed = True
        self._due.put(None)
        if self._runner is not None:
            self._runner.stop()
            self._runner = None


class _AsyncioPair:
    """An `AsyncTransport` with the server at its other end, on the same event loop."""

    def __init__(
        self, served: Served, received: Callable[[bytes], None], lost: Callable[[Exception | None], None]
    ) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._received = received
        self._lost = lost
        self._is_closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        outlet = _Outlet(self._send, self.close)
        self._session = _session(served, outlet, self._loop.call_soon, self._run_async)

    def _send(self, data: bytes) -> None:
        self._loop.call_soon(self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if not self._is_closing:
            self._received(data)

    def _run_async(self, coroutine: Coroutine[Any, Any, Any], context: Context, done: Done) -> None:
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
        """See `AsyncTransport.write`."""
        if not self._is_closing:
            self._session.data_received(data)

    async def drain(self) -> None:
        """See `AsyncTransport.drain`."""

    @property
    def is_blocked(self) -> bool:
        """See `AsyncTransport.is_blocked`."""
        return False

    def is_quiet(self) -> bool:
        """See `AsyncTransport.is_quiet`."""
        return True

    @property
    def is_closing(self) -> bool:
        """See `AsyncTransport.is_closing`."""
        return self._is_closing

    def close(self) -> None:
        """See `AsyncTransport.close`."""
        if not self._is_closing:
            self._is_closing = True
            for task in self._tasks:
                task.cancel()
            self._loop.call_soon(self._lost, None)

    def abort(self) -> None:
        """See `AsyncTransport.abort`."""
        self.close()
