"""Load on a server, and what it does to latency.

*Closed loop*: so many callers, each makes its next call when the last is answered. It finds what a server can do; its
latencies flatter, because a server that stalls is asked less meanwhile. *Open loop* (a rate is given): calls are due
at fixed times whatever the server does, and a latency counts from when its call was due. So a stall counts for all
calls that should have been made in it: there is no *coordinated omission*.

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

# Calls of an open loop that may be under way: beyond it the tool itself would be what is measured.
_MOST_UNDER_WAY = 20_000
_TICK = 0.1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        concurrency: callers of a closed loop.
        rate: calls a second of an open loop; 0 for a closed one.
        seconds: for how long.
        calls: after how many to stop, if that comes first; 0 for any number.
        warm_up: seconds before that which do not count.
    """

    concurrency: int = 16
    rate: float = 0.0
    seconds: float = 10.0
    calls: int = 0
    warm_up: float = 1.0


class Outcome(msgspec.Struct, kw_only=True):
    """What came of it.

    Attributes:
        latencies: of all calls that were answered, with a result or with an exception that the IDL declares.
        exceptions: answers that are an exception that the IDL declares, by its name; included in `latencies`.
        errors: failed calls by the name of the error; not included in `latencies`.
        seconds: that were measured.
        missed: calls of an open loop that could not be made because too many were under way.
    """

    latencies: Histogram = msgspec.field(default_factory=Histogram)
    exceptions: Counter[str] = msgspec.field(default_factory=lambda: Counter[str]())
    errors: Counter[str] = msgspec.field(default_factory=lambda: Counter[str]())
    seconds: float = 0.0
    missed: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.latencies.count / self.seconds if self.seconds else 0.0


async def run(
    makes: list[Make],
    plan: Plan,
    *,
    answers: tuple[type[BaseException], ...] = (),
    tick: Callable[[float, Outcome], None],
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Put the load on.

    Args:
        makes: each makes a call; callers share them out.
        answers: exceptions that the IDL declares: they are answers, and counted apart.
        tick: is told every now and then how much of it is done (0 to 1) and what has come of it so far.
        clock: seconds, on a clock that never goes back.
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
        """How much is done."""
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
        under_way: set[asyncio.Task[None]] = set()
        due, pause = self._clock(), 1 / self._plan.rate
        while due < self._end:
            now = self._clock()
            if due > now:
                await asyncio.sleep(due - now)
            # What has become due by now, at once: sleeping is not exact.
            now = self._clock()
            while due <= now and due < self._end and self._take(due):
                if len(under_way) < _MOST_UNDER_WAY:
                    task = asyncio.ensure_future(self._call(next(self._makes), due))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                else:
                    self.outcome.missed += 1
                due += pause
            if self._left == 0:
                break
        if under_way:
            await asyncio.wait(under_way)
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
