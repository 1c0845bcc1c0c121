"""Client connections on asyncio, as protocol and transport (asyncio's streams take twice the CPU time).

Imported on first use: importing asyncio takes tens of milliseconds, and blocking programs do not need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from idlrt.net.address import Address
from idlrt.net.socket_options import keep_alive

if TYPE_CHECKING:
    from idlrt.net.tls_context import TlsContext

__all__ = ["AsyncTransport", "AsyncioStream", "connect"]


class AsyncTransport(Protocol):
    """Connection to one server on asyncio. Received bytes are passed to callbacks that are set when it is created."""

    def write(self, data: bytes) -> None:
        """Send `data`. Bytes that cannot be written at once are buffered."""
        ...

    async def drain(self) -> None:
        """Wait until the send buffer has been emptied far enough to continue writing (flow control)."""
        ...

    @property
    def is_blocked(self) -> bool:
        """Whether the send buffer is full, so that a writer should `drain` first."""
        ...

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closed or closing, so that nothing more can be written."""
        ...

    def is_quiet(self) -> bool:
        """Whether there is no unread event on the socket: no data and no end of stream."""
        ...

    def close(self) -> None:
        """Close the connection once the send buffer is empty."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...


class AsyncioStream(asyncio.Protocol):
    """Connection to a TCP address or a Unix socket, with or without TLS; an `AsyncTransport`.

    Args:
        received: called with received bytes.
        lost: called once when the connection is closed: with an error, or with `None` after a regular end.
    """

    def __init__(self, received: Callable[[bytes], None], lost: Callable[[Exception | None], None]) -> None:
        self._received = received
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._poll: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set socket options (callback of asyncio)."""
        self._transport = cast("asyncio.Transport", transport)
        raw: socket.socket | None = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):  # Unix sockets do not have these options
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                keep_alive(raw)
            self._poll = select.poll()
            self._poll.register(raw.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Pass on received bytes (callback of asyncio)."""
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the connection (callback of asyncio)."""
        self._poll = None
        self.resume_writing()
        self._lost(exc)

    def pause_writing(self) -> None:
        """Block writers, because the send buffer is full (callback of asyncio)."""
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Release writers (callback of asyncio)."""
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        if self._writable is not None:
            await asyncio.shield(self._writable)

    @property
    def is_blocked(self) -> bool:
        return self._writable is not None

    def is_quiet(self) -> bool:
        return self._poll is None or not self._poll.poll(0)

    @property
    def is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def connect(
    address: Address,
    received: Callable[[bytes], None],
    lost: Callable[[Exception | None], None],
    tls: TlsContext | None = None,
) -> AsyncioStream:
    """Connect to the first address of the host that accepts the connection.

    Args:
        address: address of the server.
        received: called with received bytes.
        lost: called once when the connection is closed.
        tls: TLS context of the client. `None`: no TLS.

    Raises:
        OSError: no address accepts the connection, or the TLS handshake fails.
    """
    loop = asyncio.get_running_loop()

    def make() -> AsyncioStream:
        return AsyncioStream(received, lost)

    host = address.host or "localhost"
    context = tls.current if tls is not None else None
    name = tls.server_name(host) if tls is not None else None
    if address.path:
        _, stream = await loop.create_unix_connection(make, address.socket_path, ssl=context, server_hostname=name)
    else:
        try:
            _, stream = await loop.create_connection(make, host, address.port, ssl=context, server_hostname=name)
        except UnicodeError as error:
            raise OSError(f"invalid host name {host!r}") from error
    return stream
