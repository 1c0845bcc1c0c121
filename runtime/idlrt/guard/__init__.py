"""Overload and failure protection: filters that reject calls, or replace their results.

Guards are plugins, entry points `idlrt.guards`. `RetryBudget`, `OutlierDetector` and `Breaker` are no guards: clusters
of clients consult them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from idlrt.exports import lazy_exports
from idlrt.guard.base import GUARDS, AnyCall, Guard, Next

if TYPE_CHECKING:
    from idlrt.guard.admission import AdmissionControl
    from idlrt.guard.breaker import Breaker, BreakerSettings, CircuitBreaker
    from idlrt.guard.bulkhead import Bulkhead
    from idlrt.guard.concurrency import AdaptiveConcurrency
    from idlrt.guard.deadline import Timeout
    from idlrt.guard.fallback import Fallback
    from idlrt.guard.limiter import RateLimiter
    from idlrt.guard.outlier import OutlierDetector, OutlierSettings, Record
    from idlrt.guard.retry_budget import RetryBudget, RetryBudgetSettings
    from idlrt.guard.shedder import LoadShedder

__all__ = [
    "GUARDS",
    "AdaptiveConcurrency",
    "AdmissionControl",
    "AnyCall",
    "Breaker",
    "BreakerSettings",
    "Bulkhead",
    "CircuitBreaker",
    "Fallback",
    "Guard",
    "LoadShedder",
    "Next",
    "OutlierDetector",
    "OutlierSettings",
    "RateLimiter",
    "Record",
    "RetryBudget",
    "RetryBudgetSettings",
    "Timeout",
]

if not TYPE_CHECKING:
    # Most programs use none of the guards.
    __getattr__ = lazy_exports(
        __name__,
        {
            ".admission": ("AdmissionControl",),
            ".breaker": ("Breaker", "BreakerSettings", "CircuitBreaker"),
            ".bulkhead": ("Bulkhead",),
            ".concurrency": ("AdaptiveConcurrency",),
            ".deadline": ("Timeout",),
            ".fallback": ("Fallback",),
            ".limiter": ("RateLimiter",),
            ".outlier": ("OutlierDetector", "OutlierSettings", "Record"),
            ".retry_budget": ("RetryBudget", "RetryBudgetSettings"),
            ".shedder": ("LoadShedder",),
        },
    )
