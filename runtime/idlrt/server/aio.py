"""The server for who has an event loop already: the same sessions and protocols, on asyncio.

`async` handlers run as tasks of the event loop, each in a context of its own; plain ones where they are found, or on
`workers`. Stopping is what it is for `Server`. It runs on uvloop as on asyncio's own loop.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from idlrt.core import ALWAYS, Handlers
from idlrt.core.forks import forks
from idlrt.core.keyword_options import documented
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.net.aio_listener import AsyncioListener
from idlrt.net.aio_server import AsyncioChannel
from idlrt.server.coroutines import caught, close_unbegun, outcome_of
from idlrt.server.engine import EngineBase
from idlrt.server.forked import end_child
from idlrt.server.session import Session
from idlrt.server.settings import SERVER_DEFAULTS, ServerOptions
from idlrt.server.signals import StopSignals
from idlrt.server.surroundings import Done, Surroundings
from idlrt.server.workers import WorkerPool

__all__ = ["AsyncServer"]

_log = get_logger("idlrt.server")


class AsyncServer(EngineBase[AsyncioChannel]):
    """Server on an asyncio event loop. It takes the same arguments as `Server`.

    Use it in an `async with`, which starts and stops it.
    """

    _around: Surroundings

    @documented(ServerOptions, SERVER_DEFAULTS)
    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> None:
        """Prepare a server. It does not listen yet."""
        super().__init__(handlers, address, **options)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listener: AsyncioListener | None = None
        self._one_less: asyncio.Event | None = None
        self._looking: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._is_hurried = False
        self._is_started = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serves_on = 0
        self._forks = forks.count
        forks.renew(self)

    # Life.

    async def start(self) -> Self:
        """Take the address and serve, as long as the event loop runs.

        Raises:
            ConfigurationError: the address cannot be had, or the server runs or ran already.
        """
        if self._is_started:
            raise ConfigurationError("the server runs already; a server runs once")
        listening = self._listen()
        self._is_started = True
        loop, settings = asyncio.get_running_loop(), self._settings
        self._loop, self._serves_on, self._forks = loop, threading.get_ident(), forks.count
        if settings.workers:
            self._workers = WorkerPool(settings.workers, settings.max_queued, loop.call_soon_threadsafe)
        self._around = self._surroundings(
            call_soon=loop.call_soon,
            run_async=self._run_async,
            run_worker=None if self._workers is None else self._workers.submit,
        )
        self._listener = AsyncioListener(listening, self._session, self._tls, settings.message_timeout, self._settled)
        if self._patience.interval:
            self._looking = loop.create_task(self._look())
        _log.info("serving %s on %s", str(self._served), str(self._bound), extra=ALWAYS)
        self._announce()
        if self._presence is not None:
            await asyncio.to_thread(self._settle)
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def serve(self) -> None:
        """Serve until `stop` is called, this is cancelled, or, on the main thread, until Ctrl+C or SIGTERM. The second
        signal stops at once, and raises `KeyboardInterrupt` or `SystemExit` in a handler that holds up the event loop;
        the third one kills.

        Raises:
            ConfigurationError: the address cannot be had, or the server ran already.
        """
        loop = asyncio.get_running_loop()

        def drain() -> None:
            loop.call_soon_threadsafe(self._stop_soon)

        def hurry(is_interrupted: bool) -> None:
            if is_interrupted:
                # A handler is interrupted, and no other one may begin.
                self._cut_off()
                for task in self._tasks - {asyncio.current_task(loop)}:
                    task.cancel()
            loop.call_soon_threadsafe(self._hurry)

        with StopSignals((signal.SIGINT, signal.SIGTERM), drain=drain, hurry=hurry):
            if not self._is_started:
                await self.start()
            try:
                await self._gone.wait()
            finally:
                await self.stop()

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop, and return when that is done. Any number of tasks may ask for it.

        Called by an `async` handler it returns at once, and the server stops when the handler has been answered.

        Args:
            grace_s: seconds that calls under way get, instead of the server's own.
        """
        if not self._is_started:
            self._is_started = True
            if self._listening is not None:
                self._listening.close()
                self._unlink()
            self._gone.set()
            return
        if self._stopping is None:
            grace_s = self._grace(grace_s)
            self._stopping = asyncio.get_running_loop().create_task(self._stop(grace_s))
        if asyncio.current_task() not in self._tasks:
            await asyncio.shield(self._stopping)

    @property
    def connections(self) -> int:
        """Open connections; those whose TLS handshake is not over do not count."""
        return len(self._channels)

    def renew(self) -> None:
        """In a child of the process: see `Server.renew`."""
        loop, listener = self._loop, self._listener
        if loop is None or listener is None:
            return  # bound only, or stopped: nothing is served
        listener.forget()
        self._file = 0
        for channel in list(self._channels.values()):
            channel.forget()
        if self._serves_on == threading.get_ident():
            # It waits with what the parent waits with: a child that came back to it would take the parent's events.
            with suppress(RuntimeError):
                loop.call_soon(end_child)

    def _stop_soon(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(self._settings.grace_s))

    def _hurry(self) -> None:
        """Stop without waiting for anybody."""
        self._is_hurried = True
        self._stop_soon()
        if self._listener is not None:
            self._listener.abort()
        self._cut_off()
        self._settled()

    async def _stop(self, grace_s: float) -> None:
        if self._presence is not None:
            # Clients hear of it first.
            await asyncio.to_thread(self._withdraw)
        self._is_draining = True
        assert self._listener is not None
        await self._listener.close()
        self._unlink()
        for session in self._channels:
            session.drain()
        await self._until_gone(self._settings.drain_s)
        self._listener.abort()
        for session in list(self._channels):
            session.finish()
        await self._until_gone(grace_s)
        if self._channels:
            _log.warning("closing %d connections that were not done within the grace time", len(self._channels))
        for channel in list(self._channels.values()):
            channel.abort()
        if self._looking is not None:
            self._looking.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2.0)
        if self._workers is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._workers.stop)
        await self._until_gone(1.0)
        self._gone.set()

    async def _until_gone(self, seconds: float) -> None:
        """Wait until there is no connection, but not for longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_hurried and (self._channels or (self._listener and self._listener.coming)):
                    self._one_less = asyncio.Event()
                    await self._one_less.wait()

    # Serving.

    def _session(self, channel: AsyncioChannel) -> Session:
        session = Session(channel, self._connection(), self._around, self._forget)
        self._channels[session] = channel
        if self._is_draining:
            session.drain()
        listener = self._listener
        if len(self._channels) >= self._settings.max_connections and listener is not None and not listener.is_paused:
            _log.warning("%d connections are open, the most that may be; more have to wait", len(self._channels))
            listener.pause()
        return session

    def _forget(self, session: Session) -> None:
        self._channels.pop(session, None)
        self._settled()
        if self._listener is not None:
            self._listener.resume()

    def _settled(self) -> None:
        if self._one_less is not None:
            self._one_less.set()

    def _run_async(self, coroutine: Coroutine[Any, Any, Any], context: Context, done: Done) -> None:
        task = asyncio.get_running_loop().create_task(caught(coroutine), context=context)
        self._tasks.add(task)
        task.add_done_callback(partial(self._finished, coroutine, done))

    def _call_on_thread(self, function: Callable[..., object]) -> None:
        function()  # the event loop is the server's

    def _finished(self, coroutine: Coroutine[Any, Any, Any], done: Done, task: asyncio.Task[Any]) -> None:
        close_unbegun(task, coroutine)
        self._tasks.discard(task)
        done(*outcome_of(task))

    async def _look(self) -> None:
        """Every now and then: end connections that keep still for too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._patience.interval)
            self._patience.look(self._channels, loop.time())
