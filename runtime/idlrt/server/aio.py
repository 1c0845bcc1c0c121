"""Asyncio server: the same sessions and protocols as `Server`, on the caller's event loop.

`async` handlers run as tasks of the event loop, each in its own context; plain handlers run on the thread of the event
loop and block it, or on `workers`. Stopping has the same phases as in `Server`. The server runs on asyncio's own loop
and on uvloop.
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

from idlrt.core import Handlers
from idlrt.core.forks import forks
from idlrt.core.keyword_options import documented
from idlrt.errors import ConfigurationError
from idlrt.net.aio_listener import AsyncioListener
from idlrt.net.aio_server import AsyncioChannel
from idlrt.server.context import OnDone, ServerContext
from idlrt.server.coroutines import catch, close_unstarted, task_result
from idlrt.server.engine import EngineBase
from idlrt.server.forked_child import exit_child
from idlrt.server.server import Server
from idlrt.server.session import Session
from idlrt.server.settings import SERVER_DEFAULTS, ServerOptions
from idlrt.server.signals import StopSignals
from idlrt.server.workers import WorkerPool

__all__ = ["AsyncServer"]


class AsyncServer(EngineBase[AsyncioChannel]):
    """Server on an asyncio event loop, with the same arguments as `Server`.

    An `async with` block starts and stops it.
    """

    _context: ServerContext

    @documented(ServerOptions, SERVER_DEFAULTS)
    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> None:
        """Create a server. It does not listen yet."""
        super().__init__(handlers, address, **options)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listener: AsyncioListener | None = None
        self._connection_closed: asyncio.Event | None = None
        self._timeout_task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._is_forced = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._forks = forks.count
        forks.register(self)

    # Lifecycle.

    async def start(self) -> Self:
        """Bind the address and serve while the event loop runs. With a registry it returns once clients can find the
        server, or after a second if the registry does not respond.

        Raises:
            ConfigurationError: the address is not available, or the server was started before.
        """
        if self._is_started:
            raise ConfigurationError("cannot start the server: it was started before; create a new one")
        listening = self._listen()
        self._is_started = True
        loop, settings = asyncio.get_running_loop(), self._settings
        self._loop, self._thread_id, self._forks = loop, threading.get_ident(), forks.count
        if settings.workers:
            self._workers = WorkerPool(settings.workers, settings.max_queued, loop.call_soon_threadsafe)
        self._context = self._make_context(
            call_soon=loop.call_soon,
            run_async=self._run_async,
            run_worker=None if self._workers is None else self._workers.submit,
        )
        self._listener = AsyncioListener(
            listening, self._session, self._tls, settings.message_timeout, self._setup_finished
        )
        if self._timeouts.interval:
            self._timeout_task = loop.create_task(self._check_timeouts())
        self._serving_began(loop.call_later)
        self._register()
        if self._registrar is not None:
            await asyncio.to_thread(self._wait_registered)
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def serve(self) -> None:
        """Serve until `stop` is called, the task is cancelled, or, on the main thread, Ctrl+C or SIGTERM arrives.

        The first signal drains the server. The second one stops it at once, and raises `KeyboardInterrupt` or
        `SystemExit` in a handler that blocks the event loop; the third one kills the process.

        Raises:
            ConfigurationError: the address is not available, or the server has been stopped.
        """
        loop = asyncio.get_running_loop()

        def drain() -> None:
            loop.call_soon_threadsafe(self._stop_soon)

        def force_stop(is_interrupted: bool) -> None:
            if is_interrupted:
                # A handler is interrupted, and no other one may start.
                self._cut_off()
                for task in self._tasks - {asyncio.current_task(loop)}:
                    task.cancel()
            loop.call_soon_threadsafe(self._force_stop)

        with StopSignals((signal.SIGINT, signal.SIGTERM), drain=drain, force_stop=force_stop):
            if not self._is_started:
                await self.start()
            try:
                await self._stopped.wait()
            finally:
                await self.stop()

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop gracefully, and return when the server has stopped. May be called repeatedly and by several tasks.

        Called by an `async` handler it returns at once; the server stops after the response of that handler.

        Args:
            grace_s: grace period of calls in flight, in seconds. Default: the server's `grace_s`.
        """
        if not self._is_started:
            self._is_started = True
            if self._listening is not None:
                self._listening.close()
                self._unlink()
            self._stopped.set()
            return
        if self._stopping is None:
            grace_s = self._grace(grace_s)
            self._is_stopping = True
            self._stopping = asyncio.get_running_loop().create_task(self._stop(grace_s))
        if asyncio.current_task() not in self._tasks:
            await asyncio.shield(self._stopping)

    def after_fork(self) -> None:
        """Close the inherited sockets in a forked child, as `Server.after_fork` does."""
        loop, listener = self._loop, self._listener
        if loop is None or listener is None:
            return  # only bound, or stopped: there are no connections
        listener.close_inherited()
        self._file = 0
        for channel in list(self._channels.values()):
            channel.close_inherited()
        if self._thread_id == threading.get_ident():
            # The child shares the parent's selector: if it returned to the loop, it would consume the parent's events.
            with suppress(RuntimeError):
                loop.call_soon(exit_child)

    def _stop_soon(self) -> None:
        if self._stopping is None:
            self._is_stopping = True
            self._stopping = asyncio.get_running_loop().create_task(self._stop(self._settings.grace_s))

    def _force_stop(self) -> None:
        """Stop at once, without draining."""
        self._is_forced = True
        self._stop_soon()
        if self._listener is not None:
            self._listener.abort()
        self._cut_off()
        self._setup_finished()

    async def _stop(self, grace_s: float) -> None:
        if self._registrar is not None:
            # Clients must have moved to other instances before connections close.
            await asyncio.to_thread(self._deregister)
        self._is_draining = True
        self._log_draining()
        assert self._listener is not None
        await self._listener.close()
        self._unlink()
        for session in self._channels:
            session.drain()
        await self._wait_closed(self._settings.drain_s)
        self._listener.abort()
        for session in list(self._channels):
            session.finish()
        await self._wait_closed(grace_s)
        if self._channels:
            self._log_cut_off(len(self._channels))
        for channel in list(self._channels.values()):
            channel.abort()
        if self._timeout_task is not None:
            self._timeout_task.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2.0)
        if self._workers is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._workers.stop)
        await self._wait_closed(1.0)
        if self._loop_watch is not None:
            self._loop_watch.stop()
        self._log_stopped()
        await asyncio.to_thread(self._close_admin)
        self._stopped.set()

    async def _wait_closed(self, seconds: float) -> None:
        """Wait until all connections are closed, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_forced and (self._channels or (self._listener and self._listener.setting_up)):
                    self._connection_closed = asyncio.Event()
                    await self._connection_closed.wait()

    # Serving.

    def _session(self, channel: AsyncioChannel) -> Session:
        session = Session(channel, self._connection(), self._context, self._session_closed)
        self._channels[session] = channel
        if self._is_draining:
            session.drain()
        listener = self._listener
        if len(self._channels) >= self._settings.max_connections and listener is not None and not listener.is_paused:
            self._log_full()
            listener.pause()
        return session

    def _session_closed(self, session: Session) -> None:
        self._channels.pop(session, None)
        self._setup_finished()
        if self._listener is not None:
            self._listener.resume()

    def _setup_finished(self) -> None:
        if self._connection_closed is not None:
            self._connection_closed.set()

    def _run_async(self, coroutine: Coroutine[Any, Any, Any], context: Context, done: OnDone) -> None:
        task = asyncio.get_running_loop().create_task(catch(coroutine), context=context)
        self._tasks.add(task)
        task.add_done_callback(partial(self._finished, coroutine, done))

    def call_threadsafe(self, function: Callable[[], object]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function)

    def _new_server(self, handlers: Handlers, address: str, options: dict[str, Any]) -> Server:
        return Server(handlers, address, **options)

    def _call_on_thread(self, function: Callable[..., object]) -> None:
        function()  # event loop and sessions share a thread

    def _finished(self, coroutine: Coroutine[Any, Any, Any], done: OnDone, task: asyncio.Task[Any]) -> None:
        close_unstarted(task, coroutine)
        self._tasks.discard(task)
        done(*task_result(task))

    async def _check_timeouts(self) -> None:
        """Close connections that have exceeded a timeout, periodically."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._timeouts.interval)
            self._timeouts.check(self._channels, loop.time())
