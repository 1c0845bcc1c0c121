"""`hedge`: when an answer takes longer than nearly all do, another instance is asked too, and the first answer counts.

One slow instance, or one unlucky call, does not make the caller wait: for a few more calls the slowest answers come as
quickly as most. How long to wait before is measured: so long that only `extra_load` of the calls are not answered yet.
And extra calls come out of an allowance of that share, so a service that has become slow as a whole does not get twice
the calls. Only idempotent methods are asked twice; others, and failures, are treated as `failover` does.

It is for answers that are late, not for those that never come: once the allowance is spent, who was sent to an instance
that hangs waits for it. `attempt_timeout` ends that, and such an instance is soon out.

In a blocking client a call that may be hedged runs on a thread beside the caller's, which costs some tens of µs.

Sources: Dean and Barroso, "The Tail at Scale" (2013); Finagle's `BackupRequestFilter`; gRFC A6
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from idlrt.core import Call, Chance, Retrying, Seconds
from idlrt.core.forks import forks
from idlrt.errors import NoInstance, NotSent, Unknown
from idlrt.fault.base import Reach, may_repeat
from idlrt.fault.failover import Failover, costs_nothing
from idlrt.fault.quantiles import Quantiles
from idlrt.fault.several import is_answer

__all__ = ["Hedge"]

# Calls that must have been measured before anything follows from it, and the most extra calls that may come at once.
_ENOUGH: Final = 50
_MOST_SAVED: Final = 10.0


class HedgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `hedge`."""

    extra_load: Annotated[float, Meta(gt=0, le=1, description="maximum fraction of calls that are hedged.")] = 0.05
    delay: Annotated[
        Seconds, Meta(description="time until the next instance is called; 0: derived from measured latency.")
    ] = 0.0
    least_delay: Annotated[Seconds, Meta(description="lower bound of a derived delay.")] = 0.001
    attempts: Annotated[int, Meta(ge=2, le=5, description="maximum number of instances that are called.")] = 2
    window: Annotated[float, Meta(gt=0, description="time for which latency measurements count, in seconds.")] = 20.0


class _Allowance:
    """Extra calls that may still be made."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process."""
        self._lock = threading.Lock()

    def save(self) -> None:
        """A call is made."""
        with self._lock:
            self._saved = min(self._saved + self._share, _MOST_SAVED)

    def spend(self) -> bool:
        """Whether another one may be."""
        with self._lock:
            if self._saved < 1:
                return False
            self._saved -= 1
            return True


class Hedge(Failover):
    """See the module. A `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = HedgeSettings
    name: ClassVar[str] = "hedge"

    def __init__(self, settings: HedgeSettings, chance: Chance) -> None:
        super().__init__(settings, chance)
        self._settings = settings
        self._allowance = _Allowance(settings.extra_load)
        self._latencies: dict[str, Quantiles] = {}

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`."""
        start = call.driver.now()
        latencies = self._latencies.get(call.method.name)
        if latencies is None:
            latencies = self._latencies.setdefault(call.method.name, Quantiles(self._settings.window))
        self._allowance.save()
        delay = self.delay(latencies, start)
        if not may_repeat(call) or not 0 < delay < call.deadline.at - start or self._must_not(call):
            result = await super().call(call, reach)
        else:
            result = await self._hedged(call, reach, delay)
        now = call.driver.now()
        latencies.add(now - start, now)
        return result

    def delay(self, latencies: Quantiles, now: float) -> float:
        """Seconds until another instance is asked; 0: that is not to happen."""
        settings = self._settings
        if settings.delay:
            return settings.delay
        if latencies.count(now) < _ENOUGH:
            return 0.0
        return max(latencies.quantile(1 - settings.extra_load, now), settings.least_delay)

    def _must_not(self, call: Call) -> bool:
        return call.policy.chain_stop and call.attempt > 0

    async def _hedged(self, call: Call, reach: Reach[Any], delay: float) -> Any:
        tried: list[Any] = []
        failed: list[NotSent | Unknown] = []

        async def ask(node: Any, attempt: int) -> Any:
            try:
                return await reach.send(node, call, attempt)
            except (NotSent, Unknown) as error:
                failed.append(error)
                raise

        replaced = counted = 0

        def starts() -> Iterator[Callable[[], Coroutine[Any, Any, Any]]]:
            nonlocal replaced, counted
            node = reach.pick(call, ())
            while node is not None:
                tried.append(node)
                yield partial(ask, node, len(tried) - 1)
                if len(tried) >= self._settings.attempts or call.deadline.at <= call.driver.now():
                    return
                try:
                    node = reach.pick(call, tried)
                except NoInstance:
                    return  # those that were asked may still answer
                if node is None:
                    return
                if len(failed) > replaced:
                    replaced += 1
                    error = failed[-1]
                    if not costs_nothing(error, len(failed)):
                        if error.retry_after is not None or counted >= call.policy.retries or not reach.spend():
                            return
                        counted += 1
                    elif not call.policy.retries:
                        return
                    why, pause = str(error), 0.0
                else:
                    if not self._allowance.spend():
                        return
                    why, pause = f"no answer from {tried[-1].instance.address} yet", delay
                if reach.is_heard(call):
                    reach.tell(call, Retrying(subject=call.method.full_name, why=why, mode="hedge", pause=pause))

        try:
            return await call.driver.race(starts(), delay, is_answer)
        except (NotSent, Unknown) as error:
            if len(failed) < len(tried) or call.deadline.at <= call.driver.now():
                raise
            # All have failed, and there is time left.
            return await self._again(call, reach, tried, error, counted)
