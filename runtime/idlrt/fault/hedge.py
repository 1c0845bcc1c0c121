"""Fault mode `hedge`: send a slow call to a second instance as well and use the first response.

Hedging cuts tail latency: for a few extra calls, one slow instance or one unlucky call does not delay the caller. The
delay before a hedge is derived from measured latency: the quantile that only a fraction `max_extra_load` of the calls
exceeds. Hedges are also limited to that fraction of calls (a token bucket), so a service that becomes slow as a whole
does not receive twice the calls. Only idempotent methods are hedged; other methods, and failures, are handled as in
`failover`.

Hedging is for late responses, not for missing ones: once the allowance is exhausted, calls to a hanging instance wait
for it. `attempt_timeout` bounds that, and the instance is soon marked unhealthy.

In a blocking client a call that may be hedged runs on a second thread, which costs some tens of µs.

Sources: Dean and Barroso, "The Tail at Scale" (2013); Finagle's `BackupRequestFilter`; gRFC A6
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from idlrt.core import Call, ClockAndRandom, Retrying, Seconds
from idlrt.core.forks import forks
from idlrt.errors import NoInstance, NotSent, Unknown
from idlrt.fault.base import Dispatcher, is_final, may_repeat
from idlrt.fault.failover import Failover, costs_nothing
from idlrt.fault.quantiles import Quantiles

__all__ = ["Hedge"]

# Measurements that are required before a delay is derived from them.
_MIN_SAMPLES: Final = 50
# Capacity of the token bucket: the maximum burst of hedges.
_MAX_BURST: Final = 10.0


class HedgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `hedge`."""

    max_extra_load: Annotated[float, Meta(gt=0, le=1, description="maximum fraction of calls that are hedged.")] = 0.05
    delay: Annotated[
        Seconds, Meta(description="time until the next instance is called; 0: derived from measured latency.")
    ] = 0.0
    min_delay: Annotated[Seconds, Meta(description="lower bound of a derived delay.")] = 0.001
    max_attempts: Annotated[int, Meta(ge=2, le=5, description="maximum number of instances that are called.")] = 2
    window: Annotated[
        float,
        Meta(gt=0, description="time for which latency measurements count.", extra={"type": "seconds, > 0"}),
    ] = 20.0


class _Allowance:
    """Token bucket for hedges: each call adds a fraction of a token, each hedge takes a token."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock after a fork."""
        self._lock = threading.Lock()

    def save(self) -> None:
        """Add a call's fraction of a token."""
        with self._lock:
            self._saved = min(self._saved + self._share, _MAX_BURST)

    def spend(self) -> bool:
        """Take a token; return whether there was one."""
        with self._lock:
            if self._saved < 1:
                return False
            self._saved -= 1
            return True


class Hedge(Failover):
    """Hedged calls. Implements `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = HedgeSettings
    name: ClassVar[str] = "hedge"

    def __init__(self, settings: HedgeSettings, sources: ClockAndRandom) -> None:
        super().__init__(settings, sources)
        self._settings = settings
        self._allowance = _Allowance(settings.max_extra_load)
        self._latencies: dict[str, Quantiles] = {}

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call`, and hedge it if it is slow."""
        start = call.driver.now()
        latencies = self._latencies.get(call.method.name)
        if latencies is None:
            latencies = self._latencies.setdefault(call.method.name, Quantiles(self._settings.window))
        self._allowance.save()
        delay = self.delay(latencies, start)
        if not may_repeat(call) or not 0 < delay < call.deadline.at - start or self._must_not(call):
            result = await super().call(call, dispatcher)
        else:
            result = await self._hedged(call, dispatcher, delay)
        now = call.driver.now()
        latencies.add(now - start, now)
        return result

    def delay(self, latencies: Quantiles, now: float) -> float:
        """Return the seconds after which a call is hedged; 0 if it must not be."""
        settings = self._settings
        if settings.delay:
            return settings.delay
        if latencies.count(now) < _MIN_SAMPLES:
            return 0.0
        return max(latencies.quantile(1 - settings.max_extra_load, now), settings.min_delay)

    def _must_not(self, call: Call) -> bool:
        return call.policy.chain_stop and call.attempt > 0

    async def _hedged(self, call: Call, dispatcher: Dispatcher[Any], delay: float) -> Any:
        tried: list[Any] = []
        failed: list[NotSent | Unknown] = []

        async def ask(endpoint: Any, attempt: int) -> Any:
            try:
                return await dispatcher.send(endpoint, call, attempt)
            except (NotSent, Unknown) as error:
                failed.append(error)
                raise

        replaced = counted = 0

        def starts() -> Iterator[Callable[[], Coroutine[Any, Any, Any]]]:
            nonlocal replaced, counted
            endpoint = dispatcher.pick(call, ())
            while endpoint is not None:
                tried.append(endpoint)
                yield partial(ask, endpoint, len(tried) - 1)
                if len(tried) >= self._settings.max_attempts or call.deadline.at <= call.driver.now():
                    return
                try:
                    endpoint = dispatcher.pick(call, tried)
                except NoInstance:
                    return  # calls in flight may still succeed
                if endpoint is None:
                    return
                if len(failed) > replaced:
                    replaced += 1
                    error = failed[-1]
                    if not costs_nothing(error, len(failed)):
                        if (
                            error.retry_after is not None
                            or counted >= call.policy.retries
                            or not dispatcher.take_retry()
                        ):
                            return
                        counted += 1
                    elif not call.policy.retries:
                        return
                    why, pause = str(error), 0.0
                else:
                    if not self._allowance.spend():
                        return
                    why, pause = f"no response from {tried[-1].instance.address} yet", delay
                if dispatcher.has_listeners(call):
                    dispatcher.notify(call, Retrying(subject=call.method.full_name, why=why, mode="hedge", pause=pause))

        try:
            return await call.driver.race(starts(), delay, is_final)
        except (NotSent, Unknown) as error:
            if len(failed) < len(tried) or call.deadline.at <= call.driver.now():
                raise
            # All attempts failed before the deadline.
            return await self._again(call, dispatcher, tried, error, counted)
