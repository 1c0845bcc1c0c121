"""TLS on a connection of the selector loop, between a `Channel` with encrypted bytes and a receiver with plaintext.

OpenSSL encrypts and decrypts in memory buffers and has no access to the socket. The receiver is created after the
handshake, when `peer` holds the names in the client's certificate.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable

from idlrt.core import Peer
from idlrt.core.logs import get_logger
from idlrt.net.channel import Channel, Receiver
from idlrt.net.plaintext import PREFIX_SIZE, plaintext_error, starts_tls
from idlrt.net.tls_context import certificate_names, tls_reason

__all__ = ["TlsChannel"]

_log = get_logger("idlrt.net")

_READ = 65536


class TlsChannel:
    """Server side of a TLS connection: a `Channel` for sessions, and the `Receiver` of the underlying channel.

    Args:
        channel: connection with the encrypted bytes, not opened yet.
        context: TLS context of the server.
        on_handshake: creates the receiver after the handshake.
        failed: called once if the handshake fails.

    Attributes:
        began_at: time at which the connection was accepted, on the clock of the loop.
        peer: the client.
    """

    __slots__ = (
        "_channel", "_error", "_failed", "_first", "_incoming", "_is_closing", "_is_over", "_is_paused",
        "_on_handshake", "_outgoing", "_receiver", "_tls", "began_at", "peer",
    )  # fmt: skip

    def __init__(
        self,
        channel: Channel,
        context: ssl.SSLContext,
        on_handshake: Callable[[TlsChannel], Receiver],
        failed: Callable[[TlsChannel], object],
    ) -> None:
        self.peer = channel.peer
        self.began_at = channel.last_read
        self._channel = channel
        self._on_handshake = on_handshake
        self._failed = failed
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._receiver: Receiver | None = None
        self._error: Exception | None = None
        # First bytes of the client, until they are known to start a TLS handshake; `None` after that.
        self._first: bytes | None = b""
        self._is_paused = False
        self._is_closing = False
        # Whether the client has sent its closure alert or the end of stream.
        self._is_over = False

    def open(self) -> None:
        """Start the handshake."""
        self._channel.open(self)

    # The interface of sessions; `Channel` documents the methods.

    @property
    def pending(self) -> int:
        """Number of encrypted bytes in the send buffer."""
        return self._channel.pending

    @property
    def last_read(self) -> float:
        """Time of the last read that returned data."""
        return self._channel.last_read

    @property
    def last_written(self) -> float:
        """Time of the last write that made progress, or at which the send buffer became non-empty."""
        return self._channel.last_written

    def send(self, data: bytes) -> None:
        if self._is_closing:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._channel.abort(error)
            return
        self._flush()

    def pause_reading(self) -> None:
        self._is_paused = True
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._channel.resume_reading()
            # Data that OpenSSL holds does not make the socket readable.
            self._channel.call_soon(self._pump)

    def read_now(self) -> bool:
        return self._channel.read_now()

    def close(self, *, discard: bool = False) -> None:
        """Send a closure alert, so that the client can tell a regular end from a truncated stream, then close."""
        if self._is_closing:
            return
        self._is_closing = True
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._channel.close(discard=discard)

    def abort(self, error: Exception | None = None) -> None:
        self._channel.abort(error)

    def close_inherited(self) -> None:
        self._is_closing = True
        self._channel.close_inherited()

    # Callbacks of the channel (`Receiver`).

    def data_received(self, data: bytes) -> None:
        if self._first is not None:
            self._first += data
            if not starts_tls(self._first):
                if len(self._first) >= PREFIX_SIZE:
                    self._refuse(self._first)
                return
            self._first = None
        self._incoming.write(data)
        self._pump()

    def _refuse(self, first: bytes) -> None:
        """Send an answer to a client without TLS, and close."""
        if self._is_closing:
            return
        self._is_closing = True
        self._error = error = plaintext_error(first)
        self._channel.send(error.answer)
        self._channel.close(discard=True)

    def eof_received(self) -> None:
        """Pass on the end of stream, also without a closure alert: the protocol detects truncated messages itself."""
        if self._first:
            self._refuse(self._first)
        elif self._receiver is None:
            self._channel.abort(ConnectionResetError("connection closed during the TLS handshake"))
        elif not self._is_over:
            self._is_over = True
            self._receiver.eof_received()

    def drained(self) -> None:
        if self._receiver is not None:
            self._receiver.drained()

    def connection_lost(self, error: Exception | None) -> None:
        error = self._error or error
        if self._receiver is not None:
            self._receiver.connection_lost(error)
        else:
            if error is not None:
                peer, why = self.peer, tls_reason(error)
                _log.info("TLS handshake with %s failed: %s", peer, why, extra={"peer": peer.address})
            self._failed(self)

    def _pump(self) -> None:
        """Continue the handshake, and pass decrypted data to the receiver."""
        try:
            if self._receiver is None:
                self._tls.do_handshake()
                names = certificate_names(self._tls.getpeercert())
                self.peer = Peer(address=self.peer.address, is_encrypted=True, names=names)
                self._receiver = self._on_handshake(self)
                self._flush()
            while not (self._is_paused or self._is_closing or self._is_over or self._channel.is_closed):
                data = self._tls.read(_READ)
                if not data:
                    raise ssl.SSLZeroReturnError
                self._receiver.data_received(data)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLZeroReturnError:
            self._flush()
            if not self._is_over and self._receiver is not None:
                self._is_over = True
                self._receiver.eof_received()
        except ssl.SSLError as error:
            self._error = error
            self._is_closing = True
            self._flush()  # sends the alert
            self._channel.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._channel.send(self._outgoing.read())
