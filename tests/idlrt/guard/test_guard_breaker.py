"""Circuit breakers: opening, probing and closing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from guarded import Guarded
from hypothesis import given, settings
from hypothesis import strategies as st

from idlrt.core import BreakerChanged, Rejected
from idlrt.core.leases import Lease
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    Overloaded,
    RemoteProtocolError,
)
from idlrt.guard import Breaker, BreakerSettings
from idlrt.guard.breaker import CLOSED, HALF_OPEN, OPEN
from idlrt.spec import DeclaredError
from idlrt.testing.guards import PUT

LOST = ConnectionLost("lost")


class Declared(DeclaredError):
    pass


def opened(now: float = 0.0, **options: Any) -> Breaker:
    breaker = Breaker(BreakerSettings(consecutive_failures=1, **options))
    breaker.failed(now)
    assert breaker.state == OPEN
    return breaker


def probed(breaker: Breaker, now: float, *outcomes: bool) -> float:
    for is_good in outcomes:
        permit = breaker.allows(now)
        assert permit, now
        if is_good:
            breaker.succeeded(now, permit)
        else:
            breaker.failed(now, permit)
        now += 0.2
    return now


# Opening.


def test_it_opens_at_the_failure_ratio() -> None:
    breaker = Breaker(BreakerSettings())
    for number in range(199):
        (breaker.failed if number % 2 else breaker.succeeded)(number * 0.01)
    assert breaker.state == CLOSED, "99 of 199"
    breaker.failed(2.0)
    assert breaker.state == OPEN, "100 of 200"
    assert breaker.changes == [(CLOSED, OPEN, "100 of 200 calls within 10 s failed")]


def test_it_stays_closed_below_the_minimum_throughput() -> None:
    breaker = Breaker(BreakerSettings())
    for _ in range(199):
        breaker.failed(0.0)
    assert breaker.state == CLOSED


def test_it_stays_closed_below_the_failure_ratio() -> None:
    breaker = Breaker(BreakerSettings())
    for number in range(5000):
        (breaker.succeeded if number % 2 or number % 50 == 0 else breaker.failed)(number * 0.001)
    assert breaker.state == CLOSED


def test_events_older_than_the_window_expire() -> None:
    breaker = Breaker(BreakerSettings(minimum_throughput=20))
    for _ in range(19):
        breaker.failed(0.5)
    breaker.failed(10.6)
    assert breaker.state == CLOSED
    for _ in range(18):
        breaker.failed(19.0)
    assert breaker.state == CLOSED, "19 in the window"
    breaker.failed(19.1)
    assert breaker.state == OPEN


def test_consecutive_failures_open_it_at_once() -> None:
    breaker = Breaker(BreakerSettings(consecutive_failures=3))
    for outcome in "ffsffsff":
        (breaker.failed if outcome == "f" else breaker.succeeded)(0.0)
    assert breaker.state == CLOSED
    breaker.failed(0.0)
    assert breaker.state == OPEN
    assert "3 consecutive failures" in breaker.explain(0.0)


# Open, and half open.


def test_it_permits_no_call_during_the_break() -> None:
    breaker = opened()
    assert not any(breaker.allows(now) for now in (0.0, 1.0, 4.999))
    assert breaker.retry_after(3.0) == 2.0
    assert breaker.allows(5.0)
    assert breaker.state == HALF_OPEN


def test_one_probe_at_a_time_and_at_most_one_per_interval() -> None:
    breaker = opened()
    first = breaker.allows(5.0)
    assert first
    assert not breaker.allows(6.0), "a probe is under way"
    assert "probe in flight" in breaker.explain(6.0)
    breaker.succeeded(6.1, first)
    second = breaker.allows(6.1)
    assert second, "the last one began long ago"
    breaker.abandoned(6.15, second)
    assert not breaker.allows(6.25), "the last one began just before"
    assert breaker.allows(6.3)


def test_successful_probes_close_it() -> None:
    breaker = opened()
    now = probed(breaker, 5.0, True)
    assert breaker.state == HALF_OPEN
    probed(breaker, now, True)
    assert breaker.state == CLOSED
    assert [change[:2] for change in breaker.take_changes()] == [
        (CLOSED, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, CLOSED),
    ]
    assert breaker.changes == []


def test_statistics_are_reset_when_it_closes() -> None:
    breaker = Breaker(BreakerSettings(minimum_throughput=10))
    for _ in range(10):
        breaker.failed(0.0)
    now = probed(breaker, 5.0, True, True)
    for _ in range(9):
        breaker.failed(now)
    assert breaker.state == CLOSED
    breaker.failed(now)
    assert breaker.state == OPEN


def test_each_failed_probe_opens_it_for_longer() -> None:
    breaker = opened()
    now, pauses = 5.0, []
    for _ in range(5):
        probed(breaker, now, False)
        pauses.append(breaker.retry_after(now))
        now += pauses[-1]
    assert pauses == [10, 20, 30, 30, 30]


def test_only_consecutive_successful_probes_count() -> None:
    breaker = opened()
    now = probed(breaker, 5.0, True, False) - 0.2
    now = probed(breaker, now + 10, True)
    assert breaker.state == HALF_OPEN
    probed(breaker, now, True)
    assert breaker.state == CLOSED


def test_the_break_is_longer_if_it_opens_soon_after_closing() -> None:
    breaker = opened()
    now = probed(breaker, 5.0, True, True)
    breaker.failed(now + 1)
    assert breaker.retry_after(now + 1) == pytest.approx(10)
    now = probed(breaker, now + 11, True, True)
    breaker.failed(now + 60)
    assert breaker.retry_after(now + 60) == pytest.approx(5), "that was long ago"


def test_the_break_duration_may_be_constant() -> None:
    breaker = opened(break_multiplier=1.0)
    probed(breaker, 5.0, False)
    assert breaker.retry_after(5.0) == 5


def test_outcomes_of_earlier_calls_do_not_count_for_the_probe() -> None:
    breaker = Breaker(BreakerSettings(consecutive_failures=1))
    early = breaker.allows(0.0)
    breaker.failed(0.0, breaker.allows(0.0))
    probe = breaker.allows(5.0)
    for tell in (breaker.succeeded, breaker.failed, breaker.abandoned):
        tell(5.1, early)
        assert breaker.state == HALF_OPEN
        assert not breaker.allows(5.5), "the probe is still under way"
    breaker.succeeded(5.6, probe)
    breaker.succeeded(5.9, breaker.allows(5.9))
    assert breaker.state == CLOSED
    breaker.failed(6.0, early)
    assert breaker.state == CLOSED


def test_an_outcome_without_a_permit_counts_for_the_probe_in_flight() -> None:
    breaker = opened()
    for now in (5.0, 5.2):
        permit = breaker.allows(now)
        assert permit
        breaker.succeeded(now)
    assert breaker.state == CLOSED


def test_a_probe_without_outcome_ends_with_its_permit() -> None:
    breaker = opened()
    permit = breaker.allows(5.0)
    assert permit
    assert not breaker.is_ready(6.0)
    assert breaker.explain(6.0).endswith(", probe in flight")
    del permit
    assert breaker.is_ready(6.0)
    breaker.succeeded(6.0)
    breaker.succeeded(6.0)
    assert breaker.state == HALF_OPEN, "no probe is under way"
    another = breaker.allows(6.0)
    assert another
    breaker.failed(6.1, another)
    assert breaker.state == OPEN


# For any history.

STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "good", "bad", "gone", "lost", "wait"]), st.integers(0, 9), st.floats(0, 3)),
    max_size=200,
)


@given(STEPS, st.integers(0, 3), st.integers(1, 3))
@settings(max_examples=200)
def test_at_most_one_probe_and_none_before_its_time(steps: Any, consecutive: int, probes: int) -> None:
    breaker = Breaker(
        BreakerSettings(
            consecutive_failures=consecutive,
            minimum_throughput=5,
            success_threshold=probes,
            break_duration=2,
            max_break_duration=8,
        )
    )
    now = 0.0
    under_way: list[Lease] = []
    probing: list[Lease] = []
    opened_at: float | None = None
    last_probe = -1.0
    good = 0
    for what, number, seconds in steps:
        before = breaker.state
        if what == "wait":
            now += seconds
        elif what == "begin":
            permit = breaker.allows(now)
            if before == CLOSED:
                assert permit
            if permit:
                under_way.append(permit)
                if breaker.state == HALF_OPEN:
                    assert not probing, "a probe is under way already"
                    if opened_at is not None:
                        assert now - opened_at >= 2, "the pause is not over"
                        opened_at, good = None, 0
                    else:
                        assert now - last_probe >= 0.2 - 1e-9
                    probing, last_probe = [permit], now
        elif under_way:
            permit = under_way.pop(number % len(under_way))
            is_probe = permit in probing
            if what == "lost":
                # An exception of a signal handler has come before the outcome could be reported.
                if is_probe:
                    probing = []
                continue
            {"good": breaker.succeeded, "bad": breaker.failed, "gone": breaker.abandoned}[what](now, permit)
            if before == HALF_OPEN:
                if not is_probe:
                    assert breaker.state == HALF_OPEN, "only a probe decides"
                elif what == "bad":
                    assert breaker.state == OPEN
                elif what == "good":
                    good += 1
                    assert breaker.state == (CLOSED if good >= probes else HALF_OPEN)
            if is_probe:
                probing = []
            if breaker.state == OPEN != before:
                opened_at = now
            if before == OPEN:
                assert breaker.state == OPEN, "only time decides"


def test_one_of_many_threads_gets_the_probe() -> None:
    for _ in range(50):
        breaker = opened()
        start = threading.Barrier(4)
        permits: list[Lease | None] = []

        def ask(
            breaker: Breaker = breaker, start: threading.Barrier = start, permits: list[Lease | None] = permits
        ) -> None:
            start.wait()
            permits.append(breaker.allows(5.0))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(bool, permits)) == [False, False, False, True]


# The guard.


def test_rejections_name_their_reason() -> None:
    guarded = Guarded("breaker", consecutive_failures=2)
    guarded.run(LOST)
    guarded.run(LOST)
    guarded.advance(2)
    refused = guarded.run()
    assert isinstance(refused, CircuitOpen)
    assert str(refused) == (
        "rejected Check.get: circuit breaker of Check is open: 2 consecutive failures; opened 2 s ago, next probe in "
        "3 s"
    )
    assert refused.retry_after == 3
    assert guarded.reached == 2
    changed, told = guarded.told
    assert isinstance(changed, BreakerChanged)
    assert (changed.subject, changed.before, changed.after) == ("Check", CLOSED, OPEN)
    assert isinstance(told, Rejected)
    assert (told.subject, told.guard) == ("Check.get", "breaker")


def test_the_guard_probes_and_closes() -> None:
    guarded = Guarded("breaker", consecutive_failures=1)
    guarded.run(LOST)
    guarded.advance(5)
    assert guarded.run() == "answer"
    assert isinstance(guarded.run(), CircuitOpen)
    guarded.advance(0.2)
    assert guarded.run() == "answer"
    assert guarded.run() == "answer"
    changes = [(each.before, each.after) for each in guarded.told if isinstance(each, BreakerChanged)]
    assert changes == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]


@pytest.mark.parametrize("error", [ConnectFailed("no"), LOST, DeadlineExceeded("late")], ids=repr)
def test_failures_open_it(error: Exception) -> None:
    guarded = Guarded("breaker", consecutive_failures=1)
    guarded.run(error)
    assert isinstance(guarded.run(), CircuitOpen)


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("busy"),
        CircuitOpen("further on"),
        NoInstance("none"),
        RemoteProtocolError("odd"),
        asyncio.CancelledError(),
        Declared(),
        ApplicationError("broke", ApplicationCode.INTERNAL_ERROR),
        ValueError("of a handler"),
    ],
    ids=repr,
)
def test_other_errors_do_not_open_it(error: BaseException) -> None:
    guarded = Guarded("breaker", consecutive_failures=1, minimum_throughput=1)
    for _ in range(10):
        assert guarded.run(error) is error
    assert guarded.run() == "answer"


@pytest.mark.parametrize("error", [Overloaded("busy"), CircuitOpen("further on")], ids=repr)
def test_errors_without_evidence_do_not_close_it(error: Exception) -> None:
    guarded = Guarded("breaker", consecutive_failures=1, success_threshold=1)
    guarded.run(LOST)
    guarded.advance(5)
    guarded.run(error)
    guarded.run()
    assert guarded.reached == 2, "another probe has to wait"
    guarded.advance(0.2)
    assert guarded.run() == "answer"


def test_declared_exceptions_are_successes() -> None:
    guarded = Guarded("breaker", consecutive_failures=1, success_threshold=1)
    guarded.run(LOST)
    guarded.advance(5)
    guarded.run(Declared())
    assert guarded.run() == "answer"


@pytest.mark.parametrize(
    "error", [ApplicationError("broke", ApplicationCode.INTERNAL_ERROR), ValueError("of a handler")], ids=repr
)
def test_internal_errors_may_count_as_failures(error: Exception) -> None:
    guarded = Guarded("breaker", consecutive_failures=1, count_internal=True)
    guarded.run(ApplicationError("unknown", ApplicationCode.UNKNOWN_METHOD))
    assert guarded.run(error) is error
    assert isinstance(guarded.run(), CircuitOpen)


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_another_probe_follows_a_cancelled_one(how: str) -> None:
    guarded = Guarded("breaker", consecutive_failures=1)
    guarded.run(LOST)
    guarded.advance(5)
    probe = guarded.call(seconds=100)
    probe.send(None)
    guarded.advance(1)
    assert isinstance(guarded.run(), CircuitOpen)
    if how == "close":
        probe.close()
    else:
        with pytest.raises(asyncio.CancelledError):
            probe.throw(asyncio.CancelledError())
    assert guarded.run() == "answer"


@pytest.mark.parametrize(("per", "is_refused"), [("service", True), ("method", False)])
def test_scope_is_service_or_method(per: str, is_refused: bool) -> None:
    guarded = Guarded("breaker", consecutive_failures=1, per=per)
    guarded.run(LOST)
    other = guarded.on_server()
    other.method = PUT
    assert isinstance(guarded.run(call=other), CircuitOpen) is is_refused
    assert isinstance(guarded.run(), CircuitOpen)
