"""A session with ZooKeeper on an event loop: what it means to be connected, cut off and lost.

A broken connection is not a lost session: kazoo connects again, and what was registered is still there. kazoo hears
that a session was lost only from a server, so never while it is cut off. Hence a clock of our own: when the time-out
that was negotiated has passed since the connection broke, the session counts as lost (as in ZOOKEEPER-4508 and
CURATOR-247), for good: this client is stopped, and the next session has another.

Whoever follows nodes is told of each reconnection and has to read them again: what changed in between had no watch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from idlrt.errors import RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import SessionLost
from idlrt.registry.zookeeper.client import Conflict, Disconnected, make_client, stop_client, translated

__all__ = ["Change", "Follower", "Session", "Stat", "Watch"]

# Seconds between a request that failed and another look.
_MOMENT: Final = 0.05

Watch = Callable[[str | None], object]
"""Is called on the loop with the path of a node that has changed; `None`: the connection broke."""


class Stat(NamedTuple):
    """What ZooKeeper says about a node (`Stat` in zookeeper.jute)."""

    created: int
    modified: int
    children_modified: int
    version: int
    owner: int


class Follower(Protocol):
    """Is told when what it knows may be out of date."""

    def refresh_all(self) -> None:
        """Read everything again; or find that the session is lost."""
        ...


class Session:
    """See the module. Belongs to the loop that it is made on.

    Args:
        hosts: as `host:port`.
        timeout: in seconds; the server may make another of it.
        login: `user:password`, or empty.
        acl: of new nodes, as kazoo takes it.

    Attributes:
        id: the session's number; 0 before the first connection.
        timeout: as negotiated.
        is_lost: for good.
        is_opened: whether the registry's engine has been told that it is there.
        lost: is called once when it is lost after that.
    """

    def __init__(self, hosts: Sequence[str], timeout: float, login: str, acl: Any) -> None:
        self.id = 0
        self.timeout = timeout
        self.is_lost = False
        self.is_opened = False
        self.lost: Callable[[], object] = int
        self.where: Final = ",".join(hosts)
        self._acl = acl
        self._refused = False
        self._loop = asyncio.get_running_loop()
        self._is_settled = asyncio.Event()  # connected, or lost
        self._followers: set[Follower] = set()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._making: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._cut_at = 0.0
        self._client = make_client(
            hosts,
            timeout,
            login,
            lambda state, id: self._post(self._moved, state, id),
            lambda seconds: self._post(self._negotiated, seconds),
        )

    # States.

    def _post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on the loop, from a thread of kazoo's."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is interested any more
            self._loop.call_soon_threadsafe(function, *arguments)

    def _negotiated(self, seconds: float) -> None:
        self.timeout = seconds

    def _moved(self, state: str, id: int | None) -> None:
        if self.is_lost:
            return
        if state == "CONNECTED" and id is not None and self.id in (0, id):
            self.id = id
            self._stop_timer()
            self._is_settled.set()
            for each in list(self._followers):
                each.refresh_all()
        elif state == "SUSPENDED":
            self._is_settled.clear()
            if self.id and self._timer is None:
                self._cut_at = self._loop.time()
                self._timer = self._loop.call_later(self.timeout, self._lose)
        else:
            # Expired, refused, or connected again in a new session after an expiry that was missed.
            self._refused = not self.id
            self._lose()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose(self) -> None:
        if not self.is_lost:
            self.abandon()
            if self.is_opened:
                self.lost()

    def _end(self) -> None:
        self.is_lost = True
        self._stop_timer()
        self._is_settled.set()
        # kazoo would tell them when it has come to an end, which may take seconds.
        for future in list(self._waiting):
            _settle(future, None, self._over())
        for each in list(self._followers):
            each.refresh_all()

    async def connected(self, seconds: float | None = None) -> None:
        """Wait until it is connected.

        Args:
            seconds: to wait at most.

        Raises:
            SessionLost: it never will be.
            RegistryUnavailable: it is not within `seconds`.
            RegistryRefused: the user and password are not taken.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._is_settled.wait()
        except TimeoutError:
            raise self._unreachable(seconds or 0.0) from None
        if self._refused:
            raise RegistryRefused(f"ZooKeeper at {self.where} does not take the user and password")
        if self.is_lost:
            raise self._over()

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

    def _over(self) -> SessionLost:
        return SessionLost(f"the session with ZooKeeper at {self.where} is over")

    def _unreachable(self, seconds: float) -> RegistryUnavailable:
        if self._timer is not None:
            left = max(self._cut_at + self.timeout - self._loop.time(), 0.0)
            return RegistryUnavailable(f"ZooKeeper at {self.where} cannot be reached; the session ends in {left:.1f} s")
        if self.id:
            return RegistryUnavailable(f"ZooKeeper at {self.where} has not answered within {seconds:.3g} s")
        return RegistryUnavailable(f"no ZooKeeper answers at {self.where} within {seconds:.3g} s; is it running there?")

    def abandon(self) -> None:
        """End it, without waiting for that."""
        if not self.is_lost:
            self._end()
            stop_client(self._client, int)

    async def close(self) -> None:
        """End it, and what was registered in it with it. Returns when the server knows, if it can be told."""
        if not self._is_settled.is_set():
            self.abandon()
        elif not self.is_lost:
            self._end()
            done = self._loop.create_future()
            stop_client(self._client, lambda: self._post(_settle, done, None, None))
            await done

    def follow(self, follower: Follower) -> None:
        """Tell `follower` when it has to read again."""
        self._followers.add(follower)

    def unfollow(self, follower: Follower) -> None:
        """No longer."""
        self._followers.discard(follower)

    # Requests. All raise `Disconnected`, `RegistryRefused`, `RegistryUnavailable` or what is said.

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
        """Make changes, all or none. Raises `NoNode`, `Conflict`."""
        transaction = self._client.transaction()
        for each in changes:
            each.add(transaction, self._acl)
        what = f"write {changes[-1].path}"
        results = await self._call(what, transaction.commit_async)
        errors = [translated(each, what) for each in results if isinstance(each, Exception)]
        if errors:
            # Those that were only rolled back tell nothing.
            raise next((each for each in errors if not isinstance(each, Conflict)), errors[0])

    def _watch(self, watch: Watch | None) -> Any:
        if watch is None:
            return None
        return _Posted(self._post, watch)

    async def _call(self, what: str, start: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if self.is_lost:
            raise self._over()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.add(future)

        def done(result: Any) -> None:
            self._post(_settle, future, result.value, result.exception)

        start(*arguments, **options).rawlink(done)
        try:
            return await future
        except SessionLost:
            raise
        except Exception as error:  # of kazoo's many kinds
            raise translated(error, f"{what} in ZooKeeper at {self.where}") from error
        finally:
            self._waiting.discard(future)


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


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


def _stat(stat: Any) -> Stat:
    return Stat(stat.czxid, stat.mzxid, stat.pzxid, stat.version, stat.ephemeralOwner)
