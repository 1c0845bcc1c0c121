"""Refusing calls before they do harm. Guards are plugins: entry points `idlrt.guards`.

`RetryBudget`, `OutlierDetector` and `Breaker` stand in no call's way: the cluster asks them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

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

# Most programs use none of them, and pay for none.
_HOMES: Final = {
    "AdaptiveConcurrency": "concurrency",
    "AdmissionControl": "admission",
    "Breaker": "breaker",
    "BreakerSettings": "breaker",
    "Bulkhead": "bulkhead",
    "CircuitBreaker": "breaker",
    "Fallback": "fallback",
    "LoadShedder": "shedder",
    "OutlierDetector": "outlier",
    "OutlierSettings": "outlier",
    "RateLimiter": "limiter",
    "Record": "outlier",
    "RetryBudget": "retry_budget",
    "RetryBudgetSettings": "retry_budget",
    "Timeout": "deadline",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
