"""Conditions of alerts, as text: `error rate > 1 % for 1 min`.

    error rate > 1 %                      ratio of the calls that fail
    p99 > 200 ms for 2 min                percentile; also `max` and `average`
    calls < 10/s over 5 min               calls per second, over the last 5 minutes
    errors > 20 over 10 min               number of calls that fail
    p99 of resource_duration_seconds > 1 s
    rpc_breaker_state > 1                 gauge or counter
    calls < 50 % of last week             the same time a week before, or `of yesterday`
    absent for 2 min                      no program has reported

A condition must hold for the whole time after `for` before its alert fires.
"""

from __future__ import annotations

import difflib
import re
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.observe.figures import SIDES
from idlrt.web.formats import duration, rate, share

__all__ = ["Absence", "Comparison", "Measure", "Operator", "Quantity", "parse_condition", "parse_duration", "text_of"]

Measure: TypeAlias = Literal["calls", "errors", "error rate", "percentile", "max", "average", "value"]
"""Figure that is compared; `value` is that of a gauge or counter."""

Operator: TypeAlias = Literal[">", ">=", "<", "<="]

Quantity: TypeAlias = Literal["number", "rate", "share", "duration"]
"""Kind of a threshold: a number, a number per second, a share between 0 and 1, or seconds."""

_CALLS: Final = SIDES["server"].metric
_DAY: Final = 86400.0
_MAX_S: Final = 31 * _DAY
_WINDOW_S: Final = 60.0
# Cells of a week ago are 10 minutes long.
_COMPARED_S: Final = 600.0
_EARLIER: Final = {"yesterday": _DAY, "last week": 7 * _DAY}
_MEASURES: Final = ("error rate", "errors", "calls", "p99", "max", "average")
_DURATIONS: Final = {
    "ns": 1e-9,
    **dict.fromkeys(("us", "µs"), 1e-6),
    "ms": 1e-3,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), _DAY),
}
_RATES: Final = {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600}
_SIZES: Final = {"B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3}
_NUMBER: Final = r"(?P<number>\d[\d_]*(?:\.\d+)?|\.\d+)"
_DURATION: Final = re.compile(rf"{_NUMBER}\s*(?P<unit>[a-zµ]+)")
_VALUE: Final = re.compile(rf"{_NUMBER}\s*(?P<unit>%|/\s*\w+|[A-Za-zµ]+)?")
_COMPARISON: Final = re.compile(r"(?P<left>[^<>=!]*)(?P<operator>>=|<=|>|<)(?P<right>[^<>=]*)", re.DOTALL)
_TIMES: Final = re.compile(r"\s+(?P<name>for|over)\s+(?P<text>(?:(?!\s(?:for|over)\s).)*)$", re.DOTALL)
_PERCENTILE: Final = re.compile(r"p(?P<percent>\d{1,2}(?:\.\d+)?)")
_METRIC: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Comparison of a figure with a threshold, or with the same figure of earlier.

    Attributes:
        text: the condition as it is written.
        measure: what is compared.
        metric: name of the metric.
        quantile: of a percentile, between 0 and 1.
        operator: the operator.
        threshold: in the unit of `quantity`; of a comparison with earlier a factor.
        quantity: kind of the figure.
        earlier_s: how long ago the figure is that it is compared with, in seconds; 0: it is compared with `threshold`.
        over_s: length of the window that the figure is of, in seconds.
        for_s: time for which it must hold, in seconds.
    """

    text: str
    measure: Measure
    metric: str
    quantile: float = 0.0
    operator: Operator
    threshold: float
    quantity: Quantity
    earlier_s: float = 0.0
    over_s: float = _WINDOW_S
    for_s: float = 0.0

    @property
    def is_lower(self) -> bool:
        """Whether small figures are the problem."""
        return self.operator in ("<", "<=")

    def holds(self, value: float, threshold: float) -> bool:
        """Whether a figure and a threshold are as the operator says."""
        match self.operator:
            case ">":
                return value > threshold
            case ">=":
                return value >= threshold
            case "<":
                return value < threshold
            case _:
                return value <= threshold


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """No program has reported.

    Attributes:
        text: the condition as it is written.
        for_s: time without a report, in seconds.
    """

    text: str
    for_s: float


def text_of(value: float, quantity: Quantity) -> str:
    """Return a figure with its unit."""
    if quantity == "share":
        return share(value)
    if quantity == "duration":
        return duration(value)
    return f"{rate(value)}/s" if quantity == "rate" else rate(value)


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as `5 min`.

    Raises:
        ConfigurationError: it is none.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"expected a duration such as 30 s, 5 min or 2 h, got {text.strip()!r}")
    factor = _DURATIONS.get(match["unit"])
    if factor is None:
        known = "ms, s, min, h, d"
        raise ConfigurationError(f"unknown unit of time {match['unit']!r} in {text.strip()!r} (known: {known})")
    seconds = float(match["number"]) * factor
    if not 0 < seconds <= _MAX_S:
        raise ConfigurationError(f"a duration must be above 0 and at most 31 days, got {text.strip()!r}")
    return seconds


def parse_condition(text: str) -> Comparison | Absence:
    """Read a condition.

    Raises:
        ConfigurationError: it cannot be read.
    """
    rest, times = text, dict[str, float]()
    while (match := _TIMES.search(rest)) is not None:
        if match["name"] in times:
            raise ConfigurationError(f"`{match['name']}` is there twice")
        times[match["name"]] = parse_duration(match["text"])
        rest = rest[: match.start()]
    rest = " ".join(rest.split())
    shown = " ".join(text.split())
    if difflib.get_close_matches(rest, ["absent"], cutoff=0.75):
        if rest != "absent":
            raise ConfigurationError(f"unknown condition {rest!r}; did you mean 'absent'?")
        if "over" in times or "for" not in times:
            raise ConfigurationError("`absent` needs the time without a report, as in `absent for 2 min`")
        return Absence(text=shown, for_s=times["for"])
    match = _COMPARISON.fullmatch(rest)
    if match is None:
        examples = "such as `error rate > 1 %`, `p99 > 200 ms`, `calls < 10/s` or `absent for 2 min`"
        raise ConfigurationError(f"expected a comparison with one of >, >=, < and <=, {examples}, got {rest!r}")
    measure, metric, quantile = _left(match["left"].strip())
    operator: Operator = msgspec.convert(match["operator"], Operator)
    threshold, quantity, earlier = _right(match["right"].strip(), measure)
    over = times.get("over", _COMPARED_S if earlier else _WINDOW_S)
    if over < 10:
        raise ConfigurationError(f"`over` must be at least 10 s, which is the length of a cell, got {over:g} s")
    return Comparison(
        text=shown,
        measure=measure,
        metric=metric,
        quantile=quantile,
        operator=operator,
        threshold=threshold,
        quantity=quantity,
        earlier_s=earlier,
        over_s=over,
        for_s=times.get("for", 0.0),
    )


def _left(text: str) -> tuple[Measure, str, float]:
    """Return the measure, the metric and the quantile of the left side of a comparison."""
    head, of, metric = text.partition(" of ")
    head, metric = head.strip(), metric.strip()
    if of and not _METRIC.fullmatch(metric):
        raise ConfigurationError(f"expected the name of a metric after `of`, got {metric!r}")
    metric = metric or _CALLS
    match = _PERCENTILE.fullmatch(head)
    if match is not None:
        quantile = float(match["percent"]) / 100
        if not quantile:
            raise ConfigurationError("a percentile must be above p0, such as p50, p99 or p99.9")
        return "percentile", metric, quantile
    if head in ("error rate", "errors", "calls", "max", "average"):
        return msgspec.convert(head, Measure), metric, 0.0
    near = difflib.get_close_matches(head, _MEASURES, n=1, cutoff=0.75)
    if near or of or not _METRIC.fullmatch(head):
        known = f" (known: {', '.join(_MEASURES)}, or the name of a metric)"
        raise ConfigurationError(f"unknown figure {head!r}" + (f"; did you mean {near[0]!r}?" if near else known))
    return "value", head, 0.0


def _right(text: str, measure: Measure) -> tuple[float, Quantity, float]:
    """Return the threshold, its kind, and how long ago the figure is that it is compared with."""
    part, of, when = text.partition(" of ")
    match = _VALUE.fullmatch(part.strip())
    if match is None:
        raise ConfigurationError(f"expected {_expected(measure)} after the operator, got {text!r}")
    number, unit = float(match["number"]), re.sub(r"\s", "", match["unit"] or "")
    if of:
        earlier = _EARLIER.get(when.strip())
        if earlier is None:
            near = difflib.get_close_matches(when.strip(), _EARLIER, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(_EARLIER)})"
            raise ConfigurationError(f"cannot compare with {when.strip()!r}{hint}")
        if unit != "%":
            raise ConfigurationError(f"expected a percentage of {when.strip()}, such as 50 %, got {part.strip()!r}")
        return number / 100, _quantity(measure), earlier
    if measure == "error rate":
        if unit != "%" or number > 100:
            raise ConfigurationError(f"error rate: the threshold must be {_expected(measure)}, got {part.strip()!r}")
        return number / 100, "share", 0.0
    if measure in ("percentile", "max", "average"):
        if unit not in _DURATIONS:
            raise ConfigurationError(f"the threshold must be {_expected(measure)}, got {part.strip()!r}")
        return number * _DURATIONS[unit], "duration", 0.0
    if not unit:
        return number, "number", 0.0
    if unit in _RATES:
        return number * _RATES[unit], "rate", 0.0
    if measure == "value":
        if unit == "%":
            return number / 100, "share", 0.0
        if unit in _DURATIONS:
            return number * _DURATIONS[unit], "duration", 0.0
        if unit in _SIZES:
            return number * _SIZES[unit], "number", 0.0
    raise ConfigurationError(f"unknown unit {unit!r} in {part.strip()!r}: expected {_expected(measure)}")


def _quantity(measure: Measure) -> Quantity:
    if measure in ("calls", "errors"):
        return "rate"
    if measure == "error rate":
        return "share"
    return "number" if measure == "value" else "duration"


def _expected(measure: Measure) -> str:
    if measure == "error rate":
        return "a percentage such as 1 %"
    if measure in ("percentile", "max", "average"):
        return "a duration such as 200 ms"
    if measure in ("calls", "errors"):
        return "a number, or a rate such as 10/s"
    return "a number, possibly with a unit (%, ms, s, min, /s, MiB)"
