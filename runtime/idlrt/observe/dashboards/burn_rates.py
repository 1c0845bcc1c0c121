"""Alerts on the burn rate of error budgets, in several windows.

The burn rate is the ratio of failures, divided by the budget: at 1 the budget of 30 days is used up in 30 days. An
alert fires while the rate is too high both in a long window, so that it is significant, and in a short one, so that the
alert ends soon after the problem. With few calls one failure is a high rate: the alert is a ticket then, not a page.

Source: https://sre.google/workbook/alerting-on-slos/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from idlrt.observe.dashboards.model import Alert, Group, Severity
from idlrt.observe.dashboards.objectives import Objectives
from idlrt.observe.dashboards.recording import SERVICE_LABEL, calls_rate, error_ratio, slow_ratio

__all__ = ["BURN_RATES", "BurnRate", "burn_rate_group", "fewest_calls"]

_MOST_CALLS: Final = 1000


class BurnRate(msgspec.Struct, frozen=True):
    """Windows of an alert.

    Attributes:
        severity: urgency.
        long: long window.
        short: short window.
        factor: burn rate from which on the alert fires.
        seconds: length of the long window.
    """

    severity: Severity
    long: str
    short: str
    factor: float
    seconds: int


BURN_RATES: Final = (
    BurnRate("page", "1h", "5m", 14.4, 3600),
    BurnRate("page", "6h", "30m", 6.0, 21600),
    BurnRate("ticket", "1d", "2h", 3.0, 86400),
    BurnRate("ticket", "3d", "6h", 1.0, 259200),
)
"""Windows that use up 2 %, 5 %, 10 % and 10 % of a budget of 30 days."""


def fewest_calls(budget: float) -> int:
    """Return the number of calls in the long window from which on an alert is a page.

    Args:
        budget: fraction of the calls that may fail.
    """
    return min(round(10 / budget), _MOST_CALLS)


def burn_rate_group(objectives: Objectives) -> Group:
    """Return the alerts for both objectives."""
    service = "{{ $labels." + SERVICE_LABEL + " }} of {{ $labels.job }}"
    latency = objectives.latency
    errors = _alerts(
        "RpcErrorBudgetBurn",
        error_ratio,
        objectives.budget,
        f"{service} fails too often",
        f"{{{{ $value | humanizePercentage }}}} of the calls fail; the objective is that {_percent(objectives.slo)} "
        "succeed.",
    )
    slow = _alerts(
        "RpcLatencyBudgetBurn",
        slow_ratio,
        latency.budget,
        f"{service} is too slow",
        f"{{{{ $value | humanizePercentage }}}} of the calls take longer than {latency.seconds:g} s; the objective is "
        f"{_percent(latency.percent)} of them within it.",
    )
    return Group("idlrt-burn-rates", (*errors, *slow))


def _percent(value: float) -> str:
    return f"{value:.6g} %"


def _alerts(name: str, ratio: Callable[[str], str], budget: float, summary: str, description: str) -> Iterator[Alert]:
    fewest = fewest_calls(budget)
    for each in BURN_RATES:
        if each.factor * budget >= 1:
            continue  # no ratio is above 1
        limit = f"{each.factor * budget:.6g}"
        burns = f"{ratio(each.long)} > {limit} and {ratio(each.short)} > {limit}"
        enough = f"{calls_rate(each.long)} * {each.seconds} >= {fewest}"
        rate = f"The burn rate of the budget over {each.long} is above {each.factor:g}."
        labels = {"window": each.long}
        if each.severity == "page":
            yield Alert(
                name=name,
                expr=f"{burns} and {enough}",
                severity="page",
                summary=summary,
                description=f"{description} {rate}",
                labels=labels,
            )
            yield Alert(
                name=name,
                expr=f"({burns}) unless {enough}",
                severity="ticket",
                summary=summary,
                description=f"{description} {rate} The number of calls was below {fewest}.",
                labels=labels,
            )
        else:
            yield Alert(
                name=name,
                expr=burns,
                severity="ticket",
                summary=summary,
                description=f"{description} {rate}",
                labels=labels,
            )
