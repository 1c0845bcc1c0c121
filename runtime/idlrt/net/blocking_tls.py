"""TLS for threads that wait. See `idlrt.net.blocking`."""

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
    """A connection with TLS. A `BlockingTransport`."""

    __slots__ = ("_kept", "_lock", "_socket")

    def __init__(self, agreed: ssl.SSLSocket) -> None:
        agreed.setblocking(False)
        self._socket = agreed
        # Threads may send and receive at the same time; the library must not.
        self._lock = threading.Lock()
        # What was read while nobody asked for anything.
        self._kept = b""

    @classmethod
    def connect(cls, address: Address, timeout: float, tls: TlsContext) -> BlockingTlsSocket:
        """Connect to the first of the host's addresses that answers, and agree with the server.

        Args:
            timeout: seconds, for all of it.

        Raises:
            OSError: none answers, or one side does not accept the other; `TimeoutError` when the time was over.
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
        """See `BlockingTransport.send`."""
        rest = memoryview(data)
        while rest:
            try:
                with self._lock:
                    rest = rest[self._socket.send(rest) :]
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, until, "the server does not read")
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, until, "the server does not read")

    def receive(self, until: float) -> bytes:
        """See `BlockingTransport.receive`."""
        if self._kept:
            kept, self._kept = self._kept, b""
            return kept
        while True:
            try:
                with self._lock:
                    return self._socket.recv(_RECEIVE)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, until, "nothing came")
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, until, "nothing came")

    def _wait(self, event: int, until: float, why: str) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        if not poll.poll(milliseconds(until)):
            raise TimeoutError(why)

    def wait_readable(self, until: float) -> bool:
        """Wait until something has arrived, perhaps only a part of what TLS can decrypt."""
        if self._kept or self._socket.pending():
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(milliseconds(until)))

    def is_quiet(self) -> bool:
        """See `BlockingTransport.is_quiet`. TLS's own messages (a server sends tickets) do not count."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not self._socket.pending() and not poll.poll(0):
            return True
        try:
            with self._lock:
                self._kept += self._socket.recv(_RECEIVE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """See `BlockingTransport.close`."""
        with contextlib.suppress(OSError):
            self._socket.unwrap()
        self._socket.close()
