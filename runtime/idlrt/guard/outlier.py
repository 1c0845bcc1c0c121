"""Outlier detection: passive health checking, which ejects instances that perform worse than the others.

Three rules eject an instance: consecutive failures; a success rate far below the mean; a failure ratio above a
threshold. The first one applies at once, the others at the end of each interval. An ejected instance returns after a
time that grows with each ejection and shrinks with each interval without one. The fraction of ejected instances is
limited (but one may always be ejected): if all fail, the instances are not the cause. The caller decides what happens
if no instance is left.

Nothing here is consulted before a call, and a successful call costs two assignments.

Sources: Envoy's outlier detection, with its defaults,
https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier; gRFC A50 (the cap is never below the
base, one may always be ejected), https://github.com/grpc/proposal/blob/master/A50-xds-outlier-detection.md
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from idlrt.core.forks import forks
from idlrt.core.policy import Fraction, Positive
from idlrt.printable import plural

__all__ = ["OutlierDetector", "OutlierSettings", "Record"]

Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)]


class OutlierSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the ejection of outliers.

    They are Envoy's, without its "5xx" in names; Envoy disables the rule of `failure_ratio` by default
    (`enforcing_failure_percentage`).
    """

    consecutive_failures: Annotated[
        CountOrNone, Meta(description="consecutive failures that trigger ejection; 0 disables.")
    ] = 5
    interval: Annotated[
        Positive, Meta(description="time between two evaluations of success rates and failure ratios.")
    ] = 10.0
    base_ejection_time: Annotated[
        Positive,
        Meta(
            description="duration of the first ejection; the second one takes twice as long, the third one three times."
        ),
    ] = 30.0
    max_ejection_time: Annotated[Positive, Meta(description="upper bound of the duration of an ejection.")] = 300.0
    max_ejected_ratio: Annotated[
        Fraction,
        Meta(description="maximum fraction of instances that are ejected at the same time; one may always be."),
    ] = 0.1
    success_rate_stdev_factor: Annotated[
        float,
        Meta(
            ge=0,
            description="ejection threshold of the success rate, in standard deviations below the mean; 0 disables.",
        ),
    ] = 1.9
    success_rate_minimum_hosts: Annotated[
        Count,
        Meta(
            description="minimum number of instances with `success_rate_request_volume` calls before success rates "
            "are compared."
        ),
    ] = 5
    success_rate_request_volume: Annotated[
        Count,
        Meta(description="minimum number of calls to an instance within `interval` before its success rate counts."),
    ] = 100
    failure_ratio: Annotated[Fraction, Meta(description="failure ratio that triggers ejection; 0 disables.")] = 0.85
    failure_ratio_minimum_hosts: Annotated[
        Count,
        Meta(
            description="minimum number of instances with `failure_ratio_request_volume` calls before failure ratios "
            "count."
        ),
    ] = 5
    failure_ratio_request_volume: Annotated[
        Count,
        Meta(description="minimum number of calls to an instance within `interval` before its failure ratio counts."),
    ] = 50


class Record:
    """Outcomes of the calls of one instance. Threads may share it; simultaneous increments may lose one of them.

    Attributes:
        successes: successful calls in the current interval.
        failures: failed calls in the current interval.
        consecutive_failures: failures since the last success.
        multiplier: number of ejections, less one for each interval without one; multiplies `base_ejection_time`.
        ejected_until: time of its return, on the detector's clock; 0 while it is not ejected.
        why: reason of the last ejection, human-readable.
    """

    __slots__ = ("consecutive_failures", "ejected_until", "failures", "multiplier", "successes", "why")

    def __init__(self) -> None:
        self.successes = self.failures = self.consecutive_failures = self.multiplier = 0
        self.ejected_until = 0.0
        self.why = ""

    def succeeded(self) -> None:
        """Record a success."""
        self.successes += 1
        self.consecutive_failures = 0

    def failed(self) -> None:
        """Record a failure. `OutlierDetector.failed` calls this."""
        self.failures += 1
        self.consecutive_failures += 1


R = TypeVar("R", bound=Record)


class OutlierDetector:
    """Ejects and restores the instances of one service. Thread-safe.

    Its owner calls `sweep` every `settings.interval` seconds, and `watch` when the set of instances changes.
    """

    Settings = OutlierSettings

    __slots__ = ("__weakref__", "_ejected", "_hosts", "_lock", "settings")

    def __init__(self, settings: OutlierSettings) -> None:
        self.settings = settings
        self.after_fork()
        forks.register(self)
        self._hosts = 0
        self._ejected = 0

    def after_fork(self) -> None:
        """Replace the lock after a fork."""
        self._lock = threading.Lock()

    @property
    def ejected(self) -> int:
        """Number of ejected instances."""
        return self._ejected

    def watch(self, records: Collection[Record]) -> None:
        """Replace the set of instances."""
        with self._lock:
            self._hosts = len(records)
            self._ejected = sum(record.ejected_until > 0 for record in records)

    def failed(self, record: Record, now: float) -> bool:
        """Record a failure of an instance. Return whether it is ejected for that."""
        record.failed()
        if not 0 < self.settings.consecutive_failures <= record.consecutive_failures or record.ejected_until:
            return False
        with self._lock:
            row = record.consecutive_failures
            why = plural(row, "consecutive failure")
            return row >= self.settings.consecutive_failures and self._eject(record, now, why)

    def sweep(self, records: Collection[R], now: float) -> tuple[list[R], list[R]]:
        """Evaluate success rates and failure ratios, and start a new interval.

        Args:
            records: records of all instances.
            now: time on the detector's clock.

        Returns:
            Ejected instances, and restored ones.
        """
        self.watch(records)
        ejected: list[R] = []
        restored: list[R] = []
        with self._lock:
            rates: list[tuple[R, int, float]] = []
            for record in records:
                if not record.ejected_until:
                    # An interval without ejection.
                    record.multiplier = max(record.multiplier - 1, 0)
                elif now >= record.ejected_until:
                    self._restore(record)
                    restored.append(record)
                total = record.successes + record.failures
                if total and not record.ejected_until:
                    rates.append((record, total, record.successes / total))
                record.successes = record.failures = 0
            found = *self._success_rate_outliers(rates), *self._failure_ratio_outliers(rates)
            for record, why in found:
                if self._eject(record, now, why):
                    ejected.append(record)
            return ejected, restored

    def _success_rate_outliers(self, rates: Iterable[tuple[R, int, float]]) -> list[tuple[R, str]]:
        settings = self.settings
        enough = [(record, rate) for record, total, rate in rates if total >= settings.success_rate_request_volume]
        if not settings.success_rate_stdev_factor or len(enough) < settings.success_rate_minimum_hosts:
            return []
        mean = math.fsum(rate for _, rate in enough) / len(enough)
        deviation = math.sqrt(math.fsum((rate - mean) ** 2 for _, rate in enough) / len(enough))
        least = mean - settings.success_rate_stdev_factor * deviation
        return [
            (record, f"success rate {rate:.1%} is far below the mean {mean:.1%}")
            for record, rate in enough
            if rate < least
        ]

    def _failure_ratio_outliers(self, rates: Iterable[tuple[R, int, float]]) -> list[tuple[R, str]]:
        settings = self.settings
        enough = [(record, 1 - rate) for record, total, rate in rates if total >= settings.failure_ratio_request_volume]
        if not settings.failure_ratio or len(enough) < settings.failure_ratio_minimum_hosts:
            return []
        return [(record, f"failure ratio {bad:.1%}") for record, bad in enough if bad >= settings.failure_ratio]

    def _eject(self, record: Record, now: float, why: str) -> bool:
        settings = self.settings
        if record.ejected_until or (self._ejected and self._ejected + 1 > settings.max_ejected_ratio * self._hosts):
            return False
        # A50: the cap is never below the base.
        longest = max(settings.base_ejection_time, settings.max_ejection_time)
        if settings.base_ejection_time * record.multiplier < longest + settings.base_ejection_time:
            record.multiplier += 1
        record.ejected_until = now + min(settings.base_ejection_time * record.multiplier, longest)
        record.consecutive_failures = 0
        record.why = why
        self._ejected += 1
        return True

    def _restore(self, record: Record) -> None:
        record.ejected_until = 0.0
        record.consecutive_failures = 0
        self._ejected -= 1
