"""`failover`, the default: another instance is tried where that is safe, and does no harm.

Safe is a call that no server has worked on, or whose method is idempotent. Harm is done by retries that come all at
once and add to what is too much already. So, except where nobody was reached at all:

- there are at most `retries` of them, and they come out of a budget of the service;
- a call that is made on behalf of a retry is not retried, or three hops would make 27 calls of one;
- a server that says for how long it wants to be left alone, is;
- otherwise there is a pause before, which grows and is never the same twice.

An instance that has lost a connection is left for another one without a pause: that says nothing of the service.
When all were tried, those are asked again that failed: they may be back, and rules may leave others by then.

Sources: Dubbo's `FailoverClusterInvoker`; Finagle's `RetryBudget`; Kitex' chain stop; gRFC A6 (pushback, backoff)
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

import msgspec

from idlrt.core import Call, Chance, GaveUp, Retrying
from idlrt.core.logs import get_logger
from idlrt.errors import ConnectionLost, NotSent, Overloaded, RpcError, Unknown
from idlrt.fault.base import Reach, may_repeat

__all__ = ["Failover", "NoSettings"]

_log: Final = get_logger("idlrt.client")

# Instances that could not be reached cost nobody anything; but somewhere it must end.
_MOST_TRIED: Final = 10


class NoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There is nothing to set."""


class Failover:
    """See the module. A `FaultMode`; what it does is set for all modes that retry: `retries`, `backoff`, `chain_stop`,
    `budget`.
    """

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings
    name: ClassVar[str] = "failover"

    def __init__(self, settings: Any, chance: Chance) -> None:
        self._chance = chance

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`."""
        node = reach.pick(call, ())
        try:
            return await reach.send(node, call)
        except (NotSent, Unknown) as error:
            return await self._again(call, reach, [node], error)

    async def _again(
        self, call: Call, reach: Reach[Any], tried: list[Any], error: NotSent | Unknown, counted: int = 0
    ) -> Any:
        """Make `call`, which has failed, once more, and so on.

        Args:
            tried: who was asked.
            counted: how many of its `retries` are used up.
        """
        failed: list[Any] = list(tried)
        while True:
            is_free = costs_nothing(error, len(failed))
            pause = 0.0
            why = "" if call.policy.retries else "it is not to be made again"
            node = None
            if not why and is_free:
                node = reach.pick(call, tried)
                why = "" if call.driver.now() < call.deadline.at else "no time is left"
            if not why and node is None:
                # Somebody has to be asked who was reached, or was asked before.
                is_free = False
                pause, why = self._may_go_on(call, reach, error, counted)
                if not why:
                    node = reach.pick(call, tried)
                    if node is None:
                        tried.clear()
                        node = reach.pick(call, ())
                    if node is None:
                        why = "no other instance is left"
            if why:
                raise self._give_up(call, reach, error, failed, why)
            if not is_free:
                counted += 1
            _log.info("trying another instance for %s: %s", call.method.full_name, error)
            if reach.is_heard(call):
                reach.tell(call, Retrying(subject=call.method.full_name, why=str(error), mode=self.name, pause=pause))
            if pause > 0:
                await call.driver.sleep(pause)
            try:
                return await reach.send(node, call, len(failed))
            except (NotSent, Unknown) as failure:
                error = failure
                tried.append(node)
                failed.append(node)

    def _may_go_on(self, call: Call, reach: Reach[Any], error: NotSent | Unknown, counted: int) -> tuple[float, str]:
        """Seconds to wait before another try, and what stands against it."""
        policy = call.policy
        why = ""
        if not isinstance(error, NotSent) and not may_repeat(call):
            return 0.0, f"{call.method.full_name} is not idempotent"
        if counted >= policy.retries:
            return 0.0, f"it was made again {counted} times"
        if policy.chain_stop and call.attempt:
            return 0.0, "it is made on behalf of a retry"
        asked = error.retry_after
        if asked is not None:
            pause = asked
        elif isinstance(error, ConnectionLost) and not counted:
            pause = 0.0
        else:
            pause = policy.backoff.pause(counted, self._chance.dice())
        left = call.deadline.at - call.driver.now()
        if pause == math.inf:
            why = "the server does not want it again"
        elif pause >= left:
            why = "no time is left" if left <= 0 else f"no time is left to wait {pause:.3g} s"
        elif not reach.spend():
            why = "the budget for retries is spent"
        return pause, why

    def _give_up(self, call: Call, reach: Reach[Any], error: RpcError, failed: list[Any], why: str) -> RpcError:
        if reach.is_heard(call):
            reach.tell(call, GaveUp(subject=call.method.full_name, why=why, mode=self.name))
        if len(failed) > 1:
            error.add_note(f"tried before: {', '.join(f'tcp://{each.instance.address}' for each in failed[:-1])}")
        if why:
            error.add_note(f"not tried again: {why}")
        return error

    def close(self) -> None:
        """See `FaultMode.close`."""


def costs_nothing(error: RpcError, failed: int) -> bool:
    """Whether nobody was reached, so that another try costs nobody anything. `failed` is how many were tried."""
    return isinstance(error, NotSent) and not isinstance(error, Overloaded) and failed < _MOST_TRIED
