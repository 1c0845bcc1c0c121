"""Refusing calls before they do harm. Guards are plugins: entry points `idlrt.guards`.

`RetryBudget`, `OutlierDetector` and `Breaker` stand in no call's way: the cluster asks them.
"""

from idlrt.guard.admission import AdmissionControl
from idlrt.guard.base import GUARDS, AnyCall, Guard, Next
from idlrt.guard.breaker import Breaker, BreakerSettings, CircuitBreaker
from idlrt.guard.bulkhead import Bulkhead
from idlrt.guard.concurrency import AdaptiveConcurrency
from idlrt.guard.fallback import Fallback
from idlrt.guard.limiter import RateLimiter
from idlrt.guard.outlier import OutlierDetector, OutlierSettings, Record
from idlrt.guard.retry_budget import RetryBudget, RetryBudgetSettings
from idlrt.guard.shedder import LoadShedder
from idlrt.guard.timeout import Timeout

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
