"""Rate limits: bursts, waiting, and limits by caller."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from guarded import Guarded
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import Rejected
from idlrt.errors import Overloaded
from idlrt.guard.limiter import CallerBuckets, TokenBucket
from idlrt.testing.guards import PUT, call_for

# The bucket.


def taken(bucket: TokenBucket, now: float) -> int:
    count = 0
    while not bucket.take(now):
        count += 1
    return count


def test_a_full_bucket_allows_a_burst_and_fills_at_the_rate() -> None:
    bucket = TokenBucket(10, 5)
    assert taken(bucket, 100.0) == 5
    assert bucket.take(100.0) == pytest.approx(0.1)
    assert taken(bucket, 100.1) == 1
    assert taken(bucket, 100.35) == 2
    assert taken(bucket, 1000.0) == 5


def test_a_rejected_call_takes_no_token() -> None:
    bucket = TokenBucket(10, 1)
    bucket.take(0.0)
    for _ in range(100):
        assert bucket.take(0.05) == pytest.approx(0.05)
    assert bucket.take(0.1) == 0


def test_waiting_calls_are_served_in_order() -> None:
    bucket = TokenBucket(10, 1)
    assert [bucket.take(0.0, 1.0) for _ in range(4)] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert bucket.take(0.0, 0.3) == pytest.approx(0.4)
    assert bucket.take(0.0, 0.4) == pytest.approx(0.4)


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 30), st.sampled_from([0.0, 0.1, 2.0])), max_size=30),
)
def test_no_interval_has_more_calls_than_burst_and_rate_allow(rate: float, burst: int, arrivals: Any) -> None:
    bucket = TokenBucket(rate, burst)
    now = 0.0
    passed: list[float] = []
    for seconds, count, max_wait in arrivals:
        now += seconds
        for _ in range(count):
            pause = bucket.take(now, max_wait)
            if pause <= max_wait:
                passed.append(now + pause)
    passed.sort()
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + rate * (passed[last] - began) + 1e-3


@given(st.floats(1, 100), st.integers(1, 20))
def test_calls_at_the_rate_are_never_rejected(rate: float, burst: int) -> None:
    bucket = TokenBucket(rate, burst)
    assert not any(bucket.take(number / rate) for number in range(200))


def test_no_token_is_granted_twice_to_threads() -> None:
    bucket = TokenBucket(0.001, 1000)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(taken(bucket, 0.0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 1000


# CallerBuckets.


def test_full_buckets_are_dropped() -> None:
    callers = CallerBuckets(1, 2, 10)
    for number in range(10):
        assert taken(callers.bucket(f"host {number}", 0.0), 0.0) == 2
    assert taken(callers.bucket("host 3", 0.5), 0.5) == 0, "it is remembered"
    for number in range(10, 20):
        callers.bucket(f"host {number}", 100.0)
    assert len(callers) == 10


def test_callers_with_the_most_calls_are_tracked_longest() -> None:
    callers = CallerBuckets(1, 10, 100)
    greedy = callers.bucket("greedy", 0.0)
    assert taken(greedy, 0.0) == 10
    for number in range(1000):
        callers.bucket(f"host {number}", 0.0).take(0.0)
        assert len(callers) <= 100
    assert callers.bucket("greedy", 0.0) is greedy


# The guard.


def test_calls_over_the_limit_are_rejected_with_retry_after() -> None:
    guarded = Guarded("limiter", rate=2, burst=3)
    found = [guarded.run() for _ in range(4)]
    assert found[:3] == ["answer"] * 3
    assert isinstance(found[3], Overloaded)
    assert str(found[3]) == "rejected Check.get: rate limit exceeded (2 calls per second); retry in 0.5 s"
    assert found[3].retry_after == 0.5
    (told,) = guarded.told
    assert isinstance(told, Rejected)
    assert (told.subject, told.guard) == ("Check.get", "limiter")
    guarded.advance(0.5)
    assert guarded.run() == "answer"


def test_calls_wait_for_tokens() -> None:
    guarded = Guarded("limiter", rate=10, burst=1, max_wait=0.25)
    found = guarded.at_once(5, 0)
    assert found[:3] == ["answer"] * 3
    assert [type(each) for each in found[3:]] == [Overloaded] * 2
    assert guarded.driver.slept == pytest.approx([0.1, 0.2])


def test_no_call_waits_beyond_its_deadline() -> None:
    guarded = Guarded("limiter", rate=1, burst=1, max_wait=30)
    guarded.run()
    assert isinstance(guarded.run(call=call_for(guarded.driver, 0.5)), Overloaded)
    assert guarded.driver.slept == []
    assert guarded.run(call=call_for(guarded.driver, 1.5)) == "answer"


@pytest.mark.parametrize(("per", "is_refused"), [("service", True), ("method", False)])
def test_scope_is_service_or_method(per: str, is_refused: bool) -> None:
    guarded = Guarded("limiter", rate=1, burst=1, per=per)
    guarded.run()
    other = guarded.on_server()
    other.method = PUT
    assert isinstance(guarded.run(call=other), Overloaded) is is_refused


def test_each_host_has_its_limit_whatever_the_port() -> None:
    guarded = Guarded("limiter", rate=1, burst=2, per="caller")
    for address in ("10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1", "[::1]:1", "[::1]:2", "unix", "unix"):
        assert guarded.run(call=guarded.on_server(address)) == "answer"
    for address in ("10.0.0.1:3", "[::1]:3", "unix"):
        assert isinstance(guarded.run(call=guarded.on_server(address)), Overloaded)
    assert guarded.run(call=guarded.on_server("10.0.0.2:9")) == "answer"
    assert "rate limit of 10.0.0.2 exceeded" in str(guarded.run(call=guarded.on_server("10.0.0.2:9")))


def test_on_a_client_there_is_one_caller() -> None:
    guarded = Guarded("limiter", rate=1, burst=2, per="caller")
    assert [type(guarded.run()) for _ in range(3)] == [str, str, Overloaded]
