"""Detection and rejection of clients without TLS on a TLS port of an asyncio server (`idlrt.net.plaintext`)."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from idlrt.net.plaintext import PREFIX_SIZE, PlaintextClient, plaintext_error, starts_tls

__all__ = ["expect_tls", "reject_plaintext", "until_readable"]

# Seconds in which a rejected client may read its answer and close the connection.
_REJECT_TIMEOUT = 1.0
# Bytes that are read and discarded at once, of what the client still sends.
_DISCARD = 65536


async def until_readable(readable: socket.socket) -> None:
    """Wait until a socket is readable: a connection can be accepted, or data received."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(readable, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(readable)


async def expect_tls(connected: socket.socket) -> None:
    """Wait for the first byte of a connection, and check that it starts a TLS handshake. The byte stays unread.

    Raises:
        PlaintextClient: the client does not use TLS.
        OSError: the connection has been closed.
    """
    first = b""
    while True:
        try:
            if not first and starts_tls(connected.recv(1, socket.MSG_PEEK)):
                return
            data = connected.recv(PREFIX_SIZE)
        except BlockingIOError:
            await until_readable(connected)
            continue
        first += data
        if not first:
            raise ConnectionResetError("connection closed during the TLS handshake")
        if len(first) >= PREFIX_SIZE or not data:
            raise plaintext_error(first)


async def reject_plaintext(connected: socket.socket, error: PlaintextClient) -> None:
    """Send the answer to a client without TLS, and close when the client has closed, or after a timeout."""
    loop = asyncio.get_running_loop()
    try:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_REJECT_TIMEOUT):
                await loop.sock_sendall(connected, error.answer)
                connected.shutdown(socket.SHUT_WR)
                while await loop.sock_recv(connected, _DISCARD):
                    pass
    finally:
        connected.close()
