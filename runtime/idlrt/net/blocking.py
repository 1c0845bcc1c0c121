"""Blocking connections of clients: every operation ends at a deadline.

Sending never blocks; it waits for space in the send buffer with `poll`. Receiving blocks in the kernel, for at most the
receive timeout of the socket (`SO_RCVTIMEO`): that is one system call, where `poll` first would be two. The timeout is
set again only when it is longer than the remaining time of a call, by a millisecond, or less than half of that: a few
times at first, if all calls have the same timeout. If it is shorter, receiving ends too early and is repeated for the
remaining time. The main thread uses `poll` nevertheless: it receives the signals of the process, each of which would
restart the timeout, so that with a periodic timer of signals it would never expire.

Errors are those of the operating system (`OSError`, `TimeoutError`). The callers, which know the affected call,
translate them into errors of the runtime.
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
# Seconds by which receiving may exceed its deadline, and maximum time that it blocks before it checks the clock again.
_PRECISION = 0.001
_LONGEST = 3600.0


class _MainThread:
    """Identifier of the main thread, determined once per process.

    Attributes:
        ident: the identifier, as returned by `threading.get_ident`.
    """

    def __init__(self) -> None:
        self.ident = main_thread().ident
        forks.register(self)

    def after_fork(self) -> None:
        """Update the identifier in a forked child, whose only thread is its main thread."""
        self.ident = get_ident()


_main = _MainThread()


class BlockingTransport(Protocol):
    """Blocking connection to one server. Deadlines (`until`) are in seconds on the clock of `time.monotonic`."""

    def send(self, data: bytes, until: float) -> None:
        """Send all of `data`.

        Raises:
            OSError: not all of it was sent; `TimeoutError` after the deadline.
        """
        ...

    def receive(self, until: float) -> bytes:
        """Return received bytes as soon as there are any; empty at the end of stream.

        Raises:
            OSError: the connection failed; `TimeoutError` after the deadline.
        """
        ...

    def wait_readable(self, until: float) -> bool:
        """Wait until there is something to read, and return whether there is before the deadline. Reads nothing, so no
        data is lost if a signal handler raises an exception meanwhile.
        """
        ...

    def is_quiet(self) -> bool:
        """Whether nothing has arrived: no data, end of stream or error. Otherwise an idle connection is unusable."""
        ...

    def close(self) -> None:
        """Close the connection. May be called at any time and repeatedly."""
        ...


class BlockingSocket:
    """Connection to a TCP address or a Unix socket without TLS; a `BlockingTransport`."""

    __slots__ = ("_poll", "_receive_timeout", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(True)
        self._socket = connected
        # Receive timeout of the socket in seconds, as set in the kernel.
        self._receive_timeout = 0.0
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)

    @classmethod
    def connect(cls, address: Address, timeout: float) -> BlockingSocket:
        """Connect to the first address of the host that accepts the connection.

        Args:
            address: address of the server.
            timeout: timeout for each address of the host, in seconds.

        Raises:
            OSError: no address accepts the connection; `TimeoutError` after the timeout.
        """
        return cls(connect_socket(address, timeout))

    def send(self, data: bytes, until: float) -> None:
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
                raise TimeoutError("the server does not read the request")
            with contextlib.suppress(BlockingIOError):
                rest = rest[self._socket.send(rest, socket.MSG_DONTWAIT) :]

    def receive(self, until: float) -> bytes:
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
                if not (
                    left / 2 <= self._receive_timeout < left + _PRECISION or self._receive_timeout == _LONGEST < left
                ):
                    self._set_receive_timeout(left)
                return self._socket.recv(_RECEIVE)
            except BlockingIOError:
                if left <= 0:
                    raise TimeoutError("no data received") from None

    def _set_receive_timeout(self, seconds: float) -> None:
        # Zero would disable the timeout.
        self._receive_timeout = min(max(seconds, _PRECISION), _LONGEST)
        whole = int(self._receive_timeout)
        timeval = struct.pack("@ll", whole, int((self._receive_timeout - whole) * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)

    def wait_readable(self, until: float) -> bool:
        return bool(self._poll.poll(milliseconds(until)))

    def is_quiet(self) -> bool:
        return not self._poll.poll(0)

    def close(self) -> None:
        self._socket.close()


def connect_socket(address: Address, timeout: float) -> socket.socket:
    """Return a socket that is connected to the first address of the host that accepts the connection.

    Raises:
        OSError: for the reasons of `BlockingSocket.connect`.
    """
    timeout = max(timeout, 0.001)
    if not address.path:
        try:
            connected = socket.create_connection((address.host or "localhost", address.port), timeout)
        except UnicodeError as error:
            raise OSError(f"invalid host name {address.host!r}") from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(connected)
        return connected
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout)
        connected.connect(address.socket_path)
    except BaseException:
        connected.close()
        raise
    return connected


def milliseconds(until: float) -> float:
    """Return the time until a deadline in milliseconds, rounded up, so that `poll` does not return early and spin."""
    return max(0, int((until - monotonic()) * 1000) + 1)
