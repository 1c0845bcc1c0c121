"""The listening socket of an asyncio server: what a `Listener` is on the readiness loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from idlrt.core.logs import get_logger
from idlrt.net.address import peer_name
from idlrt.net.aio_plain_peer import hear_tls, refuse, until_readable
from idlrt.net.aio_server import AsyncioChannel
from idlrt.net.channel import Receiver
from idlrt.net.listener import NO_ROOM
from idlrt.net.plain_peer import NoTls
from idlrt.net.socket_options import forget_socket, prepare

if TYPE_CHECKING:
    from idlrt.net.tls_context import TlsContext

__all__ = ["AsyncioListener"]

_log = get_logger("idlrt.net")

_ACCEPT_PAUSE = 0.1
_PRECISION = 0.001
# Seconds in which a peer may answer that it has heard of the end of TLS.
_SHUTDOWN_PATIENCE = 1.0


class AsyncioListener:
    """Accepts connections, as `Listener` does.

    Args:
        listening: becomes the listener's.
        opened: see `AsyncioChannel`.
        tls: of this side, if TLS is spoken.
        patience: seconds in which the two sides have to agree on TLS.
        settled: called when a connection that was accepted has become a channel, or failed to.
    """

    def __init__(
        self,
        listening: socket.socket,
        opened: Callable[[AsyncioChannel], Receiver],
        tls: TlsContext | None,
        patience: float,
        settled: Callable[[], object],
    ) -> None:
        self._settled = settled
        self._socket = listening
        self._opened = opened
        self._tls = tls
        self._patience = patience or None
        self._loop = asyncio.get_running_loop()
        self._has_room = asyncio.Event()
        self._has_room.set()
        # Connections that are not channels yet.
        self._coming: dict[asyncio.Task[None], socket.socket] = {}
        self._task = self._loop.create_task(self._accept())

    @property
    def coming(self) -> int:
        """Connections that have been accepted and are not channels yet."""
        return len(self._coming)

    @property
    def is_paused(self) -> bool:
        """Whether those who come have to wait."""
        return not self._has_room.is_set()

    def pause(self) -> None:
        """Let those who come wait in the system's queue."""
        self._has_room.clear()

    def resume(self) -> None:
        """Undo `pause`."""
        self._has_room.set()

    async def close(self) -> None:
        """Accept who has connected already, then no more."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with contextlib.suppress(OSError):
            while True:
                self._take(self._socket.accept()[0])
        self._socket.close()
        if self._coming and self._tls is None:
            await asyncio.wait(list(self._coming))

    def abort(self) -> None:
        """Give up connections that are not channels yet."""
        for task in list(self._coming):
            task.cancel()

    def forget(self) -> None:
        """In a child of the process: close the child's copies of the sockets."""
        for each in (self._socket, *self._coming.values()):
            forget_socket(each)

    async def _accept(self) -> None:
        while True:
            await self._has_room.wait()
            try:
                # Not `sock_accept`: cancelled between its accept and its return, it loses the connection.
                connected, _ = self._socket.accept()
            except BlockingIOError:
                await until_readable(self._socket)
                continue
            except OSError as error:
                if error.errno in NO_ROOM:
                    _log.warning("cannot accept connections for the moment: %s", error)
                    await asyncio.sleep(_ACCEPT_PAUSE)
                continue  # this one has gone again
            self._take(connected)

    def _take(self, connected: socket.socket) -> None:
        task = self._loop.create_task(self._open(connected))
        self._coming[task] = connected
        task.add_done_callback(partial(self._done, connected))

    def _done(self, connected: socket.socket, task: asyncio.Task[None]) -> None:
        self._coming.pop(task, None)
        if task.cancelled():
            connected.close()  # it may have been cancelled before it began
        self._settled()

    async def _open(self, connected: socket.socket) -> None:
        try:
            prepare(connected)
            make = partial(AsyncioChannel, connected, self._opened)
            if self._tls is None:
                await self._loop.connect_accepted_socket(make, connected)
                return
            begun_at = self._loop.time()
            async with asyncio.timeout(self._patience):
                await hear_tls(connected)
            left = None if self._patience is None else max(self._patience - self._loop.time() + begun_at, _PRECISION)
            await self._loop.connect_accepted_socket(
                make,
                connected,
                ssl=self._tls.current,
                ssl_handshake_timeout=left,
                ssl_shutdown_timeout=_SHUTDOWN_PATIENCE,
            )
        except asyncio.CancelledError:
            connected.close()
            raise
        except NoTls as error:
            _log.info("no TLS with %s: %s", _name(connected), error)
            await refuse(connected, error)
        except OSError as error:
            _log.info("no connection with %s: %s", _name(connected), _why(error))
            connected.close()
        except Exception:  # noqa: BLE001  # logged, and costs one connection
            _log.exception("cannot serve a connection")
            connected.close()


def _name(connected: socket.socket) -> str:
    """The other side of a connection, for the log."""
    try:
        return peer_name(connected.getpeername())
    except OSError:
        return "a client that has gone"


def _why(error: OSError) -> str:
    from idlrt.net.tls_context import tls_reason

    return tls_reason(error)
