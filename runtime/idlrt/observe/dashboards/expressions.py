"""Expressions of Prometheus (PromQL) that dashboards and rules are made of.

A series does not exist before its first event, so a sum of errors is empty as long as there are none. `or_zero` and
`ratio` return 0 then, because "no data" would look like an outage of monitoring.

Sources: https://prometheus.io/docs/prometheus/latest/querying/basics/ and
https://prometheus.io/docs/practices/rules/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from idlrt.observe.figures import GOOD

__all__ = [
    "BAD_STATUS",
    "GOOD_STATUS",
    "IN_SCOPE",
    "OF_METHOD",
    "PERIOD",
    "by",
    "gauge",
    "increase",
    "or_zero",
    "or_zero_by",
    "quantile",
    "rate",
    "ratio",
]

IN_SCOPE: Final = 'job=~"$job",instance=~"$instance"'
"""Selector of the jobs and instances that a dashboard shows."""

OF_METHOD: Final = f'{IN_SCOPE},rpc_method=~"($service)([.].+)?",rpc_method=~"$method"'
"""Selector of the methods that a dashboard shows."""

PERIOD: Final = "$__rate_interval"
"""Period of rates in dashboards, which Grafana derives from the resolution and the scrape interval."""

_GOOD: Final = "|".join(sorted(GOOD))
GOOD_STATUS: Final = f'rpc_status_code=~"{_GOOD}"'
BAD_STATUS: Final = f'rpc_status_code!~"{_GOOD}"'
"""Selector of calls that failed; exceptions that the IDL declares are answers."""


def _selected(metric: str, selectors: Iterable[str]) -> str:
    inside = ",".join(each for each in selectors if each)
    return f"{metric}{{{inside}}}" if inside else metric


def rate(metric: str, *selectors: str, period: str = PERIOD, offset: str = "") -> str:
    """Return the increase per second of counters."""
    shifted = f" offset {offset}" if offset else ""
    return f"rate({_selected(metric, selectors)}[{period}]{shifted})"


def increase(metric: str, *selectors: str, period: str = PERIOD) -> str:
    """Return the increase of counters."""
    return f"increase({_selected(metric, selectors)}[{period}])"


def gauge(metric: str, *selectors: str) -> str:
    """Return a selected gauge."""
    return _selected(metric, selectors)


def by(labels: str, expr: str, operator: str = "sum") -> str:
    """Return an aggregation.

    Args:
        labels: names of labels that stay, with commas; empty: none.
        expr: the expression.
        operator: `sum`, `max` or another aggregation operator.
    """
    return f"{operator} by ({labels}) ({expr})" if labels else f"{operator}({expr})"


def or_zero(expr: str) -> str:
    """Return an expression without labels that is 0 where there are no series."""
    return f"{expr} or vector(0)"


def or_zero_by(label: str, expr: str) -> str:
    """Return an expression that is 0, with the label value `none`, where there are no series."""
    return f'{expr} or on() label_replace(vector(0), "{label}", "none", "", "")'


def ratio(labels: str, part: str, whole: str) -> str:
    """Return the ratio of two sums: 0 where the part has no series, nothing where the whole is 0.

    Args:
        labels: names of labels that stay, with commas.
        part: the numerator.
        whole: the denominator.
    """
    below = by(labels, whole)
    return f"({by(labels, part)} or 0 * {below}) / ({below} > 0)"


def quantile(share: float, labels: str, metric: str, *selectors: str, period: str = PERIOD) -> str:
    """Return a percentile of a histogram.

    Args:
        share: between 0 and 1.
        labels: names of labels that stay, with commas.
        metric: name of the histogram.
        selectors: selectors of its series.
        period: period that counts.
    """
    names = f"le,{labels}" if labels else "le"
    return f"histogram_quantile({share:g}, {by(names, rate(f'{metric}_bucket', *selectors, period=period))})"
