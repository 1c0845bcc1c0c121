"""Load shedding, and measurement of the CPU usage."""

from __future__ import annotations

from typing import Any

import pytest
from guarded import Guarded

from idlrt.core import ClockAndRandom, Rejected
from idlrt.core.leases import Lease
from idlrt.errors import Overloaded
from idlrt.guard import LoadShedder
from idlrt.guard.cpu import ProcessCpu
from idlrt.guard.shedder import Shedder, ShedderSettings


def trained(calls: int = 10, ms: float = 100.0) -> Shedder:
    """Return a shedder that completed `calls` calls of `ms` milliseconds in each tenth of a second."""
    shedder = Shedder(ShedderSettings())
    shedder.begin(0.0, 0.0)
    shedder.end(0.0, 0.0, is_good=False)
    for bucket in range(60):
        now = bucket * 0.1 + 0.05
        leases = [shedder.begin(now, 0.0) for _ in range(calls)]
        assert all(leases)
        while leases:
            del leases[-1]
            shedder.end(now, now + ms / 1000, is_good=True)
    return shedder


class Crowd:
    """Keeps calls under way."""

    def __init__(self, shedder: Shedder) -> None:
        self.shedder = shedder
        self.leases: list[Lease] = []

    def fly(self, flying: int, average: float | None = None) -> None:
        """Put `flying` calls in flight."""
        self.leases = [self.shedder.in_flight.begin() for _ in range(flying)]
        self.shedder.average = float(flying if average is None else average)

    def begin(self, now: float, cpu: float) -> bool:
        """Begin one more. Whether it is let in."""
        lease = self.shedder.begin(now, cpu)
        if lease is not None:
            self.leases.append(lease)
        return lease is not None


def crowded(flying: int, average: float | None = None) -> Crowd:
    crowd = Crowd(trained())
    crowd.fly(flying, average)
    return crowd


def test_the_capacity_is_throughput_times_latency() -> None:
    assert trained(10, 100).capacity == pytest.approx(10), "100 a second, 0.1 s each"
    assert trained(10, 500).capacity == pytest.approx(50)
    assert trained(20, 50.4).capacity == pytest.approx(10.2), "milliseconds are rounded up"
    assert Shedder(ShedderSettings()).capacity == 10, "one a bucket, a second each: nothing is known"


def test_minimum_latency_and_maximum_throughput_of_buckets_count() -> None:
    shedder = trained(10, 100)
    for number in range(30):
        shedder.begin(6.15, 0.0)
        shedder.end(6.15, 6.15 + (0.02 if number == 0 else 0.5), is_good=True)
    shedder.begin(6.75, 0.0)
    shedder.end(6.75, 6.75, is_good=False)
    assert shedder.capacity == pytest.approx(29 * 10 * 0.02)


def test_failures_do_not_count() -> None:
    shedder = trained(10, 100)
    for _ in range(1000):
        shedder.begin(6.15, 0.0)
        shedder.end(6.15, 6.15, is_good=False)
    shedder.begin(6.25, 0.0)
    shedder.end(6.25, 6.25, is_good=False)
    assert shedder.capacity == pytest.approx(10)


def test_the_current_bucket_does_not_count() -> None:
    shedder = trained(10, 100)
    for _ in range(1000):
        shedder.begin(6.15, 0.0)
        shedder.end(6.15, 6.15, is_good=True)
    assert shedder.capacity == pytest.approx(10)


def test_events_older_than_the_window_expire() -> None:
    shedder = trained(20, 200)
    assert shedder.capacity == pytest.approx(40)
    shedder.begin(20.0, 0.0)
    shedder.end(20.0, 20.0, is_good=False)
    assert shedder.capacity == 10


@pytest.mark.parametrize(
    ("cpu", "flying", "average", "is_let_in"),
    [
        (899, 1000, 1000, True),
        (900, 11, 11, False),
        (900, 10, 11, True),
        (900, 11, 10, True),
        (950, 6, 6, False),
        (950, 5, 5, True),
        (1000, 2, 2, False),
        (1000, 1, 1, True),
        (5000, 1, 1, True),
    ],
)
def test_both_conditions_are_required(cpu: float, flying: int, average: float, is_let_in: bool) -> None:
    assert crowded(flying, average).begin(6.0, cpu) is is_let_in


def test_overload_lasts_for_the_cool_off_time_after_a_rejection() -> None:
    crowd = crowded(20)
    assert crowd.begin(6.0, 0.0)
    assert not crowd.begin(6.1, 950.0)
    assert not crowd.begin(7.0, 100.0), "it was busy 0.9 s ago"
    assert crowd.begin(7.2, 100.0)
    assert crowd.begin(7.2, 100.0)


def test_the_cool_off_time_starts_at_the_last_overload() -> None:
    crowd = crowded(20)
    assert not crowd.begin(6.0, 950.0)
    crowd.fly(0)
    assert crowd.begin(6.5, 950.0)
    crowd.fly(20)
    assert not crowd.begin(7.4, 100.0)
    assert crowd.begin(7.5, 100.0)


def test_there_is_no_cool_off_without_a_rejection() -> None:
    crowd = crowded(0)
    assert crowd.begin(6.0, 950.0)
    crowd.fly(20)
    assert crowd.begin(6.1, 100.0)


def test_the_average_is_smoothed() -> None:
    shedder = Shedder(ShedderSettings())
    leases = [shedder.begin(0.0, 0.0) for _ in range(10)]
    assert shedder.average == 0, "it is made when calls end"
    del leases[-1]
    shedder.end(0.0, 0.0, is_good=True)
    assert shedder.average == pytest.approx(0.9)
    del leases[-1]
    shedder.end(0.0, 0.0, is_good=True)
    assert shedder.average == pytest.approx(0.9 * 0.9 + 0.8)


# The guard.


def shedding(cpu: list[float]) -> Guarded:
    guarded = Guarded("shedder")
    sources = ClockAndRandom(now=guarded.now)
    guarded.guard = LoadShedder(ShedderSettings(), sources, guarded.told.append, cpu=lambda: cpu[0])
    return guarded


def test_calls_are_rejected_only_while_the_cpu_is_overloaded() -> None:
    cpu = [100.0]
    guarded = shedding(cpu)
    for _ in range(60):
        guarded.at_once(5, 0.1)
    assert guarded.at_once(100, 0.1) == ["answer"] * 100
    guarded.advance(10)
    for _ in range(60):
        guarded.at_once(5, 0.1)
    cpu[0] = 1000.0
    # The average follows the crowd from its second round on.
    found: list[Any] = []
    for _ in range(5):
        found = guarded.at_once(100, 0.1)
    refused = [each for each in found if isinstance(each, Overloaded)]
    assert 50 < len(refused) < 100
    assert "overloaded (CPU 100%, " in str(refused[0])
    assert isinstance(guarded.told[-1], Rejected)


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()], ids=repr)
def test_a_call_is_no_longer_in_flight_whatever_the_outcome(error: BaseException) -> None:
    guarded = shedding([0.0])
    assert guarded.run(error) is error
    assert not guarded.guard.shedder.in_flight


def test_the_default_is_the_usage_of_the_process() -> None:
    assert Guarded("shedder").run() == "answer"


# The measure.


class Clocks:
    def __init__(self) -> None:
        self.now = 100.0
        self.used = 7.0
        self.cpu = ProcessCpu(lambda: self.now, lambda: self.used)

    def work(self, seconds: float, share: float) -> float:
        self.now += seconds
        self.used += seconds * share
        return self.cpu()


def test_the_usage_is_smoothed() -> None:
    clocks = Clocks()
    assert clocks.cpu() == 0
    assert clocks.work(0.25, 1.0) == pytest.approx(50)
    assert clocks.work(0.25, 1.0) == pytest.approx(97.5)
    for _ in range(100):
        clocks.work(0.25, 0.8)
    assert clocks.cpu() == pytest.approx(800, abs=10)


def test_there_are_at_most_four_samples_per_second() -> None:
    clocks = Clocks()
    assert clocks.work(0.2, 1.0) == 0
    assert clocks.work(0.05, 1.0) == pytest.approx(50)


def test_a_pause_in_sampling_makes_no_difference() -> None:
    often, seldom = Clocks(), Clocks()
    for _ in range(16):
        often.work(0.25, 0.9)
    assert seldom.work(4.0, 0.9) == pytest.approx(often.cpu())


def test_more_than_one_processor_counts_as_one() -> None:
    clocks = Clocks()
    assert clocks.work(1000.0, 3.5) == pytest.approx(1000)


def test_the_process_is_measured() -> None:
    assert 0 <= ProcessCpu()() <= 1000
