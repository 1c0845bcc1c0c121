"""Outlier detection: rules, ejection times, and the limit on ejections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.guard import OutlierDetector, OutlierSettings, Record


def hosts(count: int, good: int = 0, bad: int = 0) -> list[Record]:
    made = [Record() for _ in range(count)]
    for record in made:
        record.successes, record.failures = good, bad
    return made


def watching(records: list[Record], settings: OutlierSettings | None = None) -> OutlierDetector:
    detector = OutlierDetector(settings if settings is not None else OutlierSettings())
    detector.watch(records)
    return detector


def fail(detector: OutlierDetector, record: Record, now: float, times: int = 5) -> list[bool]:
    return [detector.failed(record, now) for _ in range(times)]


# In a row.


def test_five_consecutive_failures_eject() -> None:
    records = hosts(10)
    detector = watching(records)
    assert fail(detector, records[0], 7.0) == [False] * 4 + [True]
    assert records[0].ejected_until == 37.0
    assert records[0].why == "5 consecutive failures"
    assert fail(detector, records[0], 7.0, 20) == [False] * 20, "calls that were under way"
    assert records[0].ejected_until == 37.0


def test_a_success_resets_consecutive_failures() -> None:
    records = hosts(10)
    detector = watching(records)
    for _ in range(10):
        assert not any(fail(detector, records[0], 0.0, 4))
        records[0].succeeded()


def test_an_instance_returns_at_the_first_sweep_after_its_ejection_time() -> None:
    records = hosts(10)
    detector = watching(records)
    fail(detector, records[0], 7.0)
    for now in (10.0, 20.0, 30.0):
        assert detector.sweep(records, now) == ([], [])
    assert detector.sweep(records, 40.0) == ([], [records[0]])
    assert records[0].ejected_until == 0
    assert detector.ejected == 0
    assert not any(fail(detector, records[0], 41.0, 4)), "it begins anew"


def test_each_ejection_is_longer_up_to_five_minutes() -> None:
    records = hosts(10)
    detector = watching(records)
    now, seconds = 0.0, []
    for _ in range(14):
        fail(detector, records[0], now)
        seconds.append(records[0].ejected_until - now)
        now = records[0].ejected_until
        detector.sweep(records, now)
    assert seconds == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300, 300, 300]
    assert records[0].multiplier == 11


def test_intervals_without_ejection_shorten_the_next_one() -> None:
    records = hosts(10)
    detector = watching(records)
    now = 0.0
    for _ in range(3):
        fail(detector, records[0], now)
        now = records[0].ejected_until
        detector.sweep(records, now)
    for _ in range(2):
        now += 10
        detector.sweep(records, now)
    fail(detector, records[0], now)
    assert records[0].ejected_until - now == 60, "3 ejections, 2 quiet intervals"
    for _ in range(50):
        now += 1000
        detector.sweep(records, now)
    fail(detector, records[0], now)
    assert records[0].ejected_until - now == 30


def test_the_cap_is_never_below_the_base() -> None:
    records = hosts(1)
    detector = watching(records, OutlierSettings(base_ejection_time=30, max_ejection_time=10))
    fail(detector, records[0], 0.0)
    assert records[0].ejected_until == 30


# Not too many.


@pytest.mark.parametrize(("count", "most"), [(1, 1), (2, 1), (9, 1), (10, 1), (19, 1), (20, 2), (100, 10)])
def test_at_most_a_tenth_is_ejected_but_always_one(count: int, most: int) -> None:
    records = hosts(count)
    detector = watching(records)
    assert sum(any(fail(detector, record, 0.0)) for record in records) == most
    assert sum(record.ejected_until > 0 for record in records) == most


def test_an_outlier_beyond_the_limit_is_ejected_later() -> None:
    records = hosts(10)
    detector = watching(records)
    fail(detector, records[0], 0.0)
    assert not any(fail(detector, records[1], 0.0))
    detector.sweep(records, 30.0)
    assert detector.failed(records[1], 30.0)


def test_instances_that_leave_no_longer_count() -> None:
    records = hosts(10)
    detector = watching(records)
    fail(detector, records[0], 0.0)
    detector.watch(records[1:])
    assert detector.ejected == 0
    assert any(fail(detector, records[1], 0.0))


# Compared with the others.


def test_an_instance_far_below_the_mean_is_ejected() -> None:
    records = hosts(10, good=100)
    records[3].successes, records[3].failures = 60, 40
    detector = watching(records)
    assert detector.sweep(records, 10.0) == ([records[3]], [])
    assert records[3].ejected_until == 40.0
    assert records[3].why == "success rate 60.0% is far below the mean 96.0%"
    assert all(record.successes == record.failures == 0 for record in records), "a new interval"


def test_the_threshold_is_1_9_standard_deviations() -> None:
    # One of five: its distance from the mean is 2 standard deviations, however far it is. Of four others it is 1.73.
    for others, is_ejected in ((4, True), (3, False)):
        records = hosts(others, good=100) + hosts(1, good=90, bad=10)
        detector = watching(records, OutlierSettings(success_rate_minimum_hosts=1))
        assert bool(detector.sweep(records, 10.0)[0]) is is_ejected


@pytest.mark.parametrize(("count", "calls", "is_ejected"), [(5, 100, True), (4, 100, False), (5, 99, False)])
def test_success_rates_require_five_instances_with_a_hundred_calls(count: int, calls: int, is_ejected: bool) -> None:
    records = hosts(count - 1, good=calls) + hosts(1, good=calls // 2, bad=calls - calls // 2)
    detector = watching(records)
    assert bool(detector.sweep(records, 10.0)[0]) is is_ejected


def test_no_instance_is_an_outlier_if_all_fail() -> None:
    records = hosts(10, good=50, bad=50)
    assert watching(records).sweep(records, 10.0) == ([], [])


@pytest.mark.parametrize(
    ("count", "good", "bad", "is_ejected"),
    [(5, 9, 51, True), (5, 10, 50, False), (5, 0, 50, True), (5, 0, 49, False), (4, 0, 50, False)],
)
def test_a_high_failure_ratio_ejects_even_if_all_instances_have_one(
    count: int, good: int, bad: int, is_ejected: bool
) -> None:
    records = hosts(count, good, bad)
    ejected, _ = watching(records).sweep(records, 10.0)
    assert ejected == (records[:1] if is_ejected else []), "one, because there are few"
    if is_ejected:
        assert records[0].why.startswith("failure ratio ")


def test_rules_can_be_disabled() -> None:
    records = hosts(20, good=100)
    records[0].successes, records[0].failures = 0, 100
    detector = watching(records, OutlierSettings(consecutive_failures=0, success_rate_stdev_factor=0, failure_ratio=0))
    assert not any(fail(detector, records[1], 0.0, 100))
    records[1].failures = 0
    assert detector.sweep(records, 10.0) == ([], [])


def test_ejected_instances_are_not_compared() -> None:
    records = hosts(6)
    detector = watching(records)
    fail(detector, records[0], 0.0)
    for record in records:
        record.successes, record.failures = (0, 200) if record is records[0] else (200, 0)
    assert detector.sweep(records, 10.0) == ([], [])
    assert records[0].ejected_until == 30.0


STEPS = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 120), st.booleans()), max_size=60)


@given(st.integers(1, 25), STEPS, st.floats(0, 1))
def test_the_limit_on_ejections_always_holds(count: int, steps: list[tuple[int, int, bool]], most: float) -> None:
    records = hosts(count)
    detector = watching(records, OutlierSettings(max_ejected_ratio=most))
    now = 0.0
    for number, calls, is_good in steps:
        record = records[number % count]
        for _ in range(calls):
            if is_good:
                record.succeeded()
            else:
                was = record.ejected_until
                assert detector.failed(record, now) is (record.ejected_until != was)
        if number % 3 == 0:
            now += 10
            ejected, restored = detector.sweep(records, now)
            assert all(record.ejected_until > now for record in ejected)
            assert all(record.ejected_until == 0 for record in restored if record not in ejected)
        away = sum(record.ejected_until > 0 for record in records)
        assert away == detector.ejected <= max(1, most * count)
