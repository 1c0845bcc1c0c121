"""Interrupt calls through a guard at random byte codes, and see what is left of it.

    python tests/harness/interrupted_guards.py KIND INTERRUPTS [THREADS]

The handler of `SIGALRM` raises in the main thread, which calls all the time, as `THREADS` other threads do. The program
prints "full capacity" if the guard then does what it did before, else what is missing, and exits with 1.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

from idlrt.balance import Load
from idlrt.core import BlockingDriver, ClockAndRandom, drive
from idlrt.errors import CircuitOpen, ConnectionLost, NotSent, Overloaded
from idlrt.guard import AdaptiveConcurrency, Bulkhead, CircuitBreaker, LoadShedder
from idlrt.guard.breaker import BreakerSettings
from idlrt.guard.bulkhead import BulkheadSettings
from idlrt.guard.concurrency import ConcurrencySettings
from idlrt.guard.shedder import ShedderSettings
from idlrt.testing.guards import call_for

# Calls at once, and the most seconds until the next interrupt.
PLACES = 4
NEXT = 150e-6
DRIVER = BlockingDriver()


class Interrupt(Exception):
    """Raised by the handler of the signal."""


class Hold:
    """Awaited by a call that stays where it is."""

    def __await__(self) -> Generator[Any, None, None]:
        yield self


async def hold(call: Any) -> None:
    await Hold()


async def answer(call: Any) -> None:
    return None


class Guarded:
    """Calls through a guard that may be interrupted.

    Attributes:
        refused: how often calls were refused.
    """

    def __init__(self, guard: Any) -> None:
        self.guard = guard
        self.refused = 0
        self.call = call_for(DRIVER, 3600.0)

    def use(self) -> None:
        """Make one call."""
        try:
            drive(self.guard(self.call, answer))
        except Overloaded:
            self.refused += 1

    def missing(self) -> str:
        """What is not as it was, when no call is under way; empty if nothing is."""
        entered: list[Coroutine[Any, Any, Any]] = []
        try:
            while len(entered) < PLACES:
                coroutine = self.guard(self.call, hold)
                coroutine.send(None)
                entered.append(coroutine)
        except Overloaded as error:
            return f"{len(entered)} of {PLACES} calls were let through: {error}"
        finally:
            for each in entered:
                each.close()
        return ""


class Line(Guarded):
    """A bulkhead with a line that is long enough for all: no call is ever refused."""

    def missing(self) -> str:
        return super().missing() or (f"{self.refused} calls were refused" if self.refused else "")


class Probed(Guarded):
    """A breaker that opens at each failure and may probe at once, so most calls are probes."""

    def __init__(self, guard: Any) -> None:
        super().__init__(guard)
        self.is_failing = True

    async def behind(self, call: Any) -> None:
        if self.is_failing and random.random() < 0.5:
            raise ConnectionLost("lost")

    def use(self) -> None:
        with contextlib.suppress(ConnectionLost, CircuitOpen):
            drive(self.guard(self.call, self.behind))

    def missing(self) -> str:
        self.is_failing = False
        end = time.monotonic() + 30.0
        refusal: NotSent | None = None
        answered = 0
        while answered < 10 and time.monotonic() < end:
            try:
                drive(self.guard(self.call, self.behind))
                answered += 1
            except NotSent as error:
                refusal, answered = error, 0
        return "" if answered == 10 else str(refusal)


class Flying(Guarded):
    """A shedder: it must know that no call is under way."""

    def missing(self) -> str:
        flying = self.guard.shedder.in_flight
        left = flying if isinstance(flying, int) else len(flying)
        return f"{left} calls are under way" if left else ""


class Loaded(Guarded):
    """What a client knows of an instance."""

    def use(self) -> None:
        lease = self.guard.begin()
        try:
            drive(answer(None))
        finally:
            del lease

    def missing(self) -> str:
        return f"{self.guard.in_flight} calls are under way" if self.guard.in_flight else ""


def make(kind: str) -> Guarded:
    """Make what is interrupted, by the name of its kind."""
    sources = ClockAndRandom()
    if kind == "bulkhead":
        return Guarded(Bulkhead(BulkheadSettings(max_concurrent_calls=PLACES), sources))
    if kind == "line":
        return Line(
            Bulkhead(BulkheadSettings(max_concurrent_calls=PLACES, max_queued_calls=100, max_wait=3600), sources)
        )
    if kind == "concurrency":
        settings = ConcurrencySettings(algorithm="aimd", initial_limit=PLACES, min_limit=PLACES, max_limit=PLACES)
        return Guarded(AdaptiveConcurrency(settings, sources))
    if kind == "breaker":
        return Probed(
            CircuitBreaker(
                BreakerSettings(
                    consecutive_failures=1,
                    break_duration=1e-6,
                    max_break_duration=1e-6,
                    break_multiplier=1,
                    probe_interval=0.0,
                ),
                sources,
            )
        )
    if kind == "shedder":
        return Flying(LoadShedder(ShedderSettings(), sources, cpu=lambda: 0.0))
    if kind == "load":
        return Loaded(Load())
    raise ValueError(f"unknown kind {kind!r}")


def interrupt(use: Callable[[], None], times: int, delays: Iterator[float]) -> None:
    """Call `use` until it was interrupted so often."""

    def strike(number: int, frame: object) -> None:
        raise Interrupt

    signal.signal(signal.SIGALRM, strike)
    done = 0
    while done < times:
        try:
            signal.setitimer(signal.ITIMER_REAL, next(delays))
            while True:
                use()
        except Interrupt:
            done += 1


def compete(use: Callable[[], None], stop: threading.Event) -> None:
    """Call `use` until `stop`, with a short pause now and then so that all threads get their turn."""
    while not stop.wait(0.0005):
        for _ in range(5):
            use()


def main(kind: str, times: int, threads: int = 0) -> int:
    """See the module. Return the exit code."""
    sys.setswitchinterval(1e-5)
    subject, stop = make(kind), threading.Event()
    others = [threading.Thread(target=compete, args=(subject.use, stop), daemon=True) for _ in range(threads)]
    for each in others:
        each.start()
    interrupt(subject.use, times, iter(lambda: random.uniform(1e-6, NEXT), None))
    stop.set()
    for each in others:
        each.join(60.0)
        if each.is_alive():
            print("a thread waits for ever")
            return 1
    missing = subject.missing()
    print(missing or "full capacity")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), *map(int, sys.argv[3:])))
