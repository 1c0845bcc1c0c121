"""Connections of an asyncio server: what a `Channel` is on the readiness loop, on asyncio's transports.

What it is given to send leaves together, when everything that the event loop had ready has been looked at.
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
from idlrt.net.socket_options import cork, forget_socket, unacknowledged

__all__ = ["AsyncioChannel"]

_log = get_logger("idlrt.net")

_LINGER_STEP = 0.005
# Seconds that a peer has to take the last bytes before its connection is closed regardless.
_LINGER_MOST = 5.0


class AsyncioChannel(asyncio.Protocol):
    """A connection that was accepted.

    Args:
        connected: its socket, which becomes the transport's. (What a transport gives out as its socket cannot do
            all that a socket can.)
        opened: makes what understands its bytes, once it is there (and, with TLS, the two sides have agreed).

    Attributes:
        peer: who is on the other side.
        last_read: when bytes came the last time, on the event loop's clock.
        last_taken: when the peer took everything the last time, or had to begin to.
    """

    def __init__(self, connected: socket.socket, opened: Callable[[AsyncioChannel], Receiver]) -> None:
        self.peer = Peer(address="nobody yet")
        self._socket = connected
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self.last_read = self.last_taken = self._loop.time()
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._unsent = 0
        self._is_blocked = False
        self._is_paused = False
        self._is_closing = False
        self._linger_until = 0.0

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there."""
        made = self._transport = cast("asyncio.Transport", transport)
        # "Blocked" as long as anything is left, so that `drained` means what it means elsewhere. (With 0 the transport
        # of TLS takes nothing for something.)
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
        """asyncio: the peer sent something."""
        self.last_read = self._loop.time()
        assert self._receiver is not None
        if not self._is_closing:
            self._guarded(self._receiver.data_received, data)

    def eof_received(self) -> bool:
        """asyncio: the peer sends no more. Answers may still go to it."""
        assert self._receiver is not None
        if not self._is_closing:
            self._guarded(self._receiver.eof_received)
        return not self.peer.is_encrypted  # with TLS asyncio knows no half of a connection

    def pause_writing(self) -> None:
        """asyncio: the peer does not take everything at once."""
        if not self._is_blocked:
            self._is_blocked = True
            self.last_taken = self._loop.time()

    def resume_writing(self) -> None:
        """asyncio: the peer has taken everything."""
        self._is_blocked = False
        self.last_taken = self._loop.time()
        if self._receiver is not None and not self._is_closing:
            self._guarded(self._receiver.drained)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is closed."""
        self._is_closing = True
        self._out.clear()
        self._unsent = 0
        if self._receiver is not None:
            self._receiver.connection_lost(exc)
            self._receiver = None

    def _guarded(self, tell: Callable[..., None], *arguments: bytes) -> None:
        try:
            tell(*arguments)
        except Exception as error:  # noqa: BLE001  # logged, and costs one connection
            _log.exception("closing the connection of %s: its receiver failed", self.peer)
            self.abort(error)

    def forget(self) -> None:
        """See `Channel.forget`."""
        self._is_closing = True
        forget_socket(self._socket)

    # What a session needs.

    @property
    def pending(self) -> int:
        """Bytes that the peer has not taken yet."""
        transport = self._transport
        return self._unsent + (transport.get_write_buffer_size() if self._is_blocked and transport is not None else 0)

    def send(self, data: bytes) -> None:
        """See `Channel.send`."""
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
                self.last_taken = self._loop.time()
            if self._is_paused and not self._is_blocked and not self._is_closing and self._receiver is not None:
                # asyncio says nothing when everything could be sent at once.
                self._guarded(self._receiver.drained)

    def pause_reading(self) -> None:
        """See `Channel.pause_reading`."""
        self._is_paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Channel.resume_reading`."""
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """See `Channel.close`."""
        if self._is_closing:
            return
        transport = self._transport
        if self._out and not self.peer.is_encrypted:
            if self._socket.family == socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RD)
            cork(self._socket)
        self._flush()
        self._is_closing = True
        if transport is None or transport.is_closing():
            return
        with contextlib.suppress(RuntimeError):
            transport.pause_reading()  # it may be paused
        if transport.can_write_eof():
            transport.write_eof()
        self._linger_until = self._loop.time() + _LINGER_MOST
        self._linger()

    def _linger(self) -> None:
        """Wait for the peer's kernel, as `Channel` does."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        is_left = transport.get_write_buffer_size() or unacknowledged(self._socket)
        if is_left and self._loop.time() < self._linger_until:
            self._loop.call_later(_LINGER_STEP, self._linger)
        else:
            transport.close()
            if is_left:
                transport.abort()

    def abort(self, error: Exception | None = None) -> None:
        """See `Channel.abort`."""
        self._is_closing = True
        if error is not None:
            _log.debug("cutting off %s: %s", self.peer, error)
        if self._transport is not None:
            self._transport.abort()
