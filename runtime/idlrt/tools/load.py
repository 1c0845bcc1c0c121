"""Load generator that measures throughput and latency.

*Closed loop*: a fixed number of callers, each of which makes its next call when the previous one has completed. It
measures capacity; its latencies are too optimistic, because a server that stalls receives fewer calls meanwhile. *Open
loop* (with a rate): calls are scheduled at fixed times regardless of the server, and latency counts from the scheduled
time. A stall thus counts for all calls that were due during it: there is no *coordinated omission*.

Source: Gil Tene, "How NOT to Measure Latency"; wrk2, https://github.com/giltene/wrk2
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from idlrt.errors import RpcError
from idlrt.tools.histogram import Histogram

__all__ = ["Outcome", "Plan", "run"]

Make = Callable[[], Awaitable[Any]]

# Maximum number of calls in flight in an open loop: beyond it, the tool itself would be the bottleneck.
_MAX_IN_FLIGHT = 20_000
_TICK = 0.1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a load test.

    Attributes:
        concurrency: number of callers in a closed loop.
        rate: calls per second in an open loop; 0 for a closed loop.
        seconds: duration of the measurement.
        calls: number of calls after which to stop early; 0 for no limit.
        warm_up: seconds before the measurement whose calls do not count.
    """

    concurrency: int = 16
    rate: float = 0.0
    seconds: float = 10.0
    calls: int = 0
    warm_up: float = 1.0


class Outcome(msgspec.Struct, kw_only=True):
    """Result of a load test.

    Attributes:
        latencies: latencies of all calls with a response: a result or an exception that the IDL declares.
        exceptions: number of responses per declared exception; included in `latencies`.
        errors: number of failed calls per error class; not included in `latencies`.
        seconds: duration of the measurement.
        missed: calls of an open loop that were skipped because too many were in flight.
    """

    latencies: Histogram = msgspec.field(default_factory=Histogram)
    exceptions: Counter[str] = msgspec.field(default_factory=lambda: Counter[str]())
    errors: Counter[str] = msgspec.field(default_factory=lambda: Counter[str]())
    seconds: float = 0.0
    missed: int = 0

    @property
    def rate(self) -> float:
        """Responses per second."""
        return self.latencies.count / self.seconds if self.seconds else 0.0


async def run(
    makes: list[Make],
    plan: Plan,
    *,
    answers: tuple[type[BaseException], ...] = (),
    tick: Callable[[float, Outcome], None],
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Run a load test.

    Args:
        makes: functions that make a call, used in rotation.
        answers: exceptions that the IDL declares: they are responses, and counted separately.
        tick: progress callback, called periodically with the completed fraction (0 to 1) and the result so far.
        clock: returns the time of a monotonic clock in seconds.
    """
    load = _Load(makes, plan, answers, clock)
    work = asyncio.ensure_future(load.open_loop() if plan.rate else load.closed_loop())
    try:
        while not work.done():
            await asyncio.wait([work], timeout=_TICK)
            tick(load.share(), load.outcome)
        await work
    finally:
        work.cancel()
    load.outcome.seconds = load.ended_at - load.measured_from
    return load.outcome


class _Load:
    def __init__(
        self,
        makes: Sequence[Make],
        plan: Plan,
        answers: tuple[type[BaseException], ...],
        clock: Callable[[], float],
    ) -> None:
        self.outcome = Outcome()
        self._clock = clock
        self._plan = plan
        self._answers = answers
        self._makes = itertools.cycle(makes)
        now = self._clock()
        self.measured_from = now + plan.warm_up
        self.ended_at = self._end = self.measured_from + plan.seconds
        self._left = plan.calls or None

    def share(self) -> float:
        """Return the completed fraction of the measurement, 0 to 1."""
        plan = self._plan
        by_time = (self._clock() - self.measured_from) / plan.seconds
        by_calls = self.outcome.latencies.count / plan.calls if plan.calls else 0.0
        return min(max(by_time, by_calls, 0.0), 1.0)

    async def closed_loop(self) -> None:
        await asyncio.gather(*(self._caller(next(self._makes)) for _ in range(self._plan.concurrency)))
        self.ended_at = min(self.ended_at, self._clock())

    async def _caller(self, make: Make) -> None:
        while (started := self._clock()) < self._end and self._take(started):
            await self._call(make, started)

    def _take(self, started: float) -> bool:
        """Return whether a call that counts from `started` may be made."""
        if self._left is not None and started >= self.measured_from:
            if not self._left:
                return False
            self._left -= 1
        return True

    async def open_loop(self) -> None:
        in_flight: set[asyncio.Task[None]] = set()
        due, pause = self._clock(), 1 / self._plan.rate
        while due < self._end:
            now = self._clock()
            if due > now:
                await asyncio.sleep(due - now)
            # Make all calls that are due, because sleeping is inexact.
            now = self._clock()
            while due <= now and due < self._end and self._take(due):
                if len(in_flight) < _MAX_IN_FLIGHT:
                    task = asyncio.ensure_future(self._call(next(self._makes), due))
                    in_flight.add(task)
                    task.add_done_callback(in_flight.discard)
                else:
                    self.outcome.missed += 1
                due += pause
            if self._left == 0:
                break
        if in_flight:
            await asyncio.wait(in_flight)
        self.ended_at = min(self.ended_at, self._clock())

    async def _call(self, make: Make, started: float) -> None:
        try:
            await make()
        except self._answers as error:
            if started >= self.measured_from:
                self.outcome.exceptions[type(error).__name__] += 1
        except RpcError as error:
            if started >= self.measured_from:
                self.outcome.errors[type(error).__name__] += 1
            return
        if started >= self.measured_from:
            self.outcome.latencies.add(self._clock() - started)
