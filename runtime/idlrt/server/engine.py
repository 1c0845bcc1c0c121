"""What servers have that serve connections themselves: `Server` and `AsyncServer`, not `ProcessServer`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar, Unpack

from idlrt.core import Handlers
from idlrt.server.base import ServerBase
from idlrt.server.session import Session
from idlrt.server.settings import ServerOptions

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
        self._is_draining = False

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

    def _cut_off(self) -> None:
        """Close all connections as they are, and begin no call that has come over them."""
        for session, channel in list(self._channels.items()):
            session.abandon()
            channel.abort()
