"""Connection on a selector loop. It reads once and writes once each time its socket is ready.

Data is sent at the end of an iteration of the loop. What the kernel does not accept stays in the send buffer; the
receiver watches its size (`pending`) and pauses reading, which applies backpressure to a slow client. An exception of a
receiver closes its own connection only.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from idlrt.core import Peer
from idlrt.core.logs import get_logger
from idlrt.net.poller import READ, WRITE, Poller
from idlrt.net.socket_options import cork, unacknowledged

__all__ = ["Channel", "ChannelLoop", "Receiver"]

_log = get_logger("idlrt.net")

_RECEIVE = 65536
_BUFFERS_AT_ONCE = 64
_LINGER_STEP = 0.005
_LINGER_TIMEOUT = 5.0
# Limits on what a client may still send after its last response: seconds without any data, and bytes.
_DISCARD_TIMEOUT = 1.0
_MAX_DISCARDED = 128 << 20


class Receiver(Protocol):
    """Interface of the protocol handler of a connection, with the callbacks of `asyncio.Protocol`."""

    def data_received(self, data: bytes) -> None:
        """Handle received bytes."""
        ...

    def eof_received(self) -> None:
        """Handle the end of stream: the client sends no more, but may still read."""
        ...

    def drained(self) -> None:
        """Handle the send buffer becoming empty."""
        ...

    def connection_lost(self, error: Exception | None) -> None:
        """Handle the end of the connection; the last callback. `error` is `None` if this side closed it."""
        ...


class ChannelLoop(Protocol):
    """Interface between a channel and its loop. A round is one iteration of the loop."""

    @property
    def now(self) -> float:
        """Time at which the current iteration began, on the clock of `time.monotonic`."""
        ...

    @property
    def poller(self) -> Poller:
        """The poller of the loop."""
        ...

    @property
    def unsent(self) -> list[Channel]:
        """Channels to be flushed at the end of the current iteration."""
        ...

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` before the loop waits again."""
        ...

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> object:
        """Call `function` after `seconds`."""
        ...


class Channel:
    """A connection of the loop.

    Args:
        loop: the loop.
        connected: the socket, which the channel closes.
        peer: the client.
        linger_timeout: seconds in which a client may acknowledge the last bytes before its connection is closed.

    Attributes:
        peer: the client.
        pending: number of bytes in the send buffer.
        last_read: time of the last read that returned data, initially of the creation, on the clock of the loop.
        last_written: time of the last write that made progress, or at which the send buffer became non-empty.
    """

    __slots__ = (
        "_at_eof", "_discarded", "_discarded_at", "_is_closed", "_is_closing", "_is_discarding", "_is_paused",
        "_linger_timeout", "_linger_until", "_loop", "_out", "_receiver", "_socket", "_watched", "last_read",
        "last_written", "peer", "pending",
    )  # fmt: skip

    def __init__(
        self, loop: ChannelLoop, connected: socket.socket, peer: Peer, *, linger_timeout: float = _LINGER_TIMEOUT
    ) -> None:
        self.peer = peer
        self.pending = 0
        self.last_read = self.last_written = loop.now
        self._loop = loop
        self._socket = connected
        self._receiver: Receiver | None = None
        self._out: deque[bytes | memoryview] = deque()
        self._watched = 0
        self._is_paused = False
        self._at_eof = False
        self._is_closing = False
        # Data of the client that has been discarded since `close`: number of bytes, and time of the last ones.
        self._is_discarding = False
        self._discarded = 0
        self._discarded_at = 0.0
        self._linger_timeout = linger_timeout
        self._linger_until = 0.0
        self._is_closed = False

    def open(self, receiver: Receiver) -> None:
        """Start reading."""
        self._receiver = receiver
        self._watch()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call `function` before the loop waits again."""
        self._loop.call_soon(function)

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed."""
        return self._is_closed

    def send(self, data: bytes) -> None:
        """Send `data` at the end of the iteration, and the rest when the socket is writable. Ignored once closed."""
        if self._is_closed or self._is_closing:
            return
        if not self._out:
            self._loop.unsent.append(self)
        self._out.append(data)
        self.pending += len(data)

    def pause_reading(self) -> None:
        """Stop reading, so that TCP flow control holds the client back."""
        if not self._is_paused:
            self._is_paused = True
            self._watch()

    def resume_reading(self) -> None:
        """Resume reading."""
        if self._is_paused:
            self._is_paused = False
            self._watch()

    def read_now(self) -> bool:
        """Read what has arrived, without waiting for the loop, and return whether there was any data."""
        if self._is_closed or self._at_eof or self._is_paused:
            return False
        return self._read()

    def close(self, *, discard: bool = False) -> None:
        """Close once the client has received everything.

        Args:
            discard: whether the client may be sending, so that it reads its last response only afterwards. What it
                sends is read and discarded until it closes, or sends nothing for a second, at most for the linger
                timeout. (A reset would end its sending with an error, and most clients then ignore the response.)
                Otherwise nothing more is read.
        """
        if self._is_closed or self._is_closing:
            return
        self._is_closing = True
        self._is_discarding = discard
        self._watch()
        if self._out:
            if self._socket.family == socket.AF_UNIX and not discard:
                # The same effect as `cork`: a client that has read the last response cannot send another request.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RD)
            cork(self._socket)
        else:
            self._linger()

    def flush(self) -> None:
        """Write as much of the send buffer as the kernel accepts. The loop calls it at the end of each iteration."""
        out = self._out
        if not out:
            return
        try:
            sent = self._socket.send(out[0]) if len(out) == 1 else self._send_many()
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._close_now(error)
            return
        if sent == self.pending and self._watched == READ and not self._is_closing:
            # The common case: everything has been sent, and no caller waits for `drained`.
            out.clear()
            self.pending = 0
            self.last_written = time.monotonic()
            return
        self.pending -= sent
        if sent or not self._watched & WRITE:
            # Not `now` of the loop: a handler may have run longer than the write timeout since then.
            self.last_written = time.monotonic()
        if not self.pending:
            out.clear()
            if self._watched & WRITE or self._is_closing or self._is_paused:
                self._buffer_emptied()
            return
        while sent:
            first = out[0]
            if sent < len(first):
                out[0] = memoryview(first)[sent:]
                break
            sent -= len(first)
            out.popleft()
        self._watch()

    def _send_many(self) -> int:
        return self._socket.sendmsg(itertools.islice(self._out, _BUFFERS_AT_ONCE))

    def _buffer_emptied(self) -> None:
        """Handle the send buffer becoming empty where the receiver, or `close`, waits for it."""
        self._watch()
        if self._is_closing:
            self._linger()
        else:
            assert self._receiver is not None
            self._receiver.drained()

    def _linger(self) -> None:
        """Wait until the client's kernel has acknowledged all bytes, and the client has finished sending.

        If data from the client arrived at a closed socket, the kernel would send a reset, which discards responses that
        are in transit.
        """
        if self._is_closed:
            return
        now = time.monotonic()
        is_first = not self._linger_until
        if is_first:
            self._linger_until = now + self._linger_timeout
        if now > self._linger_until or not (unacknowledged(self._socket) or self._expects_data(now)):
            self._close_now(None)
            return
        if is_first:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                self._close_now(error)
                return
        self._loop.call_later(_LINGER_STEP, self._linger)

    def _expects_data(self, now: float) -> bool:
        """Whether the client may still be sending, once everything is acknowledged."""
        if not self._is_discarding or self._at_eof:
            return False
        if not self._discarded_at:
            self._discarded_at = now
        return now - self._discarded_at < _DISCARD_TIMEOUT

    def _discard(self, data: bytes) -> None:
        """Discard data of a client whose connection is being closed."""
        self._discarded += len(data)
        self._discarded_at = time.monotonic()
        if self._discarded > _MAX_DISCARDED:
            self._close_now(None)
        elif not data:
            self._at_eof = True
            if self._out:
                self._watch()
            else:
                self._close_now(None)

    def abort(self, error: Exception | None = None) -> None:
        """Close at once, without sending the buffered data."""
        self._close_now(error)

    def close_inherited(self) -> None:
        """Close the inherited socket in a forked child, without an effect on the connection of the parent."""
        self._is_closed = True
        self._out.clear()
        self._socket.close()

    def _watch(self) -> None:
        """Register the events to wait for with the poller."""
        if self._is_closed:
            return
        if self._is_closing:
            wanted = READ if self._is_discarding and not self._at_eof else 0
        else:
            wanted = 0 if self._is_paused or self._at_eof else READ
        if self._out:
            wanted |= WRITE
        if wanted == self._watched:
            return
        if wanted:
            self._loop.poller.watch(self._socket, wanted, self._ready)
        else:
            self._loop.poller.unwatch(self._socket)
        self._watched = wanted

    def _ready(self, mask: int) -> None:
        try:
            if mask != READ and not self._is_closed:
                self.flush()
            if mask & self._watched & READ:
                self._read()
        except Exception as error:  # noqa: BLE001  # logged, and affects one connection only
            _log.exception(
                "closing connection from %s: unexpected exception", self.peer, extra={"peer": self.peer.address}
            )
            self._close_now(error)

    def _read(self) -> bool:
        receiver = self._receiver
        assert receiver is not None
        try:
            data = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return False
        except OSError as error:
            self._close_now(error)
            return False
        if self._is_closing:
            self._discard(data)
            return False
        if data:
            self.last_read = self._loop.now
            receiver.data_received(data)
            return True
        self._at_eof = True
        self._watch()
        receiver.eof_received()
        return False

    def _close_now(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._watched:
            self._loop.poller.unwatch(self._socket)
            self._watched = 0
        self._out.clear()
        self.pending = 0
        self._socket.close()
        # Deferred, because the receiver may be further up the call stack.
        self._loop.call_soon(self._notify_lost, error)

    def _notify_lost(self, error: Exception | None) -> None:
        if self._receiver is not None:
            self._receiver.connection_lost(error)
            self._receiver = None
