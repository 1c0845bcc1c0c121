"""Counters of simulated calls, and the results computed from them.

Latencies are counted in buckets that grow by 2 %, for each span of time on its own, so that percentiles can be told of
any part of a run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Result", "Spread", "Tally", "percentile"]

_SMALLEST = 1e-5
_GROWTH = math.log(1.02)
SCALE = 1 / _GROWTH
SHIFT = 1 - math.log(_SMALLEST) / _GROWTH
BUCKETS = 900


class Tally:
    """One span of time.

    Attributes:
        at: when it began, in seconds.
        begun: calls that began in it.
        calls: that ended in it.
        errors: of these.
        sends: attempts that were begun in it.
        counts: of latencies of good calls, by bucket.
        extras: whatever else is counted, by name.
    """

    __slots__ = ("at", "begun", "calls", "counts", "errors", "extras", "sends")

    def __init__(self, at: float) -> None:
        self.at = at
        self.begun = self.calls = self.errors = self.sends = 0
        self.counts = [0] * BUCKETS
        self.extras: dict[str, float] = {}

    @property
    def attempts(self) -> float:
        """Sends for each call."""
        return self.sends / max(self.begun, 1)

    @property
    def error_rate(self) -> float:
        """The part of the calls that failed."""
        return self.errors / max(self.calls, 1)

    @property
    def p99(self) -> float:
        """Milliseconds that 99 % of the successful calls did not exceed; 0 if there were none."""
        return percentile((self,), 99)


def percentile(tallies: Sequence[Tally], percent: float) -> float:
    """Milliseconds that that percentage of the successful calls did not exceed; 0 if there were none."""
    counts = [sum(column) for column in zip(*(each.counts for each in tallies), strict=True)]
    wanted = math.ceil(sum(counts) * percent / 100)
    seen = 0
    for place, count in enumerate(counts):
        seen += count
        if count and seen >= wanted:
            return _SMALLEST * math.exp((place - 0.5) * _GROWTH) * 1000
    return 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """How even numbers are.

    Attributes:
        worst: the largest by the mean.
        variation: the coefficient of variation: standard deviation by mean.
    """

    worst: float
    variation: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Of these."""
        mean = sum(numbers) / len(numbers) if numbers else 0.0
        if not mean:
            return cls(0.0, 0.0)
        deviation = math.sqrt(sum((each - mean) ** 2 for each in numbers) / len(numbers))
        return cls(max(numbers) / mean, deviation / mean)


@dataclass(slots=True, kw_only=True)
class Result:
    """Result of a run.

    Attributes:
        label: which run.
        tallies: in the order of time, without the beginning in which everything was still cold.
        loads: calls that each instance was sent in that time.
        peaks: samples of the most calls at one instance, and of the mean, one pair for each look.
        extras: whatever else is known, by name.
        cpu: seconds of a processor.
        simulated: calls, also those of the beginning.
    """

    label: str
    tallies: list[Tally]
    loads: list[int]
    peaks: list[tuple[int, float]] = field(default_factory=list)
    extras: dict[str, float] = field(default_factory=dict)
    cpu: float = 0.0
    simulated: int = 0

    def within(self, start: float, end: float) -> Result:
        """The same for the spans that began from `start` to before `end`."""
        nearly = 1e-6  # what adding spans up may take away
        chosen = [each for each in self.tallies if start - nearly <= each.at < end - nearly]
        return Result(label=self.label, tallies=chosen, loads=self.loads, peaks=self.peaks, extras=self.extras)

    @property
    def calls(self) -> int:
        """Calls that ended."""
        return sum(each.calls for each in self.tallies)

    @property
    def error_rate(self) -> float:
        """The part of them that failed."""
        return sum(each.errors for each in self.tallies) / max(self.calls, 1)

    @property
    def attempts(self) -> float:
        """Sends for each call."""
        return sum(each.sends for each in self.tallies) / max(sum(each.begun for each in self.tallies), 1)

    def ms(self, percent: float) -> float:
        """A percentile of the good calls, in milliseconds."""
        return percentile(self.tallies, percent)

    @property
    def spread(self) -> Spread:
        """Of the calls that instances were sent."""
        return Spread.of(self.loads)

    @property
    def peak(self) -> float:
        """The mean of the most calls at one instance at a time."""
        return sum(most for most, _ in self.peaks) / max(len(self.peaks), 1)

    @property
    def mean_load(self) -> float:
        """Calls at an instance at a time, on average."""
        return sum(mean for _, mean in self.peaks) / max(len(self.peaks), 1)
