"""Packets: snapshots of a process for the collector, divided into parts that fit into a datagram.

A datagram is `IDLM`, the version of this form, the serialization (`c` compact, `j` Thrift's JSON), and a `Packet` of
`collector.idl`, compressed with zlib if that makes it smaller (`C`, `J`).
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from idlrt.codecs import decode, encode
from idlrt.collector.api import Cell, Durations, MetricCells, MetricInfo, MetricKind, MetricMerge, Packet, Sender
from idlrt.errors import RemoteProtocolError
from idlrt.observe.histogram import MAX_INDEX, Histogram
from idlrt.observe.metric import Kind, Labels, Metric, Series, Value
from idlrt.observe.snapshot import Snapshot
from idlrt.printable import plural

__all__ = [
    "MAX_DATAGRAM",
    "MAX_MISSING",
    "VERSION",
    "Form",
    "decode_datagram",
    "encode_datagram",
    "inflated",
    "merged_of",
    "metric_of",
    "packets_of",
    "series_of",
]

VERSION: Final = 1
"""Version of packets."""

MAX_DATAGRAM: Final = 60_000
"""Maximum size of a datagram in bytes: UDP over IPv4 has at most 65,507."""

MAX_MISSING: Final = 1000
"""Numbers below that of a packet for which it is known whether they have arrived."""

Form = Literal["compact", "json"]

_MAGIC: Final = b"IDLM\x01"
_LETTERS: Final[Mapping[str, bytes]] = {"compact": b"c", "json": b"j"}
_FORMS: Final[Mapping[bytes, Form]] = {b"c": "compact", b"j": "json"}
# A small datagram must not become a large packet.
_MAX_INFLATED: Final = 1 << 24
# Of calls in a histogram: more cannot be stored.
_MAX_COUNT: Final = (1 << 63) - 1
# Start of the year 10000, which dates cannot have.
_END_OF_TIME: Final = 253_402_300_800.0
# Estimates of encoded sizes, in bytes: of a cell, of a bucket, and of a metric. Datagrams are compressed afterwards.
_CELL, _BUCKET, _METRIC = 48, 4, 16

_KINDS: Final[Mapping[Kind, MetricKind]] = {
    "counter": MetricKind.COUNTER,
    "gauge": MetricKind.GAUGE,
    "histogram": MetricKind.HISTOGRAM,
}
_KIND_NAMES: Final[Mapping[MetricKind, Kind]] = {kind: name for name, kind in _KINDS.items()}
_MERGES: Final = {"sum": MetricMerge.SUM, "max": MetricMerge.MAX, "min": MetricMerge.MIN}
_MERGE_NAMES: Final[Mapping[MetricMerge, Literal["sum", "max", "min"]]] = {
    MetricMerge.SUM: "sum",
    MetricMerge.MAX: "max",
    MetricMerge.MIN: "min",
}


def packets_of(
    snapshot: Snapshot, sender: Sender, sequences: Iterator[int], *, size: int = MAX_DATAGRAM, is_last: bool = False
) -> list[Packet]:
    """Return a snapshot as packets, at least one.

    Args:
        snapshot: the snapshot.
        sender: this process.
        sequences: numbers of the packets.
        size: size in bytes that a packet should not exceed.
        is_last: whether the process ends.
    """
    parts: list[list[MetricCells]] = [[]]
    used = 0
    for series in snapshot.series.values():
        info = info_of(series.metric)
        open_cells: MetricCells | None = None
        for labels, value in series.values.items():
            cell, cost = _cell(labels, value)
            if open_cells is None:
                cost += _METRIC + len(info.name) + len(info.help or "") + sum(map(len, info.labels))
            if used + cost > size and used:
                parts.append([])
                used, open_cells = 0, None
            if open_cells is None:
                open_cells = MetricCells(metric=info, cells=[])
                parts[-1].append(open_cells)
            open_cells.cells.append(cell)
            used += cost
    return [
        Packet(
            version=VERSION,
            sender=sender,
            sequence=next(sequences),
            at=snapshot.at,
            metrics=part,
            is_last=is_last if number == len(parts) - 1 else None,
            core=sorted(snapshot.core) if snapshot.core else None,
        )
        for number, part in enumerate(parts)
    ]


def _cell(labels: Labels, value: Value) -> tuple[Cell, int]:
    size = _CELL + sum(map(len, labels))
    if not isinstance(value, Histogram):
        return Cell(labels=list(labels), number=float(value)), size
    ordered = sorted(value.counts)
    differences = [index - before for before, index in itertools.pairwise([0, *ordered])]
    durations = Durations(
        buckets=differences,
        counts=[value.counts[index] for index in ordered],
        sum=value.sum,
        min=value.min,
        max=value.max,
        received=value.received or None,
        sent=value.sent or None,
    )
    return Cell(labels=list(labels), durations=durations), size + _BUCKET * len(ordered)


def info_of(metric: Metric) -> MetricInfo:
    """Return the description of a metric."""
    return MetricInfo(
        name=metric.name,
        kind=_KINDS[metric.kind],
        labels=list(metric.labels),
        merge=_MERGES[metric.merge] if metric.merge != "sum" else None,
        help=metric.help,
    )


def metric_of(info: MetricInfo) -> Metric:
    """Return the metric of a description.

    Raises:
        RemoteProtocolError: its type or its way of merging is unknown.
    """
    kind = _KIND_NAMES.get(info.kind)
    merge = _MERGE_NAMES.get(info.merge) if info.merge is not None else "sum"
    if kind is None or merge is None:
        raise RemoteProtocolError(f"metric {info.name}: unknown type {info.kind!r} or merge {info.merge!r}; upgrade")
    return Metric(name=info.name, kind=kind, help=info.help or "", labels=tuple(info.labels), merge=merge)


def series_of(packet: Packet) -> list[Series]:
    """Return the series in a packet.

    Raises:
        RemoteProtocolError: it has another version, times out of range, or values that do not fit to their metric.
    """
    if packet.version != VERSION:
        what = f"packet of version {packet.version}: this collector reads version {VERSION}; upgrade it"
        raise RemoteProtocolError(what)
    if packet.sequence < 1:
        raise RemoteProtocolError(f"packet with the number {packet.sequence}: expected at least 1")
    for at in (packet.at, packet.sender.started_at):
        if not 0 <= at < _END_OF_TIME:
            raise RemoteProtocolError(f"packet with the time {at}: expected seconds since 1970, before the year 10000")
    return [_series(each) for each in packet.metrics or ()]


def merged_of(packet: Packet) -> set[int]:
    """Return the numbers of earlier packets that will not come, because newer ones replace them.

    Raises:
        RemoteProtocolError: the ranges are invalid.
    """
    bounds = packet.merged or ()
    found: set[int] = set()
    for first, last in zip(bounds[::2], bounds[1::2], strict=False):
        if not 1 <= first <= last < packet.sequence:
            raise RemoteProtocolError(f"packet with the number {packet.sequence}: it cannot replace {first} to {last}")
        found.update(range(max(first, packet.sequence - MAX_MISSING), last + 1))
    return found


def _series(cells: MetricCells) -> Series:
    metric = metric_of(cells.metric)
    values: dict[Labels, Value] = {}
    is_counter = metric.kind == "counter"
    for each in cells.cells:
        if len(each.labels) != len(metric.labels):
            what = f"expected {plural(len(metric.labels), 'label')}, got {len(each.labels)}"
            raise RemoteProtocolError(f"metric {metric.name}: {what}")
        is_histogram = metric.kind == "histogram"
        if (each.durations is not None) != is_histogram or (each.number is not None) == is_histogram:
            raise RemoteProtocolError(f"metric {metric.name}: the value does not fit to a {metric.kind}")
        if is_counter and not 0 <= (each.number or 0.0) < math.inf:
            raise RemoteProtocolError(f"metric {metric.name}: {each.number} is no value of a counter")
        value: Value = _histogram(metric, each.durations) if each.durations is not None else each.number or 0.0
        values[tuple(each.labels)] = value
    return Series(metric, values)


def _histogram(metric: Metric, durations: Durations) -> Histogram:
    indexes = list(itertools.accumulate(durations.buckets))
    counts = dict(zip(indexes, durations.counts, strict=False))
    is_valid = len(counts) == len(durations.counts) and all(0 <= index <= MAX_INDEX for index in counts)
    if not is_valid or any(count < 0 for count in durations.counts):
        raise RemoteProtocolError(f"metric {metric.name}: the histogram has invalid buckets")
    total = sum(durations.counts)
    sizes = (durations.received or 0, durations.sent or 0)
    if total > _MAX_COUNT or min(durations.sum, durations.min, durations.max, *sizes) < 0:
        raise RemoteProtocolError(f"metric {metric.name}: the histogram has numbers out of range")
    return Histogram(
        counts,
        total,
        durations.sum,
        durations.min,
        durations.max,
        *sizes,
    )


def encode_datagram(packet: Packet, form: Form = "compact") -> bytes:
    """Return a packet as a datagram."""
    body = encode(packet, protocol=form)
    letter = _LETTERS[form]
    compressed = zlib.compress(body, 1)
    if len(compressed) < len(body):
        body, letter = compressed, letter.upper()
    return _MAGIC + letter + body


def decode_datagram(data: bytes) -> Packet:
    """Return the packet in a datagram.

    Raises:
        RemoteProtocolError: it is none, or of another version.
    """
    head = len(_MAGIC)
    if not data.startswith(_MAGIC):
        known = data[: head - 1] == _MAGIC[:-1]
        raise RemoteProtocolError("datagram of another version; upgrade" if known else "not a datagram of a program")
    letter, body = data[head : head + 1], data[head + 1 :]
    form = _FORMS.get(letter.lower())
    if form is None:
        raise RemoteProtocolError(f"datagram with the unknown serialization {letter!r}")
    if letter.isupper():
        body = inflated(body)
    return decode(Packet, body, protocol=form)


def inflated(body: bytes) -> bytes:
    """Return compressed data as it was.

    Raises:
        RemoteProtocolError: it cannot be decompressed, or is too large.
    """
    inflating = zlib.decompressobj()
    try:
        found = inflating.decompress(body, _MAX_INFLATED)
    except zlib.error as error:
        raise RemoteProtocolError(f"datagram cannot be decompressed: {error}") from None
    if not inflating.eof:
        raise RemoteProtocolError(f"datagram is cut, or has more than {_MAX_INFLATED} bytes")
    return found
