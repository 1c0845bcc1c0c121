"""Figures of calls for pages: totals of groups, and their values over time.

Percentiles come from histograms, which are added, never averaged. Rates of a step that is not over count the seconds
that have passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from idlrt.observe.catalogue import CLIENT_CALLS, SERVER_CALLS, STATUS
from idlrt.observe.features import FEATURE_DURATION
from idlrt.observe.figures import GOOD
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import OTHER, Labels
from idlrt.observe.resources import RESOURCE_DURATION

__all__ = [
    "CALLS",
    "CLIENTS",
    "FEATURES",
    "LEAST_S",
    "RESOURCES",
    "Figures",
    "Numbers",
    "Subject",
    "Timeline",
    "resampled",
    "title_of",
]

LEAST_S: Final = 60.0
"""Seconds of a step that must have passed for a rate, unless it is over: some programs have not reported yet for the
last 10 of them.
"""


class Subject(msgspec.Struct, frozen=True):
    """Subject of figures: a metric of calls or operations.

    Attributes:
        metric: name of the histogram.
        outcome: label with the outcome.
    """

    metric: str
    outcome: str


CALLS: Final = Subject(SERVER_CALLS.name, STATUS)
CLIENTS: Final = Subject(CLIENT_CALLS.name, STATUS)
RESOURCES: Final = Subject(RESOURCE_DURATION.name, "outcome")
FEATURES: Final = Subject(FEATURE_DURATION.name, "outcome")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a group of calls in a period.

    Attributes:
        key: values of the dimensions.
        histogram: durations of all calls.
        errors: number of calls that failed; declared exceptions are answers.
        codes: number of calls by outcome.
        seconds: length of the period.
    """

    key: Labels
    histogram: Histogram
    errors: int
    codes: Mapping[str, int]
    seconds: float

    @property
    def calls(self) -> int:
        """Number of calls."""
        return self.histogram.count

    @property
    def qps(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds

    @property
    def error_rate(self) -> float | None:
        """Errors / calls; `None` without calls."""
        return self.errors / self.calls if self.calls else None

    def counts(self) -> dict[str, float | None]:
        """Return the counts as values of a table."""
        return {"qps": self.qps, "calls": self.calls, "errors": self.errors, "error_rate": self.error_rate}

    def row(self) -> dict[str, float | None]:
        """Return all figures as values of a table."""
        p50, p90, p99 = self.histogram.percentiles((0.5, 0.9, 0.99)) if self.calls else (None, None, None)
        return {
            **self.counts(),
            "average": self.histogram.mean if self.calls else None,
            "p50": p50,
            "p90": p90,
            "p99": p99,
            "max": self.histogram.max / 1e9 if self.calls else None,
        }


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of a group over time.

    Attributes:
        key: values of the dimensions.
        start: start of the first step.
        step: length of a step in seconds.
        until: end of the time that has passed.
        by_outcome: durations of each step by outcome; `None` is a gap.
    """

    key: Labels
    start: float
    step: float
    until: float
    by_outcome: Mapping[str, Sequence[Histogram | None]]

    def durations(self) -> list[Histogram | None]:
        """Return the durations of all calls by step; `None` is a gap."""
        found: list[Histogram | None] = []
        for parts in zip(*self.by_outcome.values(), strict=True):
            known = [each for each in parts if each is not None]
            found.append(known[0] if len(known) == 1 else Histogram.merged(known) if known else None)
        return found

    def seconds(self, index: int) -> float | None:
        """Return the seconds of a step that have passed; `None` if these are too few for a rate."""
        passed = min(self.step, self.until - self.start - index * self.step)
        return passed if passed >= min(self.step, LEAST_S) else None

    def rates(self, values: Iterable[Histogram | None]) -> list[float | None]:
        """Return calls per second by step."""
        found: list[float | None] = []
        for index, each in enumerate(values):
            seconds = self.seconds(index)
            found.append(each.count / seconds if each is not None and seconds else None)
        return found

    def error_rates(self) -> list[float | None]:
        """Return errors / calls by step; `None` without calls."""
        whole = self.durations()
        bad = [values for outcome, values in self.by_outcome.items() if outcome not in GOOD]
        found: list[float | None] = []
        for index, each in enumerate(whole):
            parts = [values[index] for values in bad]
            errors = sum(part.count for part in parts if part is not None)
            found.append(errors / each.count if each is not None and each.count else None)
        return found


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers over time by group.

    Attributes:
        start: start of the first step.
        step: length of a step in seconds; longer than asked for where finer cells are no longer kept.
        groups: key of each group, and its values; `None` is a gap.
    """

    start: float
    step: float
    groups: Sequence[tuple[Labels, Sequence[float | None]]]


def resampled(
    values: Sequence[float | None], start: float, step: float, timeline: Timeline, count: int
) -> list[float | None]:
    """Return values at the steps of a timeline; those of longer steps are repeated.

    Args:
        values: the values.
        start: start of their first step, moved to that of the timeline.
        step: length of their steps in seconds.
        timeline: the timeline.
        count: number of its steps.
    """
    found: list[float | None] = []
    for index in range(count):
        at = int((timeline.start + index * timeline.step - start) // step)
        found.append(values[at] if 0 <= at < len(values) else None)
    return found


def title_of(key: Sequence[str], default: str = "all") -> str:
    """Return the title of a group."""
    if all(each == OTHER for each in key) and key:
        return "others"
    return " ".join(each or "unknown" for each in key) or default
