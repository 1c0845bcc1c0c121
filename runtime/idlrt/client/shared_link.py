"""Connection that threads share; it multiplexes calls by their ids.

It has no thread. One of the threads that wait for responses reads for all; when it has its own response, it hands
reading over to another one. The response to a call that timed out is dropped when it arrives; a connection that no
longer gets responses accepts no further calls (`is_stuck`).

An exception of a signal handler may interrupt a call at any bytecode. The connection detects it, because it holds
waiting calls by weak references only: it accepts no further calls then, and fails if bytes may be missing in one
direction. The reading thread is held by a weak reference, too; when its call is gone, another thread takes over.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any, Final
from weakref import ref

from idlrt.client.blocking_pool import BlockingLease
from idlrt.client.connection_pool import RECHECK_INTERVAL, PoolConnection
from idlrt.client.errors import bad_response, connection_lost, deadline_exceeded, not_sent
from idlrt.client.peer_state import PeerState
from idlrt.client.ping import PING, ping_before
from idlrt.client.responses import RESPONSES, is_full, result_of
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
    """Call on a connection, and the thread that waits for its response.

    Attributes:
        order: number of calls that were sent over the connection before.
        response: the response; `None` until it arrives.
        error: why no response will arrive.
    """

    __slots__ = ("error", "order", "response")

    def __init__(self) -> None:
        super().__init__()
        self.order = 0
        self.response: ResponseReceived | PongReceived | None = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether the response has arrived, or never will."""
        return self.response is not None or self.error is not None


class Link(PoolConnection):
    """Connection and the calls on it.

    Attributes:
        is_open: whether it has been opened.
        is_used: whether a call has been sent over it.
        is_stuck: whether it accepts no further calls, although calls in flight may still complete.
        is_lost: whether it has ended.
    """

    _transport: BlockingTransport
    _connection: ClientConnection

    def __init__(self, peer: PeerState) -> None:
        super().__init__()
        self._peer = peer
        self.is_open = self.is_used = self.is_stuck = self.is_lost = False
        self._lock = threading.Lock()
        self._waiting: dict[int, ref[Waiter]] = {}
        # Calls that were interrupted before `_leave`.
        self._interrupted: list[ref[Waiter]] = []
        self._made = self._answered = 0
        self._is_beginning = False
        # Why no further response will arrive.
        self._failure: Exception | None = None
        # The call whose thread reads for all, and whether it may have read bytes that are not processed yet.
        self._reader: ref[Waiter] | None = None
        self._is_receiving = False
        # The right to send, and whether a request may have been sent partially.
        self._sending = threading.Lock()
        self._is_sending = False
        # Bytes to send that are not part of a call.
        self._due = b""

    def open(self, transport: BlockingTransport, connection: ClientConnection) -> None:
        """Set the transport and the protocol state of the connection."""
        self._transport, self._connection = transport, connection
        self.is_open = True

    @property
    def takes_calls(self) -> bool:
        """Whether another call may be sent over it. Cancelled calls occupy capacity until their responses arrive."""
        if self.is_lost or self.is_stuck or self._interrupted or not self.is_open:
            return False
        connection = self._connection
        return len(self.leases) + connection.cancelled < connection.capabilities.max_in_flight

    def is_stale(self) -> bool:
        """Return whether the server has closed it, or has sent unsolicited data."""
        return not self._transport.is_quiet()

    def dispose(self) -> None:
        """Close the transport."""
        self.is_lost = True
        if self.is_open:
            self._transport.close()

    def exchange(self, waiter: Waiter, call: Call, until: float) -> Any:
        """Send `call` and return its result.

        Raises:
            StaleLink: the connection was unusable before the call was sent.
            RpcError: the call failed.
        """
        is_answered = not call.method.is_oneway or self._connection.capabilities.acknowledges_oneway
        number, data = self._begin(waiter, call, is_answered=is_answered)
        try:
            self._send(waiter, call, data, until)
            if is_answered:
                self._wait(waiter, until)
        except (RpcError, StaleLink):
            raise
        except BaseException:
            self._interrupted.append(ref(waiter))
            raise
        finally:
            self._leave(number, waiter)
        if not is_answered:
            return None
        if waiter.response is not None:
            return result_of(waiter.response, call)
        if (error := waiter.error) is not None:
            if isinstance(error, RemoteProtocolError):
                raise bad_response(call, error)
            raise connection_lost(call, None if isinstance(error, EOFError) else error, self._peer)
        raise deadline_exceeded(call, self._peer)

    def answers(self, call: Call, ping_timeout: float) -> bool:
        """Return whether the server responds to a ping, so that `call` may follow."""
        with contextlib.suppress(RpcError, StaleLink):
            self.exchange(Waiter(), ping := ping_before(call, ping_timeout), ping.deadline.at)
        return not (self.is_lost or self.is_stuck)

    def _begin(self, waiter: Waiter, call: Call, *, is_answered: bool) -> tuple[int, bytes]:
        """Register a call. Return its id and the bytes to send."""
        connection = self._connection
        with self._lock:
            if self.is_lost or self._interrupted or self._is_beginning:
                # With `_is_beginning` the protocol state may include a request that was never sent.
                self.is_stuck = True
                raise self._stale()
            self._is_beginning = True
            try:
                if call.method is PING:
                    number, data = connection.ping()
                else:
                    metadata, context = self._peer.metadata_of(call, connection.capabilities)
                    number, data = connection.request(call.method, call.arguments, metadata, context)
                    call.sent += len(data)
            except RpcError:
                self._is_beginning = False
                raise
            if is_answered:
                waiter.order = self._made
                self._made += 1
                self._waiting[number] = ref(waiter, self._interrupted.append)
            self._is_beginning = False
        return number, data

    def _send(self, waiter: Waiter, call: Call, data: bytes, until: float) -> None:
        """Send the bytes of a call, one call at a time.

        Reading goes on meanwhile: a server may accept calls only while its responses are read.
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
            # A partially sent call makes the connection unusable for all.
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
        while not self._sending.acquire(timeout=max(min(until - time.monotonic(), RECHECK_INTERVAL), 0.0)):
            if self._interrupted:
                raise self._stale()  # the lock may never be released
            if time.monotonic() >= until:
                raise not_sent(call, TimeoutError("the server does not accept the calls before it"))

    def _wait(self, waiter: Waiter, until: float) -> None:
        """Wait for the response; read it if no other thread reads."""
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
            if self._failure is not None:  # its propagation to the calls was interrupted
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
        """Read for all calls, until the response for `waiter` arrives or its deadline passes."""
        transport = self._transport
        # Signal handlers run on the main thread. It waits without reading, so that most of them lose no bytes.
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
        """Deliver responses to the waiting calls. Return bytes to send. Needs `_lock`."""
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
            # In this order: a failure is only delivered to calls in the table.
            self._waiting.pop(event.id, None)
        return due

    def _send_due(self, until: float) -> None:
        """Send bytes that are not part of a call. If another thread is sending, it sends them afterwards."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            with self._lock:
                due, self._due = self._due, b""
            if self._is_sending:
                return  # the next call fails the connection
            self._is_sending = True
            self._transport.send(due, until)
            self._is_sending = False
        except OSError as error:
            with self._lock:
                self._fail(error)
        finally:
            self._sending.release()

    def _leave(self, number: int, waiter: Waiter) -> None:
        """Unregister a call, with or without a response."""
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
            # Many servers respond in order: if no later call has got a response either, the call that hangs blocks all.
            # A server that should get a cancellation notice learns of it when the connection is closed.
            if waiter.order >= self._answered or notice or is_full(self._connection):
                self.is_stuck = True

    def _wake_another(self, leaving: Waiter) -> None:
        """Let another call read. Needs `_lock`."""
        for each in self._waiting.values():
            waiter = each()
            if waiter is not None and waiter is not leaving and not waiter.is_done:
                waiter.wake()
                return

    def _fail(self, error: Exception) -> None:
        """Fail all waiting calls: no response will arrive. Needs `_lock`."""
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
    """The connection was unusable before the call was sent.

    Attributes:
        is_interrupted: whether another call on it was interrupted; if not, the server has closed it.
    """

    def __init__(self, *, is_interrupted: bool) -> None:
        super().__init__()
        self.is_interrupted = is_interrupted
