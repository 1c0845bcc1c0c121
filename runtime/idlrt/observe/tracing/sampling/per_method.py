"""Samplers that look at each method separately: a rate, and a minimum of one trace a minute.

The number of methods is bounded; further ones share what is kept for one method.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from idlrt.core import ClockAndRandom
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.sampling.base import Decision, Sampler, SampleRequest, is_of_parent, parent_decision
from idlrt.observe.tracing.sampling.reservoir import REAL, Reservoir

__all__ = ["FLOOR_S", "MAX_METHODS", "MethodFloor", "PerSecond"]

MAX_METHODS: Final = 1000
"""Maximum number of methods that are looked at separately."""

FLOOR_S: Final = 60.0
"""Seconds after which a trace of a method is sampled, whatever the rate is."""

_DROPPED: Final = Decision(False, None, "rate")
_KEPT: Final = Decision(True, None, "rate")
_FLOOR: Final = Decision(True, None, "floor")

T = TypeVar("T")


class _PerMethod(Generic[T]):
    """One object for each method, up to a number of methods; one more for all others."""

    __slots__ = ("__weakref__", "_lock", "_make", "_most", "_other", "found")

    def __init__(self, make: Callable[[], T], most: int) -> None:
        self._make = make
        self._most = most
        self._other: T | None = None
        self.found: dict[str, T] = {}
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock after a fork: another thread of the parent may hold it."""
        self._lock = threading.Lock()

    def add(self, method: str) -> T:
        """Return the object of a method that was not found."""
        with self._lock:
            found = self.found.get(method)
            if found is not None:
                return found
            if len(self.found) < self._most:
                found = self.found[method] = self._make()
                return found
            if self._other is None:
                self._other = self._make()
            return self._other


class PerSecond:
    """Samples a number of traces of each method in a second, evenly inside the second, and at least one a minute.

    The sampling probability is unknown. A trusted parent's decision is followed, because a limit on continued traces
    would tear them.

    Args:
        rate: traces per second and method; at least 0.
        sources: clock and random numbers.
        max_methods: maximum number of methods; all others share one rate.

    Raises:
        ConfigurationError: the rate is negative.
    """

    __slots__ = ("_methods", "_now", "_reservoirs", "rate")

    def __init__(self, rate: float, sources: ClockAndRandom = REAL, max_methods: int = MAX_METHODS) -> None:
        if not 0 <= rate < float("inf"):
            raise ConfigurationError(f"sampling rate must be at least 0 per second, got {rate!r}")
        self.rate: Final = rate
        self._now = sources.now
        self._methods = _PerMethod(lambda: Reservoir(max(rate, 1 / FLOOR_S), sources), max_methods)
        self._reservoirs = self._methods.found

    def __repr__(self) -> str:
        return f"PerSecond({self.rate:g})"

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        if request.parent is not None:
            before = parent_decision(request)
            if before is not None:
                return before
        reservoir = self._reservoirs.get(request.method) or self._methods.add(request.method)
        if reservoir.take(self._now()):
            return _KEPT if self.rate * FLOOR_S >= 1 else _FLOOR
        return _DROPPED


class MethodFloor:
    """Samples at least one trace of each method a minute; otherwise it follows another sampler.

    Args:
        sampler: the other sampler.
        sources: clock and random numbers.
        max_methods: maximum number of methods; all others share one minimum.
    """

    __slots__ = ("_methods", "_now", "_reservoirs", "sampler")

    def __init__(self, sampler: Sampler, sources: ClockAndRandom = REAL, max_methods: int = MAX_METHODS) -> None:
        self.sampler: Final = sampler
        self._now = sources.now
        self._methods = _PerMethod(lambda: Reservoir(1 / FLOOR_S, sources), max_methods)
        self._reservoirs = self._methods.found

    def __repr__(self) -> str:
        return f"MethodFloor({self.sampler!r})"

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        decision = self.sampler.decide(request)
        if request.parent is not None and is_of_parent(decision):
            return decision
        reservoir = self._reservoirs.get(request.method) or self._methods.add(request.method)
        now = self._now()
        if now < reservoir.blocked_until and not decision.is_sampled:
            return decision
        if decision.is_sampled:
            reservoir.postpone(now + FLOOR_S)
            return decision
        return _FLOOR if reservoir.take(now) else decision
