"""Listening socket of an asyncio server, the counterpart of `Listener` on the selector loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from idlrt.core.logs import get_logger
from idlrt.net.address import peer_name
from idlrt.net.aio_plaintext import expect_tls, reject_plaintext, until_readable
from idlrt.net.aio_server import AsyncioChannel
from idlrt.net.channel import Receiver
from idlrt.net.listener import OUT_OF_RESOURCES
from idlrt.net.plaintext import PlaintextClient
from idlrt.net.socket_options import close_inherited_socket, configure

if TYPE_CHECKING:
    from idlrt.net.tls_context import TlsContext

__all__ = ["AsyncioListener"]

_log = get_logger("idlrt.net")

_ACCEPT_DELAY = 0.1
_PRECISION = 0.001
# Seconds in which a client may answer the TLS closure alert.
_SHUTDOWN_TIMEOUT = 1.0


class AsyncioListener:
    """Accepts connections, as `Listener` does.

    Args:
        listening: the listening socket; this object closes it.
        opened: creates the receiver of a connection, as in `AsyncioChannel`.
        tls: TLS context of the server. `None`: no TLS.
        handshake_timeout: timeout of the TLS handshake in seconds; 0 disables it.
        setup_finished: called when the setup of an accepted connection has succeeded or failed.
    """

    def __init__(
        self,
        listening: socket.socket,
        opened: Callable[[AsyncioChannel], Receiver],
        tls: TlsContext | None,
        handshake_timeout: float,
        setup_finished: Callable[[], object],
    ) -> None:
        self._setup_finished = setup_finished
        self._socket = listening
        self._opened = opened
        self._tls = tls
        self._handshake_timeout = handshake_timeout or None
        self._loop = asyncio.get_running_loop()
        self._is_accepting = asyncio.Event()
        self._is_accepting.set()
        # Accepted connections whose setup, such as the TLS handshake, is in progress.
        self._setting_up: dict[asyncio.Task[None], socket.socket] = {}
        self._task = self._loop.create_task(self._accept())

    @property
    def setting_up(self) -> int:
        """Number of accepted connections whose setup, such as the TLS handshake, is in progress."""
        return len(self._setting_up)

    @property
    def is_paused(self) -> bool:
        """Whether accepting is paused."""
        return not self._is_accepting.is_set()

    def pause(self) -> None:
        """Stop accepting: new connections wait in the backlog of the kernel."""
        self._is_accepting.clear()

    def resume(self) -> None:
        """Resume accepting."""
        self._is_accepting.set()

    async def close(self) -> None:
        """Accept the connections in the backlog, then close the listening socket."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with contextlib.suppress(OSError):
            while True:
                self._take(self._socket.accept()[0])
        self._socket.close()
        if self._setting_up and self._tls is None:
            await asyncio.wait(list(self._setting_up))

    def abort(self) -> None:
        """Close connections whose setup is in progress."""
        for task in list(self._setting_up):
            task.cancel()

    def close_inherited(self) -> None:
        """Close the inherited sockets in a forked child."""
        for each in (self._socket, *self._setting_up.values()):
            close_inherited_socket(each)

    async def _accept(self) -> None:
        while True:
            await self._is_accepting.wait()
            try:
                # Not `sock_accept`: cancelled between its accept and its return, it loses the connection.
                connected, _ = self._socket.accept()
            except BlockingIOError:
                await until_readable(self._socket)
                continue
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    _log.warning(
                        "cannot accept connections: %s; retrying in %g s",
                        error,
                        _ACCEPT_DELAY,
                        extra={"delay_s": _ACCEPT_DELAY},
                    )
                    await asyncio.sleep(_ACCEPT_DELAY)
                continue  # the client has disconnected already
            self._take(connected)

    def _take(self, connected: socket.socket) -> None:
        task = self._loop.create_task(self._open(connected))
        self._setting_up[task] = connected
        task.add_done_callback(partial(self._done, connected))

    def _done(self, connected: socket.socket, task: asyncio.Task[None]) -> None:
        self._setting_up.pop(task, None)
        if task.cancelled():
            connected.close()  # it may have been cancelled before it started
        self._setup_finished()

    async def _open(self, connected: socket.socket) -> None:
        try:
            configure(connected)
            make = partial(AsyncioChannel, connected, self._opened)
            if self._tls is None:
                await self._loop.connect_accepted_socket(make, connected)
                return
            begun_at = self._loop.time()
            async with asyncio.timeout(self._handshake_timeout):
                await expect_tls(connected)
            left = (
                None
                if self._handshake_timeout is None
                else max(self._handshake_timeout - self._loop.time() + begun_at, _PRECISION)
            )
            await self._loop.connect_accepted_socket(
                make,
                connected,
                ssl=self._tls.current,
                ssl_handshake_timeout=left,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT,
            )
        except asyncio.CancelledError:
            connected.close()
            raise
        except PlaintextClient as error:
            name = _name(connected)
            _log.info("TLS handshake with %s failed: %s", name, error, extra={"peer": name})
            await reject_plaintext(connected, error)
        except OSError as error:
            name = _name(connected)
            if self._tls is None:
                _log.info("cannot set up connection from %s: %s", name, _why(error), extra={"peer": name})
            else:
                _log.info("TLS handshake with %s failed: %s", name, _why(error), extra={"peer": name})
            connected.close()
        except Exception:  # noqa: BLE001  # logged, and affects one connection only
            name = _name(connected)
            _log.exception("cannot set up connection from %s", name, extra={"peer": name})
            connected.close()


def _name(connected: socket.socket) -> str:
    """Return the client's address, for the log."""
    try:
        return peer_name(connected.getpeername())
    except OSError:
        return "a disconnected client"


def _why(error: OSError) -> str:
    from idlrt.net.tls_context import tls_reason

    return tls_reason(error)
