"""Connection that threads share: it carries many calls at once, told apart by their ids.

There is no thread behind it. Of the threads that wait for responses on a connection one reads, for all; when it has its
own response, it hands reading on to another one. A call that runs out of time is cancelled, and its response is dropped
when it arrives; a connection on which nothing is answered any more takes no further calls (`is_stuck`).

An exception of a signal handler may end a call at any byte code. The connection knows waiting calls by weak references
only, so it notices: it takes no further calls then, and if bytes may be missing in one of the two directions, it fails.
The thread that reads is a weak reference as well; when it is gone, another one takes over.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any, Final
from weakref import ref

from idlrt.client.blocking_pool import BlockingLease
from idlrt.client.connection_pool import LOOK_AGAIN, PoolConnection
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

__all__ = ["Link", "StaleLink", "Waiter"]

_INTERRUPTED: Final = "another call on the connection was interrupted"


class Waiter(BlockingLease["Link"]):
    """A call on a connection, and the thread that waits for its response.

    Attributes:
        order: how many calls had been made on the connection before.
        response: what has been received for it.
        error: why nothing will be.
    """

    __slots__ = ("error", "order", "response")

    def __init__(self) -> None:
        super().__init__()
        self.order = 0
        self.response: ResponseReceived | PongReceived | None = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is a response, or never will be."""
        return self.response is not None or self.error is not None


class Link(PoolConnection):
    """A connection and the calls that are on it.

    Attributes:
        is_open: whether it has been opened.
        is_used: whether a call has been made on it before.
        is_stuck: whether it takes no further calls, although some may still be answered.
        is_lost: whether it is gone.
    """

    _transport: BlockingTransport
    _connection: ClientConnection

    def __init__(self, peer: PeerState) -> None:
        super().__init__()
        self._peer = peer
        self.is_open = self.is_used = self.is_stuck = self.is_lost = False
        self._lock = threading.Lock()
        self._waiting: dict[int, ref[Waiter]] = {}
        # Calls that were interrupted without a chance to leave.
        self._interrupted: list[ref[Waiter]] = []
        self._made = self._answered = 0
        self._is_beginning = False
        # Why no response will come any more.
        self._failure: Exception | None = None
        # The call whose thread reads for all, and whether bytes that it has read may not have been handled yet.
        self._reader: ref[Waiter] | None = None
        self._is_receiving = False
        # The right to send, and whether a part of the bytes may not have been sent yet.
        self._sending = threading.Lock()
        self._is_sending = False
        # Bytes that answer no request and wait to be sent.
        self._due = b""

    def open(self, transport: BlockingTransport, connection: ClientConnection) -> None:
        """Set what calls go over."""
        self._transport, self._connection = transport, connection
        self.is_open = True

    @property
    def takes_calls(self) -> bool:
        """Whether another call may be put on it. Cancelled calls occupy room until they are answered."""
        if self.is_lost or self.is_stuck or self._interrupted or not self.is_open:
            return False
        connection = self._connection
        return len(self.leases) + connection.cancelled < connection.capabilities.max_in_flight

    def is_stale(self) -> bool:
        """Return whether the server has closed it, or has sent something without a request."""
        return not self._transport.is_quiet()

    def dispose(self) -> None:
        """Close the transport."""
        self.is_lost = True
        if self.is_open:
            self._transport.close()

    def exchange(self, waiter: Waiter, call: Call, until: float) -> Any:
        """Make a call.

        Raises:
            StaleLink: the connection was of no use before the call was sent.
        """
        number, data = self._begin(waiter, call)
        try:
            self._send(waiter, call, data, until)
            if not call.method.is_oneway:
                self._wait(waiter, until)
        except (RpcError, StaleLink):
            raise
        except BaseException:
            self._interrupted.append(ref(waiter))
            raise
        finally:
            self._leave(number, waiter)
        if call.method.is_oneway:
            return None
        if waiter.response is not None:
            return result_of(waiter.response, call)
        if (error := waiter.error) is not None:
            if isinstance(error, RemoteProtocolError):
                raise broken(call, error)
            raise lost(call, None if isinstance(error, EOFError) else error, self._peer)
        raise deadline_exceeded(call, self._peer)

    def answers(self, call: Call, ping_timeout: float) -> bool:
        """Return whether the server answers a ping, so that `call` may follow."""
        with contextlib.suppress(RpcError, StaleLink):
            self.exchange(Waiter(), ping := ping_before(call, ping_timeout), ping.deadline.at)
        return not (self.is_lost or self.is_stuck)

    def _begin(self, waiter: Waiter, call: Call) -> tuple[int, bytes]:
        """Start a call: return its id and the bytes to send."""
        connection = self._connection
        with self._lock:
            if self.is_lost or self._interrupted or self._is_beginning:
                # With `_is_beginning` the connection may wait for the response to a request that was never sent.
                self.is_stuck = True
                raise self._stale()
            self._is_beginning = True
            try:
                if call.method is PING:
                    number, data = connection.ping()
                else:
                    metadata, context = self._peer.metadata_of(call, connection.capabilities)
                    number, data = connection.request(call.method, call.arguments, metadata, context)
            except RpcError:
                self._is_beginning = False
                raise
            if not call.method.is_oneway:
                waiter.order = self._made
                self._made += 1
                self._waiting[number] = ref(waiter, self._interrupted.append)
            self._is_beginning = False
        return number, data

    def _send(self, waiter: Waiter, call: Call, data: bytes, until: float) -> None:
        """Send, one call after the other. The thread that reads is not held up: a server may receive calls only while
        its responses are received.
        """
        if not self._sending.acquire(blocking=False):
            self._wait_to_send(call, until)
        try:
            if self._is_sending:
                with self._lock:
                    self._fail(OSError(_INTERRUPTED))
            if waiter.error is not None:
                raise self._stale()
            self._is_sending = True
            self._transport.send(data, until)
            self._is_sending = False
            self.is_used = True
        except OSError as error:
            # A part of a call spoils the connection for all.
            with self._lock:
                self._fail(error)
            if isinstance(error, TimeoutError):
                raise deadline_exceeded(call) from None
            if self.is_used:
                raise self._stale() from None
            raise not_sent(call, error) from error
        finally:
            self._sending.release()
        if self._due:
            self._send_due(until)

    def _stale(self) -> StaleLink:
        return StaleLink(is_interrupted=bool(self._interrupted) or self._is_beginning)

    def _wait_to_send(self, call: Call, until: float) -> None:
        while not self._sending.acquire(timeout=max(min(until - time.monotonic(), LOOK_AGAIN), 0.0)):
            if self._interrupted:
                raise self._stale()  # perhaps nothing will ever release the lock
            if time.monotonic() >= until:
                raise not_sent(call, TimeoutError("the server does not take the calls before it"))

    def _wait(self, waiter: Waiter, until: float) -> None:
        """Wait for the response. The thread reads itself if no other one does."""
        while not waiter.is_done:
            if self._becomes_reader(waiter):
                self._read(waiter, until)
                return
            left = until - time.monotonic()
            if left <= 0:
                return
            if not waiter.is_done:
                waiter.wait(left)

    def _becomes_reader(self, waiter: Waiter) -> bool:
        with self._lock:
            if waiter.is_done or self._has_reader():
                return False
            if self._failure is not None:  # and telling the calls of it was interrupted
                waiter.error = self._failure
                return False
            if self._is_receiving:
                self._fail(OSError(_INTERRUPTED))
                return False
            self._reader = ref(waiter)
            return True

    def _has_reader(self) -> bool:
        return self._reader is not None and self._reader() is not None

    def _read(self, waiter: Waiter, until: float) -> None:
        """Read for all, until there is a response for `waiter` or its time is over."""
        transport = self._transport
        # Signal handlers run on the main thread. Most interrupt it while it waits, when no bytes can be lost.
        is_main = threading.get_ident() == threading.main_thread().ident
        while not waiter.is_done and time.monotonic() < until:
            if is_main and not transport.wait_readable(until):
                return
            self._is_receiving = True
            try:
                data = transport.receive(0.0 if is_main else until)
            except TimeoutError:
                self._is_receiving = False
                continue
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
                self._due += self._received(self._connection.receive_data(data))
                self._is_receiving = False
            if self._due:
                self._send_due(until)

    def _received(self, events: Sequence[ClientEvent]) -> bytes:
        """With the lock: hand responses to the calls that wait for them. Returns bytes to send."""
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
            found = self._waiting.get(event.id)
            waiter = found() if found is not None else None
            if waiter is not None:
                self._answered = max(self._answered, waiter.order + 1)
                waiter.response = event
                waiter.wake()
            # In this order: a call that is not in the table hears nothing of a failure.
            self._waiting.pop(event.id, None)
        return due

    def _send_due(self, until: float) -> None:
        """Send what answers no request. The thread that reads is not held up: one that sends does it afterwards."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            with self._lock:
                due, self._due = self._due, b""
            if self._is_sending:
                return  # the next call finds out
            self._is_sending = True
            self._transport.send(due, until)
            self._is_sending = False
        except OSError as error:
            with self._lock:
                self._fail(error)
        finally:
            self._sending.release()

    def _leave(self, number: int, waiter: Waiter) -> None:
        """End a call, with or without a response."""
        with self._lock:
            if self._reader is not None and self._reader() is waiter:
                self._reader = None
                if self._is_receiving and not self.is_lost:
                    self._fail(OSError(_INTERRUPTED))
            if not self._has_reader():
                self._wake_another(waiter)
            found = self._waiting.get(number)
            if found is None or found() is not waiter or waiter.is_done:
                return
            del self._waiting[number]
            notice = self._connection.cancel(number)
            # Many servers answer in order: if nothing behind it was answered either, one that hangs holds up all. And
            # a server that would have to be told hears of it when the connection is closed.
            if waiter.order >= self._answered or notice or is_full(self._connection):
                self.is_stuck = True

    def _wake_another(self, leaving: Waiter) -> None:
        """With the lock: let another call read."""
        for each in self._waiting.values():
            waiter = each()
            if waiter is not None and waiter is not leaving and not waiter.is_done:
                waiter.wake()
                return

    def _fail(self, error: Exception) -> None:
        """With the lock: no response will come any more."""
        self.is_lost = True
        self._failure = error
        if self._waiting and not self._answered:
            self._peer.reconsider()
        for each in self._waiting.values():
            waiter = each()
            if waiter is not None:
                waiter.error = error
                waiter.wake()
        self._waiting.clear()


class StaleLink(Exception):
    """The connection was of no use before the call was sent.

    Attributes:
        is_interrupted: whether that is because another call on it was interrupted; else the server has closed it.
    """

    def __init__(self, *, is_interrupted: bool) -> None:
        super().__init__()
        self.is_interrupted = is_interrupted
