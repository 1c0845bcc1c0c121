"""Requests to ZooKeeper within a session: reading, watching and changing nodes.

All requests raise `SessionLost`, `Disconnected` (the request may have been executed), `RegistryRefused`,
`RegistryUnavailable`, and the exceptions documented at each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from idlrt.errors import RegistryRefused
from idlrt.printable import plural
from idlrt.registry.zookeeper.client import Conflict, Disconnected, translated
from idlrt.registry.zookeeper.connection import Connection

__all__ = ["Change", "Session", "Stat", "Watch"]

# Seconds between a failed request and the next check.
_RETRY_DELAY: Final = 0.05
# Maximum size of a request in bytes, above which a server closes the connection (`jute.maxbuffer`, 0xfffff by default,
# less the protocol's overhead).
_MAX_REQUEST: Final = 1_000_000

Watch = Callable[[str | None], object]
"""Callback on the loop: with the path of a changed node, or `None` if the connection was lost."""


class Stat(NamedTuple):
    """Metadata of a node (`Stat` in zookeeper.jute)."""

    created: int
    modified: int
    children_modified: int
    version: int
    owner: int


class Session(Connection):
    """A ZooKeeper session.

    Args:
        acl: ACL of new nodes, as kazoo takes it.
    """

    def __init__(self, hosts: Sequence[str], timeout: float, login: str, acl: Any) -> None:
        super().__init__(hosts, timeout, login)
        self._acl = acl
        self._making: dict[str, asyncio.Task[None]] = {}

    async def check(self, path: str, seconds: float) -> None:
        """Check that the server responds, reconnecting if necessary.

        Args:
            path: any path to query; it need not exist.
            seconds: timeout.

        Raises:
            SessionLost: the session is lost.
            RegistryUnavailable: no response within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.connected()
                    try:
                        await self.exists(path)
                    except Disconnected:
                        await asyncio.sleep(_RETRY_DELAY)  # until kazoo reports the lost connection
                    else:
                        return
        except TimeoutError:
            raise self._unreachable(seconds) from None

    async def sync(self) -> None:
        """Synchronize the server with the leader. Followers may lag, and a new session, or a client that learned of a
        change by other means, must not read an older state.
        """
        await self._call("catch up", self._client.sync_async, "/")

    async def children(self, path: str, watch: Watch | None = None) -> tuple[list[str], Stat]:
        """List the names of a node's children. Raises `NoNode`."""
        names, stat = await self._call(
            f"list {path}", self._client.get_children_async, path, self._watch(watch), include_data=True
        )
        return names, _stat(stat)

    async def get(self, path: str, watch: Watch | None = None) -> tuple[bytes, Stat]:
        """Read a node's data. Raises `NoNode`."""
        data, stat = await self._call(f"read {path}", self._client.get_async, path, self._watch(watch))
        return data or b"", _stat(stat)

    async def exists(self, path: str, watch: Watch | None = None) -> Stat | None:
        """Read a node's metadata; `None` if it does not exist."""
        stat = await self._call(f"look at {path}", self._client.exists_async, path, self._watch(watch))
        return _stat(stat) if stat is not None else None

    async def ensure(self, path: str) -> None:
        """Create a persistent node and its missing parents. Concurrent calls for one path share the work."""
        task = self._making.get(path)
        if task is None:
            task = self._making[path] = self._loop.create_task(self._make(path))
            task.add_done_callback(lambda done: (self._making.pop(path, None), done.cancelled() or done.exception()))
        await asyncio.shield(task)

    async def _make(self, path: str) -> None:
        """Create a path with pipelined requests: a server executes the requests of one client in order."""
        names = path.strip("/").split("/")
        paths = ["/" + "/".join(names[: each + 1]) for each in range(len(names))]
        create = self._client.create_async
        results = await asyncio.gather(
            *(self._call(f"make {each}", create, each, b"", self._acl) for each in paths), return_exceptions=True
        )
        # Parents may exist already, or may not be ours to create. The last result decides; the first error explains it.
        if isinstance(results[-1], BaseException) and not isinstance(results[-1], Conflict):
            raise next(each for each in results if isinstance(each, BaseException) and not isinstance(each, Conflict))

    async def commit(self, *changes: Change) -> None:
        """Execute a transaction: all changes or none. Raises `NoNode`, `Conflict`, and `RegistryRefused` if the request
        is too large: a server does not respond to that but closes the connection.
        """
        transaction = self._client.transaction()
        for each in changes:
            each.add(transaction, self._acl)
        what = f"write {changes[-1].path}"
        try:
            results = await self._call(what, transaction.commit_async)
        except Disconnected as error:
            size = sum(len(each.path.encode()) + len(each.data) for each in changes)
            if size < _MAX_REQUEST:
                raise
            raise RegistryRefused(
                f"cannot {what}: ZooKeeper closed the connection on a request of {plural(size, 'byte')}; its limit "
                f"(jute.maxbuffer) is about {_MAX_REQUEST} bytes by default; register less metadata"
            ) from error
        errors = [translated(each, what) for each in results if isinstance(each, Exception)]
        if errors:
            # Errors of operations that were only rolled back carry no information.
            raise next((each for each in errors if not isinstance(each, Conflict)), errors[0])

    def _watch(self, watch: Watch | None) -> Any:
        if watch is None:
            return None
        return _LoopWatch(self._post, watch)


class _LoopWatch:
    """Adapter of a watch for kazoo. Equal for equal watches, because kazoo keeps a set of them for each node."""

    def __init__(self, post: Callable[..., object], watch: Watch) -> None:
        self._post = post
        self._watch = watch

    def __call__(self, event: Any) -> None:
        self._post(self._watch, event.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _LoopWatch) and self._watch == other._watch

    def __hash__(self) -> int:
        return hash(self._watch)


class Change(NamedTuple):
    """An operation of a transaction: `create` (ephemeral), `create lasting` (persistent), `set` or `delete`.

    Attributes:
        version: expected version of the node; -1 for any.
    """

    what: str
    path: str
    data: bytes = b""
    version: int = -1

    def add(self, transaction: Any, acl: Any) -> None:
        """Add the operation to a transaction of kazoo."""
        if self.what == "delete":
            transaction.delete(self.path, self.version)
        elif self.what == "set":
            transaction.set_data(self.path, self.data, self.version)
        else:
            transaction.create(self.path, self.data, acl=acl, ephemeral=self.what == "create")


def _stat(stat: Any) -> Stat:
    return Stat(stat.czxid, stat.mzxid, stat.pzxid, stat.version, stat.ephemeralOwner)
