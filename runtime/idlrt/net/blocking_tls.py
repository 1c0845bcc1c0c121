"""Blocking TLS connections of clients, the counterpart of `idlrt.net.blocking` for TLS."""

from __future__ import annotations

import contextlib
import select
import ssl
import threading
import time

from idlrt.net.address import Address
from idlrt.net.blocking import connect_socket, milliseconds
from idlrt.net.tls_context import TlsContext

__all__ = ["BlockingTlsSocket"]

_RECEIVE = 65536


class BlockingTlsSocket:
    """TLS connection to a server; a `BlockingTransport`."""

    __slots__ = ("_lock", "_received", "_socket")

    def __init__(self, connected: ssl.SSLSocket) -> None:
        connected.setblocking(False)
        self._socket = connected
        # Threads may send and receive at the same time, but OpenSSL does not allow it.
        self._lock = threading.Lock()
        # Data that `is_quiet` has read.
        self._received = b""

    @classmethod
    def connect(cls, address: Address, timeout: float, tls: TlsContext) -> BlockingTlsSocket:
        """Connect to the first address of the host that accepts the connection, and do the TLS handshake.

        Args:
            address: address of the server.
            timeout: timeout of connect and handshake together, in seconds.
            tls: TLS context of the client.

        Raises:
            OSError: no address accepts the connection, or the handshake fails; `TimeoutError` after the timeout.
        """
        until = time.monotonic() + timeout
        raw = connect_socket(address, timeout)
        try:
            raw.settimeout(max(until - time.monotonic(), 0.001))
            name = tls.server_name(address.host or "localhost")
            return cls(tls.current.wrap_socket(raw, server_hostname=name))
        except BaseException:
            raw.close()
            raise

    def send(self, data: bytes, until: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                with self._lock:
                    rest = rest[self._socket.send(rest) :]
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, until, "the server does not read the request")
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, until, "the server does not read the request")

    def receive(self, until: float) -> bytes:
        if self._received:
            kept, self._received = self._received, b""
            return kept
        while True:
            try:
                with self._lock:
                    return self._socket.recv(_RECEIVE)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, until, "no data received")
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, until, "no data received")

    def _wait(self, event: int, until: float, why: str) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        if not poll.poll(milliseconds(until)):
            raise TimeoutError(why)

    def wait_readable(self, until: float) -> bool:
        """Wait until data has arrived, possibly only a part of a TLS record."""
        if self._received or self._socket.pending():
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(milliseconds(until)))

    def is_quiet(self) -> bool:
        """Whether nothing has arrived. Messages of TLS itself, such as session tickets, do not count."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not self._socket.pending() and not poll.poll(0):
            return True
        try:
            with self._lock:
                self._received += self._socket.recv(_RECEIVE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.unwrap()
        self._socket.close()
