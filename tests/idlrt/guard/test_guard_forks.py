"""A process may fork while another thread holds a lock of a guard: nobody would ever open that in the child."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.core.forks import forks
from idlrt.guard.breaker import Breaker, BreakerSettings
from idlrt.guard.outlier import OutlierDetector, OutlierSettings
from idlrt.guard.retry_budget import RetryBudget, RetryBudgetSettings
from idlrt.guard.window import Window


@pytest.mark.parametrize(
    "make",
    [
        lambda: Breaker(BreakerSettings()),
        lambda: OutlierDetector(OutlierSettings()),
        lambda: RetryBudget(RetryBudgetSettings()),
        lambda: Window(10.0, 10),
    ],
)
def test_nobody_holds_a_lock_in_the_child(make: Any) -> None:
    guard = make()
    guard._lock.acquire()
    assert guard in forks._renewed
    guard.renew()  # as `forks` does there
    assert guard._lock.acquire(timeout=0)
