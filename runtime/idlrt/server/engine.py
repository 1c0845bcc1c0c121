"""What servers have that serve connections themselves: `Server` and `AsyncServer`, not `ProcessServer`.

Plain handlers behind filters that suspend are asked for on the event loop, and run on the server's thread or on a
worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, Unpack

from idlrt.core import Handlers
from idlrt.errors import Overloaded
from idlrt.server.base import ServerBase
from idlrt.server.session import Session
from idlrt.server.settings import ServerOptions
from idlrt.server.surroundings import Done
from idlrt.server.workers import WorkerPool, outcome

__all__ = ["EngineBase"]


class _Connection(Protocol):
    """What a server needs of its connections."""

    @property
    def pending(self) -> int: ...

    def abort(self) -> None: ...


C = TypeVar("C", bound=_Connection)


class EngineBase(ServerBase, Generic[C]):
    """The base of servers that serve connections themselves, each a `C`."""

    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> None:
        super().__init__(handlers, address, **options)
        self._channels: dict[Session, C] = {}
        self._workers: WorkerPool | None = None
        self._is_draining = False
        self._is_cut_off = False

    @property
    def in_flight(self) -> int:
        """Calls of workers, of `async` handlers and behind filters that suspend, which are not answered yet. Any other
        plain handler occupies the server's thread, so its call is never seen here.
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

    def _cut_off(self) -> None:
        """Close all connections as they are, and begin no call that has come over them."""
        self._is_cut_off = True
        for session, channel in list(self._channels.items()):
            session.abandon()
            channel.abort()

    def _call_on_thread(self, function: Callable[..., object]) -> None:
        """Call `function` on the server's thread. Asked for by the event loop on which filters run."""
        raise NotImplementedError

    async def _run_plain(self, work: Callable[[], Any]) -> Any:
        from idlrt.server.coroutines import asked

        return await asked(partial(self._begin_plain, work), self._call_on_thread)

    def _begin_plain(self, work: Callable[[], Any], is_cancelled: Callable[[], bool], tell: Done) -> None:
        """On the server's thread: run a plain handler here, or let a worker run it."""

        def unless_cancelled() -> Any:
            return None if is_cancelled() else work()

        if self._is_cut_off:
            tell(None, Overloaded("the server has stopped"))
        elif self._workers is None:
            tell(*outcome(unless_cancelled))
        elif not self._workers.submit(unless_cancelled, tell):
            tell(None, Overloaded("the server is overloaded: all workers are busy and their queue is full"))
