"""A connection for asyncio, as protocol and transport. (asyncio's streams cost twice the CPU.)

Imported on first use: asyncio takes tens of milliseconds to import, which blocking programs need not pay.
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
    """Bytes to one server; what it sends goes to the functions that were given when it was made."""

    def write(self, data: bytes) -> None:
        """Send `data`; what the server does not take at once is kept."""
        ...

    async def drain(self) -> None:
        """Wait until the server has taken so much that it is worth while to write again."""
        ...

    @property
    def is_blocked(self) -> bool:
        """Whether it is better to `drain` before writing again."""
        ...

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        ...

    def is_quiet(self) -> bool:
        """Whether nothing has arrived that the event loop has not passed on yet, not even the end."""
        ...

    def close(self) -> None:
        """Close when everything has been sent."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class AsyncioStream(asyncio.Protocol):
    """A connection to a TCP address or a unix socket. See `AsyncTransport`.

    Args:
        received: called with what the server sends.
        lost: called once, when the connection has ended: with an error, or `None`.
    """

    def __init__(self, received: Callable[[bytes], None], lost: Callable[[Exception | None], None]) -> None:
        self._received = received
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._poll: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there."""
        self._transport = cast("asyncio.Transport", transport)
        raw: socket.socket | None = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):  # a unix socket has no such thing
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                keep_alive(raw)
            self._poll = select.poll()
            self._poll.register(raw.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """asyncio: the server sent something."""
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection has ended."""
        self._poll = None
        self.resume_writing()
        self._lost(exc)

    def pause_writing(self) -> None:
        """asyncio: the server does not take what is written."""
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """asyncio: it does again."""
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    def write(self, data: bytes) -> None:
        """See `AsyncTransport.write`."""
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """See `AsyncTransport.drain`."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    @property
    def is_blocked(self) -> bool:
        """See `AsyncTransport.is_blocked`."""
        return self._writable is not None

    def is_quiet(self) -> bool:
        """See `AsyncTransport.is_quiet`."""
        return self._poll is None or not self._poll.poll(0)

    @property
    def is_closing(self) -> bool:
        """See `AsyncTransport.is_closing`."""
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        """See `AsyncTransport.close`."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """See `AsyncTransport.abort`."""
        if self._transport is not None:
            self._transport.abort()


async def connect(
    address: Address,
    received: Callable[[bytes], None],
    lost: Callable[[Exception | None], None],
    tls: TlsContext | None = None,
) -> AsyncioStream:
    """Connect to the first of the host's addresses that answers.

    Args:
        tls: of this side, if the server speaks TLS.

    Raises:
        OSError: none does.
    """
    loop = asyncio.get_running_loop()

    def make() -> AsyncioStream:
        return AsyncioStream(received, lost)

    host = address.host or "localhost"
    context = tls.current if tls is not None else None
    name = tls.server_name(host) if tls is not None else None
    if address.path:
        _, stream = await loop.create_unix_connection(make, address.place, ssl=context, server_hostname=name)
    else:
        try:
            _, stream = await loop.create_connection(make, host, address.port, ssl=context, server_hostname=name)
        except UnicodeError as error:
            raise OSError(f"{host!r} cannot be the name of a host") from error
    return stream
