"""What can be asked of ZooKeeper in a session: to look at nodes, and to change them.

All requests raise `SessionLost`, `Disconnected` (it may have been done), `RegistryRefused`, `RegistryUnavailable`, and
what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from idlrt.errors import RegistryRefused
from idlrt.registry.zookeeper.client import Conflict, Disconnected, translated
from idlrt.registry.zookeeper.connection import Connection

__all__ = ["Change", "Session", "Stat", "Watch"]

# Seconds between a request that failed and another look.
_MOMENT: Final = 0.05
# Bytes of a request from which on a server closes the connection (`jute.maxbuffer`, 0xfffff by default, less its own).
_LARGE: Final = 1_000_000

Watch = Callable[[str | None], object]
"""Is called on the loop with the path of a node that has changed; `None`: the connection broke."""


class Stat(NamedTuple):
    """What ZooKeeper says about a node (`Stat` in zookeeper.jute)."""

    created: int
    modified: int
    children_modified: int
    version: int
    owner: int


class Session(Connection):
    """See the module, and `Connection`.

    Args:
        acl: of new nodes, as kazoo takes it.
    """

    def __init__(self, hosts: Sequence[str], timeout: float, login: str, acl: Any) -> None:
        super().__init__(hosts, timeout, login)
        self._acl = acl
        self._making: dict[str, asyncio.Task[None]] = {}

    async def check(self, path: str, seconds: float) -> None:
        """Have the server answer, through a new connection if need be.

        Args:
            path: of a node to look at, there or not.
            seconds: in which it must.

        Raises:
            SessionLost: it never will.
            RegistryUnavailable: it has not within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.connected()
                    try:
                        await self.exists(path)
                    except Disconnected:
                        await asyncio.sleep(_MOMENT)  # until kazoo has said so
                    else:
                        return
        except TimeoutError:
            raise self._unreachable(seconds) from None

    async def sync(self) -> None:
        """Have the server know all that was written anywhere before this. Others than the leader may be late, and a new
        session, or one that was told of a change by other means, must not look into the past.
        """
        await self._call("catch up", self._client.sync_async, "/")

    async def children(self, path: str, watch: Watch | None = None) -> tuple[list[str], Stat]:
        """The names of a node's children. Raises `NoNode`."""
        names, stat = await self._call(
            f"list {path}", self._client.get_children_async, path, self._watch(watch), include_data=True
        )
        return names, _stat(stat)

    async def get(self, path: str, watch: Watch | None = None) -> tuple[bytes, Stat]:
        """A node's data. Raises `NoNode`."""
        data, stat = await self._call(f"read {path}", self._client.get_async, path, self._watch(watch))
        return data or b"", _stat(stat)

    async def exists(self, path: str, watch: Watch | None = None) -> Stat | None:
        """What a node is like; `None` if it is not there."""
        stat = await self._call(f"look at {path}", self._client.exists_async, path, self._watch(watch))
        return _stat(stat) if stat is not None else None

    async def ensure(self, path: str) -> None:
        """Make a lasting node and those above it, as far as they are not there; once for all who ask meanwhile."""
        task = self._making.get(path)
        if task is None:
            task = self._making[path] = self._loop.create_task(self._make(path))
            task.add_done_callback(lambda done: (self._making.pop(path, None), done.cancelled() or done.exception()))
        await asyncio.shield(task)

    async def _make(self, path: str) -> None:
        """All at once: a server does what one client asks for in that order."""
        names = path.strip("/").split("/")
        paths = ["/" + "/".join(names[: each + 1]) for each in range(len(names))]
        create = self._client.create_async
        results = await asyncio.gather(
            *(self._call(f"make {each}", create, each, b"", self._acl) for each in paths), return_exceptions=True
        )
        # Upper nodes may well be there, and others' alone. What counts is the last; the first says why it is not.
        if isinstance(results[-1], BaseException) and not isinstance(results[-1], Conflict):
            raise next(each for each in results if isinstance(each, BaseException) and not isinstance(each, Conflict))

    async def commit(self, *changes: Change) -> None:
        """Make changes, all or none. Raises `NoNode`, `Conflict`; `RegistryRefused` if they are too large: the server
        says nothing to that, and closes the connection.
        """
        transaction = self._client.transaction()
        for each in changes:
            each.add(transaction, self._acl)
        what = f"write {changes[-1].path}"
        try:
            results = await self._call(what, transaction.commit_async)
        except Disconnected as error:
            size = sum(len(each.path.encode()) + len(each.data) for each in changes)
            if size < _LARGE:
                raise
            raise RegistryRefused(
                f"cannot {what}: ZooKeeper closed the connection on a request of {size} bytes; it takes about "
                f"{_LARGE} unless jute.maxbuffer says otherwise: register less metadata"
            ) from error
        errors = [translated(each, what) for each in results if isinstance(each, Exception)]
        if errors:
            # Those that were only rolled back tell nothing.
            raise next((each for each in errors if not isinstance(each, Conflict)), errors[0])

    def _watch(self, watch: Watch | None) -> Any:
        if watch is None:
            return None
        return _Posted(self._post, watch)


class _Posted:
    """A watch as kazoo takes it. The same for the same `watch`, as kazoo keeps a set of them for each node."""

    def __init__(self, post: Callable[..., object], watch: Watch) -> None:
        self._post = post
        self._watch = watch

    def __call__(self, event: Any) -> None:
        self._post(self._watch, event.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Posted) and self._watch == other._watch

    def __hash__(self) -> int:
        return hash(self._watch)


class Change(NamedTuple):
    """A step of a transaction: `create` (for the session), `create lasting`, `set` or `delete`.

    Attributes:
        version: that the node must have; -1 for any.
    """

    what: str
    path: str
    data: bytes = b""
    version: int = -1

    def add(self, transaction: Any, acl: Any) -> None:
        """Add it to kazoo's transaction."""
        if self.what == "delete":
            transaction.delete(self.path, self.version)
        elif self.what == "set":
            transaction.set_data(self.path, self.data, self.version)
        else:
            transaction.create(self.path, self.data, acl=acl, ephemeral=self.what == "create")


def _stat(stat: Any) -> Stat:
    return Stat(stat.czxid, stat.mzxid, stat.pzxid, stat.version, stat.ephemeralOwner)
