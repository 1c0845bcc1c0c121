"""The leaf for threads that share connections: each carries many calls at once, told apart by their numbers.

There is no thread behind it. Of those who wait for answers on a connection one reads, for all; when it has its own
answer, it hands reading on to another one who waits. A call that runs out of time is forgotten, and its answer is
dropped when it comes; a connection on which nothing is answered any more takes no further calls (see `Link.is_stuck`).
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import Any

from idlrt.client.opening import Opening
from idlrt.client.peer_state import PeerState
from idlrt.client.ping import PING, PING_TIMEOUT, ping_before
from idlrt.client.sender import (
    broken,
    client_closed,
    deadline_exceeded,
    lost,
    no_room,
    not_sent,
    result_of,
)
from idlrt.client.stats import PoolStats
from idlrt.core import Call
from idlrt.core.forks import forks
from idlrt.errors import RemoteProtocolError, RpcError
from idlrt.net.blocking import BlockingTransport
from idlrt.protocol import ClientConnection, ConnectionBroken, DataToSend, GoAway, PongReceived, ResponseReceived

__all__ = ["SharedSender"]

# A server that leaves so many calls unanswered is not going to answer; a new connection may help.
_MAX_CANCELLED = 4096


class _Waiter:
    """Somebody who waits for an answer.

    Attributes:
        order: how many calls had been made on the connection before.
        signal: is set when there is an answer, or when it is this one's turn to read.
    """

    __slots__ = ("error", "order", "reply", "signal")

    def __init__(self, order: int) -> None:
        self.order = order
        self.signal = threading.Event()
        self.reply: ResponseReceived | PongReceived | None = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is an answer, or never will be."""
        return self.reply is not None or self.error is not None


class _Link:
    """A connection and the calls that are on it.

    Attributes:
        is_used: whether a call has been made on it before.
        is_stuck: whether it takes no further calls, although some may still be answered.
        is_lost: whether it is gone.
        is_asked: whether its server is being asked whether it is there; nothing else is put on it meanwhile.
        claimed: calls that are on it, or about to be.
        idle_since: when the last of them was over.
    """

    def __init__(self, transport: BlockingTransport, connection: ClientConnection, peer: PeerState) -> None:
        self.transport = transport
        self._peer = peer
        self.is_used = self.is_stuck = self.is_lost = self.is_asked = False
        self.claimed, self.idle_since = 0, 0.0
        self._connection = connection
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._waiting: dict[int, _Waiter] = {}
        self._made = self._answered = 0
        self._has_reader = False

    def exchange(self, call: Call, until: float) -> Any:
        """Make a call.

        Raises:
            _StaleLink: the server had closed the connection before; nobody has seen the call.
        """
        with self._lock:
            if self.is_lost:
                raise _StaleLink
            if call.method is PING:
                number, data = self._connection.ping()
            else:
                metadata, context = self._peer.metadata_of(call, self._connection.capabilities)
                number, data = self._connection.request(call.method, call.arguments, metadata, context)
            waiter = _Waiter(self._made)
            if not call.method.is_oneway:
                self._made += 1
                self._waiting[number] = waiter
        try:
            self._send(call, waiter, data, until)
        except BaseException:
            self._leave(number, waiter)
            raise
        if call.method.is_oneway:
            return None
        try:
            self._wait(waiter, until)
        finally:
            self._leave(number, waiter)
        if (error := waiter.error) is not None:
            if isinstance(error, RemoteProtocolError):
                raise broken(call, error)
            raise lost(call, None if isinstance(error, EOFError) else error, self._peer)
        if waiter.reply is None:
            raise deadline_exceeded(call, self._peer)
        return result_of(waiter.reply, call)

    def answers(self, call: Call, ping_timeout: float) -> bool:
        """Whether the server answers a ping, so that `call` may follow."""
        with contextlib.suppress(RpcError, _StaleLink):
            self.exchange(ping := ping_before(call, ping_timeout), ping.deadline.at)
        return not (self.is_lost or self.is_stuck)

    def _send(self, call: Call, waiter: _Waiter, data: bytes, until: float) -> None:
        """One after the other. Who reads is not held up: a server may take calls only when its answers are taken."""
        if not self._sending.acquire(timeout=max(until - time.monotonic(), 0.0)):
            raise not_sent(call, TimeoutError("the server does not take the calls before it"))
        try:
            if waiter.error is not None:
                raise _StaleLink
            self.transport.send(data, until)
            self.is_used = True
        except OSError as error:
            # What is sent by halves spoils the connection for all.
            with self._lock:
                self._fail(error)
            if isinstance(error, TimeoutError):
                raise deadline_exceeded(call) from None
            if self.is_used:
                raise _StaleLink from None
            raise not_sent(call, error) from error
        finally:
            self._sending.release()

    def _wait(self, waiter: _Waiter, until: float) -> None:
        while not waiter.is_done:
            with self._lock:
                is_reader = not self._has_reader and not waiter.is_done
                if is_reader:
                    self._has_reader = True
                else:
                    waiter.signal.clear()
                    if waiter.is_done:
                        return
            if is_reader:
                try:
                    self._read(waiter, until)
                finally:
                    self._hand_on(waiter)
                return
            if not waiter.signal.wait(max(until - time.monotonic(), 0.0)):
                return

    def _read(self, waiter: _Waiter, until: float) -> None:
        """Read for all, until there is an answer for `waiter` or its time is over."""
        while not waiter.is_done and time.monotonic() < until:
            try:
                data = self.transport.receive(until)
            except TimeoutError:
                return
            except OSError as error:
                with self._lock:
                    self._fail(error)
                return
            with self._lock:
                if not data:
                    self._fail(EOFError())
                    return
                due = self._received(data)
            if due:
                self._send_due(due, until)

    def _received(self, data: bytes) -> bytes:
        """With the lock: hand responses to those who wait for them. Returns bytes to send."""
        due = b""
        for event in self._connection.receive_data(data):
            if isinstance(event, ConnectionBroken):
                self._fail(event.error)
                break
            if isinstance(event, DataToSend):
                due += event.data
                continue
            if isinstance(event, GoAway):
                self.is_stuck = True
                continue
            if event.is_draining:
                self.is_stuck = True
            self._peer.has_answered = True
            waiter = self._waiting.pop(event.id, None)
            if waiter is not None:
                self._answered = max(self._answered, waiter.order + 1)
                waiter.reply = event
                waiter.signal.set()
        return due

    def _send_due(self, data: bytes, until: float) -> None:
        try:
            with self._sending:
                self.transport.send(data, until)
        except OSError as error:
            with self._lock:
                self._fail(error)

    def _hand_on(self, leaving: _Waiter) -> None:
        """Let another one read."""
        with self._lock:
            self._has_reader = False
            self._wake(leaving)

    def _wake(self, leaving: _Waiter) -> None:
        for waiter in self._waiting.values():
            if waiter is not leaving and not waiter.is_done:
                waiter.signal.set()
                return

    def _leave(self, number: int, waiter: _Waiter) -> None:
        """The caller goes, with or without an answer."""
        with self._lock:
            if not self._has_reader:
                self._wake(waiter)  # it may have been this one's turn
            if self._waiting.get(number) is not waiter or waiter.is_done:
                return
            del self._waiting[number]
            self._connection.cancel(number)
            # Many servers answer in order: if nothing behind it was answered either, one that hangs holds up all.
            if waiter.order >= self._answered or self._connection.cancelled > _MAX_CANCELLED:
                self.is_stuck = True

    def _fail(self, error: Exception) -> None:
        """With the lock: no answer will come any more."""
        self.is_lost = True
        if self._waiting and not self._answered:
            self._peer.reconsider()
        for waiter in self._waiting.values():
            waiter.error = error
            waiter.signal.set()
        self._waiting.clear()


class SharedSender:
    """See the module. A `BlockingSender`.

    Args:
        opening: how connections are made.
        max_connections: that may exist at the same time.
        calls_per_connection: that may be under way on each; a call for which there is no room waits.
        ping_after: seconds for which a connection may have been idle before its server is asked whether it is there.
        ping_timeout: seconds to wait for the response to such a ping.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        max_connections: int,
        calls_per_connection: int,
        ping_after: float = math.inf,
        ping_timeout: float = PING_TIMEOUT,
    ) -> None:
        self._opening = opening
        self._peer = opening.peer
        self._max = max_connections
        self._most = min(calls_per_connection, self._peer.max_in_flight)
        self._ping_after = ping_after
        self._ping_timeout = ping_timeout
        self._is_closed = False
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process that made it: the sockets are the parent's, and are left alone."""
        self._changed = threading.Condition()
        self._links: list[_Link] = []
        self._connecting = 0
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
            return link.exchange(call, until)
        except _StaleLink:
            pass
        finally:
            self._give_back(link)
        link = self._take(call, until)
        try:
            return link.exchange(call, until)
        except _StaleLink:
            raise not_sent(call, ConnectionResetError("the server closed the connection")) from None
        finally:
            self._give_back(link)

    def _take(self, call: Call, until: float) -> _Link:
        with self._changed:
            while True:
                if self._is_closed:
                    raise client_closed(call)
                link = self._least_busy()
                if link is not None:
                    is_due = link.claimed == 0 and time.monotonic() - link.idle_since > self._ping_after
                    link.claimed += 1
                    if not is_due:
                        return link
                    link.is_asked = True
                    break
                if len(self._links) + self._connecting < self._max:
                    self._connecting += 1
                    break
                self._queue += 1
                try:
                    if not self._changed.wait(max(until - time.monotonic(), 0.0)):
                        raise no_room(call, self._max)
                finally:
                    self._queue -= 1
        if link is None:
            return self._connect(call, until)
        answers = False
        try:
            answers = link.answers(call, self._ping_timeout)
        finally:
            link.is_asked = False
            link.is_stuck = not answers
            if answers:
                with self._changed:
                    self._changed.notify_all()
            else:
                self._give_back(link)
        return link if answers else self._take(call, until)

    def _least_busy(self) -> _Link | None:
        """With the lock: the connection for the next call, if there is one with room."""
        best: _Link | None = None
        for link in list(self._links):
            if link.claimed == 0 and (link.is_lost or link.is_stuck or not link.transport.is_quiet()):
                link.is_lost = True
                self._drop(link)
            elif link.is_lost or link.is_stuck or link.is_asked or link.claimed >= self._most:
                continue
            elif best is None or link.claimed < best.claimed:
                best = link
        # Another connection is worth while only when those that are there are full.
        return best

    def _drop(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)
            link.transport.close()

    def _connect(self, call: Call, until: float) -> _Link:
        """A new connection, which has been counted already."""
        try:
            link = _Link(*self._opening.connect(call, until), self._peer)
            link.claimed = 1
        except BaseException:
            with self._changed:
                self._connecting -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._connecting -= 1
            self._links.append(link)
            self._changed.notify_all()
        return link

    def _give_back(self, link: _Link) -> None:
        with self._changed:
            link.claimed -= 1
            link.idle_since = time.monotonic()
            if link.claimed == 0 and (link.is_lost or link.is_stuck or self._is_closed):
                self._drop(link)
            self._changed.notify()

    def found_again(self) -> None:
        """See `BlockingSender.found_again`."""
        self._opening.backoff.succeeded()

    def connections(self) -> int:
        """See `BlockingSender.connections`."""
        return len(self._links) + self._connecting

    def stats(self) -> PoolStats:
        """See `BlockingSender.stats`."""
        claimed = sum(link.claimed for link in self._links)
        return self._peer.stats(self.connections(), claimed + self._connecting, self._queue)

    def close(self) -> None:
        """See `BlockingSender.close`."""
        with self._changed:
            self._is_closed = True
            for link in list(self._links):
                if link.claimed == 0:
                    self._drop(link)
            self._changed.notify_all()


class _StaleLink(Exception):
    """The server had closed the connection before the call was handed over."""
