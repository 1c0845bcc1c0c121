"""TLS on a connection of the readiness loop: between a `Channel`, which has the bytes of TLS, and what reads and writes
plain ones. The library encrypts in memory and never sees the socket.

Nobody is told of a connection before the two sides have agreed: then `peer` says who it is, and the receiver is made.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable

from idlrt.core import Peer
from idlrt.core.logs import get_logger
from idlrt.net.channel import Channel, Receiver
from idlrt.net.plain_peer import ENOUGH, is_tls, no_tls
from idlrt.net.tls_context import certificate_names, tls_reason

__all__ = ["TlsChannel"]

_log = get_logger("idlrt.net")

_READ = 65536


class TlsChannel:
    """The server's end of a TLS connection. For a session it is what a `Channel` is; for the channel, a `Receiver`.

    Args:
        channel: has the bytes of TLS. Not open yet.
        agreed: makes the receiver, once the two sides have agreed.
        failed: called once if they do not agree.

    Attributes:
        began_at: when the connection was made, on the clock of the loop.
    """

    __slots__ = (
        "_agreed", "_channel", "_error", "_failed", "_first", "_incoming", "_is_closing", "_is_over", "_is_paused",
        "_outgoing", "_receiver", "_tls", "began_at", "peer",
    )  # fmt: skip

    def __init__(
        self,
        channel: Channel,
        context: ssl.SSLContext,
        agreed: Callable[[TlsChannel], Receiver],
        failed: Callable[[TlsChannel], object],
    ) -> None:
        self.peer = channel.peer
        self.began_at = channel.last_read
        self._channel = channel
        self._agreed = agreed
        self._failed = failed
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._receiver: Receiver | None = None
        self._error: Exception | None = None
        # What a peer has sent that does not speak TLS; `None` once it does.
        self._first: bytes | None = b""
        self._is_paused = False
        self._is_closing = False
        # The peer has said that it sends no more.
        self._is_over = False

    def open(self) -> None:
        """Start to agree."""
        self._channel.open(self)

    # What a session needs.

    @property
    def pending(self) -> int:
        """Bytes that the peer has not taken yet."""
        return self._channel.pending

    @property
    def last_read(self) -> float:
        """See `Channel`."""
        return self._channel.last_read

    @property
    def last_taken(self) -> float:
        """See `Channel`."""
        return self._channel.last_taken

    def send(self, data: bytes) -> None:
        """See `Channel.send`."""
        if self._is_closing:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._channel.abort(error)
            return
        self._flush()

    def pause_reading(self) -> None:
        """See `Channel.pause_reading`."""
        self._is_paused = True
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        """See `Channel.resume_reading`."""
        if self._is_paused:
            self._is_paused = False
            self._channel.resume_reading()
            # What was decrypted already has no socket that becomes ready.
            self._channel.call_soon(self._pump)

    def read_now(self) -> bool:
        """See `Channel.read_now`."""
        return self._channel.read_now()

    def close(self) -> None:
        """See `Channel.close`. The peer is told before, so that it can tell this end from a lost one."""
        if self._is_closing:
            return
        self._is_closing = True
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._channel.close()

    def abort(self, error: Exception | None = None) -> None:
        """See `Channel.abort`."""
        self._channel.abort(error)

    def forget(self) -> None:
        """See `Channel.forget`."""
        self._is_closing = True
        self._channel.forget()

    # What the channel tells.

    def data_received(self, data: bytes) -> None:
        """See `Receiver.data_received`."""
        if self._first is not None:
            self._first += data
            if not is_tls(self._first):
                if len(self._first) >= ENOUGH:
                    self._refuse(self._first)
                return
            self._first = None
        self._incoming.write(data)
        self._pump()

    def _refuse(self, first: bytes) -> None:
        """The peer does not speak TLS: tell it, and close."""
        if self._is_closing:
            return
        self._is_closing = True
        self._error = error = no_tls(first)
        self._channel.send(error.answer)
        self._channel.close()

    def eof_received(self) -> None:
        """See `Receiver.eof_received`. A message that is cut off is noticed by who reads messages."""
        if self._first:
            self._refuse(self._first)
        elif self._receiver is None:
            self._channel.abort(ConnectionResetError("it ended before the two sides had agreed"))
        elif not self._is_over:
            self._is_over = True
            self._receiver.eof_received()

    def drained(self) -> None:
        """See `Receiver.drained`."""
        if self._receiver is not None:
            self._receiver.drained()

    def connection_lost(self, error: Exception | None) -> None:
        """See `Receiver.connection_lost`."""
        error = self._error or error
        if self._receiver is not None:
            self._receiver.connection_lost(error)
        else:
            if error is not None:
                _log.info("no TLS with %s: %s", self.peer, tls_reason(error))
            self._failed(self)

    def _pump(self) -> None:
        """Decrypt what there is."""
        try:
            if self._receiver is None:
                self._tls.do_handshake()
                names = certificate_names(self._tls.getpeercert())
                self.peer = Peer(address=self.peer.address, is_encrypted=True, names=names)
                self._receiver = self._agreed(self)
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
            self._flush()  # says why
            self._channel.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._channel.send(self._outgoing.read())
