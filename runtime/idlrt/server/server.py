"""Selector server: one thread, one loop, any number of connections.

States: new, bound, running, stopping, stopped. Stopping accepts no more connections and tells clients to go elsewhere,
with the next answer or by closing. After `drain_s` it answers what has arrived and closes each connection when nothing
of it is left to do; after the grace time it closes the others. Plain handlers run on the loop's thread, one at a time,
unless there are `workers`.
"""

from __future__ import annotations

import contextvars
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from idlrt.core import ALWAYS, Handlers
from idlrt.core.forks import forks
from idlrt.core.keyword_options import documented
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.net import Address, Channel, Listener, SelectorLoop
from idlrt.server.engine import EngineBase
from idlrt.server.session import Session
from idlrt.server.settings import SERVER_DEFAULTS, ServerOptions
from idlrt.server.signals import STOP_SIGNALS, StopSignals
from idlrt.server.surroundings import Surroundings
from idlrt.server.workers import WorkerPool

if TYPE_CHECKING:
    from idlrt.net.tls_channel import TlsChannel
    from idlrt.server.coroutines import CoroutineRunner

__all__ = ["Server"]

_log = get_logger("idlrt.server")

_READS_AT_THE_END = 16


class Server(EngineBase["Channel | TlsChannel"]):
    """Server of one or more services at one address, for clients of every protocol (`idlrt.protocol`).

    Args:
        handlers: the result of a generated `..._service(handler)`, or a list of them. Clients call the methods of
            several services as `Service:method` (`connect(..., multiplexed=True)`); plain names refer to the first one.
        address: `host:port`, `tcp://host:port`, `:port` or `unix:/path`. The default is a free port of this machine.
        options: see `ServerOptions`.

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
        """Prepare a server. It does not listen yet."""
        super().__init__(handlers, address, **options)
        self._lock = threading.Lock()
        self._forks = forks.count
        self._loop: SelectorLoop | None = None
        self._is_taken = False
        self._is_stopping = False
        self._is_over = False
        self._stopped = threading.Event()
        self._runs_on: int | None = None
        self._listener: Listener | None = None
        self._around: Surroundings
        # Connections on which the two sides have not agreed on TLS yet.
        self._agreeing: set[TlsChannel] = set()
        self._runner: CoroutineRunner | None = None
        forks.renew(self)

    # Life.

    def bind(self) -> Self:
        """Take the address, so that `address` and `port` are known. Serving does it too.

        Raises:
            ConfigurationError: the address cannot be had, or the server was stopped.
        """
        with self._lock:
            if self._is_stopping:
                raise ConfigurationError("the server was stopped; make a new one")
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

    def adopt(self, listening: socket.socket, address: Address | None) -> None:
        """Serve at a socket that listens already, as a process of a `ProcessServer` does. Before `bind`.

        Args:
            listening: becomes the server's. What lies in the file system stays whose it is.
            address: where it listens.
        """
        self._listening = listening
        self._bound = address

    def serve(
        self, *, signals: Sequence[signal.Signals] = STOP_SIGNALS, is_meant: Callable[[], bool] | None = None
    ) -> None:
        """Serve until `stop` is called, or, on the main thread, until Ctrl+C or SIGTERM. The second signal stops at
        once, and raises `KeyboardInterrupt` or `SystemExit` in a handler that runs here; the third one kills.

        Args:
            signals: those that stop it, if others than these do.
            is_meant: says whether a signal after the first one counts. `None`: each counts.

        Raises:
            ConfigurationError: the address cannot be had, or the server runs or ran already.
        """
        self._take()
        with StopSignals(signals, drain=self._drain_by_signal, hurry=self._hurry_by_signal, is_meant=is_meant):
            self._run()

    def start(self) -> Self:
        """Serve on a thread of its own until `stop` is called. With a registry it returns when clients can find it, or
        after a second if the registry does not answer.

        Raises:
            ConfigurationError: the address cannot be had, or the server runs or ran already.
        """
        self._take()
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name="idlrt server", daemon=True).start()
        self._settle()
        return self

    def stop(self, grace_s: float | None = None) -> None:
        """Stop as described above, and return when that is done. May be called by anybody, any number of times.

        Called by a handler it returns at once, and the server stops when the handler has been answered. In a child of
        the process that made the server nothing happens.

        Args:
            grace_s: seconds that calls under way get, instead of the server's own.
        """
        grace_s = self._grace(grace_s)
        if self._forks != forks.count:
            return  # it is the parent's
        with self._lock:
            is_first, self._is_stopping = not self._is_stopping, True
            if not self._is_taken:
                self._is_taken = True
                self._discard()
                return
        if is_first:
            self._ask_to_stop(grace_s)
        if not self._is_ours(threading.get_ident()):
            self._stopped.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the server has stopped, at most `timeout` seconds; return whether it has."""
        return self._stopped.wait(timeout)

    @property
    def connections(self) -> int:
        """Open connections, including those whose TLS handshake is not over."""
        return len(self._channels) + len(self._agreeing)

    def _is_ours(self, thread: int) -> bool:
        """Whether `thread` runs this server's handlers, and must not wait for its end."""
        return (
            thread == self._runs_on
            or (self._runner is not None and thread == self._runner.thread)
            or (self._workers is not None and thread in self._workers.threads)
        )

    def _take(self) -> None:
        self.bind()
        with self._lock:
            if self._is_taken:
                raise ConfigurationError("the server runs already; a server runs once")
            self._is_taken = True
            self._forks = forks.count

    def renew(self) -> None:
        """In a child of the process: what serves is the parent's. So that its port is free when it has stopped, and its
        peers hear that, the child keeps nothing open.
        """
        if self._loop is None:
            return
        self._loop.forget()
        if not self._is_taken:
            self._loop = SelectorLoop()  # bound only: the child may serve there
            return
        if self._listening is not None:
            self._listening.close()
        self._file = 0
        for channel in [*self._channels.values(), *self._agreeing]:
            channel.forget()

    def _discard(self) -> None:
        """Give back what `bind` took."""
        if self._listening is not None:
            self._listening.close()
            self._unlink()
        if self._loop is not None:
            self._loop.close()
        self._stopped.set()

    def _ask_to_stop(self, grace_s: float) -> None:
        if self._presence is None:
            self._stop_now(grace_s)
        else:
            # Clients hear of it first, and the loop goes on meanwhile.
            threading.Thread(target=self._withdraw_and_stop, args=(grace_s,), name="idlrt goodbye", daemon=True).start()

    def _withdraw_and_stop(self, grace_s: float) -> None:
        try:
            self._withdraw()
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
        self._runs_on = threading.get_ident()
        if self._settings.workers:
            self._workers = WorkerPool(self._settings.workers, self._settings.max_queued, loop.call_threadsafe)
        self._around = self._surroundings(
            call_soon=loop.call_soon,
            run_async=self._run_async,
            run_worker=None if self._workers is None else self._workers.submit,
        )
        try:
            self._listener = Listener(loop, listening, self._accepted)
            if self._patience.interval:
                loop.call_later(self._patience.interval, self._look)
            _log.info("serving %s on %s", str(self._served), str(self._bound), extra=ALWAYS)
            self._announce()
            loop.run()
        finally:
            self._is_stopping = self._is_over = True
            if self._runner is not None:
                self._runner.stop()
            if self._workers is not None:
                self._workers.stop()
            if self._listener is not None:
                self._listener.close()
            self._give_up()
            self._unlink()
            self._withdraw()
            loop.close()
            self._runs_on = None
            self._stopped.set()

    def _accepted(self, channel: Channel) -> None:
        if self._tls is None:
            channel.open(self._session(channel))
        else:
            from idlrt.net.tls_channel import TlsChannel

            encrypted = TlsChannel(channel, self._tls.current, self._agreed, self._not_agreed)
            self._agreeing.add(encrypted)
            encrypted.open()
        if self._is_full() and self._listener is not None and not self._listener.is_paused:
            _log.warning("%d connections are open, the most that may be; more have to wait", self.connections)
            self._listener.pause()

    def _session(self, channel: Channel | TlsChannel) -> Session:
        session = Session(channel, self._connection(), self._around, self._forget)
        self._channels[session] = channel
        if self._is_draining:
            session.drain()
        return session

    def _agreed(self, channel: TlsChannel) -> Session:
        self._agreeing.discard(channel)
        return self._session(channel)

    def _not_agreed(self, channel: TlsChannel) -> None:
        self._agreeing.discard(channel)
        self._one_less()

    def _is_full(self) -> bool:
        return self.connections >= self._settings.max_connections

    def _run_async(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: contextvars.Context,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        if self._is_over:
            # The loop's last round: nobody is left to be answered.
            coroutine.close()
            done(None, RuntimeError("the server has stopped"))
            return
        if self._runner is None:
            from idlrt.server.coroutines import CoroutineRunner

            assert self._loop is not None
            loop = self._loop
            # The coroutines of a round start together at its end, unless plain handlers run on this thread: one of
            # them may block until an `async` handler has done something.
            has_plain = not self._workers and not all(each.is_coroutine for each in self._served.table.values())
            self._runner = CoroutineRunner(loop.call_threadsafe, None if has_plain else loop.call_soon)
        self._runner.run(coroutine, context, done)

    def _call_on_thread(self, function: Callable[..., object]) -> None:
        assert self._loop is not None
        self._loop.call_threadsafe(function)

    def _forget(self, session: Session) -> None:
        self._channels.pop(session, None)
        self._one_less()

    def _one_less(self) -> None:
        if self._is_draining:
            self._stop_if_done()
        elif self._listener is not None and not self._is_full():
            self._listener.resume()

    def _look(self) -> None:
        """Every now and then: end connections that keep still for too long."""
        assert self._loop is not None
        self._patience.look(self._channels, self._loop.now)
        for channel in list(self._agreeing):
            self._patience.look_at_beginner(channel, channel.began_at, self._loop.now)
        self._loop.call_later(self._patience.interval, self._look)

    def _begin_to_stop(self, grace_s: float) -> None:
        """Take no more connections; those that are open are told to go elsewhere."""
        assert self._loop is not None
        if self._is_draining:
            return
        if self._listener is not None:
            self._listener.close()
            self._unlink()
        self._is_draining = True
        for session in self._channels:
            session.drain()
        self._loop.call_later(self._settings.drain_s if self.connections else 0.0, self._finish, grace_s)
        self._stop_if_done()

    def _finish(self, grace_s: float) -> None:
        """Answer what has come, and close."""
        assert self._loop is not None
        self._loop.call_later(grace_s, self._give_up)
        for session, channel in list(self._channels.items()):
            # What has arrived is answered, even if the loop has not come to it yet.
            for _ in range(_READS_AT_THE_END):
                if not channel.read_now():
                    break
            session.finish()
        for beginner in list(self._agreeing):
            beginner.abort()
        self._stop_if_done()

    def _give_up(self) -> None:
        if self.connections:
            _log.warning("closing %d connections that were not done within the grace time", self.connections)
        self._cut_off()
        for beginner in list(self._agreeing):
            beginner.abort()

    def _stop_if_done(self) -> None:
        if not self.connections:
            assert self._loop is not None
            self._loop.stop()

    def _drain_by_signal(self) -> None:
        # No lock here: the signal may have come while this thread holds it.
        if not self._is_stopping:
            self._is_stopping = True
            self._ask_to_stop(self._settings.grace_s)

    def _hurry_by_signal(self, is_interrupted: bool) -> None:
        assert self._loop is not None
        if is_interrupted:
            self._cut_off()  # a handler is interrupted, and no other one may begin
        self._loop.call_threadsafe(self._hurry)

    def _hurry(self) -> None:
        self._begin_to_stop(0.0)
        self._give_up()
