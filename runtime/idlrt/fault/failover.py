"""Fault mode `failover`, the default: retry on another instance where that is safe and does not cause overload.

A retry is safe if no server has executed the call, or if its method is idempotent. Retries cause overload if they
arrive in bursts and add to a load that is already too high. Therefore, unless no server was reached at all:

- there are at most `retries` of them, taken from the retry budget of the service;
- a call that is made on behalf of a retry is not retried: otherwise three hops would turn one call into 27;
- a server's pushback (retry-after) is respected;
- without pushback, the pause before a retry grows exponentially, with jitter.

After a lost connection the first retry has no pause: a lost connection does not indicate overload of the service.
When all instances were tried, failed ones are tried again: they may have recovered, and routing rules may have changed.

Sources: Dubbo's `FailoverClusterInvoker`; Finagle's `RetryBudget`; Kitex' chain stop; gRFC A6 (pushback, backoff)
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

import msgspec

from idlrt.core import Call, ClockAndRandom, NotRetried, Retrying
from idlrt.core.logs import get_logger
from idlrt.errors import ConnectionLost, NotSent, Overloaded, RpcError, Unknown
from idlrt.fault.base import Dispatcher, NoRetry, NoSettings, may_repeat
from idlrt.printable import plural

__all__ = ["Failover"]

_log: Final = get_logger("idlrt.client")

# Attempts that reach no server are free of charge, up to this number.
_MAX_FREE_ATTEMPTS: Final = 10


class Failover:
    """Retries on other instances. Implements `FaultMode`.

    Its settings are those of the policy that all retrying modes share: `retries`, `backoff`, `chain_stop`, `budget`.
    """

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings
    name: ClassVar[str] = "failover"

    def __init__(self, settings: Any, sources: ClockAndRandom) -> None:
        self._sources = sources

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call`, and retry it if that is safe."""
        endpoint = dispatcher.pick(call, ())
        try:
            return await dispatcher.send(endpoint, call)
        except (NotSent, Unknown) as error:
            return await self._again(call, dispatcher, [endpoint], error)

    async def _again(
        self, call: Call, dispatcher: Dispatcher[Any], tried: list[Any], error: NotSent | Unknown, counted: int = 0
    ) -> Any:
        """Retry `call`, which failed with `error`, until it succeeds or must not be retried.

        Args:
            tried: endpoints that the call was sent to.
            counted: number of its `retries` that are used up.
        """
        failed: list[Any] = list(tried)
        while True:
            is_free = costs_nothing(error, len(failed))
            pause = 0.0
            against = None if call.policy.retries else NoRetry("disabled", "retries are disabled (retries=0)")
            endpoint = None
            if against is None and is_free:
                endpoint = dispatcher.pick(call, tried)
                if call.driver.now() >= call.deadline.at:
                    against = NoRetry("deadline", "deadline exceeded")
            if against is None and endpoint is None:
                # The next instance is one that was reached or tried before, so the retry counts.
                is_free = False
                pause, against = self._may_go_on(call, dispatcher, error, counted)
                if against is None:
                    endpoint = dispatcher.pick(call, tried)
                    if endpoint is None:
                        tried.clear()
                        endpoint = dispatcher.pick(call, ())
                    if endpoint is None:
                        against = NoRetry("no_instance", "no other instance available")
            if against is not None:
                raise self._give_up(call, dispatcher, error, failed, against)
            if not is_free:
                counted += 1
            name = call.method.full_name
            fields = {"method": name, "mode": self.name, "attempt": len(failed), "pause": pause}
            _log.info("retrying %s on another instance: %s", name, error, extra=fields)
            if dispatcher.has_listeners(call):
                dispatcher.notify(call, Retrying(subject=name, why=str(error), mode=self.name, pause=pause))
            if pause > 0:
                await call.driver.sleep(pause)
            try:
                return await dispatcher.send(endpoint, call, len(failed))
            except (NotSent, Unknown) as failure:
                error = failure
                tried.append(endpoint)
                failed.append(endpoint)

    def _may_go_on(
        self, call: Call, dispatcher: Dispatcher[Any], error: NotSent | Unknown, counted: int
    ) -> tuple[float, NoRetry | None]:
        """Return the pause before the next retry in seconds, and why there must not be one."""
        policy = call.policy
        if not isinstance(error, NotSent) and not may_repeat(call):
            return 0.0, NoRetry("not_idempotent", f"{call.method.full_name} is not idempotent")
        if counted >= policy.retries:
            return 0.0, NoRetry("retries_used", f"all retries used ({counted} of {policy.retries})")
        if policy.chain_stop and call.attempt:
            return 0.0, NoRetry("chain_stop", "the caller's own call is a retry (chain_stop)")
        asked = error.retry_after
        if asked is not None:
            pause = asked
        elif isinstance(error, ConnectionLost) and not counted:
            pause = 0.0
        else:
            pause = policy.backoff.pause(counted, self._sources.rng())
        left = call.deadline.at - call.driver.now()
        if pause == math.inf:
            return pause, NoRetry("pushback", "the server rejects retries (pushback)")
        if pause >= left:
            why = "deadline exceeded" if left <= 0 else f"deadline too close for a pause of {pause:.3g} s"
            return pause, NoRetry("deadline", why)
        if not dispatcher.take_retry():
            return pause, NoRetry("budget", "retry budget exhausted")
        return pause, None

    def _give_up(
        self, call: Call, dispatcher: Dispatcher[Any], error: RpcError, failed: list[Any], against: NoRetry
    ) -> RpcError:
        reason, why = against
        if dispatcher.has_listeners(call):
            name = call.method.full_name
            dispatcher.notify(call, NotRetried(subject=name, why=why, reason=reason, mode=self.name))
        if len(failed) > 1:
            earlier = ", ".join(f"tcp://{each.instance.address}" for each in failed[:-1])
            error.add_note(f"{plural(len(failed) - 1, 'earlier attempt')}: {earlier}")
        error.add_note(f"not retried: {why}")
        return error

    def close(self) -> None:
        """Do nothing: no background work."""


def costs_nothing(error: RpcError, failed: int) -> bool:
    """Whether the attempt reached no server, so that another one adds no load; `failed` is the number of attempts."""
    return isinstance(error, NotSent) and not isinstance(error, Overloaded) and failed < _MAX_FREE_ATTEMPTS
