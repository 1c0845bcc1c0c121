"""How an asyncio server hears that a client does not speak TLS, and tells it so: see `idlrt.net.plain_peer`."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from idlrt.net.plain_peer import ENOUGH, NoTls, is_tls, no_tls

__all__ = ["hear_tls", "refuse", "until_readable"]

# Seconds that a refused client has to take its answer and to end the connection.
_PATIENCE = 1.0
# Bytes of what it still sends that are read, and thrown away, at once.
_REST = 65536


async def until_readable(readable: socket.socket) -> None:
    """Wait until there is something to accept, or to receive."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(readable, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(readable)


async def hear_tls(connected: socket.socket) -> None:
    """Wait for the first byte, which is left where it is if it is TLS's.

    Raises:
        NoTls: it is not.
        OSError: the connection has ended.
    """
    first = b""
    while True:
        try:
            if not first and is_tls(connected.recv(1, socket.MSG_PEEK)):
                return
            data = connected.recv(ENOUGH)
        except BlockingIOError:
            await until_readable(connected)
            continue
        first += data
        if not first:
            raise ConnectionResetError("it ended before the two sides had agreed")
        if len(first) >= ENOUGH or not data:
            raise no_tls(first)


async def refuse(connected: socket.socket, error: NoTls) -> None:
    """Tell a client that does not speak TLS, and close when it has heard it, or soon."""
    loop = asyncio.get_running_loop()
    try:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await loop.sock_sendall(connected, error.answer)
                connected.shutdown(socket.SHUT_WR)
                while await loop.sock_recv(connected, _REST):
                    pass
    finally:
        connected.close()
