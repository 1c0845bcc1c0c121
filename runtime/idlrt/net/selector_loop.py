"""A readiness loop: many connections on one thread.

The loop waits for sockets, timers and other threads, and hands bytes to a `Receiver`. It reads once and
writes once each time a socket is ready, so that no connection holds up the others, and never blocks. What a
peer does not take is kept in its `Channel`; the receiver watches `Channel.pending` and pauses reading, which
is how a slow peer is made to wait. Everything but `call_threadsafe` belongs to the thread that runs the loop.

A receiver that fails costs its own connection only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import heapq
import itertools
import logging
import selectors
import socket
import struct
import termios
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from idlrt.net.address import Address

__all__ = ["Channel", "Receiver", "SelectorLoop", "Timer", "listen"]

_log = logging.getLogger("idlrt.net")

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RECEIVE = 65536
_ACCEPTS_AT_ONCE = 64
_BUFFERS_AT_ONCE = 64
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_PAUSE = 0.1
_ROUND = 0.0005
_LINGER_STEP = 0.005


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


class Timer:
    """Something to do later, unless it is cancelled."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._function: Callable[..., object] | None = function
        self._arguments = arguments

    def cancel(self) -> None:
        """Do not do it."""
        self._function = None
        self._arguments = ()

    def run(self) -> None:
        """Do it, unless it was cancelled."""
        if self._function is not None:
            self._function(*self._arguments)


class Channel:
    """One connection of the loop.

    Attributes:
        peer: who is on the other side, for messages.
        pending: bytes that the peer has not taken yet.
    """

    __slots__ = (
        "_at_eof", "_is_closed", "_is_closing", "_is_paused", "_loop", "_out", "_receiver", "_socket", "_watched",
        "peer", "pending",
    )  # fmt: skip

    def __init__(self, loop: SelectorLoop, connected: socket.socket, peer: str) -> None:
        self.peer = peer
        self.pending = 0
        self._loop = loop
        self._socket = connected
        self._receiver: Receiver | None = None
        self._out: deque[bytes | memoryview] = deque()
        self._watched = 0
        self._is_paused = False
        self._at_eof = False
        self._is_closing = False
        self._is_closed = False

    def open(self, receiver: Receiver) -> None:
        """Start reading."""
        self._receiver = receiver
        self._watch()

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
        if self._out:
            self._watch()
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
        self.pending -= sent
        if not self.pending:
            out.clear()
            if self._watched & _WRITE or self._is_closing or self._is_paused:
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
        if not _unacknowledged(self._socket):
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

    def _watch(self) -> None:
        """Tell the selector what to wait for."""
        if self._is_closed:
            return
        wanted = 0 if self._is_paused or self._at_eof or self._is_closing else _READ
        if self._out:
            wanted |= _WRITE
        if wanted == self._watched:
            return
        selector = self._loop.selector
        if not self._watched:
            selector.register(self._socket, wanted, self._ready)
        elif wanted:
            selector.modify(self._socket, wanted, self._ready)
        else:
            selector.unregister(self._socket)
        self._watched = wanted

    def _ready(self, mask: int) -> None:
        try:
            if mask & _WRITE and not self._is_closed:
                self.flush()
            if mask & _READ and self._watched & _READ:
                self._read()
        except Exception as error:  # noqa: BLE001  # logged, and costs one connection
            _log.exception("closing the connection of %s: its receiver failed", self.peer)
            self._lose(error)

    def _read(self) -> bool:
        assert self._receiver is not None
        try:
            data = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(error)
            return False
        if data:
            self._receiver.data_received(data)
            return True
        self._at_eof = True
        self._watch()
        self._receiver.eof_received()
        return False

    def _lose(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._watched:
            self._loop.selector.unregister(self._socket)
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


def _unacknowledged(connected: socket.socket) -> int:
    """Bytes that were sent and have not arrived; 0 where the system does not say."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(connected, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0


class _Listener:
    """A listening socket. Rests for a moment when the process has no descriptor left."""

    def __init__(self, loop: SelectorLoop, listening: socket.socket, accepted: Callable[[Channel], None]) -> None:
        self._loop = loop
        self._socket = listening
        self._accepted = accepted
        self._is_watched = False
        self._is_closed = False
        self._watch()

    def _watch(self) -> None:
        if not self._is_watched and not self._is_closed:
            self._loop.selector.register(self._socket, _READ, self._ready)
            self._is_watched = True

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.selector.unregister(self._socket)
            self._is_watched = False

    def close(self) -> None:
        """Accept who has connected already, then no more."""
        if not self._is_closed:
            self._ready(0)
            self._unwatch()
            self._is_closed = True
            self._socket.close()

    def _ready(self, mask: int) -> None:
        if self._is_closed:
            return
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connected, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    _log.warning("cannot accept connections for the moment: %s", error)
                    self._unwatch()
                    self._loop.call_later(_ACCEPT_PAUSE, self._watch)
                    return
                continue  # this one has gone again
            try:
                connected.setblocking(False)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._accepted(Channel(self._loop, connected, f"{peer[0]}:{peer[1]}"))
            except Exception:  # noqa: BLE001  # logged, and costs one connection
                _log.exception("cannot serve the connection of %s", peer)
                connected.close()


def listen(address: Address, *, backlog: int) -> socket.socket:
    """A socket that listens at `address`.

    Raises:
        OSError: it is taken, not ours, or not known.
    """
    found = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    # Of several addresses of a name the first one; IPv4 of "every interface", which is there everywhere.
    family, kind, number, _, where = min(found, key=lambda each: each[0] != socket.AF_INET)
    listening = socket.socket(family, kind, number)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(backlog)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


class SelectorLoop:
    """The loop.

    Attributes:
        selector: what it waits with; for channels and listeners only.
        unsent: channels that were given something to send in this round; for channels only.
    """

    def __init__(self) -> None:
        self.selector: Final = selectors.DefaultSelector()
        self.unsent: Final[list[Channel]] = []
        self._soon: deque[Timer] = deque()
        self._later: list[tuple[float, int, Timer]] = []
        self._counter = itertools.count()
        self._is_stopping = False
        self._is_woken = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self.selector.register(self._wake_out, _READ, self._woken)

    def listen(self, listening: socket.socket, accepted: Callable[[Channel], None]) -> Callable[[], None]:
        """Accept connections of `listening`, which becomes the loop's. Returns what stops and closes it."""
        return _Listener(self, listening, accepted).close

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` before the loop waits again."""
        self._soon.append(Timer(function, arguments))

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> Timer:
        """Call `function` after `seconds`."""
        timer = Timer(function, arguments)
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._counter), timer))
        return timer

    def call_threadsafe(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on the loop's thread. May be used by any thread and by signal handlers."""
        self._soon.append(Timer(function, arguments))
        if not self._is_woken:
            self._is_woken = True
            # Full: it will wake. Closed: nobody is left to be woken.
            with contextlib.suppress(OSError):
                self._wake_in.send(b"\0")

    def _woken(self, mask: int) -> None:
        # First the bytes, then the flag: a byte that is sent after it was cleared must stay.
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)
        self._is_woken = False

    def run(self) -> None:
        """Run until `stop` is called on this thread."""
        select, soon, unsent, now = self.selector.select, self._soon, self.unsent, time.monotonic
        while not self._is_stopping:
            ready = select(self._patience())
            latest = now() + _ROUND
            for key, mask in ready:
                key.data(mask)
                if unsent and now() > latest:
                    self._flush()
                    latest = now() + _ROUND
            if self._later:
                self._run_timers()
            for _ in range(len(soon)):
                self._run(soon.popleft())
            if unsent:
                self._flush()

    def _flush(self) -> None:
        """Send what the channels were given in this round.

        One after the other, because peers that sleep are woken by the first answer and are awake for the
        others: waking is what costs most in a round of small calls.
        """
        unsent = self.unsent
        for channel in unsent:
            channel.flush()
        unsent.clear()

    def _patience(self) -> float | None:
        """How long nothing needs to be done, in seconds."""
        if self._soon:
            return 0
        if self._later:
            return max(0.0, self._later[0][0] - time.monotonic())
        return None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._run(heapq.heappop(self._later)[2])

    def _run(self, timer: Timer) -> None:
        try:
            timer.run()
        except Exception:  # noqa: BLE001  # logged; the loop goes on
            _log.exception("something that was to be done later failed")

    def stop(self) -> None:
        """Return from `run` after this round."""
        self._is_stopping = True

    def close(self) -> None:
        """Give back what the loop holds. Its channels and listeners must have been closed."""
        for timer in list(self._soon):
            self._run(timer)
        self._soon.clear()
        self.selector.close()
        self._wake_in.close()
        self._wake_out.close()
