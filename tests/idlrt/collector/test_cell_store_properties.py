"""The store returns the values that were put, at every level, with restarts, late cells and roll-ups in between."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idlrt.collector.store import CellStore, Level, Retention
from idlrt.collector.store.adding import Sum
from idlrt.collector.store.blocks import (
    BrokenBlock,
    counts,
    decode,
    decode_one,
    encode,
    encode_one,
    packed,
    packed_one,
)
from idlrt.collector.store.values import Code, Row, Stored, summed
from idlrt.observe.histogram import MAX_INDEX, Histogram
from idlrt.observe.metric import Metric, Series

CALLS = Metric(name="calls_seconds", kind="histogram", help="Calls", labels=("method", "rpc_status_code"))
RETRIES = Metric(name="retries_total", kind="counter", help="Retries", labels=("method", "rpc_status_code"))
LOAD = Metric(name="load", kind="gauge", help="Load", labels=("method", "rpc_status_code"))
PEAK = Metric(name="peak", kind="gauge", help="Peak", labels=("method", "rpc_status_code"), merge="max")
T = 1_800_057_600
LONG = 1e9
RETENTION = Retention(
    (
        Level(step=10, cells=3, keep=LONG, keep_instances=LONG),
        Level(step=60, cells=5, keep=LONG, keep_instances=LONG),
        Level(step=600, cells=2, keep=LONG, keep_instances=LONG, is_coarse=True),
        Level(step=3600, cells=2, keep=LONG, keep_instances=LONG, is_coarse=True),
    )
)
SPAN = 7200

durations = st.lists(st.integers(0, 10**13) | st.integers(0, 300) | st.integers(10**6, 10**7), max_size=6)
labels = st.tuples(st.sampled_from(("get", "set")), st.sampled_from(("ok", "timeout")))
instances = st.sampled_from(("a", "b", "c"))
times = st.integers(1, SPAN) | st.sampled_from((10, 60, 600, 3600, 7200))
Put: TypeAlias = tuple[str, int, tuple[str, str], list[int], int]
puts = st.tuples(instances, times, labels, durations, st.integers(0, 1000))
steps = st.sampled_from(("commit", "restart", "maintain", "wait", "back")) | puts | puts | puts


def number_of(at: int, step: int) -> int:
    """Index of the step in which a step ends: boundaries count before."""
    return -(-at // step) - 1


def replay(path: Path, given_steps: Sequence[str | Put]) -> tuple[CellStore, list[Put]]:
    """Do all steps; return the store and what was put."""
    clock = [float(T + SPAN)]
    store = CellStore(path, retention=RETENTION, now=lambda: clock[0])
    done: list[Put] = []
    for each in given_steps:
        match each:
            case "commit":
                store.commit()
            case "restart":
                store.commit()
                store.close()
                store = CellStore(path, retention=RETENTION, now=lambda: clock[0])
            case "maintain":
                store.commit()
                store.maintain()
            case "wait":
                clock[0] += 1700
            case "back":
                clock[0] -= 1500
            case (str() as instance, int() as at, label, list() as values, int() as number):
                histogram = Histogram.of(values)
                changed = Histogram(
                    *(
                        histogram.counts,
                        histogram.count,
                        histogram.sum,
                        histogram.min,
                        histogram.max,
                        number,
                        2 * number,
                    )
                )
                # The clock may be before the time that is put.
                clock[0] = max(clock[0], T + SPAN)
                store.put(
                    {"service": "orders", "instance": instance},
                    T + at,
                    [
                        Series(CALLS, {label: changed}),
                        Series(RETRIES, {label: float(number)}),
                        Series(LOAD, {label: float(number)}),
                        Series(PEAK, {label: float(number)}),
                    ],
                )
                done.append(each)
    store.commit()
    return store, done


def group_of(put: Put, by: Sequence[str]) -> tuple[str, ...]:
    names = {"instance": put[0], "method": put[2][0], "rpc_status_code": put[2][1], "service": "orders"}
    return tuple(names[each] for each in by)


def read(store: CellStore, metric: Metric, step: int, by: Sequence[str]) -> Mapping[tuple[str, ...], Sequence[object]]:
    found = store.read(metric.name, T, T + SPAN, step=step, by=by)
    assert (found.start, found.step, found.steps) == (T, step, SPAN // step)
    return {tuple(each.labels.values()): each.values for each in found.groups}


def check_histograms(store: CellStore, done: Sequence[Put], step: int, by: Sequence[str]) -> None:
    expected: dict[tuple[str, ...], dict[int, list[Put]]] = {}
    for put in done:
        expected.setdefault(group_of(put, by), {}).setdefault(number_of(put[1], step), []).append(put)
    reports = {
        (tuple(group_of(put, [each for each in by if each in ("instance", "service")])), number_of(put[1], step))
        for put in done
    }
    found = read(store, CALLS, step, by)
    added = read(store, RETRIES, step, by)
    assert set(found) == set(added) == set(expected)
    error = 0.04 if step >= 600 else 0.008
    for group, values in found.items():
        for index, value in enumerate(values):
            puts_of_step = expected[group].get(index)
            if puts_of_step is None:
                programs = tuple(each for name, each in zip(by, group, strict=True) if name in ("instance", "service"))
                is_gap = (programs, index) not in reports
                assert value == (None if is_gap else Histogram())
                assert added[group][index] == (None if is_gap else 0)
                continue
            assert added[group][index] == sum(put[4] for put in puts_of_step)
            exact = sorted(duration for put in puts_of_step for duration in put[3])
            assert isinstance(value, Histogram)
            assert (value.count, value.sum) == (len(exact), sum(exact)) == (sum(value.counts.values()), sum(exact))
            assert (value.min, value.max) == ((exact[0], exact[-1]) if exact else (0, 0))
            assert (value.received, value.sent) == (added[group][index], 2 * sum(put[4] for put in puts_of_step))
            for quantile in (0.01, 0.5, 0.9, 1.0):
                if exact:
                    rank = exact[max(math.ceil(quantile * len(exact)), 1) - 1]
                    # Longer durations than 73 minutes have one bucket.
                    if rank < 1 << 42:
                        assert value.percentile(quantile) == pytest.approx(rank / 1e9, rel=error, abs=3.1e-9)


def check_gauges(store: CellStore, done: Sequence[Put], step: int, by: Sequence[str]) -> None:
    series: dict[tuple[str, ...], dict[int, dict[tuple[object, ...], list[tuple[int, int]]]]] = {}
    for put in done:
        cell = series.setdefault(group_of(put, by), {}).setdefault(number_of(put[1], step), {})
        cell.setdefault((put[0], put[2]), []).append((put[1], put[4]))
    loads, peaks = read(store, LOAD, step, by), read(store, PEAK, step, by)
    assert set(loads) == set(peaks) == set(series)
    for group, cells in series.items():
        for index in range(SPAN // step):
            if index not in cells:
                assert loads[group][index] is None
                assert peaks[group][index] is None
                continue
            lasts = [max(each)[1] for each in cells[index].values()]
            assert loads[group][index] == sum(lasts)
            assert peaks[group][index] == max(lasts)


@given(st.lists(steps, max_size=25))
@settings(max_examples=60, deadline=None)
def test_what_was_put_is_read_at_every_level(given_steps: list[str | Put]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, done = replay(Path(folder, "metrics.db"), given_steps)
        with store:
            for step in (10, 60, 600, 3600):
                for by in ((), ("instance",), ("method",), ("rpc_status_code", "service"), ("instance", "method")):
                    check_histograms(store, done, step, by)
                check_gauges(store, done, step, ("instance",))
                check_gauges(store, done, step, ())


def check_whole(store: CellStore, done: Sequence[Put], start: int, end: int, by: Sequence[str]) -> None:
    """One step of the whole time has what was put in it, with its start rounded by at most a 60th."""
    unit = 60 if end - start >= 3610 else 10
    given, start = start, start // unit * unit
    expected: dict[tuple[str, ...], list[Put]] = {}
    for put in done:
        if start < put[1] <= end:
            expected.setdefault(group_of(put, by), []).append(put)
    found = store.read(CALLS.name, T + given + 3, T + end - 4, by=by, is_whole=True)
    assert (found.start, found.step, found.steps) == (T + start, end - start, 1)
    shown = {tuple(each.labels.values()): each.values for each in found.groups}
    assert set(shown) == set(expected)
    for group, puts_of_group in expected.items():
        durations = sorted(each for put in puts_of_group for each in put[3])
        (histogram,) = shown[group]
        assert isinstance(histogram, Histogram)
        assert (histogram.count, histogram.sum) == (len(durations), sum(durations))
        assert sum(histogram.counts.values()) == len(durations)
        assert (histogram.min, histogram.max) == ((durations[0], durations[-1]) if durations else (0, 0))
        assert histogram.received == sum(put[4] for put in puts_of_group)
    counted = store.read(CALLS.name, T + given + 3, T + end - 4, by=by, is_whole=True, values="count")
    assert {tuple(each.labels.values()): each.values for each in counted.groups} == {
        group: [float(sum(len(put[3]) for put in puts_of_group))] for group, puts_of_group in expected.items()
    }
    order = [each.values[0] for each in counted.groups if isinstance(each.values[0], float)]
    assert order == sorted(order, reverse=True)
    added = store.read(RETRIES.name, T + given + 3, T + end - 4, by=by, is_whole=True)
    assert {tuple(each.labels.values()): each.values for each in added.groups} == {
        group: [sum(put[4] for put in puts_of_group)] for group, puts_of_group in expected.items()
    }


@given(st.lists(steps, max_size=25), st.integers(0, SPAN // 10 - 2), st.integers(1, SPAN // 10))
@settings(max_examples=60, deadline=None)
def test_one_step_of_any_time_has_what_was_put_in_it(given_steps: list[str | Put], start: int, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, done = replay(Path(folder, "metrics.db"), given_steps)
        with store:
            end = min(start + length, SPAN // 10)
            for by in ((), ("instance",), ("method",), ("rpc_status_code", "service"), ("instance", "method")):
                check_whole(store, done, 10 * start, 10 * end, by)
            for step in (10, 600, 3600):
                full = store.read(CALLS.name, T, T + SPAN, step=step, by=("method",))
                counted = store.read(CALLS.name, T, T + SPAN, step=step, by=("method",), values="count")
                assert [(each.labels, each.values) for each in counted.groups] == [
                    (each.labels, [each.count if isinstance(each, Histogram) else None for each in each.values])
                    for each in full.groups
                ]


histograms = st.builds(
    lambda values, received, sent: Histogram(
        *(Histogram.of(values).counts, len(values), sum(values), min(values, default=0), max(values, default=0)),
        *(received, sent),
    ),
    st.lists(st.integers(0, 10**13) | st.integers(0, 300), max_size=20).flatmap(
        lambda values: st.integers(1, 400).map(lambda times: values * times)
    ),
    st.integers(0, 2**50),
    st.integers(0, 2**50),
)
finite = st.floats(allow_nan=False, allow_infinity=False)
gauges = st.tuples(finite, finite, finite, finite)


def shown(value: Stored) -> object:
    return value.histogram() if isinstance(value, Row) else value


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_blocks_are_read_as_they_were_written(data: st.DataObject) -> None:
    kinds: list[tuple[Code, st.SearchStrategy[Stored]]] = [(0, finite), (1, gauges), (2, histograms.map(Row.of))]
    code, values = data.draw(st.sampled_from(kinds))
    cells: dict[int, Stored] = data.draw(st.dictionaries(st.integers(0, 255), values, min_size=1, max_size=6))
    found = decode(encode(code, cells))
    assert {at: shown(each) for at, each in found.items()} == {at: shown(each) for at, each in cells.items()}
    for each in cells.values():
        assert shown(decode_one(encode_one(each))) == shown(each)


@given(st.lists(histograms, min_size=1, max_size=5), st.randoms())
@settings(max_examples=100, deadline=None)
def test_rows_are_added_like_histograms_in_any_order(given_ones: list[Histogram], dice: object) -> None:
    rows = [Row.of(each) for each in given_ones]
    for each, row in zip(given_ones, rows, strict=True):
        assert row.histogram() == each
    found = shown(summed(rows))
    assert found == shown(summed([*rows[::-1]]))
    assert isinstance(found, Histogram)
    merged = Histogram.merged(given_ones)
    assert (found.counts, found.count, found.sum, found.min, found.max) == (
        *(merged.counts, merged.count, merged.sum, merged.min, merged.max),
    )
    # Merging four buckets into one before or after adding is the same.
    assert shown(Row.summed([row.coarse() for row in rows])) == shown(Row.summed(rows).coarse())
    assert shown(Row.summed([rows[0].coarse(), *rows[1:]])) == shown(Row.summed(rows).coarse())


@given(st.lists(histograms, min_size=1, max_size=5), st.booleans(), st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_sums_of_blocks_and_pending_cells_are_sums_of_their_rows(
    given_ones: list[Histogram], has_coarse: bool, times: int
) -> None:
    rows = [Row.of(each) for each in given_ones]
    block = encode(2, dict(enumerate(rows[:-1])), is_coarse=has_coarse) if rows[1:] else b""
    found = Sum()
    for _, cell in packed(block, 0, 256) if block else ():
        found.add(cell)
    for _ in range(times):
        found.add(packed_one(encode_one(rows[-1])))
    assert (
        found.histogram() == Row.summed([*(decode(block).values() if block else ()), *([rows[-1]] * times)]).histogram()
    )
    if block:
        assert counts(block) == [(at, row.count) for at, row in enumerate(rows[:-1])]


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda data: b"\1\2" + data))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_block_are_an_error(data: bytes) -> None:
    for read_one in (decode, decode_one, packed_one, counts, lambda data: packed(data, 0, 256)):
        try:
            read_one(data)
        except BrokenBlock:
            continue


def test_a_damaged_block_is_an_error_or_a_block() -> None:
    good = encode(2, {at: Row.of(Histogram.of([1000 * at, 7])) for at in range(4)})
    for position in range(len(good)):
        for changed in (0, 255, good[position] ^ 1):
            damaged = bytes((*good[:position], changed, *good[position + 1 :]))
            for read_one in (decode, counts, lambda data: packed(data, 0, 256)):
                try:
                    read_one(damaged)
                except BrokenBlock:
                    continue


def test_counts_of_buckets_that_do_not_exist_are_left_out() -> None:
    row = Row.of(Histogram({-1: 5, MAX_INDEX + 1: 3, 10: 2, 11: -4}, 6, 60, 10, 10))
    assert row.histogram().counts == {10: 2}
    assert row.count == 2
    assert Row.of(Histogram({-1: 5}, 5, 60, 10, 10)).count == 0
    assert Row.of(Histogram({10: 1 << 60}, 1 << 60, 60, 10, 10)).count == 1 << 28
