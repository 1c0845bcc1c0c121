"""Connections of an asyncio server on asyncio transports, the counterpart of `Channel` on the selector loop.

Responses are written together at the end of an iteration of the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

from idlrt.core import Peer
from idlrt.core.logs import get_logger
from idlrt.net.address import peer_name
from idlrt.net.channel import Receiver
from idlrt.net.socket_options import close_inherited_socket, cork, unacknowledged

__all__ = ["AsyncioChannel"]

_log = get_logger("idlrt.net")

_LINGER_STEP = 0.005
# Seconds in which a client may acknowledge the last bytes before its connection is closed.
_LINGER_TIMEOUT = 5.0
# Limits on what a client may still send after its last response, as those of `Channel`.
_DISCARD_TIMEOUT = 1.0
# asyncio cannot half-close TLS, so the client sees the end of the stream only after this time.
_TLS_DISCARD_TIMEOUT = 0.2
_MAX_DISCARDED = 128 << 20


class AsyncioChannel(asyncio.Protocol):
    """An accepted connection.

    Args:
        connected: its socket, which the transport closes. (The socket object that a transport exposes lacks methods
            that are needed here.)
        opened: creates the receiver once the connection is set up, with TLS after the handshake.

    Attributes:
        peer: the client.
        last_read: time of the last read that returned data, on the clock of the event loop.
        last_written: time at which the send buffer was last empty, or became non-empty, on the same clock.
    """

    def __init__(self, connected: socket.socket, opened: Callable[[AsyncioChannel], Receiver]) -> None:
        self.peer = Peer(address="not connected")
        self._socket = connected
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self.last_read = self.last_written = self._loop.time()
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._unsent = 0
        self._is_blocked = False
        self._is_paused = False
        self._is_closing = False
        self._is_discarding = False
        self._discarded = 0
        # Time at which everything was acknowledged.
        self._discards_since = 0.0
        self._linger_until = 0.0

    # Callbacks of asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Create the receiver: the connection is set up."""
        made = self._transport = cast("asyncio.Transport", transport)
        # Blocked while any byte is buffered, so that `drained` means an empty buffer as in `Channel`. (With `high=0`
        # the TLS transport reports an empty buffer as full.)
        made.set_write_buffer_limits(high=1, low=0)
        certificate = made.get_extra_info("peercert")
        is_encrypted = made.get_extra_info("ssl_object") is not None
        names: tuple[str, ...] = ()
        if certificate:
            from idlrt.net.tls_context import certificate_names

            names = certificate_names(certificate)
        address = peer_name(made.get_extra_info("peername"))
        self.peer = Peer(address=address, is_encrypted=is_encrypted, names=names)
        self._receiver = self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Pass received bytes to the receiver."""
        self.last_read = self._loop.time()
        assert self._receiver is not None
        if not self._is_closing:
            self._notify(self._receiver.data_received, data)
        elif self._is_discarding:
            self._discarded += len(data)
            if self._discarded > _MAX_DISCARDED:
                self.abort()

    def eof_received(self) -> bool:
        """Pass on the end of stream; without TLS responses can still be sent."""
        assert self._receiver is not None
        if not self._is_closing:
            self._notify(self._receiver.eof_received)
        elif self._is_discarding:
            return False  # the transport closes itself
        return not self.peer.is_encrypted  # asyncio does not support half-closed TLS connections

    def pause_writing(self) -> None:
        """Remember that the send buffer is not empty."""
        if not self._is_blocked:
            self._is_blocked = True
            self.last_written = self._loop.time()

    def resume_writing(self) -> None:
        """Notify the receiver that the send buffer is empty."""
        self._is_blocked = False
        self.last_written = self._loop.time()
        if self._receiver is not None and not self._is_closing:
            self._notify(self._receiver.drained)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the receiver that the connection is closed."""
        self._is_closing = True
        self._out.clear()
        self._unsent = 0
        if self._receiver is not None:
            self._receiver.connection_lost(exc)
            self._receiver = None

    def _notify(self, tell: Callable[..., None], *arguments: bytes) -> None:
        try:
            tell(*arguments)
        except Exception as error:  # noqa: BLE001  # logged, and affects one connection only
            _log.exception(
                "closing connection from %s: unexpected exception", self.peer, extra={"peer": self.peer.address}
            )
            self.abort(error)

    def close_inherited(self) -> None:
        """Close the inherited socket in a forked child, as `Channel.close_inherited` does."""
        self._is_closing = True
        close_inherited_socket(self._socket)

    # The interface of sessions; `Channel` documents the methods.

    @property
    def pending(self) -> int:
        """Number of bytes in the send buffer."""
        transport = self._transport
        return self._unsent + (transport.get_write_buffer_size() if self._is_blocked and transport is not None else 0)

    def send(self, data: bytes) -> None:
        if self._is_closing:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._unsent += len(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._unsent = 0
            self._transport.write(data)
            if not self._is_blocked:
                self.last_written = self._loop.time()
            if self._is_paused and not self._is_blocked and not self._is_closing and self._receiver is not None:
                # asyncio does not call `resume_writing` when everything could be sent at once.
                self._notify(self._receiver.drained)

    def pause_reading(self) -> None:
        self._is_paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, *, discard: bool = False) -> None:
        if self._is_closing:
            return
        transport = self._transport
        if self._out and not self.peer.is_encrypted:
            if self._socket.family == socket.AF_UNIX and not discard:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RD)
            cork(self._socket)
        self._flush()
        self._is_closing = True
        if transport is None or transport.is_closing():
            return
        self._is_discarding = discard
        with contextlib.suppress(RuntimeError):  # reading is paused, or not
            if discard:
                transport.resume_reading()
            else:
                transport.pause_reading()
        if transport.can_write_eof():
            transport.write_eof()
        self._linger_until = self._loop.time() + _LINGER_TIMEOUT
        self._linger()

    def _linger(self) -> None:
        """Wait until the client's kernel has acknowledged all bytes, as `Channel` does."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        now = self._loop.time()
        is_left = transport.get_write_buffer_size() or unacknowledged(self._socket)
        if not is_left and self._is_discarding and not self._discards_since:
            self._discards_since = now
        timeout = _TLS_DISCARD_TIMEOUT if self.peer.is_encrypted else _DISCARD_TIMEOUT
        is_sending = self._is_discarding and now - max(self.last_read, self._discards_since) < timeout
        if (is_left or is_sending) and now < self._linger_until:
            self._loop.call_later(_LINGER_STEP, self._linger)
        else:
            # asyncio keeps a TLS connection open for ever if it ends while reading is paused.
            with contextlib.suppress(RuntimeError):
                transport.resume_reading()
            transport.close()
            if is_left:
                transport.abort()

    def abort(self, error: Exception | None = None) -> None:
        self._is_closing = True
        if error is not None:
            _log.debug("aborting connection from %s: %s", self.peer, error, extra={"peer": self.peer.address})
        if self._transport is not None:
            self._transport.abort()
