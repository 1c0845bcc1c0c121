"""Services that call each other: a server whose handler makes a call, run as servers of this package run it.

Calls of a handler inherit the deadline of the request, and know whether that is a retry. Any error of theirs is an
internal error of the server for its caller (`idlrt.server.answers`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from contextvars import Context
from types import coroutine as awaitable
from typing import Any

from benchmarks.simulate.driver import SUSPEND, EventDriver, Task
from benchmarks.simulate.world import World
from idlrt.client.stats import PoolStats
from idlrt.core import Call, Deadline, Peer, RequestContext, ServerCall
from idlrt.core.request import enter_call, handler_context
from idlrt.errors import ApplicationCode, ApplicationError

__all__ = ["attempts"]

_PEER = Peer(address="simulated")


class _InContext:
    """A coroutine whose steps are all made in a context."""

    __slots__ = ("_context", "_coroutine")

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._context = context
        self._coroutine = coroutine

    def send(self, value: None) -> Any:
        return self._context.run(self._coroutine.send, value)

    def throw(self, error: BaseException) -> Any:
        return self._context.run(self._coroutine.throw, error)

    def close(self) -> None:
        self._context.run(self._coroutine.close)


class _Relay:
    """A server of unlimited capacity that forwards each call to a handler; a `ClientTransport`."""

    __slots__ = ("_driver", "_handler", "answers_pings", "arrived", "is_up")

    def __init__(self, driver: EventDriver, handler: Callable[[str], Coroutine[Any, Any, Any]]) -> None:
        self._driver = driver
        self._handler = handler
        self.arrived = 0
        self.is_up = self.answers_pings = True

    @awaitable
    def send(self, call: Call) -> Generator[object, None, None]:
        """See `ClientTransport.send`."""
        driver = self._driver
        task = driver.current
        assert task is not None
        turn = task.turn
        self.arrived += 1
        now, end = driver.time, call.deadline.at
        driver.at(end, driver.expire, task, turn)
        context = handler_context()
        passed_on = RequestContext(attempt=call.attempt, tag=call.tag)
        deadline = Deadline(end, end - now)
        asked = ServerCall(call.method, call.arguments, _PEER, call.metadata, deadline, driver, passed_on)
        context.run(enter_call, asked)

        def ended(handling: Task, result: Any, error: BaseException | None) -> None:
            if task.turn == turn:
                failure = ApplicationError(f"it failed: {error!r}", ApplicationCode.INTERNAL_ERROR) if error else None
                driver.step(task, failure)

        coroutine: Any = _InContext(context, self._handle(call.arguments[0]))
        driver.at(now, _begin, Task(coroutine, now, ended), driver)
        yield SUSPEND

    async def _handle(self, key: str) -> Any:
        # Made within the context of the call, as a handler makes it.
        return await self._handler(key)

    def reset_backoff(self) -> None:
        """See `ClientTransport.reset_backoff`."""

    def connections(self) -> int:
        """See `ClientTransport.connections`."""
        return 1

    def stats(self) -> PoolStats:
        """See `ClientTransport.stats`."""
        return PoolStats(connections=1)


def _begin(task: Task, driver: EventDriver) -> None:
    driver.step(task)


def attempts(policy: Mapping[str, Any], timeouts: tuple[float, float, float], seed: int, *, is_mute: bool) -> float:
    """A calls B, and B calls C, which fails every call. Return the number of attempts at C for one call to A.

    Args:
        policy: policy of all clients.
        timeouts: seconds of an attempt at A, B and C.
        is_mute: whether C does not respond; otherwise it rejects calls.
    """
    calls, every = 20, 5.0
    driver = EventDriver()

    def hop(name: str, timeout: float) -> World:
        said = {**policy, "attempt_timeout": timeout, "failure_threshold": 100, "ejection.consecutive_failures": 0}
        return World(name, count=10, rate=1.0, seed=seed, policy=said, clients=1, room=0, workers=1, driver=driver)

    a, b, c = (hop(name, timeout) for name, timeout in zip("ABC", timeouts, strict=True))
    for server in c.servers:
        server.is_mute = is_mute
        server.set_room(1_000_000 if is_mute else 0)
        server.busy = 1
    for world, following in ((a, b), (b, c)):
        following_get = following.callers[0].get
        relays: list[Any] = [_Relay(driver, following_get) for _ in world.servers]
        world.replace_servers(relays)
    for number in range(calls):
        driver.at(number * every, lambda one, two: driver.start(a.callers[0].get("key"), _ignore))
    driver.run(calls * every)
    return sum(each.arrived for each in c.servers) / calls


def _ignore(task: Task, result: Any, error: BaseException | None) -> None:
    if error is not None and not isinstance(error, Exception):  # as KeyboardInterrupt
        raise error
