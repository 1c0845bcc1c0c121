"""Selector server: one thread, one selector loop, any number of connections.

States: new, bound, running, stopping, stopped. A stop has three phases. Draining: the server accepts no connections and
tells clients to use other instances, with the next response or by closing the connection. After `drain_s`: it reads
what has arrived, and closes each connection once its calls are answered. After the grace period: it closes the
remaining connections. Plain handlers run on the loop's thread, one at a time, unless there are `workers`.
"""

from __future__ import annotations

import contextvars
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from idlrt.core import Handlers
from idlrt.core.forks import forks
from idlrt.core.keyword_options import documented
from idlrt.errors import ConfigurationError
from idlrt.net import Address, Channel, Listener, SelectorLoop
from idlrt.server.engine import EngineBase
from idlrt.server.session import Session
from idlrt.server.settings import SERVER_DEFAULTS, ServerOptions
from idlrt.server.signals import STOP_SIGNALS, StopSignals
from idlrt.server.workers import WorkerPool

if TYPE_CHECKING:
    from idlrt.net.tls_channel import TlsChannel
    from idlrt.server.coroutines import CoroutineRunner

__all__ = ["Server"]

_FINAL_READS = 16


class Server(EngineBase["Channel | TlsChannel"]):
    """Server of one or more services at one address, for clients of every protocol (`idlrt.protocol`).

    Args:
        handlers: the result of a generated `..._service(handler)`, or a list of them. Clients call the methods of
            several services as `Service:method` (`connect(..., multiplexed=True)`); plain names refer to the first one.
        address: `host:port`, `tcp://host:port`, `:port` or `unix:/path`. The default is a free port of the loopback
            interface.
        options: `ServerOptions`.

    Raises:
        ConfigurationError: `handlers`, `address` or an option is invalid, or two services have the same name.
        TypeError: an option does not exist.
    """

    @documented(ServerOptions, SERVER_DEFAULTS)
    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> None:
        """Create a server. It does not listen yet."""
        super().__init__(handlers, address, **options)
        self._lock = threading.Lock()
        self._forks = forks.count
        self._loop: SelectorLoop | None = None
        self._stopped = threading.Event()
        self._thread_id: int | None = None
        self._listener: Listener | None = None
        # Connections whose TLS handshake is in progress.
        self._handshaking: set[TlsChannel] = set()
        self._runner: CoroutineRunner | None = None
        forks.register(self)

    # Lifecycle.

    def bind(self) -> Self:
        """Bind the address, so that `address` and `port` are known. `serve` and `start` do it if necessary.

        Raises:
            ConfigurationError: the address is not available, or the server has been stopped.
        """
        with self._lock:
            if self._is_stopping:
                raise ConfigurationError("cannot start the server: it has been stopped; create a new one")
            if self._loop is None:
                self._listen()
                self._loop = SelectorLoop()
        return self

    def __enter__(self) -> Self:
        return self.bind()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def use_socket(self, listening: socket.socket, address: Address | None) -> None:
        """Use a socket that listens already, as a process of a `ProcessServer` does. Call it before `bind`.

        Args:
            listening: the socket; the server closes it. The file of a Unix socket is left to its owner.
            address: address on which it listens.
        """
        self._listening = listening
        self._bound = address

    def serve(
        self, *, signals: Sequence[signal.Signals] = STOP_SIGNALS, counts: Callable[[], bool] | None = None
    ) -> None:
        """Serve until `stop` is called, or, on the main thread, until Ctrl+C or SIGTERM.

        The first signal drains the server. The second one stops it at once, and raises `KeyboardInterrupt` or
        `SystemExit` in a handler that runs on this thread; the third one kills the process.

        Args:
            signals: signals that stop the server.
            counts: returns whether a signal after the first one counts. `None`: every signal counts.

        Raises:
            ConfigurationError: the address is not available, or the server was started before.
        """
        self._mark_started()
        with StopSignals(signals, drain=self._stop_by_signal, force_stop=self._force_stop_by_signal, counts=counts):
            self._run()

    def start(self) -> Self:
        """Serve on a background thread. With a registry, return once clients can find the server, at most after 1 s.

        Raises:
            ConfigurationError: the address is not available, or the server was started before.
        """
        self._mark_started()
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name="idlrt server", daemon=True).start()
        self._wait_registered()
        return self

    def stop(self, grace_s: float | None = None) -> None:
        """Stop gracefully, and return when the server has stopped. May be called repeatedly and on any thread.

        Called by a handler it returns at once, and the server stops after that response. In a forked child it does
        nothing.

        Args:
            grace_s: grace period of calls in flight, in seconds. Default: the server's `grace_s`.
        """
        grace_s = self._grace(grace_s)
        if self._forks != forks.count:
            return  # it belongs to the parent
        with self._lock:
            is_first, self._is_stopping = not self._is_stopping, True
            if not self._is_started:
                self._is_started = True
                self._discard()
                return
        if is_first:
            self._ask_to_stop(grace_s)
        if not self._is_own_thread(threading.get_ident()):
            self._stopped.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the server has stopped, at most `timeout` seconds; return whether it has."""
        return self._stopped.wait(timeout)

    @property
    def connections(self) -> int:
        """Number of open connections, including those whose TLS handshake is in progress."""
        return len(self._channels) + len(self._handshaking)

    def _is_own_thread(self, thread: int) -> bool:
        """Whether `thread` runs handlers of this server, so that it must not wait for the server to stop."""
        return (
            thread == self._thread_id
            or (self._runner is not None and thread == self._runner.thread)
            or (self._workers is not None and thread in self._workers.threads)
        )

    def _mark_started(self) -> None:
        self.bind()
        with self._lock:
            if self._is_started:
                raise ConfigurationError("cannot start the server: it was started before; create a new one")
            self._is_started = True
            self._forks = forks.count

    def after_fork(self) -> None:
        """Close the inherited sockets in a forked child; otherwise the port would stay in use, and connections open,
        after the parent has stopped.
        """
        if self._loop is None:
            return
        self._loop.close_inherited()
        if not self._is_started:
            self._loop = SelectorLoop()  # only bound: the child may serve there
            return
        if self._listening is not None:
            self._listening.close()
        self._file = 0
        for channel in [*self._channels.values(), *self._handshaking]:
            channel.close_inherited()

    def _discard(self) -> None:
        """Release the resources that `bind` acquired."""
        if self._listening is not None:
            self._listening.close()
            self._unlink()
        if self._loop is not None:
            self._loop.close()
        self._close_admin()
        self._stopped.set()

    def _ask_to_stop(self, grace_s: float) -> None:
        if self._registrar is None:
            self._stop_now(grace_s)
        else:
            # Clients must have moved to other instances before connections close, and the loop serves meanwhile.
            threading.Thread(target=self._deregister_and_stop, args=(grace_s,), name="idlrt stop", daemon=True).start()

    def _deregister_and_stop(self, grace_s: float) -> None:
        try:
            self._deregister()
        finally:
            self._stop_now(grace_s)

    def _stop_now(self, grace_s: float) -> None:
        assert self._loop is not None
        self._loop.call_threadsafe(self._begin_to_stop, grace_s)

    # On the loop's thread.

    def _run(self) -> None:
        loop, listening = self._loop, self._listening
        assert loop is not None
        assert listening is not None
        self._thread_id = threading.get_ident()
        if self._settings.workers:
            self._workers = WorkerPool(self._settings.workers, self._settings.max_queued, loop.call_threadsafe)
        self._context = self._make_context(
            call_soon=loop.call_soon,
            run_async=self._run_async,
            run_worker=None if self._workers is None else self._workers.submit,
        )
        try:
            self._listener = Listener(loop, listening, self._accepted)
            if self._timeouts.interval:
                loop.call_later(self._timeouts.interval, self._check_timeouts)
            self._serving_began(loop.call_later)
            self._register()
            loop.run()
        finally:
            self._is_stopping = self._is_over = True
            if self._runner is not None:
                self._runner.stop()
            if self._workers is not None:
                self._workers.stop()
            if self._listener is not None:
                self._listener.close()
            self._close_remaining()
            self._unlink()
            self._deregister()
            loop.close()
            self._thread_id = None
            self._serving_ended()
            self._stopped.set()

    def _accepted(self, channel: Channel) -> None:
        if self._tls is None:
            channel.open(self._session(channel))
        else:
            from idlrt.net.tls_channel import TlsChannel

            encrypted = TlsChannel(channel, self._tls.current, self._handshake_finished, self._handshake_failed)
            self._handshaking.add(encrypted)
            encrypted.open()
        if self._is_full() and self._listener is not None and not self._listener.is_paused:
            self._log_full()
            self._listener.pause()

    def _session(self, channel: Channel | TlsChannel) -> Session:
        session = Session(channel, self._connection(), self._context, self._session_closed)
        self._channels[session] = channel
        if self._is_draining:
            session.drain()
        return session

    def _handshake_finished(self, channel: TlsChannel) -> Session:
        self._handshaking.discard(channel)
        return self._session(channel)

    def _handshake_failed(self, channel: TlsChannel) -> None:
        self._handshaking.discard(channel)
        self._connection_closed()

    def _is_full(self) -> bool:
        return self.connections >= self._settings.max_connections

    def _run_async(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: contextvars.Context,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        if self._is_over:
            # The last iteration of the loop: all connections are closed.
            coroutine.close()
            done(None, RuntimeError("the server has stopped"))
            return
        if self._runner is None:
            from idlrt.server.coroutines import CoroutineRunner

            assert self._loop is not None
            loop = self._loop
            # The coroutines of an iteration start together at its end, unless plain handlers run on this thread: a
            # plain handler may block until an `async` handler has made progress.
            has_plain = not self._workers and not all(each.is_coroutine for each in self._served.table.values())
            self._runner = CoroutineRunner(loop.call_threadsafe, None if has_plain else loop.call_soon)
        self._runner.run(coroutine, context, done)

    def call_threadsafe(self, function: Callable[..., object]) -> None:
        assert self._loop is not None
        self._loop.call_threadsafe(function)

    def _new_server(self, handlers: Handlers, address: str, options: dict[str, Any]) -> Server:
        return Server(handlers, address, **options)

    def _session_closed(self, session: Session) -> None:
        self._channels.pop(session, None)
        self._connection_closed()

    def _connection_closed(self) -> None:
        if self._is_draining:
            self._stop_if_done()
        elif self._listener is not None and not self._is_full():
            self._listener.resume()

    def _check_timeouts(self) -> None:
        """Close connections that have exceeded a timeout, periodically."""
        assert self._loop is not None
        self._timeouts.check(self._channels, self._loop.now)
        for channel in list(self._handshaking):
            self._timeouts.check_handshake(channel, channel.began_at, self._loop.now)
        self._loop.call_later(self._timeouts.interval, self._check_timeouts)

    def _begin_to_stop(self, grace_s: float) -> None:
        """Accept no more connections, and tell the clients of open ones to use other instances."""
        if self._is_draining:
            return
        assert self._loop is not None
        self._log_draining()
        if self._listener is not None:
            self._listener.close()
            self._unlink()
        self._is_draining = True
        for session in self._channels:
            session.drain()
        self._loop.call_later(self._settings.drain_s if self.connections else 0.0, self._finish, grace_s)
        self._stop_if_done()

    def _finish(self, grace_s: float) -> None:
        """Answer the calls that have arrived, and close the connections."""
        assert self._loop is not None
        self._loop.call_later(grace_s, self._close_remaining)
        for session, channel in list(self._channels.items()):
            # Requests that are in the kernel's buffer are answered too.
            for _ in range(_FINAL_READS):
                if not channel.read_now():
                    break
            session.finish()
        for handshaking in list(self._handshaking):
            handshaking.abort()
        self._stop_if_done()

    def _close_remaining(self) -> None:
        if self.connections:
            self._log_cut_off(self.connections)
        self._cut_off()
        for handshaking in list(self._handshaking):
            handshaking.abort()

    def _stop_if_done(self) -> None:
        if not self.connections:
            assert self._loop is not None
            self._loop.stop()

    def _stop_by_signal(self) -> None:
        # No lock here: the signal may have arrived while this thread holds it.
        if not self._is_stopping:
            self._is_stopping = True
            self._ask_to_stop(self._settings.grace_s)

    def _force_stop_by_signal(self, is_interrupted: bool) -> None:
        assert self._loop is not None
        if is_interrupted:
            self._cut_off()  # a handler is interrupted, and no other one may start
        self._loop.call_threadsafe(self._force_stop)

    def _force_stop(self) -> None:
        self._begin_to_stop(0.0)
        self._close_remaining()
