"""The server for who has an event loop already: the same sessions and protocols, on asyncio.

`async` handlers run as tasks of the event loop, each in a context of its own; plain ones where they are found, or on
`workers`. Stopping is what it is for `Server`. It runs on uvloop as on asyncio's own loop.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from idlrt.core import Handlers
from idlrt.errors import ConfigurationError
from idlrt.net.aio_server import AsyncioChannel, AsyncioListener
from idlrt.server.base import ServerBase
from idlrt.server.coroutines import caught, outcome_of
from idlrt.server.session import Session
from idlrt.server.settings import ServerOptions
from idlrt.server.surroundings import Done, Surroundings
from idlrt.server.workers import WorkerPool
from idlrt.wire.connection import ServerConnection

__all__ = ["AsyncServer"]

_log = logging.getLogger("idlrt.server")


class AsyncServer(ServerBase):
    """Serves services on one address from within an event loop. Takes what `Server` takes.

    Use it in an `async with`, which starts and stops it.
    """

    _around: Surroundings

    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> None:
        super().__init__(handlers, address, **options)
        self._channels: dict[Session, AsyncioChannel] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listener: AsyncioListener | None = None
        self._one_less: asyncio.Event | None = None
        self._workers: WorkerPool | None = None
        self._looking: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._is_started = False
        self._is_draining = False

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
        _log.info("serving %s on %s", self._served, self._bound)
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
        """Serve until `stop` is called, this is cancelled, or, on the main thread, until Ctrl+C or SIGTERM.

        Raises:
            ConfigurationError: the address cannot be had, or the server ran already.
        """
        with self._signals():
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

    @property
    def in_flight(self) -> int:
        """Calls of workers and `async` handlers that are not answered yet. A plain handler without workers occupies the
        server's thread, so its call is never seen here.
        """
        return self._load.in_flight

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers that peers have not read yet and that the kernel does not hold either."""
        return sum(channel.pending for channel in list(self._channels.values()))

    @property
    def is_draining(self) -> bool:
        """Whether the server has begun to stop: it accepts no connections and tells its peers to go elsewhere."""
        return self._is_draining

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
                while self._channels or (self._listener is not None and self._listener.coming):
                    self._one_less = asyncio.Event()
                    await self._one_less.wait()

    # Serving.

    def _session(self, channel: AsyncioChannel) -> Session:
        connection = ServerConnection(self._detector, self._served.methods)
        session = Session(channel, connection, self._around, self._forget)
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
        task.add_done_callback(partial(self._finished, done))

    def _finished(self, done: Done, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        done(*outcome_of(task))

    async def _look(self) -> None:
        """Every now and then: end connections that keep still for too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._patience.interval)
            self._patience.look(self._channels, loop.time())

    # Signals.

    @contextmanager
    def _signals(self) -> Generator[None]:
        """Ctrl+C and SIGTERM stop the server, where the event loop can take signals; the second time at once."""
        loop = asyncio.get_running_loop()
        taken: list[signal.Signals] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._signalled)
                taken.append(number)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)

    def _signalled(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(self._settings.grace_s))
        else:
            for channel in list(self._channels.values()):
                channel.abort()
