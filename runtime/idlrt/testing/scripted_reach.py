"""Instances that do what is written, for tests of fault modes: what a mode sends to whom, and when, is seen without
servers, and with `FakeDriver` without waiting.

    driver = FakeDriver()
    reach = ScriptedReach([ScriptedInstance(1, Reply(ConnectionLost("lost"))), ScriptedInstance(2)])
    driver.run(mode.call(call_with(driver), reach))
    assert [each.node for each in reach.sent] == reach.nodes
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import msgspec

from idlrt.core import Call, CallPolicy, Chance, Deadline, Decision, Driver, Instance, tell
from idlrt.errors import DeadlineExceeded, NoInstance, NotSent
from idlrt.fault import may_repeat
from idlrt.spec import STRING, VOID, Method, Service, method, required

__all__ = ["GET", "NOTE", "PUT", "Reply", "ScriptedInstance", "ScriptedReach", "Sent", "call_with"]


class _Protocol:
    def get(self, key: str) -> str:
        """A method that may be called twice, and one that may not."""
        raise NotImplementedError

    def note(self, key: str) -> None:
        """A method that returns nothing."""


GET: Final = method(_Protocol.get, required(1, "key", STRING), result=STRING, idempotent=True)
PUT: Final = method(_Protocol.get, required(1, "key", STRING), result=STRING, name="put")
NOTE: Final = method(_Protocol.note, required(1, "key", STRING), result=VOID)
Service("Check", GET, PUT, NOTE)


class Reply(msgspec.Struct, frozen=True):
    """What an instance makes of a call.

    Attributes:
        outcome: its answer. Exceptions are raised; of a class of exceptions, or another callable, a new one each time.
        after: seconds that it takes.
    """

    outcome: Any = "answer"
    after: float = 0.001


class ScriptedInstance:
    """An instance that does what is written: a `Reachable`.

    Args:
        number: of it.
        replies: to the first call, the second, and so on; the last one to all that follow.
    """

    def __init__(self, number: int, *replies: Reply) -> None:
        self.instance = Instance(service="Check", host=f"10.0.0.{number}", port=9090)
        self._replies = replies or (Reply(),)
        self._asked = itertools.count()

    def reply(self) -> Reply:
        """To the next call."""
        return self._replies[min(next(self._asked), len(self._replies) - 1)]

    def __repr__(self) -> str:
        return f"<{self.instance.address}: {', '.join(map(str, self._replies))}>"


class Sent(msgspec.Struct, kw_only=True, eq=False):
    """A call, as an instance has got it.

    Attributes:
        node: which.
        call: the call.
        attempt: what the server is told.
        at: when it came, in seconds on the clock of the call's driver.
        is_beside: whether it came while the same call was under way elsewhere.
        is_over: whether the instance is done with it.
        error: what it came to, if it is over and was not answered.
    """

    node: ScriptedInstance
    call: Call
    attempt: int
    at: float
    is_beside: bool
    is_over: bool = False
    error: BaseException | None = None

    @property
    def is_unsent(self) -> bool:
        """Whether nobody has worked on it, for sure."""
        return self.is_over and isinstance(self.error, NotSent)


class ScriptedReach:
    """A `Reach` of instances that do what is written. Threads may share it.

    Args:
        nodes: the instances, in the order in which they are picked.
        budget: retries that may be spent.
        chance: clock and dice.

    Attributes:
        sent: what was sent, in order. Calls with the same arguments are the same call, made again.
        decisions: what was told.
        spent: of the budget.
        wrong: what no mode may do and was done, in words.
    """

    def __init__(
        self, nodes: Sequence[ScriptedInstance], budget: float = math.inf, chance: Chance | None = None
    ) -> None:
        self.chance = chance if chance is not None else Chance()
        self.nodes = list(nodes)
        self.sent: list[Sent] = []
        self.decisions: list[Decision] = []
        self.spent = 0
        self.wrong: list[str] = []
        self._budget = budget

    def pick(self, call: Call, tried: Collection[ScriptedInstance]) -> ScriptedInstance | None:
        """See `Reach.pick`."""
        if not self.nodes:
            raise NoInstance("no instance of Check")
        return next((node for node in self.nodes if node not in tried), None)

    def everyone(self, call: Call) -> Sequence[ScriptedInstance]:
        """See `Reach.everyone`."""
        if not self.nodes:
            raise NoInstance("no instance of Check")
        return tuple(self.nodes)

    async def send(self, node: ScriptedInstance, call: Call, attempt: int = 0) -> Any:
        """See `Reach.send`."""
        driver = call.driver
        now = driver.now()
        before = [each for each in self.sent if each.call.arguments == call.arguments]
        is_beside = any(not each.is_over for each in before)
        sent = Sent(node=node, call=call, attempt=attempt, at=now, is_beside=is_beside)
        self.wrong += _wrong(sent, before, self.nodes)
        self.sent.append(sent)
        try:
            return await self._answer(node, call, now)
        except BaseException as error:
            sent.error = error
            raise
        finally:
            sent.is_over = True

    async def _answer(self, node: ScriptedInstance, call: Call, now: float) -> Any:
        left = call.deadline.at - now
        if call.policy.attempt_timeout is not None:
            left = min(left, call.policy.attempt_timeout)
        reply = node.reply()
        if reply.after > left:
            await call.driver.sleep(left)
            raise DeadlineExceeded(f"no answer from {node.instance.address}")
        if reply.after > 0:
            await call.driver.sleep(reply.after)
        outcome = reply.outcome() if callable(reply.outcome) else reply.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def spend(self) -> bool:
        """See `Reach.spend`."""
        if self.spent >= self._budget:
            return False
        self.spent += 1
        return True

    def tell(self, call: Call, decision: Decision) -> None:
        """See `Reach.tell`."""
        self.decisions.append(decision)
        tell(call.listeners, decision)

    def is_heard(self, call: Call) -> bool:
        """See `Reach.is_heard`."""
        return True

    def told(self, kind: type[Decision]) -> list[Any]:
        """The decisions of a kind."""
        return [each for each in self.decisions if isinstance(each, kind)]


def _wrong(sent: Sent, before: Sequence[Sent], nodes: Collection[ScriptedInstance]) -> Iterator[str]:
    """What is wrong with a call that is about to be sent."""
    what = f"{sent.call.method.full_name} to {sent.node.instance.address}"
    worked = [each.node.instance.address for each in before if not each.is_unsent]
    if worked and not may_repeat(sent.call):
        yield f"{what} was made again, although {worked[0]} may have worked on it and it is not idempotent"
    if sent.at >= sent.call.deadline.at:
        yield f"{what} was sent after its deadline"
    if sent.node not in nodes:
        yield f"{what}: that is nobody's address"


_numbers: Final = itertools.count()


def call_with(
    driver: Driver, method: Method[..., Any] = GET, *, key: str = "", timeout: float = 5.0, **policy: Any
) -> Call:
    """A call of its own.

    Args:
        key: its argument; one that no other call has, if it is empty.
        timeout: seconds that it has.
        policy: what else holds for it, as fields of `CallPolicy`.
    """
    deadline = Deadline(driver.now() + timeout, timeout)
    arguments = (key or f"key {next(_numbers)}",)
    return Call(method, arguments, "check", deadline, driver, policy=CallPolicy(timeout=timeout, **policy))
