"""Retry budget: limits retries to a fraction of the calls, so that they never become most of the load.

Each call makes a deposit and each retry a withdrawal. Deposits expire after some seconds. A minimum rate of retries
lets clients with few calls retry, too.

Source: Finagle's `RetryBudget`, with its defaults, https://twitter.github.io/finagle/guide/Clients.html#retries
"""

from __future__ import annotations

import threading
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from idlrt.core.forks import forks
from idlrt.core.policy import Positive
from idlrt.guard.window import Window

__all__ = ["RetryBudget", "RetryBudgetSettings"]

_BUCKETS: Final = 10
# Tolerance for rounding errors.
_NEARLY: Final = 1e-9


class RetryBudgetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the retry budget."""

    ratio: Annotated[float, Meta(ge=0, le=1000, description="retries per call; 0.2 allows 1 retry for 5 calls.")] = 0.2
    min_retries_per_second: Annotated[
        float, Meta(ge=0, description="retries per second in addition to `ratio`, for clients with few calls.")
    ] = 10.0
    ttl: Annotated[
        Positive, Meta(description="time for which a call counts, and in which `min_retries_per_second` accumulates.")
    ] = 10.0


class RetryBudget:
    """Retry budget of one service on this client. Thread-safe: no retry is granted twice.

    Attributes:
        settings: settings of the budget.
    """

    Settings = RetryBudgetSettings

    __slots__ = ("__weakref__", "_lock", "_ratio", "_reserve", "_window", "settings")

    def __init__(self, settings: RetryBudgetSettings) -> None:
        self.settings = settings
        self.after_fork()
        forks.register(self)
        self._ratio = settings.ratio
        self._reserve = settings.min_retries_per_second * settings.ttl
        # `successes` counts calls, `failures` retries.
        self._window = Window(settings.ttl, _BUCKETS)

    def after_fork(self) -> None:
        """Replace the lock after a fork."""
        self._lock = threading.Lock()

    def deposit(self, now: float) -> None:
        """Record a call, not a retry."""
        window = self._window
        if now >= window.ends:
            window.rotate(now)
        window.successes += 1

    def spend(self, now: float) -> bool:
        """Withdraw one retry. Return `False` if the budget is exhausted."""
        with self._lock:
            if self.balance(now) < 1 - _NEARLY:
                return False
            self._window.failures += 1
            return True

    def balance(self, now: float) -> float:
        """Return the number of retries that are available."""
        window = self._window
        if now >= window.ends:
            window.rotate(now)
        deposits = window.earlier_successes + window.successes
        return deposits * self._ratio + self._reserve - window.earlier_failures - window.failures
