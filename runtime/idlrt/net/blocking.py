"""A connection for threads that wait: every operation ends by a given time.

Sending never blocks; waiting for room is one `poll`. Receiving blocks in the kernel, for at most the receive timeout of
the socket (`SO_RCVTIMEO`): that is one system call, where `poll` first would be two. The timeout is set again only when
it is longer than what is left of a call's time, by a millisecond, or less than half of that: a few times at first, as
long as all calls have the same timeout. If it is shorter, receiving ends too early and is repeated for the rest of the
time. The main thread uses `poll` nevertheless: it receives the signals of the process, each of which would restart the
timeout, so that with a periodic timer of signals it would never expire.

Errors are the operating system's own (`OSError`, `TimeoutError`); whoever knows which call they hit turns them into
errors of the runtime.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from threading import get_ident, main_thread
from time import monotonic
from typing import Protocol

from idlrt.core.forks import forks
from idlrt.net.address import Address
from idlrt.net.socket_options import keep_alive

__all__ = ["BlockingSocket", "BlockingTransport", "connect_socket", "milliseconds"]

_RECEIVE = 65536
# Seconds that receiving may take too long, and that it blocks at most before it looks at the clock again.
_PRECISION = 0.001
_LONGEST = 3600.0


class _MainThread:
    """The main thread, found out once per process.

    Attributes:
        ident: its identifier.
    """

    def __init__(self) -> None:
        self.ident = main_thread().ident
        forks.renew(self)

    def renew(self) -> None:
        """Note the only thread of a child of the process: it is the main thread there."""
        self.ident = get_ident()


_main = _MainThread()


class BlockingTransport(Protocol):
    """Bytes to and from one server. Times are seconds on the clock of `time.monotonic`."""

    def send(self, data: bytes, until: float) -> None:
        """Hand over all of `data`.

        Raises:
            OSError: not all of it was handed over; `TimeoutError` when the time was over.
        """
        ...

    def receive(self, until: float) -> bytes:
        """What the server sent, as soon as there is anything; empty when it sends no more.

        Raises:
            OSError: the connection broke; `TimeoutError` when the time was over.
        """
        ...

    def wait_readable(self, until: float) -> bool:
        """Wait until something has arrived; return whether it has in time. Reads nothing, so a signal handler that
        raises an exception meanwhile loses nothing.
        """
        ...

    def is_quiet(self) -> bool:
        """Whether nothing has arrived: no byte, no end, no error. An idle connection that is not quiet is of no use."""
        ...

    def close(self) -> None:
        """Give the connection up. Allowed at any time, also twice."""
        ...


class BlockingSocket:
    """A connection to a TCP address or a unix socket. See `BlockingTransport`."""

    __slots__ = ("_patience", "_poll", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(True)
        self._socket = connected
        # Seconds that receiving blocks: the timeout that was set.
        self._patience = 0.0
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)

    @classmethod
    def connect(cls, address: Address, timeout: float) -> BlockingSocket:
        """Connect to the first of the host's addresses that answers.

        Args:
            timeout: seconds, for each of the addresses.

        Raises:
            OSError: none does; `TimeoutError` when the time was over.
        """
        return cls(connect_socket(address, timeout))

    def send(self, data: bytes, until: float) -> None:
        """See `BlockingTransport.send`."""
        try:
            sent = self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            self._send_rest(memoryview(data)[sent:], until)

    def _send_rest(self, rest: memoryview, until: float) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        while rest:
            if not poll.poll(milliseconds(until)):
                raise TimeoutError("the server does not read")
            with contextlib.suppress(BlockingIOError):
                rest = rest[self._socket.send(rest, socket.MSG_DONTWAIT) :]

    def receive(self, until: float) -> bytes:
        """See `BlockingTransport.receive`."""
        while True:
            left = until - monotonic()
            try:
                if left <= 0:
                    return self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
                if get_ident() == _main.ident:
                    # Rounded up, as by `milliseconds`.
                    if self._poll.poll(int(left * 1000) + 1):
                        return self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
                    continue
                if not (left / 2 <= self._patience < left + _PRECISION or self._patience == _LONGEST < left):
                    self._set_patience(left)
                return self._socket.recv(_RECEIVE)
            except BlockingIOError:
                if left <= 0:
                    raise TimeoutError("nothing came") from None

    def _set_patience(self, seconds: float) -> None:
        # Zero would be for ever.
        self._patience = min(max(seconds, _PRECISION), _LONGEST)
        whole = int(self._patience)
        timeval = struct.pack("@ll", whole, int((self._patience - whole) * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)

    def wait_readable(self, until: float) -> bool:
        """Wait until something has arrived."""
        return bool(self._poll.poll(milliseconds(until)))

    def is_quiet(self) -> bool:
        """See `BlockingTransport.is_quiet`."""
        return not self._poll.poll(0)

    def close(self) -> None:
        """See `BlockingTransport.close`."""
        self._socket.close()


def connect_socket(address: Address, timeout: float) -> socket.socket:
    """A connection to the first of the host's addresses that answers. Raises as `BlockingSocket.connect` does."""
    timeout = max(timeout, 0.001)
    if not address.path:
        try:
            connected = socket.create_connection((address.host or "localhost", address.port), timeout)
        except UnicodeError as error:
            raise OSError(f"{address.host!r} cannot be the name of a host") from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(connected)
        return connected
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout)
        connected.connect(address.place)
    except BaseException:
        connected.close()
        raise
    return connected


def milliseconds(until: float) -> float:
    """What is left, rounded up: `poll` must not return early and spin."""
    return max(0, int((until - monotonic()) * 1000) + 1)
