"""Transport of blocking clients: a connection pool with one call at a time on each connection.

A connection is reused only after a complete response: after a timeout or another failure it is closed, so that a late
response cannot be taken for that of a later call. It is also closed when its server is shutting down. If a call finds
its idle connection closed before it was sent, it is sent over a new one.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

from idlrt.client.blocking_pool import BlockingLease, BlockingPool
from idlrt.client.connection_pool import PoolConnection
from idlrt.client.connector import Connector
from idlrt.client.errors import bad_response, connection_lost, deadline_exceeded, not_sent
from idlrt.client.exclusive_pool import ExclusivePool
from idlrt.client.ping import PING, PING_TIMEOUT, ping_before
from idlrt.client.responses import RESPONSES, result_of
from idlrt.core import Call
from idlrt.errors import RpcError
from idlrt.net.blocking import BlockingTransport
from idlrt.protocol import ClientConnection, ConnectionBroken, DataToSend, GoAway, PongReceived, ResponseReceived

__all__ = ["PooledTransport"]


class _Connection(PoolConnection):
    """Connection of the pool.

    Attributes:
        transport: the socket; set when it is opened.
        protocol: the protocol state; set when it is opened.
        is_open: whether it has been opened.
        is_used: whether it has been idle, so that the server may have closed it.
        is_closing: whether the server closes it after the response.
        is_reusable: whether another call may use it: false from sending a request until its response is complete.
    """

    __slots__ = ("is_closing", "is_open", "is_reusable", "is_used", "protocol", "transport")

    transport: BlockingTransport
    protocol: ClientConnection

    def __init__(self) -> None:
        super().__init__()
        self.is_open = self.is_used = self.is_closing = self.is_reusable = False

    @property
    def takes_calls(self) -> bool:
        """Whether another call may use it."""
        return self.is_reusable

    def is_stale(self) -> bool:
        """Return whether the server has closed it, or has sent unsolicited data."""
        return not self.transport.is_quiet()

    def dispose(self) -> None:
        """Close the transport."""
        if self.is_open:
            self.transport.close()


class PooledTransport(BlockingPool[_Connection]):
    """Blocking transport to one server, with one call at a time per connection.

    Args:
        connector: opens connections.
        max_connections: maximum number of connections; further calls wait for one.
        ping_after: idle time after which a connection is checked with a ping before its next call, in seconds.
        ping_timeout: timeout of such a ping, in seconds.
    """

    _pool: ExclusivePool[_Connection]

    def __init__(
        self,
        connector: Connector,
        *,
        max_connections: int,
        ping_after: float = math.inf,
        ping_timeout: float = PING_TIMEOUT,
    ) -> None:
        pool = ExclusivePool(_Connection, max_connections=max_connections, ping_after=ping_after)
        super().__init__(connector, pool, max_connections)
        self._ping_timeout = ping_timeout

    async def send(self, call: Call) -> Any:
        """Send `call` and return its result."""
        return self.send_blocking(call)

    def send_blocking(self, call: Call) -> Any:
        """Send `call` and return its result, without a coroutine: for calls without filters and guards."""
        if call.metadata:
            self._peer.check_metadata(call)
        deadline = call.deadline
        until = deadline.at
        connection = self._pool.acquire_idle(until - deadline.timeout)
        if connection is None or connection.needs_ping:
            connection = self._acquire(call, until, connection)
        try:
            return self._exchange(connection, call, until)
        except _StaleConnection:
            pass
        finally:
            self._give_back(connection)
        # The server had closed it before the call was sent, so it has not seen the call.
        connection = self._acquire(call, until, is_fresh=True)
        try:
            return self._exchange(connection, call, until)
        except _StaleConnection:
            raise not_sent(call, ConnectionResetError("the server closed the connection")) from None
        finally:
            self._give_back(connection)

    def _exchange(self, connection: _Connection, call: Call, until: float) -> Any:
        protocol, transport = connection.protocol, connection.transport
        if call.method is PING:
            _, data = protocol.ping()
        else:
            metadata, context = self._peer.metadata_of(call, protocol.capabilities)
            _, data = protocol.request(call.method, call.arguments, metadata, context)
            call.sent += len(data)
        # No other call may use the connection until the response is complete.
        connection.is_reusable = False
        try:
            transport.send(data, until)
        except TimeoutError:
            raise deadline_exceeded(call) from None
        except OSError as error:
            if connection.is_used:
                raise _StaleConnection from None
            raise not_sent(call, error) from error
        if call.method.is_oneway and not protocol.capabilities.acknowledges_oneway:
            connection.is_reusable = True
            return None
        response = self._receive(connection, call, until)
        connection.is_reusable = protocol.is_idle and not (response.is_draining or connection.is_closing)
        return result_of(response, call)

    def _receive(self, connection: _Connection, call: Call, until: float) -> ResponseReceived | PongReceived:
        while True:
            try:
                data = connection.transport.receive(until)
            except TimeoutError:
                raise deadline_exceeded(call, self._peer) from None
            except OSError as error:
                self._lost(connection)
                raise connection_lost(call, error, self._peer) from error
            if not data:
                for event in connection.protocol.receive_eof():
                    if isinstance(event, RESPONSES):  # the end completes a response in some protocols
                        connection.is_closing = self._peer.has_answered = True
                        return event
                self._lost(connection)
                raise connection_lost(call, None, self._peer)
            response: ResponseReceived | PongReceived | None = None
            for event in connection.protocol.receive_data(data):
                if isinstance(event, RESPONSES):
                    response = event
                elif response is None:
                    self._handle(connection, event, call, until)
                else:
                    connection.is_closing = True  # an event after the response concerns later calls
            if response is not None:
                self._peer.has_answered = True
                return response
            if time.monotonic() >= until:
                raise deadline_exceeded(call, self._peer)

    def _handle(
        self, connection: _Connection, event: ConnectionBroken | DataToSend | GoAway, call: Call, until: float
    ) -> None:
        """Handle an event that is not a response."""
        if isinstance(event, ConnectionBroken):
            raise bad_response(call, event.error)
        if isinstance(event, GoAway):
            connection.is_closing = True
            return
        try:
            connection.transport.send(event.data, until)
        except TimeoutError:
            raise deadline_exceeded(call, self._peer) from None
        except OSError as error:
            raise connection_lost(call, error, self._peer) from error

    def _lost(self, connection: _Connection) -> None:
        if not connection.is_used:
            self._peer.reconsider()

    # The pool.

    def _acquire(
        self, call: Call, until: float, connection: _Connection | None = None, *, is_fresh: bool = False
    ) -> _Connection:
        """Return a connection for `call`.

        Args:
            connection: an idle one, which must respond to a ping first.
            is_fresh: whether idle connections are not used.
        """
        while True:
            if connection is None:
                connection = self._wait_for(call, until, is_fresh=is_fresh)
            if not connection.is_open:
                self._open(connection, call, until)
                return connection
            if not connection.needs_ping or self._answers(connection, call):
                return connection
            # The others have been idle even longer.
            connection, is_fresh = None, True

    def _wait_for(self, call: Call, until: float, *, is_fresh: bool) -> _Connection:
        lease = BlockingLease[_Connection]()
        lease.is_fresh = is_fresh
        try:
            return self._wait(lease, call, until)
        except BaseException:
            self._pool.release(lease, time.monotonic())
            raise

    def _open(self, connection: _Connection, call: Call, until: float) -> None:
        try:
            connection.transport, connection.protocol = self._connector.connect(call, until)
            connection.is_open = connection.is_reusable = True
        except BaseException:
            self._pool.discard(connection, time.monotonic())
            raise

    def _answers(self, connection: _Connection, call: Call) -> bool:
        """Return whether the server responds to a ping over `connection`; close the connection if it does not."""
        ping = ping_before(call, self._ping_timeout)
        try:
            with contextlib.suppress(RpcError, _StaleConnection):
                self._exchange(connection, ping, ping.deadline.at)
        except BaseException:
            self._pool.discard(connection, time.monotonic())
            raise
        if not connection.is_reusable:
            self._pool.discard(connection, time.monotonic())
        return connection.is_reusable

    def _give_back(self, connection: _Connection) -> None:
        if connection.is_reusable:
            connection.is_used = True
            self._pool.give_back(connection, time.monotonic())
        else:
            self._pool.discard(connection, time.monotonic())


class _StaleConnection(Exception):
    """The server had closed the connection before the call was sent."""
