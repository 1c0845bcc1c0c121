"""Retry budgets."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.guard import RetryBudget, RetryBudgetSettings


def spent(budget: RetryBudget, now: float) -> int:
    count = 0
    while budget.spend(now):
        count += 1
    return count


def test_one_retry_for_five_calls_and_a_minimum_rate() -> None:
    budget = RetryBudget(RetryBudgetSettings())
    for _ in range(1000):
        budget.deposit(0.0)
    assert budget.balance(0.0) == 300
    assert spent(budget, 0.0) == 300, "a fifth of 1000, and 10 a second for 10 s"


def test_without_a_minimum_rate_few_calls_are_not_retried() -> None:
    budget = RetryBudget(RetryBudgetSettings(min_retries_per_second=0))
    assert spent(budget, 0.0) == 0
    for _ in range(4):
        budget.deposit(0.0)
    assert spent(budget, 0.0) == 0
    budget.deposit(0.0)
    assert spent(budget, 0.0) == 1


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.3, 0.7])
def test_rounding_loses_no_retry(ratio: float) -> None:
    budget = RetryBudget(RetryBudgetSettings(ratio=ratio, min_retries_per_second=0))
    for _ in range(1000):
        budget.deposit(0.0)
    assert spent(budget, 0.0) == round(1000 * ratio)


def test_deposits_and_withdrawals_expire() -> None:
    budget = RetryBudget(RetryBudgetSettings(min_retries_per_second=1))
    for _ in range(100):
        budget.deposit(0.0)
    assert spent(budget, 5.5) == 30
    assert budget.balance(9.9) == 0
    assert budget.balance(10.5) == -20, "the deposits have gone, the retries have not"
    assert spent(budget, 10.5) == 0
    assert spent(budget, 15.6) == 10


@given(
    st.floats(0, 1),
    st.floats(0, 5),
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40),
)
def test_no_retry_is_more_than_the_last_ten_seconds_allow(
    ratio: float, reserve: float, steps: list[tuple[float, int, int]]
) -> None:
    budget = RetryBudget(RetryBudgetSettings(ratio=ratio, min_retries_per_second=reserve))
    now = 0.0
    deposits: list[float] = []
    retries: list[float] = []
    for seconds, calls, failures in steps:
        now += seconds
        for _ in range(calls):
            budget.deposit(now)
            deposits.append(now)
        for _ in range(failures):
            if budget.spend(now):
                retries.append(now)
                # A bucket is a second long, so the edges of the window are that fuzzy.
                lately = sum(at > now - 9 for at in retries)
                assert lately <= ratio * sum(at > now - 11 for at in deposits) + reserve * 10 + 1e-6


def test_no_retry_is_granted_twice_to_threads() -> None:
    budget = RetryBudget(RetryBudgetSettings(min_retries_per_second=100))
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(spent(budget, 0.0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 1000
