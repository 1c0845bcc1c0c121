"""Samplers with a fixed probability: all traces, none, or a share of them that is the same in every service."""

from __future__ import annotations

from typing import Final

from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.sampling.base import Decision, SampleRequest, child_decision, parent_decision
from idlrt.observe.tracing.thresholds import MIN_PROBABILITY, threshold, threshold_text

__all__ = ["Always", "Level", "Never", "Ratio"]

_RANDOM_AT: Final = 18
_DROPPED: Final = Decision(False, None, "ratio")


class Level:
    """A probability, prepared for comparison with trace ids.

    Args:
        probability: between 2**-56 and 1.

    Attributes:
        threshold: its rejection threshold.
        text: the threshold as 14 hex digits. Text of equal length compares as numbers do, and is faster.
        kept: the decision for a sampled trace.
    """

    __slots__ = ("kept", "probability", "text", "threshold")

    def __init__(self, probability: float) -> None:
        self.probability = probability
        self.threshold = threshold(probability)
        self.text = f"{self.threshold:014x}"
        self.kept = Decision(True, self.threshold, "ratio")


class Ratio:
    """Samples a share of all traces: those whose randomness is at least a threshold.

    Services with different ratios agree: a trace that one of them samples is sampled by all with higher ratios.

    Args:
        probability: share of the traces, between 2**-56 and 1.

    Raises:
        ConfigurationError: the probability is out of range.
    """

    __slots__ = ("_kept", "_level", "_text", "probability")

    def __init__(self, probability: float) -> None:
        if not MIN_PROBABILITY <= probability <= 1:
            raise ConfigurationError(f"sampling ratio must be above 0 and at most 1, got {probability!r}")
        self.probability: Final = probability
        self._level = Level(probability)
        self._text = self._level.text
        self._kept = self._level.kept

    def __repr__(self) -> str:
        return f"Ratio({self.probability:g})"

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        if request.parent is None:
            return self._kept if request.trace_id[_RANDOM_AT:] >= self._text else _DROPPED
        return child_decision(request, self._level.threshold, self._kept, _DROPPED)

    @property
    def th(self) -> str:
        """The threshold, as `tracestate` has it."""
        return threshold_text(self._level.threshold)


class Always:
    """Samples all traces, except those that the parent has not sampled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Always()"

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        if request.parent is None:
            return _ALL
        return child_decision(request, 0, _ALL, _DROPPED)


class Never:
    """Samples no trace, except those that the parent has sampled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Never()"

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        if request.parent is None:
            return _DROPPED
        return parent_decision(request) or _DROPPED


_ALL: Final = Decision(True, 0, "ratio")
