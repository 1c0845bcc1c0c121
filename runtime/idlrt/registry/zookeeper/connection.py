"""A connection with ZooKeeper on an event loop, and its session: what it means to be connected, cut off and lost.

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
from typing import Any, Final, Protocol

from idlrt.errors import RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import SessionLost
from idlrt.registry.zookeeper.client import make_client, stop_client, translated

__all__ = ["Connection", "Follower"]


class Follower(Protocol):
    """Is told when what it knows may be out of date."""

    def refresh_all(self) -> None:
        """Read everything again; or find that the session is lost."""
        ...


class Connection:
    """See the module. Belongs to the loop that it is made on.

    Args:
        hosts: as `host:port`.
        timeout: in seconds; the server may make another of it.
        login: `user:password`, or empty.

    Attributes:
        id: the session's number; 0 before the first connection.
        timeout: as negotiated.
        is_lost: for good.
        is_opened: whether the registry's engine has been told that it is there.
        lost: is called once when it is lost after that.
    """

    def __init__(self, hosts: Sequence[str], timeout: float, login: str) -> None:
        self.id = 0
        self.timeout = timeout
        self.is_lost = False
        self.is_opened = False
        self.lost: Callable[[], object] = int
        self.where: Final = ",".join(hosts)
        self._refused = False
        self._loop = asyncio.get_running_loop()
        self._is_settled = asyncio.Event()  # connected, or lost
        self._followers: set[Follower] = set()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._cut_at = 0.0
        self._client = make_client(
            hosts,
            timeout,
            login,
            lambda state, id: self._post(self._moved, state, id),
            lambda seconds: self._post(self._negotiated, seconds),
        )

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

    async def _call(self, what: str, start: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What one of kazoo's `..._async` brings.

        Args:
            what: for errors.

        Raises:
            SessionLost: the session is over, or was while this waited.
            Exception: as `translated` has it.
        """
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


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
