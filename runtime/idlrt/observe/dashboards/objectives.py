"""Parameters of rules: service level objectives (SLO), thresholds, and labels of alerts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

from idlrt.core import Outcome
from idlrt.errors import ConfigurationError
from idlrt.observe.dashboards.model import Severity
from idlrt.observe.exposition import BUCKETS

__all__ = ["RUNBOOKS", "SERVER_FAULTS", "THRESHOLDS", "LatencyObjective", "Objectives", "Threshold"]

RUNBOOKS: Final = "docs/monitoring.md"
"""Default of the page that describes the alerts: that of this project."""

SERVER_FAULTS: Final = frozenset(
    {
        Outcome.DEADLINE_EXCEEDED,
        Outcome.INTERNAL,
        Outcome.RESOURCE_EXHAUSTED,
        Outcome.UNAVAILABLE,
        Outcome.UNKNOWN,
    }
)
"""Outcomes that use up the error budget. Those that callers cause, such as `invalid_argument`, do not."""


class Threshold(msgspec.Struct, frozen=True):
    """Threshold of an alert.

    Attributes:
        default: its default.
        maximum: largest valid value.
        unit: what it is.
    """

    default: float
    maximum: float
    unit: str


THRESHOLDS: Final[Mapping[str, Threshold]] = {
    "workers": Threshold(0.9, 1.0, "fraction of the workers that are busy"),
    "queue": Threshold(0.1, 3600.0, "seconds that calls wait for a worker or their turn, 99th percentile"),
    "descriptors": Threshold(0.8, 1.0, "fraction of the file descriptors that are open"),
    "memory": Threshold(0.9, 1.0, "fraction of the memory limit that is used"),
    "waiting": Threshold(1.0, 1e9, "calls of a client that wait for a connection"),
    "ejected": Threshold(0.5, 1.0, "fraction of the instances that a client has taken out of rotation"),
    "restarts": Threshold(3.0, 1e9, "restarts of server processes within 15 minutes"),
    "gc": Threshold(0.05, 1.0, "fraction of the time spent in garbage collection"),
    "loop_lag": Threshold(0.1, 3600.0, "seconds that timers of event loops are late, 99th percentile"),
}
"""Thresholds of alerts by name."""

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SEVERITIES: Final[tuple[Severity, ...]] = ("page", "ticket")
_BOUNDS: Final = tuple(each for each in BUCKETS if each != math.inf)


class LatencyObjective(msgspec.Struct, frozen=True):
    """Objective for the latency of calls that succeed.

    Attributes:
        seconds: a call is fast enough up to this duration; a bucket bound of the histograms.
        percent: percentage of the calls that are to be fast enough.
    """

    seconds: float = 0.3
    percent: float = 99.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `SECONDS:PERCENT`, such as `0.3:99`.

        Raises:
            ConfigurationError: it has another form.
        """
        seconds, colon, percent = text.partition(":")
        try:
            if colon:
                return cls(float(seconds), float(percent))
        except ValueError:
            pass
        raise ConfigurationError(f"latency SLO: expected SECONDS:PERCENT, such as 0.3:99, got {text!r}")

    @property
    def budget(self) -> float:
        """Fraction of the calls that may be slower."""
        return _budget(self.percent)


class Objectives(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of rules and dashboards.

    Attributes:
        slo: percentage of the calls that are to succeed, in 30 days.
        latency: objective for latency.
        thresholds: thresholds of alerts that differ from their defaults, by name; see `THRESHOLDS`.
        severities: values of the label `severity` for `page` and `ticket`, where they differ.
        labels: further labels of all alerts.
        runbooks: URL of the page that describes the alerts.

    Raises:
        ConfigurationError: a parameter is invalid.
    """

    slo: float = 99.9
    latency: LatencyObjective = LatencyObjective()
    thresholds: Mapping[str, float] = {}
    severities: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    runbooks: str = RUNBOOKS

    def __post_init__(self) -> None:
        _check_percent("SLO", self.slo)
        _check_percent("latency SLO", self.latency.percent)
        if self.latency.seconds not in _BOUNDS:
            known = ", ".join(f"{each:g}" for each in _BOUNDS)
            what = f"must be a bucket bound of the histograms ({known}), got {self.latency.seconds:g}"
            raise ConfigurationError(f"latency SLO: the number of seconds {what}")
        for name, number in self.thresholds.items():
            _check_threshold(name, number)
        for name, value in self.severities.items():
            if name not in _SEVERITIES:
                raise ConfigurationError(f"unknown severity {name!r} (known: {', '.join(_SEVERITIES)})")
            _check_value(f"severity {name}", value)
        for name, value in self.labels.items():
            if _LABEL.fullmatch(name) is None or name.startswith("__"):
                what = "must consist of letters, digits and '_', and begin with neither a digit nor '__'"
                raise ConfigurationError(f"label {name!r}: its name {what}")
            if name in ("severity", "alertname"):
                raise ConfigurationError(f"label {name!r}: the rules set it; choose another name")
            _check_value(f"label {name}", value)
        if not _is_page(self.runbooks):
            what = "expected a URL or a path without spaces and '#', such as https://wiki.example.com/rpc"
            raise ConfigurationError(f"runbooks: {what}, got {self.runbooks!r}")

    @property
    def budget(self) -> float:
        """Fraction of the calls that may fail."""
        return _budget(self.slo)

    def threshold(self, name: str) -> float:
        """Return a threshold."""
        return self.thresholds.get(name, THRESHOLDS[name].default)

    def severity(self, severity: Severity) -> str:
        """Return the value of the label `severity`."""
        return self.severities.get(severity, severity)


def _budget(percent: float) -> float:
    # Without the digits that 1 - 0.999 has in binary.
    return round((100.0 - percent) / 100.0, 12)


def _check_percent(name: str, value: float) -> None:
    if not 50.0 <= value <= 99.9999:
        raise ConfigurationError(f"{name}: must be between 50 and 99.9999 percent, got {value:g}")


def _check_threshold(name: str, value: float) -> None:
    found = THRESHOLDS.get(name)
    if found is None:
        raise ConfigurationError(f"unknown threshold {name!r} (known: {', '.join(sorted(THRESHOLDS))})")
    if not 0.0 < value <= found.maximum:
        limit = f"must be above 0 and at most {found.maximum:g}"
        raise ConfigurationError(f"threshold {name}: {limit} ({found.unit}), got {value:g}")


def _check_value(name: str, value: str) -> None:
    if not value or not value.isprintable() or value != value.strip() or "{{" in value:
        raise ConfigurationError(f"{name}: expected printable text without '{{{{', got {value!r}")


def _is_page(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.path or parts.netloc) and not parts.fragment and text.isprintable() and " " not in text
