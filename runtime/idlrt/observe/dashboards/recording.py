"""Recording rules: figures of methods, and the ratios that service level objectives (SLO) are about.

Their names are `level:metric:operations`: the labels that remain, the metric, and what was done to it.

Source: https://prometheus.io/docs/practices/rules/
"""

from __future__ import annotations

from typing import Final

from idlrt.observe.catalogue import CLIENT_CALLS, SERVER_CALLS
from idlrt.observe.dashboards.expressions import BAD_STATUS, GOOD_STATUS, quantile, rate, ratio
from idlrt.observe.dashboards.model import Group, Recording
from idlrt.observe.dashboards.objectives import SERVER_FAULTS, Objectives

__all__ = ["SERVICE_LABEL", "WINDOWS", "calls_rate", "error_ratio", "recording_groups", "slow_ratio"]

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Periods of the ratios of objectives."""

SERVICE_LABEL: Final = "rpc_service"
"""Label of recorded series: the part of `rpc_method` before its last dot."""

_LEVEL: Final = f"job_{SERVICE_LABEL}"
_LABELS: Final = f"job, {SERVICE_LABEL}"
_CALLS: Final = "rpc_server_calls_total"
_DURATION: Final = SERVER_CALLS.name
_FAULTS: Final = f'rpc_status_code=~"{"|".join(sorted(SERVER_FAULTS))}"'
# Methods that no server knows are mistakes of callers.
_KNOWN: Final = 'rpc_method!="_OTHER"'


def calls_rate(window: str) -> str:
    """Return the name of the series of calls per second of a service."""
    return f"{_LEVEL}:rpc_server_calls:rate{window}"


def error_ratio(window: str) -> str:
    """Return the name of the series of the ratio of calls of a service that failed because of it."""
    return f"{_LEVEL}:rpc_server_errors:ratio_rate{window}"


def slow_ratio(window: str) -> str:
    """Return the name of the series of the ratio of successful calls of a service that were too slow."""
    return f"{_LEVEL}:rpc_server_slow_calls:ratio_rate{window}"


def recording_groups(objectives: Objectives) -> tuple[Group, ...]:
    """Return the recording rules.

    Args:
        objectives: the objectives.
    """
    rules: list[Recording] = []
    for window in WINDOWS:
        rules += _of_window(window, objectives)
    return (Group("idlrt-methods", _of_methods()), Group("idlrt-slo", tuple(rules)))


def _of_methods() -> tuple[Recording, ...]:
    server, client = "job, rpc_method", "job, server_address"
    client_calls = f"{CLIENT_CALLS.name}_count"
    return (
        Recording("job_rpc_method:rpc_server_calls:rate5m", f"sum by ({server}) ({rate(_CALLS, period='5m')})"),
        Recording(
            "job_rpc_method:rpc_server_errors:ratio_rate5m",
            ratio(server, rate(_CALLS, BAD_STATUS, period="5m"), rate(_CALLS, period="5m")),
        ),
        Recording(
            "job_rpc_method:rpc_server_call_duration_seconds:p50_rate5m",
            quantile(0.5, server, _DURATION, period="5m"),
        ),
        Recording(
            "job_rpc_method:rpc_server_call_duration_seconds:p99_rate5m",
            quantile(0.99, server, _DURATION, period="5m"),
        ),
        Recording(
            "job_server_address:rpc_client_calls:rate5m", f"sum by ({client}) ({rate(client_calls, period='5m')})"
        ),
        Recording(
            "job_server_address:rpc_client_errors:ratio_rate5m",
            ratio(client, rate(client_calls, BAD_STATUS, period="5m"), rate(client_calls, period="5m")),
        ),
    )


def _of_window(window: str, objectives: Objectives) -> tuple[Recording, ...]:
    succeeded = _by_service(rate(f"{_DURATION}_count", GOOD_STATUS, _KNOWN, period=window))
    fast = _by_service(
        rate(f"{_DURATION}_bucket", f'le="{objectives.latency.seconds!r}"', GOOD_STATUS, _KNOWN, period=window)
    )
    calls = calls_rate(window)
    faults = _by_service(rate(_CALLS, _FAULTS, _KNOWN, period=window))
    return (
        Recording(calls, _by_service(rate(_CALLS, _KNOWN, period=window))),
        Recording(error_ratio(window), f"({faults} or 0 * {calls}) / ({calls} > 0)"),
        Recording(slow_ratio(window), f"1 - {fast} / ({succeeded} > 0)"),
    )


def _by_service(rates: str) -> str:
    """Return the sums of services for rates of methods."""
    named = f'label_replace({rates}, "{SERVICE_LABEL}", "$1", "rpc_method", "(.+)[.][^.]+")'
    return f"sum by ({_LABELS}) ({named})"
