"""Base class of the servers that own connections: `Server` and `AsyncServer`, not `ProcessServer`.

Filters that suspend run on the event loop. A plain handler behind them runs on the server's thread or on a worker, at
the request of the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, Unpack

from idlrt.core import ALWAYS, Handlers
from idlrt.core.logs import get_logger
from idlrt.errors import Overloaded
from idlrt.printable import plural
from idlrt.server.base import ServerBase
from idlrt.server.context import OnDone
from idlrt.server.session import Session
from idlrt.server.settings import ServerOptions
from idlrt.server.workers import WorkerPool, run_caught

if TYPE_CHECKING:
    from idlrt.observe.loop_lag import CallLater, LoopWatch
    from idlrt.observe.server_calls import ServerCalls
    from idlrt.observe.sources import Source
    from idlrt.server.admin.checks import Check
    from idlrt.server.measuring import ServerSource

__all__ = ["EngineBase"]

_log = get_logger("idlrt.server")


class _Connection(Protocol):
    """Interface of a connection, as its server uses it."""

    @property
    def pending(self) -> int: ...

    def abort(self) -> None: ...


C = TypeVar("C", bound=_Connection)


class EngineBase(ServerBase, Generic[C]):
    """Base class of servers that own connections of type `C`."""

    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> None:
        self._source: ServerSource | None = None
        self._loop_watch: LoopWatch | None = None
        super().__init__(handlers, address, **options)
        # Whether the loop has ended, or is about to.
        self._is_over = False
        self._channels: dict[Session, C] = {}
        self._workers: WorkerPool | None = None
        self._is_draining = False
        self._is_cut_off = False

    @property
    def in_flight(self) -> int:
        """Number of calls in flight of workers, of `async` handlers and behind filters that suspend. Other plain
        handlers occupy the server's thread while they run, so their calls are never counted.
        """
        return self._load.in_flight

    @property
    def unsent_bytes(self) -> int:
        """Size of the responses in send buffers of this process, in bytes, without those in the kernel's buffers."""
        return sum(channel.pending for channel in list(self._channels.values()))

    @property
    def is_draining(self) -> bool:
        """Whether the server is stopping: it accepts no connections and tells clients to use other instances."""
        return self._is_draining

    def _make_calls(self) -> ServerCalls | None:
        if not self._settings.is_measured:
            return None
        from idlrt.observe.server_calls import ServerCalls

        return ServerCalls(time.monotonic)

    def _make_source(self) -> Source:
        from idlrt.server.measuring import ServerSource

        assert self._calls is not None
        self._source = ServerSource(self, self._calls)
        return self._source

    def _cut_off(self) -> None:
        """Abort all connections, and start no call that has been received on them."""
        self._is_cut_off = True
        for session, channel in list(self._channels.items()):
            session.discard_requests()
            channel.abort()

    @property
    def connections(self) -> int:
        """Number of open connections, without those whose TLS handshake is in progress."""
        return len(self._channels)

    def _serving_began(self, call_later: CallLater) -> None:
        """Log it, and open the admin port.

        Args:
            call_later: schedules a function on the loop of the server.
        """
        _log.info("serving %s on %s", str(self._served), str(self._bound), extra=self._fields())
        if self._source is not None:
            from idlrt.observe.loop_lag import LoopWatch

            self._source.workers = self._workers
            self._loop_watch = LoopWatch("server", call_later)
            self._loop_watch.start()
        self._open_admin()

    def _log_draining(self) -> None:
        _log.info("draining %s on %s", str(self._served), str(self._bound), extra=self._fields())

    def _serving_ended(self) -> None:
        self._log_stopped()
        self._close_admin()

    def _log_stopped(self) -> None:
        _log.info("stopped serving %s on %s", str(self._served), str(self._bound), extra=self._fields())

    def _fields(self) -> Mapping[str, object]:
        """Return the fields of records about the state of the server."""
        return {**ALWAYS, "services": str(self._served), "address": str(self._bound)}

    def _log_full(self) -> None:
        limit = self._settings.max_connections
        _log.warning(
            "reached max_connections=%d on %s; further connections wait to be accepted",
            limit,
            str(self._bound),
            extra={"max_connections": limit, "address": str(self._bound)},
        )

    def _log_cut_off(self, connections: int) -> None:
        _log.warning(
            "closing %s: calls did not finish within the grace period",
            plural(connections, "connection"),
            extra={"connections": connections},
        )

    def _numbers(self) -> Mapping[str, int]:
        return {"connections": self.connections, "in_flight": self.in_flight, "unsent_bytes": self.unsent_bytes}

    def _loop_checks(self) -> Sequence[Check]:
        from idlrt.server.admin.checks import LoopCheck

        return (LoopCheck(self.call_threadsafe, lambda: self._is_over),)

    def call_threadsafe(self, function: Callable[[], object]) -> None:
        """Call `function` on the server's thread, soon. May be called on any thread while the server runs.

        Raises:
            RuntimeError: the event loop of an `AsyncServer` is closed.
        """
        raise NotImplementedError

    def _call_on_thread(self, function: Callable[..., object]) -> None:
        """Call `function` on the server's thread. Called on the event loop on which filters run."""
        self.call_threadsafe(function)

    async def _run_plain(self, work: Callable[[], Any]) -> Any:
        from idlrt.server.coroutines import run_on_thread

        return await run_on_thread(partial(self._begin_plain, work), self._call_on_thread)

    def _begin_plain(self, work: Callable[[], Any], is_cancelled: Callable[[], bool], tell: OnDone) -> None:
        """Run a plain handler here, on the server's thread, or submit it to a worker."""

        def unless_cancelled() -> Any:
            return None if is_cancelled() else work()

        if self._is_cut_off:
            tell(None, Overloaded("the server has stopped"))
        elif self._workers is None:
            tell(*run_caught(unless_cancelled))
        elif not self._workers.submit(unless_cancelled, tell):
            tell(None, Overloaded("the server is overloaded: all workers are busy and the queue is full"))
