"""Guards after a fork: a lock that another thread of the parent held would never be released in the child."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable

import pytest

from idlrt.guard.breaker import Breaker, BreakerSettings
from idlrt.guard.outlier import OutlierDetector, OutlierSettings, Record
from idlrt.guard.retry_budget import RetryBudget, RetryBudgetSettings
from idlrt.guard.window import Window

pytestmark = pytest.mark.slow

FORKS = 20


def use_breaker() -> Callable[[], object]:
    breaker = Breaker(BreakerSettings())
    return breaker.take_changes


def use_detector() -> Callable[[], object]:
    detector, record = OutlierDetector(OutlierSettings()), Record()
    return lambda: detector.watch([record])


def use_budget() -> Callable[[], object]:
    budget = RetryBudget(RetryBudgetSettings())
    return lambda: budget.spend(1.0)


def use_window() -> Callable[[], object]:
    window, times = Window(10.0, 10), itertools.count(1)
    return lambda: window.rotate(next(times) * 1.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("make", [use_breaker, use_detector, use_budget, use_window])
def test_a_guard_works_in_a_child_of_a_process_whose_threads_use_it(make: Callable[[], Callable[[], object]]) -> None:
    use, is_over = make(), threading.Event()

    def use_all_the_time() -> None:
        while not is_over.is_set():
            for _ in range(100):
                use()

    thread = threading.Thread(target=use_all_the_time)
    thread.start()
    try:
        for _ in range(FORKS):
            pid = os.fork()
            if not pid:
                signal.alarm(30)  # ends a child that waits for ever
                try:
                    use()
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        is_over.set()
        thread.join()
