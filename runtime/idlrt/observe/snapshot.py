"""Snapshots: everything that a process has measured, at one time, and as JSON.

Counters and histograms are cumulative, so a snapshot that is lost costs resolution and no counts, and the difference of
two is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import msgspec

from idlrt.errors import RemoteProtocolError
from idlrt.observe.histogram import MAX_INDEX, Histogram
from idlrt.observe.metric import Labels, Metric, Series, Value
from idlrt.printable import plural

__all__ = ["Snapshot", "decode_snapshot", "encode_snapshot"]

_VERSION: Final = 1


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of a process, or of a server with all its processes.

    Attributes:
        at: time, in seconds since 1970.
        started_at: start of counting, in seconds since 1970.
        resource: identity: `service`, `instance`, `host`, `zone`, `version`; those that are known.
        core: names of core services (`Service`) and methods (`Service.method`).
        series: all series by name of their metric.
    """

    at: float
    started_at: float
    resource: Mapping[str, str] = {}
    core: frozenset[str] = frozenset()
    series: Mapping[str, Series] = {}

    @property
    def seconds(self) -> float:
        """Time that its counters cover."""
        return max(self.at - self.started_at, 0.0)

    def values(self, metric: Metric | str) -> Mapping[Labels, Value]:
        """Return the values of a metric by labels; none if it was not measured."""
        found = self.series.get(metric if isinstance(metric, str) else metric.name)
        return found.values if found is not None else {}

    def since(self, earlier: Snapshot) -> Self:
        """Return the snapshot of what was added after an earlier one of the same process.

        After a restart in between that is everything.
        """
        if earlier.started_at != self.started_at:
            return self
        found = {name: _since(series, earlier.values(name)) for name, series in self.series.items()}
        changes: dict[str, Any] = {"series": found, "started_at": earlier.at}
        return msgspec.structs.replace(self, **changes)


def _since(series: Series, earlier: Mapping[Labels, Value]) -> Series:
    metric = series.metric
    if metric.kind == "gauge":
        return series
    values: dict[Labels, Value] = {}
    for labels, value in series.values.items():
        before = earlier.get(labels)
        if before is None:
            values[labels] = value
        elif isinstance(value, Histogram) and isinstance(before, Histogram):
            # A smaller count means that counting has begun again.
            added = value if value.count < before.count else value.since(before) if value.count > before.count else None
            if added is not None:
                values[labels] = added
        elif not isinstance(value, Histogram) and not isinstance(before, Histogram):
            values[labels] = value - before if value >= before else value
    return Series(metric, values)


class _Wire(msgspec.Struct, kw_only=True):
    """A snapshot as JSON."""

    version: int = _VERSION
    at: float
    started_at: float
    resource: dict[str, str] = {}
    core: list[str] = []
    series: list[_WireSeries] = []


class _WireSeries(msgspec.Struct):
    metric: Metric
    values: list[tuple[tuple[str, ...], Histogram | float]]


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Wire)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot as JSON."""
    wire = _Wire(
        at=snapshot.at,
        started_at=snapshot.started_at,
        resource=dict(snapshot.resource),
        core=sorted(snapshot.core),
        series=[_WireSeries(each.metric, list(each.values.items())) for each in snapshot.series.values()],
    )
    return _encoder.encode(wire)


def decode_snapshot(data: bytes) -> Snapshot:
    """Read a snapshot from JSON.

    Raises:
        RemoteProtocolError: it is not a snapshot, or one of a newer version.
    """
    try:
        wire = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"cannot read metrics: {error}") from None
    if wire.version != _VERSION:
        what = f"cannot read metrics of version {wire.version}: this program reads version {_VERSION}; upgrade it"
        raise RemoteProtocolError(what)
    series: dict[str, Series] = {}
    for each in wire.series:
        values = dict(each.values)
        _check(each.metric, values)
        series[each.metric.name] = Series(each.metric, values)
    return Snapshot(
        at=wire.at, started_at=wire.started_at, resource=wire.resource, core=frozenset(wire.core), series=series
    )


def _check(metric: Metric, values: Mapping[Labels, Value]) -> None:
    for labels, value in values.items():
        if len(labels) != len(metric.labels):
            what = f"{metric.name} has {plural(len(metric.labels), 'label')}, got {len(labels)}"
            raise RemoteProtocolError(f"cannot read metrics: {what}")
        if isinstance(value, Histogram) != (metric.kind == "histogram"):
            raise RemoteProtocolError(f"cannot read metrics: {metric.name} is a {metric.kind}")
        if isinstance(value, Histogram) and not all(
            0 <= index <= MAX_INDEX and count >= 0 for index, count in value.counts.items()
        ):
            raise RemoteProtocolError(f"cannot read metrics: {metric.name} has an invalid bucket")


def by_name(series: Iterable[Series]) -> dict[str, Series]:
    """Return series by name of their metric, in the order of their names."""
    return {each.metric.name: each for each in sorted(series, key=lambda each: each.metric.name)}
