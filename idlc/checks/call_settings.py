"""Call settings that annotations can set, with their types and ranges, generated from those of the runtime.

Do not edit. After a change of `CallPolicy` or `ServicePolicy`, update this module with
`IDLC_GOLDEN=update pytest tests/idlc/checks/test_policy_settings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from idlc.checks.setting import Setting

__all__ = ["CALL_SETTINGS", "SERVICE_KEYS", "SERVICE_TABLES"]

CALL_SETTINGS: Final[Mapping[str, Setting]] = {
    "timeout": Setting(type=float, minimum=1e-09, maximum=2000000.0, unit="seconds"),
    "attempt_timeout": Setting(type=float, minimum=1e-09, maximum=2000000.0, unit="seconds", is_optional=True),
    "balancer": Setting(type=str, is_name=True),
    "fault": Setting(type=str, is_name=True),
    "retries": Setting(type=int, minimum=0, maximum=100),
    "idempotent": Setting(type=bool, is_optional=True),
    "hash_by": Setting(type=str),
    "chain_stop": Setting(type=bool),
    "backoff.base_delay": Setting(type=float, minimum=0, maximum=2000000.0, unit="seconds"),
    "backoff.multiplier": Setting(type=float, minimum=1, maximum=1000000000.0),
    "backoff.max_delay": Setting(type=float, minimum=0, maximum=2000000.0, unit="seconds"),
    "backoff.jitter": Setting(type=float, minimum=0, maximum=1),
}
"""Settings of calls, by key."""

SERVICE_KEYS: Final = frozenset(["failure_threshold", "panic_threshold", "routes", "warm_up"])
SERVICE_TABLES: Final = frozenset(["budget", "ejection", "instance_breaker", "sampling"])
"""Keys and tables of settings that belong to a service as a whole, not to its calls."""
