"""Renamed configuration keys: the old names work for one version, with a `DeprecationWarning`.

`KEYS` is the only table of the runtime. Wherever users write keys (files, registries, `connect`, `using`, guards of
servers, annotations of the IDL) both names are accepted; `idlrt.config` applies the table when it looks a key up and
when it merges layers. `idlc.model.renamed` has the same table for annotations, and a test compares the two.

Clients of version 0.1 know the old names only, and ignore settings of a registry that they do not know. Therefore
`idlrt config set` writes old names until the operator chooses otherwise (`idlrt.config.store`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from idlrt.exports import warn_deprecated

__all__ = ["KEYS", "current_key", "first_key", "renamed_in", "warn_renamed"]

_BREAKER: Final = {
    "errors": "failure_ratio",
    "volume": "minimum_throughput",
    "consecutive": "consecutive_failures",
    "pause": "break_duration",
    "factor": "break_multiplier",
    "longest": "max_break_duration",
    "interval": "probe_interval",
    "probes": "success_threshold",
}

# Old to new, by table; the table "" has the keys without a table.
_TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "": {"panic": "panic_threshold", "tolerated": "failure_threshold"},
    "backoff": {"base": "base_delay", "factor": "multiplier", "longest": "max_delay"},
    "budget": {"reserve": "min_retries_per_second"},
    "ejection": {
        "consecutive": "consecutive_failures",
        "base": "base_ejection_time",
        "longest": "max_ejection_time",
        "most": "max_ejected_ratio",
        "deviations": "success_rate_stdev_factor",
        "rate_hosts": "success_rate_minimum_hosts",
        "rate_volume": "success_rate_request_volume",
        "failing": "failure_ratio",
        "failing_hosts": "failure_ratio_minimum_hosts",
        "failing_volume": "failure_ratio_request_volume",
    },
    "instance_breaker": _BREAKER,
    "broadcast": {"at_once": "max_concurrency"},
    "failback": {"attempts": "max_attempts"},
    "failcache": {
        "interval": "retry_interval",
        "attempts": "max_retries",
        "most": "max_entries",
        "age": "max_age",
    },
    "hedge": {"extra_load": "max_extra_load", "least_delay": "min_delay", "attempts": "max_attempts"},
    "stale": {"age": "max_age", "answers": "max_entries", "bytes": "max_entry_bytes"},
    "admission": {"forced": "force_pass_interval"},
    "breaker": _BREAKER,
    "bulkhead": {"calls": "max_concurrent_calls", "waiting": "max_queued_calls", "wait": "max_wait"},
    "concurrency": {
        "initial": "initial_limit",
        "lowest": "min_limit",
        "highest": "max_limit",
        "samples": "min_samples",
        "measured": "min_rtt_samples",
        "remeasure": "min_rtt_interval",
        "decrease": "backoff_ratio",
    },
    "limiter": {"wait": "max_wait", "callers": "max_tracked_callers"},
    "shedder": {"threshold": "cpu_threshold"},
    "consistent_hash": {"bound": "balance_factor"},
    "maglev": {"bound": "balance_factor"},
}

KEYS: Final[Mapping[str, str]] = {
    f"{table}.{old}" if table else old: f"{table}.{new}" if table else new
    for table, names in _TABLES.items()
    for old, new in names.items()
}
"""New dotted keys by old ones, without `methods.NAME.`."""

_OLD: Final[Mapping[str, str]] = {new: old for old, new in KEYS.items()}
_METHODS: Final = "methods."


def current_key(key: str) -> str:
    """Return the current name of a dotted key; the same if it was not renamed."""
    return _replaced(key, KEYS)


def first_key(key: str) -> str:
    """Return the name that a dotted key has in version 0.1; the same if it was not renamed."""
    return _replaced(key, _OLD)


def _replaced(key: str, names: Mapping[str, str]) -> str:
    if key.startswith(_METHODS):
        # Names of methods have no dots.
        head, dot, rest = key[len(_METHODS) :].partition(".")
        return f"{_METHODS}{head}{dot}{names.get(rest, rest)}"
    return names.get(key, key)


def renamed_in(keys: Iterable[str]) -> dict[str, str]:
    """Return the keys that have an old name, with their current ones."""
    return {key: current for key in keys if (current := current_key(key)) != key}


def warn_renamed(keys: Iterable[str], where: str) -> None:
    """Issue a `DeprecationWarning` for each key with an old name.

    Args:
        where: place of the keys, as in `client.toml: defaults.`.
    """
    for old, new in renamed_in(keys).items():
        warn_deprecated(f"{where}{old} is deprecated: use {new}")
