"""The leaf for threads: a bounded pool of connections with one call each.

Idle connections are taken last in, first out. One that is not quiet (the server has closed it, or said what
nobody asked for) is never used. A connection goes back to the pool only after a whole answer; after a
timeout or any other surprise it is closed, so that no late answer can meet a later call. So is one whose server
says that it is about to stop. One that has been idle for long is asked for first (`idlrt.client.ping`).
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import Any

from idlrt.client.opening import Opening
from idlrt.client.ping import PING, PING_TIMEOUT, ping_before
from idlrt.client.sender import (
    RESPONSES,
    broken,
    client_closed,
    deadline_exceeded,
    lost,
    no_room,
    not_needed,
    not_sent,
    result_of,
)
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.core.forks import forks
from idlrt.core.races import is_called_off
from idlrt.errors import RpcError
from idlrt.net.blocking import BlockingTransport
from idlrt.protocol import ClientConnection, ConnectionBroken, DataToSend, GoAway, PongReceived, ResponseReceived

__all__ = ["PooledSender"]


class _Link:
    """A connection, whether a call may be put on it, and since when nobody has."""

    __slots__ = ("connection", "idle_since", "is_closing", "is_good", "is_used", "transport")

    def __init__(self, transport: BlockingTransport, connection: ClientConnection) -> None:
        self.transport = transport
        self.connection = connection
        self.is_used = False
        self.is_good = True
        self.is_closing = False
        self.idle_since = 0.0


class PooledSender:
    """See the module. A `BlockingSender`.

    Args:
        opening: how connections are made.
        max_connections: that may exist at the same time; a call that finds none free waits for one.
        ping_after: seconds for which a connection may have been idle before its server is asked whether it is there.
        ping_timeout: seconds to wait for the response to such a ping.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        max_connections: int,
        ping_after: float = math.inf,
        ping_timeout: float = PING_TIMEOUT,
    ) -> None:
        self._opening = opening
        self._peer = opening.peer
        self._max = max_connections
        self._ping_after = ping_after
        self._ping_timeout = ping_timeout
        self._is_closed = False
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process that made it: the sockets are the parent's, and are left alone."""
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._idle: list[_Link] = []
        self._count = 0
        self._queue = 0

    @property
    def carries_metadata(self) -> bool:
        """See `BlockingSender.carries_metadata`."""
        return self._peer.carries_metadata

    async def send(self, call: Call) -> Any:
        """See `BlockingSender.send`."""
        if call.metadata:
            self._peer.check_metadata(call)
        until = call.deadline.at
        link = self._take(call, until)
        try:
            return self._exchange(link, call, until)
        except _StaleLink:
            pass
        finally:
            self._give_back(link)
        # The server had closed it before the call was handed over: nobody has seen the call.
        link = self._take(call, until, fresh=True)
        try:
            return self._exchange(link, call, until)
        finally:
            self._give_back(link)

    def _exchange(self, link: _Link, call: Call, until: float) -> Any:
        connection, transport = link.connection, link.transport
        if call.method is PING:
            _, data = connection.ping()
        else:
            metadata, context = self._peer.metadata_of(call, connection.capabilities)
            _, data = connection.request(call.method, call.arguments, metadata, context)
        # Until an answer has come the connection is of no use for others.
        link.is_good = False
        try:
            transport.send(data, until)
        except TimeoutError:
            raise deadline_exceeded(call) from None
        except OSError as error:
            if link.is_used:
                raise _StaleLink from None
            raise not_sent(call, error) from error
        if call.method.is_oneway:
            link.is_good = True
            return None
        response = self._receive(link, call, until)
        link.is_good = connection.is_idle and not (response.is_draining or link.is_closing)
        return result_of(response, call)

    def _receive(self, link: _Link, call: Call, until: float) -> ResponseReceived | PongReceived:
        while True:
            try:
                data = link.transport.receive(until)
            except TimeoutError:
                raise deadline_exceeded(call, self._peer) from None
            except OSError as error:
                self._lost(link)
                raise lost(call, error, self._peer) from error
            if not data:
                for event in link.connection.receive_eof():
                    if isinstance(event, RESPONSES):  # the end completes one in some protocols
                        link.is_closing = self._peer.has_answered = True
                        return event
                self._lost(link)
                raise lost(call, None, self._peer)
            response: ResponseReceived | PongReceived | None = None
            for event in link.connection.receive_data(data):
                if isinstance(event, RESPONSES):
                    response = event
                elif response is None:
                    self._handle(link, event, call, until)
                else:
                    link.is_closing = True  # the call is over: whatever it is, it concerns later ones
            if response is not None:
                self._peer.has_answered = True
                return response
            if time.monotonic() >= until:
                raise deadline_exceeded(call, self._peer)

    def _handle(self, link: _Link, event: ConnectionBroken | DataToSend | GoAway, call: Call, until: float) -> None:
        """Handle an event that is not a response."""
        if isinstance(event, ConnectionBroken):
            raise broken(call, event.error)
        if isinstance(event, GoAway):
            link.is_closing = True
            return
        try:
            link.transport.send(event.data, until)
        except TimeoutError:
            raise deadline_exceeded(call, self._peer) from None
        except OSError as error:
            raise lost(call, error, self._peer) from error

    def _lost(self, link: _Link) -> None:
        if not link.is_used:
            self._peer.reconsider()

    # The pool.

    def _take(self, call: Call, until: float, *, fresh: bool = False) -> _Link:
        while True:
            with self._lock:
                if self._is_closed:
                    raise client_closed(call)
                link = self._idle.pop() if self._idle else None
                if link is None:
                    if self._count < self._max:
                        self._count += 1
                        break
                    self._wait(call, until)
                    continue
            if not fresh and link.transport.is_quiet():
                link.is_used = True
                if until - call.deadline.timeout - link.idle_since <= self._ping_after or self._answers(link, call):
                    return link
                # The others have been idle for longer.
                fresh = True
            link.is_good = False
            self._give_back(link)
        return self._connect(call, until)

    def _answers(self, link: _Link, call: Call) -> bool:
        """Whether the server answers a ping over this connection, so that `call` may follow."""
        ping = ping_before(call, self._ping_timeout)
        with contextlib.suppress(RpcError, _StaleLink):
            self._exchange(link, ping, ping.deadline.at)
        return link.is_good

    def _wait(self, call: Call, until: float) -> None:
        """With the lock: wait until a connection is free."""
        self._queue += 1
        try:
            if not self._freed.wait(until - time.monotonic()):
                raise no_room(call, self._max)
            if is_called_off():
                self._freed.notify()  # the next one in the line
                raise not_needed(call)
        finally:
            self._queue -= 1

    def _connect(self, call: Call, until: float) -> _Link:
        """A new connection, which has been counted already."""
        try:
            return _Link(*self._opening.connect(call, until))
        except BaseException:
            with self._lock:
                self._count -= 1
                self._freed.notify()
            raise

    def _give_back(self, link: _Link) -> None:
        with self._lock:
            if link.is_good and not self._is_closed:
                link.idle_since = time.monotonic()
                self._idle.append(link)
            else:
                link.transport.close()
                self._count -= 1
            if self._queue:
                self._freed.notify()

    def found_again(self) -> None:
        """See `BlockingSender.found_again`."""
        self._opening.backoff.succeeded()

    def connections(self) -> int:
        """See `BlockingSender.connections`."""
        return self._count

    def stats(self) -> PoolStats:
        """See `BlockingSender.stats`."""
        return self._peer.stats(self._count, self._count - len(self._idle), self._queue)

    def close(self) -> None:
        """See `BlockingSender.close`."""
        with self._lock:
            self._is_closed = True
            for link in self._idle:
                link.transport.close()
            self._count -= len(self._idle)
            self._idle.clear()
            self._freed.notify_all()


class _StaleLink(Exception):
    """The server had closed the connection before the call was handed over."""
