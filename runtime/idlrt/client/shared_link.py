"""A connection that threads share: it carries many calls at once, told apart by their ids.

There is no thread behind it. Of the threads that wait for responses on a connection one reads, for all; when it has its
own response, it hands reading on to another one. A call that runs out of time is cancelled, and its response is dropped
when it arrives; a connection on which nothing is answered any more takes no further calls (`Link.is_stuck`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any

from idlrt.client.peer_state import PeerState
from idlrt.client.ping import PING, ping_before
from idlrt.client.sender import (
    RESPONSES,
    broken,
    deadline_exceeded,
    is_full,
    lost,
    not_sent,
    result_of,
)
from idlrt.core import Call
from idlrt.errors import RemoteProtocolError, RpcError
from idlrt.net.blocking import BlockingTransport
from idlrt.protocol import (
    ClientConnection,
    ClientEvent,
    ConnectionBroken,
    DataToSend,
    GoAway,
    PongReceived,
    ResponseReceived,
)

__all__ = ["Link", "StaleLink"]


class _Waiter:
    """A thread that waits for a response.

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


class Link:
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
        # Bytes that answer no request and wait to be sent.
        self._due = b""

    @property
    def is_full(self) -> bool:
        """Whether the protocol has no room for another request, cancelled ones included."""
        connection = self._connection
        return self.claimed + connection.cancelled >= connection.capabilities.max_in_flight

    def exchange(self, call: Call, until: float) -> Any:
        """Make a call.

        Raises:
            StaleLink: the server had closed the connection before the call was sent.
        """
        with self._lock:
            if self.is_lost:
                raise StaleLink
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
        with contextlib.suppress(RpcError, StaleLink):
            self.exchange(ping := ping_before(call, ping_timeout), ping.deadline.at)
        return not (self.is_lost or self.is_stuck)

    def _send(self, call: Call, waiter: _Waiter, data: bytes, until: float) -> None:
        """One after the other. Who reads is not held up: a server may take calls only when its answers are taken."""
        if not self._sending.acquire(timeout=max(until - time.monotonic(), 0.0)):
            raise not_sent(call, TimeoutError("the server does not take the calls before it"))
        try:
            if waiter.error is not None:
                raise StaleLink
            self.transport.send(data, until)
            self.is_used = True
        except OSError as error:
            # What is sent by halves spoils the connection for all.
            with self._lock:
                self._fail(error)
            if isinstance(error, TimeoutError):
                raise deadline_exceeded(call) from None
            if self.is_used:
                raise StaleLink from None
            raise not_sent(call, error) from error
        finally:
            self._sending.release()
        if self._due:
            self._send_due(until)

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
                    # The end completes a response in some protocols.
                    self._received([each for each in self._connection.receive_eof() if isinstance(each, RESPONSES)])
                    self._fail(EOFError())
                    return
                due = self._received(self._connection.receive_data(data))
            if due:
                self._due += due
            if self._due:
                self._send_due(until)

    def _received(self, events: Sequence[ClientEvent]) -> bytes:
        """With the lock: hand responses to those who wait for them. Returns bytes to send."""
        due = b""
        for event in events:
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

    def _send_due(self, until: float) -> None:
        """Send what answers no request. The thread that reads is not held up: one that sends does it afterwards."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            with self._lock:
                due, self._due = self._due, b""
            self.transport.send(due, until)
        except OSError as error:
            with self._lock:
                self._fail(error)
        finally:
            self._sending.release()

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
            notice = self._connection.cancel(number)
            # Many servers answer in order: if nothing behind it was answered either, one that hangs holds up all. And
            # a server that would have to be told hears of it when the connection is closed.
            if waiter.order >= self._answered or notice or is_full(self._connection):
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


class StaleLink(Exception):
    """The server had closed the connection before the call was handed over."""
