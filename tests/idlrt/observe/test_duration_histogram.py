"""Histograms of durations: error of percentiles, merging, conversion to fixed bounds."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.observe.histogram import MAX_INDEX, Histogram, bucket_bounds, bucket_index

DURATIONS = st.integers(0, 200 * 10**9)
HISTOGRAMS = st.lists(DURATIONS, max_size=30).map(Histogram.of)


@given(st.integers(0, (1 << 42) - 1))
def test_a_value_is_in_its_bucket_and_buckets_are_narrow(value: int) -> None:
    lower, upper = bucket_bounds(bucket_index(value))
    assert lower <= value < upper
    assert upper - lower == 1 or (upper - lower) / lower <= 1 / 64


def test_buckets_are_adjacent() -> None:
    bounds = [bucket_bounds(index) for index in range(MAX_INDEX + 1)]
    assert bounds[0][0] == 0
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bounds))
    assert [bucket_index(lower) for lower, _ in bounds] == list(range(MAX_INDEX + 1))


@pytest.mark.parametrize("value", [-5, 0])
def test_values_that_are_not_positive_count_as_zero(value: int) -> None:
    assert Histogram.of([value]) == Histogram({0: 1}, 1, 0, 0, 0)


def test_very_long_durations_have_one_bucket() -> None:
    found = Histogram.of([1 << 42, 1 << 60])
    assert found.counts == {MAX_INDEX: 2}
    assert found.max == 1 << 60


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_percentiles_are_within_one_percent_from_a_microsecond_to_100_seconds(quantile: float) -> None:
    dice = random.Random(7)
    values = sorted(int(math.exp(dice.uniform(math.log(1e3), math.log(1e11)))) for _ in range(20_000))
    exact = values[max(math.ceil(quantile * len(values)), 1) - 1] / 1e9
    assert Histogram.of(values).percentile(quantile) == pytest.approx(exact, rel=0.01)


@given(HISTOGRAMS, HISTOGRAMS, HISTOGRAMS)
def test_merging_is_associative_and_commutative(one: Histogram, two: Histogram, three: Histogram) -> None:
    left = Histogram.merged([Histogram.merged([one, two]), three])
    assert left == Histogram.merged([one, Histogram.merged([two, three])])
    assert left == Histogram.merged([three, two, one])


@given(st.lists(DURATIONS), st.lists(DURATIONS))
def test_a_merged_histogram_has_the_values_of_both(one: list[int], two: list[int]) -> None:
    assert Histogram.merged([Histogram.of(one), Histogram.of(two)]) == Histogram.of(one + two)


@given(st.lists(DURATIONS), st.lists(DURATIONS))
def test_what_was_added_later_is_found_again(earlier: list[int], later: list[int]) -> None:
    found = Histogram.of(earlier + later).since(Histogram.of(earlier))
    exact = Histogram.of(later)
    assert (found.counts, found.count, found.sum) == (exact.counts, exact.count, exact.sum)
    assert found.min <= exact.min
    assert found.max >= exact.max


@given(st.lists(DURATIONS, min_size=1), st.lists(st.integers(1, 10**11), min_size=1, max_size=8))
def test_counts_up_to_bounds(values: list[int], bounds: list[int]) -> None:
    limits = sorted(bounds)
    found = Histogram.of(values).at_most([*(limit / 1e9 for limit in limits), math.inf])
    assert found == sorted(found)
    assert found[-1] == len(values)
    for limit, number in zip(limits, found, strict=False):
        near = [value for value in values if bucket_index(value) == bucket_index(limit)]
        exact = sum(value <= limit for value in values)
        assert abs(number - exact) <= len(near)


def test_no_values_have_no_percentiles() -> None:
    assert math.isnan(Histogram().percentile(0.5))
    assert math.isnan(Histogram().mean)
    assert Histogram().at_most([1.0, math.inf]) == [0, 0]


def test_the_mean_is_exact() -> None:
    assert Histogram.of([1_000_000, 3_000_000]).mean == 0.002
