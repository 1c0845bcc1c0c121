"""A connection for threads that wait: every operation ends by a given time.

The socket itself never blocks; waiting is one `poll`. Errors are the operating system's own (`OSError`,
`TimeoutError`); whoever knows which call they hit turns them into errors of the runtime.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Protocol

from idlrt.net.address import Address
from idlrt.net.socket_options import keep_alive

__all__ = ["BlockingSocket", "BlockingTransport", "connect_socket", "milliseconds"]

_RECEIVE = 65536


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

    def is_quiet(self) -> bool:
        """Whether nothing has arrived: no byte, no end, no error. An idle connection that is not quiet is of no use."""
        ...

    def close(self) -> None:
        """Give the connection up. Allowed at any time, also twice."""
        ...


class BlockingSocket:
    """A connection to a TCP address or a unix socket. See `BlockingTransport`."""

    __slots__ = ("_poll", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
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
            sent = self._socket.send(data)
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
                rest = rest[self._socket.send(rest) :]

    def receive(self, until: float) -> bytes:
        """See `BlockingTransport.receive`."""
        while True:
            if not self._poll.poll(milliseconds(until)):
                raise TimeoutError("nothing came")
            try:
                return self._socket.recv(_RECEIVE)
            except BlockingIOError:
                continue

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
        connected = socket.create_connection((address.host or "localhost", address.port), timeout)
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
    return max(0, int((until - time.monotonic()) * 1000) + 1)
