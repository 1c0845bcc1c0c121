"""Packets carry snapshots whole, in both forms, in parts of a bounded size; what comes from elsewhere is refused."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.collector.api import Cell as ApiCell
from idlrt.collector.api import Durations, MetricCells, MetricInfo, MetricKind, Packet, Sender
from idlrt.collector.packets import (
    VERSION,
    decode_datagram,
    encode_datagram,
    packets_of,
    series_of,
)
from idlrt.errors import RemoteProtocolError
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Metric, Series, merged
from idlrt.observe.snapshot import Snapshot

CALLS = Metric(name="calls_total", kind="counter", help="Calls", labels=("method", "status"))
LOAD = Metric(name="load", kind="gauge", help="Load", merge="max")
DURATION = Metric(name="duration_seconds", kind="histogram", help="Duration", labels=("method",))
MOST = (1 << 63) - 1
SENDER = Sender(id=7, started_at=100.5, resource={"service": "shop"})


def snapshot(*series: Series) -> Snapshot:
    return Snapshot(at=123.25, started_at=100.5, series={each.metric.name: each for each in series})


def whole(packets: Iterable[Packet]) -> dict[str, Any]:
    parts = [each for packet in packets for each in series_of(packet)]
    return {each.metric.name: (each.metric, dict(each.values)) for each in merged(parts)}


def packed(found: Snapshot, size: int = 60_000) -> list[Packet]:
    return packets_of(found, SENDER, itertools.count(1), size=size)


labels = st.text(max_size=20)
numbers = st.floats(min_value=0, max_value=1e15)
histograms = st.lists(st.integers(0, 10**13), max_size=30).map(Histogram.of)


@given(
    st.dictionaries(st.tuples(labels, labels), numbers, max_size=20),
    numbers,
    st.dictionaries(st.tuples(labels), histograms, max_size=20),
    st.sampled_from([200, 2000, 60_000]),
    st.sampled_from(["compact", "json"]),
)
def test_a_snapshot_arrives_whole(counters: Any, gauge: float, durations: Any, size: int, form: Any) -> None:
    given_series = [Series(CALLS, counters), Series(LOAD, {(): gauge}), Series(DURATION, durations)]
    packets = [decode_datagram(encode_datagram(each, form)) for each in packed(snapshot(*given_series), size)]
    found = whole(packets)
    assert {name: values for name, (_, values) in found.items()} == {
        each.metric.name: dict(each.values) for each in given_series if each.values
    }
    for name, (metric, _) in found.items():
        assert metric == {"calls_total": CALLS, "load": LOAD, "duration_seconds": DURATION}[name]
    assert [each.sequence for each in packets] == list(range(1, len(packets) + 1))
    assert {(each.version, each.at, each.sender.id) for each in packets} == {(VERSION, 123.25, 7)}


def test_an_empty_snapshot_is_a_packet_too() -> None:
    [packet] = packets_of(snapshot(), SENDER, itertools.count(5), is_last=True)
    assert (packet.sequence, packet.is_last, series_of(packet)) == (5, True, [])


def test_packets_are_small_enough_for_datagrams() -> None:
    values: dict[tuple[str, ...], Any] = {
        (f"Service.method{number}",): Histogram.of(range(number, 10**9, 10**9 // 200 + 1)) for number in range(500)
    }
    packets = packed(snapshot(Series(DURATION, values)))
    assert len(packets) > 3
    assert max(len(encode_datagram(each)) for each in packets) < 60_000
    assert max(len(encode_datagram(each, "json")) for each in packets) < 65_507
    assert whole(packets)["duration_seconds"][1] == values
    # The last one says so, and only that.
    last = packets_of(snapshot(Series(DURATION, values)), SENDER, itertools.count(1), is_last=True)
    assert [each.is_last for each in last] == [None] * (len(last) - 1) + [True]


def datagram(data: bytes, letter: bytes = b"c", version: int = 1) -> bytes:
    return b"IDLM" + bytes([version]) + letter + data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a datagram of a program"),
        (b"hello world", "not a datagram of a program"),
        (datagram(b"", version=9), "of another version; upgrade"),
        (datagram(b"", b"x"), "unknown serialization b'x'"),
        (datagram(b"\xff" * 20), "Packet"),
        (datagram(b"no", b"j"), "Packet"),
        (datagram(b"no", b"C"), "cannot be decompressed"),
        (datagram(zlib.compress(b"x" * 1000)[:-5], b"C"), "is cut, or has more than"),
        (datagram(zlib.compress(bytes(1 << 25)), b"C"), "is cut, or has more than"),
    ],
)
def test_other_datagrams_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        decode_datagram(data)


@given(st.binary(max_size=200), st.sampled_from([b"c", b"j", b"C", b"J"]))
def test_arbitrary_datagrams_raise_nothing_else(data: bytes, letter: bytes) -> None:
    with suppress(RemoteProtocolError):
        series_of(decode_datagram(datagram(data, letter)))


def cells(kind: MetricKind, *given_cells: ApiCell, names: Iterable[str] = ("method",)) -> Packet:
    info = MetricInfo(name="m", kind=kind, labels=list(names))
    return Packet(
        version=1, sender=SENDER, sequence=1, at=1.0, metrics=[MetricCells(metric=info, cells=list(given_cells))]
    )


def durations(buckets: list[int], counts: list[int]) -> Any:
    return Durations(buckets=buckets, counts=counts, sum=0, min=0, max=0)


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (cells(MetricKind.COUNTER, ApiCell(labels=[], number=1.0)), "metric m: expected 1 label, got 0"),
        (cells(MetricKind.COUNTER, ApiCell(labels=["a"])), "does not fit to a counter"),
        (cells(MetricKind.HISTOGRAM, ApiCell(labels=["a"], number=1.0)), "does not fit to a histogram"),
        (cells(MetricKind(9), ApiCell(labels=["a"], number=1.0)), "unknown type"),
        (cells(MetricKind.HISTOGRAM, ApiCell(labels=["a"], durations=durations([1], [1, 2]))), "invalid buckets"),
        (cells(MetricKind.HISTOGRAM, ApiCell(labels=["a"], durations=durations([-1], [1]))), "invalid buckets"),
        (cells(MetricKind.HISTOGRAM, ApiCell(labels=["a"], durations=durations([5000], [1]))), "invalid buckets"),
        (cells(MetricKind.HISTOGRAM, ApiCell(labels=["a"], durations=durations([1, 0], [1, 1]))), "invalid buckets"),
        (cells(MetricKind.HISTOGRAM, ApiCell(labels=["a"], durations=durations([1], [-1]))), "invalid buckets"),
        (cells(MetricKind.HISTOGRAM, ApiCell(labels=["a"], durations=durations([1, 1], [MOST, 1]))), "out of range"),
        (cells(MetricKind.COUNTER, ApiCell(labels=["a"], number=-1.0)), "-1.0 is no value of a counter"),
        (cells(MetricKind.COUNTER, ApiCell(labels=["a"], number=math.nan)), "nan is no value of a counter"),
        (cells(MetricKind.COUNTER, ApiCell(labels=["a"], number=math.inf)), "inf is no value of a counter"),
    ],
)
def test_values_that_do_not_fit_are_refused(packet: Packet, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        series_of(packet)


@pytest.mark.parametrize("name", ["sum", "min", "max", "received", "sent"])
def test_negative_sizes_and_durations_are_refused(name: str) -> None:
    made = durations([1], [1])
    setattr(made, name, -1)
    with pytest.raises(RemoteProtocolError, match="out of range"):
        series_of(cells(MetricKind.HISTOGRAM, ApiCell(labels=["a"], durations=made)))


@pytest.mark.parametrize("number", [0, -5])
def test_numbers_of_packets_begin_with_one(number: int) -> None:
    packet = cells(MetricKind.GAUGE, ApiCell(labels=["a"], number=1.0))
    packet.sequence = number
    with pytest.raises(RemoteProtocolError, match=f"packet with the number {number}: expected at least 1"):
        series_of(packet)


def test_a_newer_version_is_refused() -> None:
    packet = cells(MetricKind.GAUGE, ApiCell(labels=["a"], number=1.0))
    packet.version = 2
    with pytest.raises(RemoteProtocolError, match="packet of version 2: this collector reads version 1; upgrade it"):
        series_of(packet)
