"""Figures: number, rate, latency and errors of calls in a period, by method, caller, instance and more.

They are computed from histograms, which merge exactly. Percentiles are never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.observe.catalogue import CLIENT_CALLS, ERROR, METHOD, SERVER_CALLS, STATUS, TARGET
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels, Metric
from idlrt.observe.snapshot import Snapshot

__all__ = ["APDEX_S", "BOUNDS", "DIMENSIONS", "GOOD", "SIDES", "Bucket", "Figures", "Report", "Side", "report"]

BOUNDS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, math.inf)
"""Upper bounds of the buckets of figures, in seconds."""

APDEX_S: Final = 0.5
"""Default of the Apdex threshold, in seconds."""

GOOD: Final = frozenset({"ok", "declared_error"})
"""Outcomes that are no errors: results, and exceptions that the IDL declares, which are answers too."""

_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)


class Side(msgspec.Struct, frozen=True):
    """Subject of figures.

    Attributes:
        metric: name of the histogram.
        outcome: label of the outcome.
        names: label of each dimension.
    """

    metric: str
    outcome: str
    names: Mapping[str, str]


SIDES: Final[Mapping[str, Side]] = {
    "server": Side(SERVER_CALLS.name, STATUS, {"method": METHOD, "status": STATUS, "error": ERROR, "caller": "caller"}),
    "client": Side(CLIENT_CALLS.name, STATUS, {"method": METHOD, "status": STATUS, "error": ERROR, "target": TARGET}),
    "attempt": Side(
        "rpc_client_attempt_duration_seconds",
        STATUS,
        {
            "method": METHOD,
            "status": STATUS,
            "error": ERROR,
            "target": TARGET,
            "zone": "peer_zone",
            "kind": "kind",
            "instance": "instance",
        },
    ),
    "feature": Side(
        "feature_duration_seconds",
        "outcome",
        {"method": "feature", "status": "outcome", "error": "error_type", "origin": "origin"},
    ),
    "resource": Side(
        "resource_duration_seconds",
        "outcome",
        {"method": "operation", "service": "system", "status": "outcome", "error": "error_type"},
    ),
}
"""Subjects of figures: calls that a server handled, calls of clients and their attempts, features, resources."""

_OF_RESOURCE: Final = ("service", "instance", "host", "zone", "version")
DIMENSIONS: Final = (
    *("method", "service", "caller", "target", "status", "error", "core"),
    *("instance", "host", "zone", "version", "kind", "origin"),
)
"""Dimensions by which figures may be grouped."""


class Bucket(msgspec.Struct, frozen=True):
    """Number of calls between two bounds.

    Attributes:
        up_to_s: upper bound in seconds; `None` for the last one.
        count: number of calls above the bound before and up to this one.
    """

    up_to_s: float | None
    count: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one group of calls. Times are in seconds; `None` where there were no calls.

    Attributes:
        labels: values of the dimensions.
        is_core: whether all its calls are of core services or methods.
        pv: number of calls.
        qps: calls per second.
        errors: number of calls that failed; declared exceptions are answers.
        error_rate: errors / calls.
        success_rate: 1 - `error_rate`.
        apdex: (satisfied + tolerated / 2) / calls, where a call is satisfied up to the threshold, and tolerated up to
            four times the threshold. Errors count as neither.
        average_s: mean duration.
        p50_s: median.
        p90_s: 90th percentile.
        p95_s: 95th percentile.
        p99_s: 99th percentile.
        p999_s: 99.9th percentile.
        min_s: shortest duration.
        max_s: longest duration.
        received_bytes: bytes of received messages.
        sent_bytes: bytes of sent messages.
        codes: number of calls by outcome.
        buckets: number of calls by duration.
    """

    labels: Mapping[str, str] = {}
    is_core: bool = False
    pv: int = 0
    qps: float = 0.0
    errors: int = 0
    error_rate: float | None = None
    success_rate: float | None = None
    apdex: float | None = None
    average_s: float | None = None
    p50_s: float | None = None
    p90_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    p999_s: float | None = None
    min_s: float | None = None
    max_s: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    codes: Mapping[str, int] = {}
    buckets: Sequence[Bucket] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a period.

    Attributes:
        at: end of the period, in seconds since 1970.
        period_s: its length in seconds.
        side: what the figures are about, one of `SIDES`.
        by: dimensions of the rows.
        total: figures of all calls.
        rows: figures by labels, core ones first, then those with the highest error rate and the most calls.
    """

    at: float
    period_s: float
    side: str
    by: Sequence[str]
    total: Figures
    rows: Sequence[Figures]


class _Group:
    """Calls with equal labels, by outcome."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Histogram]] = {}
        # By instance: qps of instances whose snapshots cover different times add up.
        self.rate = 0.0
        self.is_core = True

    def add(self, outcome: str, histogram: Histogram, seconds: float, *, is_core: bool) -> None:
        self.parts.setdefault(outcome, []).append(histogram)
        self.rate += histogram.count / seconds if seconds > 0 else 0.0
        self.is_core = self.is_core and is_core


def report(
    snapshots: Iterable[Snapshot],
    *,
    side: str = "server",
    by: Sequence[str] = (),
    where: Mapping[str, str] | None = None,
    apdex_s: float = APDEX_S,
    good: frozenset[str] = GOOD,
    core: frozenset[str] = frozenset(),
) -> Report:
    """Return the figures of snapshots, which are differences (`Snapshot.since`) or cover all time since the start.

    Args:
        snapshots: one for each process.
        side: what the figures are about, one of `SIDES`.
        by: dimensions of the rows, from `DIMENSIONS`; none for the total only.
        where: values of dimensions that calls must have.
        apdex_s: threshold of Apdex in seconds.
        good: outcomes that are no errors.
        core: names of core services and methods, besides those of the IDL.

    Raises:
        ConfigurationError: the side or a dimension does not exist.
    """
    found = _side(side)
    given = list(snapshots)
    wanted = tuple(where or ())
    for name in (*by, *wanted):
        _check_dimension(name, side, found)
    groups: dict[Labels, _Group] = {}
    total = _Group()
    for snapshot in given:
        series = snapshot.series.get(found.metric)
        if series is None:
            continue
        known = core | snapshot.core
        read = _reader((*by, *wanted), found, series.metric, snapshot, known)
        outcome_at = series.metric.labels.index(found.outcome)
        method_at = series.metric.labels.index(found.names["method"])
        for labels, value in series.values.items():
            if not isinstance(value, Histogram) or not value.count:
                continue
            values = read(labels)
            if where and any(values[len(by) + i] != where[name] for i, name in enumerate(wanted)):
                continue
            is_core = _is_core(labels[method_at], known)
            for group in (total, groups.setdefault(values[: len(by)], _Group())):
                group.add(labels[outcome_at], value, snapshot.seconds, is_core=is_core)
    rows = [
        _figures(dict(zip(by, values, strict=True)), group, apdex_s, good) for values, group in groups.items() if by
    ]
    rows.sort(key=lambda each: (not each.is_core, -(each.error_rate or 0.0), -each.pv, tuple(each.labels.values())))
    return Report(
        at=max((each.at for each in given), default=0.0),
        period_s=max((each.seconds for each in given), default=0.0),
        side=side,
        by=tuple(by),
        total=_figures({}, total, apdex_s, good),
        rows=rows,
    )


def _side(name: str) -> Side:
    found = SIDES.get(name)
    if found is None:
        raise ConfigurationError(f"side: must be one of {', '.join(SIDES)}, got {name!r}")
    return found


def _check_dimension(name: str, side: str, found: Side) -> None:
    if name in found.names or name in _OF_RESOURCE or name == "core":
        return
    known = [each for each in DIMENSIONS if each in found.names or each in _OF_RESOURCE or each == "core"]
    raise ConfigurationError(f"by: {side} figures have no dimension {name!r} (known: {', '.join(known)})")


def _reader(
    by: Sequence[str], side: Side, metric: Metric, snapshot: Snapshot, core: frozenset[str]
) -> Callable[[Labels], Labels]:
    """Return a function from the labels of a series to the values of dimensions."""
    method_at = metric.labels.index(side.names["method"])
    getters: list[Callable[[Labels], str]] = []
    for name in by:
        label = side.names.get(name)
        if label is not None and label in metric.labels:
            getters.append(_getter(metric.labels.index(label)))
        elif name == "service" and side.metric.startswith("rpc_"):
            getters.append(lambda labels: labels[method_at].rpartition(".")[0] or labels[method_at])
        elif name == "core":
            getters.append(lambda labels: "true" if _is_core(labels[method_at], core) else "false")
        else:
            value = snapshot.resource.get(name, "")
            getters.append(_constant(value))
    return lambda labels: tuple(get(labels) for get in getters)


def _getter(position: int) -> Callable[[Labels], str]:
    return lambda labels: labels[position]


def _constant(value: str) -> Callable[[Labels], str]:
    return lambda labels: value


def _is_core(method: str, core: frozenset[str]) -> bool:
    return method in core or method.rpartition(".")[0] in core


def _figures(labels: Mapping[str, str], group: _Group, apdex_s: float, good: frozenset[str]) -> Figures:
    by_outcome = {outcome: Histogram.merged(parts) for outcome, parts in group.parts.items()}
    whole = Histogram.merged(by_outcome.values())
    if not whole.count:
        return Figures(labels=labels, buckets=_buckets(whole))
    errors = sum(each.count for outcome, each in by_outcome.items() if outcome not in good)
    satisfied = tolerated = 0
    for outcome, each in by_outcome.items():
        if outcome in good:
            fast, slow = each.at_most((apdex_s, 4 * apdex_s))
            satisfied, tolerated = satisfied + fast, tolerated + slow - fast
    p50, p90, p95, p99, p999 = whole.percentiles(_QUANTILES)
    return Figures(
        labels=labels,
        is_core=group.is_core,
        pv=whole.count,
        qps=group.rate,
        errors=errors,
        error_rate=errors / whole.count,
        success_rate=1 - errors / whole.count,
        apdex=(satisfied + tolerated / 2) / whole.count,
        average_s=whole.mean,
        p50_s=p50,
        p90_s=p90,
        p95_s=p95,
        p99_s=p99,
        p999_s=p999,
        min_s=whole.min / 1e9,
        max_s=whole.max / 1e9,
        received_bytes=whole.received,
        sent_bytes=whole.sent,
        codes={outcome: each.count for outcome, each in sorted(by_outcome.items())},
        buckets=_buckets(whole),
    )


def _buckets(histogram: Histogram) -> list[Bucket]:
    cumulative = histogram.at_most(BOUNDS)
    counts = [later - earlier for earlier, later in zip((0, *cumulative), cumulative, strict=False)]
    return [Bucket(None if bound == math.inf else bound, count) for bound, count in zip(BOUNDS, counts, strict=True)]
