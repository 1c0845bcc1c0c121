"""Sampler with a cap: at most a number of new traces in a second, for the whole process."""

from __future__ import annotations

import math
from typing import Final

from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.sampling.base import Decision, Sampler, SampleRequest, is_of_parent
from idlrt.observe.tracing.sampling.reservoir import REAL, Reservoir

__all__ = ["Capped"]

_CAPPED: Final = Decision(False, None, "cap")
# Seconds after a refusal during which the probability of sampled traces is unknown.
_UNKNOWN_S: Final = 1.0


class Capped:
    """Samples what another sampler does, up to a rate. Traces that the parent has sampled are not limited.

    While the cap takes effect, thresholds are removed: the probability is lower than they say.

    Args:
        sampler: the other sampler.
        rate: maximum number of new traces per second.
        sources: clock and random numbers.

    Raises:
        ConfigurationError: the rate is not positive.
    """

    __slots__ = ("_now", "_refused_at", "_reservoir", "rate", "sampler")

    def __init__(self, sampler: Sampler, rate: float, sources: ClockAndRandom = REAL) -> None:
        if not 0 < rate < math.inf:
            raise ConfigurationError(f"cap on sampled traces must be above 0 per second, got {rate!r}")
        self.sampler: Final = sampler
        self.rate: Final = rate
        self._now = sources.now
        self._reservoir = Reservoir(rate, sources)
        self._refused_at = -math.inf

    def __repr__(self) -> str:
        return f"Capped({self.sampler!r}, {self.rate:g})"

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        decision = self.sampler.decide(request)
        if not decision.is_sampled or is_of_parent(decision):
            return decision
        now = self._now()
        if not self._reservoir.take(now):
            self._refused_at = now
            return _CAPPED
        if decision.threshold is not None and now - self._refused_at < _UNKNOWN_S:
            return Decision(True, None, decision.reason)
        return decision
