"""Queries and their results."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels, Metric

__all__ = ["Group", "Query", "Result", "Where"]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Values of one group of series.

    Attributes:
        labels: values of the dimensions that were asked for.
        values: one for each step: a histogram or its count, what was added to a counter, or the last value of a gauge
            in the step. `None` is a gap: no program of the group has reported. Without calls it is an empty histogram
            or 0.
        lows: smallest values of a gauge; empty for other kinds. Where gauges of several series are summed, the sum of
            their smallest values, which is a lower bound.
        highs: largest values of a gauge, in the same way.
    """

    labels: Mapping[str, str]
    values: Sequence[Histogram | float | None]
    lows: Sequence[float | None] = ()
    highs: Sequence[float | None] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a query.

    Attributes:
        metric: the metric; `None` if there is none of that name.
        start: start of the first step, in seconds since 1970.
        step: length of a step in seconds.
        steps: number of steps.
        error: bound of the relative error of percentiles, besides 3 ns.
        groups: groups, the largest one first, and the one of all others at the end.
    """

    metric: Metric | None
    start: int
    step: int
    steps: int
    error: float
    groups: Sequence[Group] = ()


Where: TypeAlias = Mapping[str, str | Collection[str]]
"""Values that labels and keys of the resource must have: one value, or one of several."""


class Query(msgspec.Struct, frozen=True):
    """Arguments of `CellStore.read`, which describes them."""

    metric: str
    start: float
    end: float
    step: float | None = None
    where: Where = {}
    by: Labels = ()
    limit: int = 30
    values: Literal["full", "count"] = "full"
    is_whole: bool = False
    has_others: bool = True

    def check(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: one is out of range.
        """
        if not (math.isfinite(self.start) and math.isfinite(self.end) and 0 <= self.start < self.end):
            raise ConfigurationError(
                f"read: the end must be after the start, and both after 1970, got {self.start} and {self.end}"
            )
        if self.step is not None and not (math.isfinite(self.step) and self.step > 0):
            raise ConfigurationError(f"step: must be greater than 0, got {self.step}")
        if self.step is not None and self.is_whole:
            raise ConfigurationError(f"step: must be absent for one step of the whole time, got {self.step}")
        if self.values not in ("full", "count"):
            raise ConfigurationError(f"values: must be 'full' or 'count', got {self.values!r}")
        if self.limit < 1:
            raise ConfigurationError(f"limit: must be at least 1, got {self.limit}")
