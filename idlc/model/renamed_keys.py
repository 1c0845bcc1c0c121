"""Renamed keys of settings: old names work for one version, with a warning of the check `policy.renamed`.

The runtime has the same table (`idlrt.core.renamed`), which a test compares: the compiler does not import the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["RENAMED_KEYS", "current_key"]

RENAMED_KEYS: Final[Mapping[str, str]] = {
    "panic": "panic_threshold",
    "tolerated": "failure_threshold",
    "backoff.base": "backoff.base_delay",
    "backoff.factor": "backoff.multiplier",
    "backoff.longest": "backoff.max_delay",
    "budget.reserve": "budget.min_retries_per_second",
    "ejection.consecutive": "ejection.consecutive_failures",
    "ejection.base": "ejection.base_ejection_time",
    "ejection.longest": "ejection.max_ejection_time",
    "ejection.most": "ejection.max_ejected_ratio",
    "ejection.deviations": "ejection.success_rate_stdev_factor",
    "ejection.rate_hosts": "ejection.success_rate_minimum_hosts",
    "ejection.rate_volume": "ejection.success_rate_request_volume",
    "ejection.failing": "ejection.failure_ratio",
    "ejection.failing_hosts": "ejection.failure_ratio_minimum_hosts",
    "ejection.failing_volume": "ejection.failure_ratio_request_volume",
    "instance_breaker.errors": "instance_breaker.failure_ratio",
    "instance_breaker.volume": "instance_breaker.minimum_throughput",
    "instance_breaker.consecutive": "instance_breaker.consecutive_failures",
    "instance_breaker.pause": "instance_breaker.break_duration",
    "instance_breaker.factor": "instance_breaker.break_multiplier",
    "instance_breaker.longest": "instance_breaker.max_break_duration",
    "instance_breaker.interval": "instance_breaker.probe_interval",
    "instance_breaker.probes": "instance_breaker.success_threshold",
    "broadcast.at_once": "broadcast.max_concurrency",
    "failback.attempts": "failback.max_attempts",
    "failcache.interval": "failcache.retry_interval",
    "failcache.attempts": "failcache.max_retries",
    "failcache.most": "failcache.max_entries",
    "failcache.age": "failcache.max_age",
    "hedge.extra_load": "hedge.max_extra_load",
    "hedge.least_delay": "hedge.min_delay",
    "hedge.attempts": "hedge.max_attempts",
    "stale.age": "stale.max_age",
    "stale.answers": "stale.max_entries",
    "stale.bytes": "stale.max_entry_bytes",
    "admission.forced": "admission.force_pass_interval",
    "breaker.errors": "breaker.failure_ratio",
    "breaker.volume": "breaker.minimum_throughput",
    "breaker.consecutive": "breaker.consecutive_failures",
    "breaker.pause": "breaker.break_duration",
    "breaker.factor": "breaker.break_multiplier",
    "breaker.longest": "breaker.max_break_duration",
    "breaker.interval": "breaker.probe_interval",
    "breaker.probes": "breaker.success_threshold",
    "bulkhead.calls": "bulkhead.max_concurrent_calls",
    "bulkhead.waiting": "bulkhead.max_queued_calls",
    "bulkhead.wait": "bulkhead.max_wait",
    "concurrency.initial": "concurrency.initial_limit",
    "concurrency.lowest": "concurrency.min_limit",
    "concurrency.highest": "concurrency.max_limit",
    "concurrency.samples": "concurrency.min_samples",
    "concurrency.measured": "concurrency.min_rtt_samples",
    "concurrency.remeasure": "concurrency.min_rtt_interval",
    "concurrency.decrease": "concurrency.backoff_ratio",
    "limiter.wait": "limiter.max_wait",
    "limiter.callers": "limiter.max_tracked_callers",
    "shedder.threshold": "shedder.cpu_threshold",
    "consistent_hash.bound": "consistent_hash.balance_factor",
    "maglev.bound": "maglev.balance_factor",
}
"""Current keys by old ones, without the prefix of annotations."""


def current_key(key: str) -> str:
    """Return the current name of a key; the same if it was not renamed."""
    return RENAMED_KEYS.get(key, key)
