"""ZooKeeper connection on an event loop: connected, suspended, or lost with its session.

A lost connection does not end the session: kazoo reconnects, and the registrations are still there. kazoo learns only
from a server that a session has expired, so never while it is disconnected. Hence a timer here: when the negotiated
session timeout has elapsed since the connection was lost, the session counts as lost (as in ZOOKEEPER-4508 and
CURATOR-247). That is final: this client is stopped, and the next session has a new one.

Followers are notified of each reconnection and must read their nodes again, because no watch covered the gap.
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
    """Holder of a copy of nodes that may become outdated."""

    def refresh_all(self) -> None:
        """Mark all nodes to be read again. Also called when the session is lost."""
        ...


class Connection:
    """Connection and session state of one client. Bound to the event loop on which it was created.

    Args:
        hosts: servers as `host:port`.
        timeout: requested session timeout in seconds; the server may grant another one.
        login: `user:password`, or empty.

    Attributes:
        id: session id; 0 before the first connection.
        timeout: negotiated session timeout in seconds.
        is_lost: whether the session is lost; final.
        is_opened: whether the registry's engine uses the session.
        lost: callback; called once if the session is lost while the engine uses it.
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
        self._is_settled = asyncio.Event()  # set while connected, and once lost
        self._followers: set[Follower] = set()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._suspended_at = 0.0
        self._client = make_client(
            hosts,
            timeout,
            login,
            lambda state, id: self._post(self._state_changed, state, id),
            lambda seconds: self._post(self._negotiated, seconds),
        )

    def _post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` on the loop, from a thread of kazoo."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    def _negotiated(self, seconds: float) -> None:
        self.timeout = seconds

    def _state_changed(self, state: str, id: int | None) -> None:
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
                self._suspended_at = self._loop.time()
                self._timer = self._loop.call_later(self.timeout, self._lose)
        else:
            # Expired, rejected, or reconnected with a new session after an expiry that went unnoticed.
            self._refused = not self.id
            self._lose()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose(self) -> None:
        if not self.is_lost:
            self.stop()
            if self.is_opened:
                self.lost()

    def _end(self) -> None:
        self.is_lost = True
        self._stop_timer()
        self._is_settled.set()
        # kazoo would complete them only when it has stopped, which may take seconds.
        for future in list(self._waiting):
            _complete(future, None, self._session_ended())
        for each in list(self._followers):
            each.refresh_all()

    async def connected(self, seconds: float | None = None) -> None:
        """Wait until the client is connected.

        Args:
            seconds: timeout; `None` to wait without limit.

        Raises:
            SessionLost: the session is lost.
            RegistryUnavailable: not connected within `seconds`.
            RegistryRefused: the user and password were rejected.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._is_settled.wait()
        except TimeoutError:
            raise self._unreachable(seconds or 0.0) from None
        if self._refused:
            raise RegistryRefused(f"ZooKeeper at {self.where} rejected the user and password")
        if self.is_lost:
            raise self._session_ended()

    def _session_ended(self) -> SessionLost:
        return SessionLost(f"the session with ZooKeeper at {self.where} has ended")

    def _unreachable(self, seconds: float) -> RegistryUnavailable:
        if self._timer is not None:
            left = max(self._suspended_at + self.timeout - self._loop.time(), 0.0)
            return RegistryUnavailable(f"cannot reach ZooKeeper at {self.where}; the session expires in {left:.1f} s")
        if self.id:
            return RegistryUnavailable(f"ZooKeeper at {self.where} did not respond within {seconds:.3g} s")
        return RegistryUnavailable(
            f"cannot connect to ZooKeeper at {self.where} within {seconds:.3g} s; check that it is running there"
        )

    def stop(self) -> None:
        """Stop the client without waiting for it."""
        if not self.is_lost:
            self._end()
            stop_client(self._client, int)

    async def close(self) -> None:
        """End the session, and with it the registrations. If connected, wait until the server has confirmed it."""
        if not self._is_settled.is_set():
            self.stop()
        elif not self.is_lost:
            self._end()
            done = self._loop.create_future()
            stop_client(self._client, lambda: self._post(_complete, done, None, None))
            await done

    def follow(self, follower: Follower) -> None:
        """Notify `follower` of reconnections, and of the loss of the session."""
        self._followers.add(follower)

    def unfollow(self, follower: Follower) -> None:
        """Stop notifying `follower`."""
        self._followers.discard(follower)

    async def _call(self, what: str, start: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call one of kazoo's `..._async` methods and wait for its result.

        Args:
            what: the operation, for errors.

        Raises:
            SessionLost: the session is lost, before or during the call.
            Exception: as translated by `translated`.
        """
        if self.is_lost:
            raise self._session_ended()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.add(future)

        def done(result: Any) -> None:
            self._post(_complete, future, result.value, result.exception)

        start(*arguments, **options).rawlink(done)
        try:
            return await future
        except SessionLost:
            raise
        except Exception as error:  # kazoo's exceptions have no common base class
            raise translated(error, f"{what} in ZooKeeper at {self.where}") from error
        finally:
            self._waiting.discard(future)


def _complete(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
