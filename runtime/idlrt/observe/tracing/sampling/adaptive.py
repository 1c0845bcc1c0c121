"""Sampler that keeps a rate of new traces: its probability follows the rate of calls.

The probability is consistent (a threshold), so that a trace is sampled by all services with higher probabilities. It is
set once a second to what the rate of the calls suggests, corrected by how far the sampled traces of the last seconds
were from the target. A rise of the calls is noticed inside the second, after twice the wanted number of traces.

Compare https://github.com/jaegertracing/jaeger, `internal/sampling/samplingstrategy/adaptive`, which does this once a
minute in its collector.
"""

from __future__ import annotations

import itertools
import threading
from typing import Final

from idlrt.core import ClockAndRandom
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.sampling.base import Decision, SampleRequest, parent_decision
from idlrt.observe.tracing.sampling.ratio import Level
from idlrt.observe.tracing.sampling.reservoir import REAL
from idlrt.observe.tracing.thresholds import randomness_of

__all__ = ["Adaptive"]

_RANDOM_AT: Final = 18
_DROPPED: Final = Decision(False, None, "ratio")

_STEP_S: Final = 1.0
# Time constants, in seconds, of the estimated rate and of the correction.
_SMOOTHED_S: Final = 5.0
_CORRECTED_S: Final = 5.0
# A rate of calls that differs by this factor from the estimate replaces it.
_JUMP: Final = 2.0
# Traces in one step that begin the next step early, as a multiple of the target, and what is added for low targets.
_SURGE: Final = 2.0
_SURGE_MIN: Final = 10
_MIN_STEP_S: Final = 0.001
_LOWEST: Final = 1e-9


class Adaptive:
    """Samples a number of new traces per second, whatever the rate of the calls is.

    A trusted parent's decision is followed; such traces do not count. In forked children each process has the target.

    Args:
        target: sampled traces per second, above 0. From 20 on it is kept within 10 % over a minute.
        sources: clock.
        initial: probability until calls have been counted for a second, above 0 and at most 1.

    Raises:
        ConfigurationError: the target or the initial probability is out of range.
    """

    __slots__ = (
        "__weakref__",
        "_calls",
        "_calls_before",
        "_debt",
        "_level",
        "_lock",
        "_next_at",
        "_now",
        "_rate",
        "_sampled",
        "_since",
        "_surge",
        "target",
    )

    def __init__(self, target: float, sources: ClockAndRandom = REAL, *, initial: float = 1.0) -> None:
        if not 0 < target <= 1e6:
            raise ConfigurationError(f"target of adaptive sampling must be above 0 per second, got {target!r}")
        if not 0 < initial <= 1:
            raise ConfigurationError(f"initial sampling probability must be above 0 and at most 1, got {initial!r}")
        self.target: Final = target
        self._now = sources.now
        self._level = Level(initial)
        self._rate = 0.0
        self._debt = 0.0
        self._surge = int(_SURGE * target) + _SURGE_MIN
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Count from zero in a forked child, which keeps the probability of its parent."""
        self._lock = threading.Lock()
        # Counted in C, so that no thread has to wait and no call is lost.
        self._calls = itertools.count()
        self._calls_before = 0
        self._sampled = 0
        self._since = self._now()
        self._next_at = self._since + _STEP_S

    def __repr__(self) -> str:
        return f"Adaptive({self.target:g})"

    @property
    def probability(self) -> float:
        """Current sampling probability."""
        return self._level.probability

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        trace_id = request.trace_id
        randomness = trace_id[_RANDOM_AT:]
        parent = request.parent
        if parent is not None:
            before = parent_decision(request)
            if before is not None:
                return before
            if request.is_trusted and parent.randomness is not None:
                randomness = f"{randomness_of(trace_id, parent.randomness):014x}"
        next(self._calls)
        now = self._now()
        if now >= self._next_at:
            with self._lock:
                if now >= self._next_at:
                    self._adapt(now)
        level = self._level
        if randomness < level.text:
            return _DROPPED
        with self._lock:
            self._sampled += 1
            if self._sampled >= self._surge:
                self._adapt(now)
        return level.kept

    def _adapt(self, now: float) -> None:
        """Set the probability for the next step. Needs the lock."""
        passed = max(now - self._since, _MIN_STEP_S)
        counted = next(self._calls)
        calls, self._calls_before = counted - self._calls_before, counted + 1
        rate = calls / passed
        if self._rate and self._rate / _JUMP <= rate <= self._rate * _JUMP:
            self._rate += (rate - self._rate) * min(passed / _SMOOTHED_S, 1.0)
        else:
            self._rate = rate
        # What is missing, or exceeds the target. Where all traces are sampled, nothing can be made up for.
        self._debt += self.target * passed - self._sampled
        most = self.target * _CORRECTED_S
        self._debt = max(-most, min(self._debt, most if self._level.probability < 1 else 0.0))
        wanted = max(self.target + self._debt / _CORRECTED_S, self.target * 0.1)
        self._level = Level(max(min(wanted / self._rate, 1.0), _LOWEST)) if self._rate else Level(1.0)
        self._sampled = 0
        self._since = now
        self._next_at = now + _STEP_S
