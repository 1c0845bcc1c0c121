"""One connection of a readiness loop: it reads once and writes once each time its socket is ready.

What it is given to send leaves at the end of the loop's round. What the peer does not take is kept; the
receiver watches `pending` and pauses reading, which is how a slow peer is made to wait. A receiver that fails
costs its own connection only.
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
from idlrt.net.readiness import READ, WRITE, Readiness
from idlrt.net.socket_options import cork, unacknowledged

__all__ = ["Channel", "Receiver", "Rounds"]

_log = get_logger("idlrt.net")

_RECEIVE = 65536
_BUFFERS_AT_ONCE = 64
_LINGER_STEP = 0.005
_LINGER_MOST = 5.0


class Receiver(Protocol):
    """What sits on a channel and understands its bytes."""

    def data_received(self, data: bytes) -> None:
        """The peer sent `data`."""
        ...

    def eof_received(self) -> None:
        """The peer sends no more; it may still read."""
        ...

    def drained(self) -> None:
        """The peer has taken everything that was kept for it."""
        ...

    def connection_lost(self, error: Exception | None) -> None:
        """The channel is closed. `None` if this side wanted it. The last thing a receiver hears."""
        ...


class Rounds(Protocol):
    """What a channel needs of its loop."""

    @property
    def now(self) -> float:
        """When this round began, on the clock of `time.monotonic`."""
        ...

    @property
    def readiness(self) -> Readiness:
        """What the loop waits with."""
        ...

    @property
    def unsent(self) -> list[Channel]:
        """Channels to be flushed at the end of this round."""
        ...

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` before the loop waits again."""
        ...

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> object:
        """Call `function` after `seconds`."""
        ...


class Channel:
    """One connection of the loop.

    Args:
        linger_timeout: seconds that a peer has to read the last bytes before its connection is closed regardless.

    Attributes:
        peer: who is on the other side.
        pending: bytes that the peer has not taken yet.
        last_read: when bytes came the last time, or the channel was made, on the clock of its loop.
        last_taken: when the peer took bytes the last time, or had to begin to.
    """

    __slots__ = (
        "_at_eof", "_is_closed", "_is_closing", "_is_paused", "_linger_timeout", "_linger_until", "_loop", "_out",
        "_receiver", "_socket", "_watched", "last_read", "last_taken", "peer", "pending",
    )  # fmt: skip

    def __init__(
        self, loop: Rounds, connected: socket.socket, peer: Peer, *, linger_timeout: float = _LINGER_MOST
    ) -> None:
        self.peer = peer
        self.pending = 0
        self.last_read = self.last_taken = loop.now
        self._loop = loop
        self._socket = connected
        self._receiver: Receiver | None = None
        self._out: deque[bytes | memoryview] = deque()
        self._watched = 0
        self._is_paused = False
        self._at_eof = False
        self._is_closing = False
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
        """Whether it can neither read nor write any more."""
        return self._is_closed

    def send(self, data: bytes) -> None:
        """Send `data` at the end of the loop's round, the rest when the peer takes it. Nothing once it is closed."""
        if self._is_closed or self._is_closing:
            return
        if not self._out:
            self._loop.unsent.append(self)
        self._out.append(data)
        self.pending += len(data)

    def pause_reading(self) -> None:
        """Leave what the peer sends in the kernel, which makes the peer wait."""
        if not self._is_paused:
            self._is_paused = True
            self._watch()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if self._is_paused:
            self._is_paused = False
            self._watch()

    def read_now(self) -> bool:
        """Read what has arrived without waiting for the loop; whether there was anything."""
        if self._is_closed or self._at_eof or self._is_paused:
            return False
        return self._read()

    def close(self) -> None:
        """Close when the peer has everything that was sent. Nothing that it sends is heard any more."""
        if self._is_closed or self._is_closing:
            return
        self._is_closing = True
        self._watch()
        if self._out:
            if self._socket.family == socket.AF_UNIX:
                # What `cork` does for others: who has read the last answer cannot send any more.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RD)
            cork(self._socket)
        else:
            self._linger()

    def flush(self) -> None:
        """Send what is pending as far as the peer takes it. The loop does that at the end of its rounds."""
        out = self._out
        if not out:
            return
        try:
            sent = self._socket.send(out[0]) if len(out) == 1 else self._send_many()
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        if sent == self.pending and self._watched == READ and not self._is_closing:
            # The usual case: the peer has taken everything, and nobody waited for that.
            out.clear()
            self.pending = 0
            self.last_taken = time.monotonic()
            return
        self.pending -= sent
        if sent or not self._watched & WRITE:
            # Not the time of the round: a handler may have taken longer than a peer may take.
            self.last_taken = time.monotonic()
        if not self.pending:
            out.clear()
            if self._watched & WRITE or self._is_closing or self._is_paused:
                self._emptied()
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

    def _emptied(self) -> None:
        """The peer has taken everything, and somebody waited for that."""
        self._watch()
        if self._is_closing:
            self._linger()
        else:
            assert self._receiver is not None
            self._receiver.drained()

    def _linger(self) -> None:
        """Wait for the peer's kernel: closing while more comes from the peer throws away what is on its way to it."""
        if self._is_closed:
            return
        now = time.monotonic()
        if not self._linger_until:
            self._linger_until = now + self._linger_timeout
        if not unacknowledged(self._socket) or now > self._linger_until:
            self._lose(None)
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._lose(error)
            return
        self._loop.call_later(_LINGER_STEP, self._linger)

    def abort(self, error: Exception | None = None) -> None:
        """Close now; what is pending is lost."""
        self._lose(error)

    def forget(self) -> None:
        """In a child of the process: close the child's copy of the socket. The parent and the peer notice nothing."""
        self._is_closed = True
        self._out.clear()
        self._socket.close()

    def _watch(self) -> None:
        """Tell the selector what to wait for."""
        if self._is_closed:
            return
        wanted = 0 if self._is_paused or self._at_eof or self._is_closing else READ
        if self._out:
            wanted |= WRITE
        if wanted == self._watched:
            return
        if wanted:
            self._loop.readiness.watch(self._socket, wanted, self._ready)
        else:
            self._loop.readiness.unwatch(self._socket)
        self._watched = wanted

    def _ready(self, mask: int) -> None:
        try:
            if mask != READ and not self._is_closed:
                self.flush()
            if mask & self._watched & READ:
                self._read()
        except Exception as error:  # noqa: BLE001  # logged, and costs one connection
            _log.exception("closing the connection of %s: its receiver failed", self.peer)
            self._lose(error)

    def _read(self) -> bool:
        receiver = self._receiver
        assert receiver is not None
        try:
            data = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(error)
            return False
        if data:
            self.last_read = self._loop.now
            receiver.data_received(data)
            return True
        self._at_eof = True
        self._watch()
        receiver.eof_received()
        return False

    def _lose(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._watched:
            self._loop.readiness.unwatch(self._socket)
            self._watched = 0
        self._out.clear()
        self.pending = 0
        self._socket.close()
        # Later: the receiver may be in the middle of something that led here.
        self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        if self._receiver is not None:
            self._receiver.connection_lost(error)
            self._receiver = None
