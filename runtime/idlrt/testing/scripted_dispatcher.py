"""Instances with scripted replies, for tests of fault modes: a test sees what a mode sends to which instance and when,
without servers and, with `FakeDriver`, without waiting.

    driver = FakeDriver()
    reach = ScriptedDispatcher([ScriptedInstance(1, Reply(ConnectionLost("lost"))), ScriptedInstance(2)])
    driver.run(mode.call(call_with(driver), reach))
    assert [each.node for each in reach.sent] == reach.nodes
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import msgspec

from idlrt.core import Call, CallPolicy, ClockAndRandom, Deadline, Decision, Driver, Instance, notify
from idlrt.errors import DeadlineExceeded, NoInstance, NotSent
from idlrt.fault import may_repeat
from idlrt.spec import STRING, VOID, Method, Service, method, required

__all__ = ["GET", "NOTE", "PUT", "Reply", "ScriptedDispatcher", "ScriptedInstance", "Sent", "call_with"]


class _Protocol:
    def get(self, key: str) -> str:
        """Two methods: an idempotent one, and one that is not."""
        raise NotImplementedError

    def note(self, key: str) -> None:
        """A method that returns nothing."""


GET: Final = method(_Protocol.get, required(1, "key", STRING), result=STRING, idempotent=True)
PUT: Final = method(_Protocol.get, required(1, "key", STRING), result=STRING, name="put")
NOTE: Final = method(_Protocol.note, required(1, "key", STRING), result=VOID)
Service("Check", GET, PUT, NOTE)


class Reply(msgspec.Struct, frozen=True):
    """Reply of an instance to a call.

    Attributes:
        outcome: the result. An exception is raised; an exception class, or another callable, is called for each reply.
        after: seconds until the reply.
    """

    outcome: Any = "answer"
    after: float = 0.001


class ScriptedInstance:
    """A `Endpoint` with scripted replies.

    Args:
        number: number of the instance, the last byte of its address.
        replies: replies to the first call, the second, and so on; the last one is repeated.
    """

    def __init__(self, number: int, *replies: Reply) -> None:
        self.instance = Instance(service="Check", host=f"10.0.0.{number}", port=9090)
        self._replies = replies or (Reply(),)
        self._asked = itertools.count()

    def reply(self) -> Reply:
        """Return the reply to the next call."""
        return self._replies[min(next(self._asked), len(self._replies) - 1)]

    def __repr__(self) -> str:
        return f"<{self.instance.address}: {', '.join(map(str, self._replies))}>"


class Sent(msgspec.Struct, kw_only=True, eq=False):
    """An attempt that an instance received.

    Attributes:
        endpoint: the instance.
        call: the call.
        attempt: attempt number that the server receives.
        at: arrival time, in seconds on the clock of the call's driver.
        is_concurrent: whether another attempt of the same call was in flight, as with hedging.
        is_over: whether the instance has replied.
        error: error of the reply, if there was one.
    """

    endpoint: ScriptedInstance
    call: Call
    attempt: int
    at: float
    is_concurrent: bool
    is_over: bool = False
    error: BaseException | None = None

    @property
    def is_unsent(self) -> bool:
        """Whether certainly no server has worked on it."""
        return self.is_over and isinstance(self.error, NotSent)


class ScriptedDispatcher:
    """A `Dispatcher` of scripted instances. Threads may share it.

    Args:
        endpoints: the instances, in the order in which they are picked.
        budget: number of retries that the retry budget allows.
        sources: clock and random numbers.

    Attributes:
        sent: the attempts, in order. Calls with the same arguments are attempts of the same call.
        decisions: the decisions that were reported.
        spent: number of retries taken from the budget.
        violations: descriptions of rules that the fault mode violated.
    """

    def __init__(
        self, endpoints: Sequence[ScriptedInstance], budget: float = math.inf, sources: ClockAndRandom | None = None
    ) -> None:
        self.sources = sources if sources is not None else ClockAndRandom()
        self.endpoints = list(endpoints)
        self.sent: list[Sent] = []
        self.decisions: list[Decision] = []
        self.spent = 0
        self.violations: list[str] = []
        self._budget = budget

    def pick(self, call: Call, tried: Collection[ScriptedInstance]) -> ScriptedInstance | None:
        """Return the first instance that was not tried; `None` if all were."""
        if not self.endpoints:
            raise NoInstance("no instance of Check")
        return next((endpoint for endpoint in self.endpoints if endpoint not in tried), None)

    def all_endpoints(self, call: Call) -> Sequence[ScriptedInstance]:
        """Return all instances."""
        if not self.endpoints:
            raise NoInstance("no instance of Check")
        return tuple(self.endpoints)

    async def send(self, endpoint: ScriptedInstance, call: Call, attempt: int = 0) -> Any:
        """Record an attempt and return the scripted result, or raise the scripted error."""
        driver = call.driver
        now = driver.now()
        before = [each for each in self.sent if each.call.arguments == call.arguments]
        is_concurrent = any(not each.is_over for each in before)
        sent = Sent(endpoint=endpoint, call=call, attempt=attempt, at=now, is_concurrent=is_concurrent)
        self.violations += _violations(sent, before, self.endpoints)
        self.sent.append(sent)
        try:
            return await self._answer(endpoint, call, now)
        except BaseException as error:
            sent.error = error
            raise
        finally:
            sent.is_over = True

    async def _answer(self, endpoint: ScriptedInstance, call: Call, now: float) -> Any:
        left = call.deadline.at - now
        if call.policy.attempt_timeout is not None:
            left = min(left, call.policy.attempt_timeout)
        reply = endpoint.reply()
        if reply.after > left:
            await call.driver.sleep(left)
            raise DeadlineExceeded(f"no response from {endpoint.instance.address}")
        if reply.after > 0:
            await call.driver.sleep(reply.after)
        outcome = reply.outcome() if callable(reply.outcome) else reply.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def take_retry(self) -> bool:
        """Take a retry from the budget; return whether there was one."""
        if self.spent >= self._budget:
            return False
        self.spent += 1
        return True

    def notify(self, call: Call, decision: Decision) -> None:
        """Record a decision and notify the listeners of the call."""
        self.decisions.append(decision)
        notify(call.listeners, decision)

    def has_listeners(self, call: Call) -> bool:
        """Return true: decisions are always recorded."""
        return True

    def decisions_of(self, kind: type[Decision]) -> list[Any]:
        """Return the recorded decisions of a class."""
        return [each for each in self.decisions if isinstance(each, kind)]


def _violations(sent: Sent, before: Sequence[Sent], endpoints: Collection[ScriptedInstance]) -> Iterator[str]:
    """Yield the rules that an attempt violates."""
    what = f"{sent.call.method.full_name} to {sent.endpoint.instance.address}"
    worked = [each.endpoint.instance.address for each in before if not each.is_unsent]
    if worked and not may_repeat(sent.call):
        yield f"{what} was retried, but the method is not idempotent and {worked[0]} may have executed it"
    if sent.at >= sent.call.deadline.at:
        yield f"{what} was sent after its deadline"
    if sent.endpoint not in endpoints:
        yield f"{what}: not an instance that pick or everyone returned"


_numbers: Final = itertools.count()


def call_with(
    driver: Driver, method: Method[..., Any] = GET, *, key: str = "", timeout: float = 5.0, **policy: Any
) -> Call:
    """Return a new call.

    Args:
        key: its argument; if empty, one that no other call has.
        timeout: timeout in seconds.
        policy: other fields of its `CallPolicy`.
    """
    deadline = Deadline(driver.now() + timeout, timeout)
    arguments = (key or f"key {next(_numbers)}",)
    return Call(method, arguments, "check", deadline, driver, policy=CallPolicy(timeout=timeout, **policy))
