"""Which instances are worse than the others, and get no calls for a while: passive health, by what calls come to.

Three rules: too many failures in a row; a success rate far below that of the others; failures for nearly all calls.
The first one counts at once, the others are looked at every interval. Who is ejected comes back after a time that grows
with every ejection and shrinks while it behaves. However bad it looks, only a small part is ejected (but one may be in
any case): if all fail, the instances are not the reason. What is done when nobody is left is the caller's business.

Nothing here is asked before a call, and a good call costs two assignments.

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

__all__ = ["OutlierDetector", "OutlierSettings", "Record"]

Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)]


class OutlierSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the ejection of outliers.

    They are Envoy's, whose names say "5xx"; Envoy disables the rule of `failing` by default
    (`enforcing_failure_percentage`).
    """

    consecutive: Annotated[CountOrNone, Meta(description="consecutive failures that trigger ejection; 0 disables.")] = 5
    interval: Annotated[
        Positive, Meta(description="time between two evaluations of success rates and failure ratios.")
    ] = 10.0
    base: Annotated[
        Positive,
        Meta(
            description="duration of the first ejection; the second one takes twice as long, the third one three times."
        ),
    ] = 30.0
    longest: Annotated[Positive, Meta(description="upper bound of the duration of an ejection.")] = 300.0
    most: Annotated[
        Fraction,
        Meta(description="maximum fraction of the instances that are ejected at the same time; one may always be."),
    ] = 0.1
    deviations: Annotated[
        float,
        Meta(
            ge=0,
            description="ejection threshold of the success rate, in standard deviations below the mean; 0 disables.",
        ),
    ] = 1.9
    rate_hosts: Annotated[
        Count,
        Meta(description="minimum number of instances with `rate_volume` calls before success rates are compared."),
    ] = 5
    rate_volume: Annotated[
        Count,
        Meta(description="minimum number of calls to an instance within `interval` before its success rate counts."),
    ] = 100
    failing: Annotated[Fraction, Meta(description="failure ratio that triggers ejection; 0 disables.")] = 0.85
    failing_hosts: Annotated[
        Count, Meta(description="minimum number of instances with `failing_volume` calls before failure ratios count.")
    ] = 5
    failing_volume: Annotated[
        Count,
        Meta(description="minimum number of calls to an instance within `interval` before its failure ratio counts."),
    ] = 50


class Record:
    """What became of the calls of one instance. Threads may share it; a count that two add to may lose one.

    Attributes:
        good: calls in the present interval that were answered.
        bad: those that failed.
        row: failures since the last good call.
        times: by which the base is multiplied when it is ejected next, less one.
        ejected_until: when it may come back, on the detector's clock; 0 while it is not ejected.
        why: it was ejected last, in words.
    """

    __slots__ = ("bad", "ejected_until", "good", "row", "times", "why")

    def __init__(self) -> None:
        self.good = self.bad = self.row = self.times = 0
        self.ejected_until = 0.0
        self.why = ""

    def succeeded(self) -> None:
        """A call was answered."""
        self.good += 1
        self.row = 0

    def failed(self) -> None:
        """A call failed. `OutlierDetector.failed` calls this."""
        self.bad += 1
        self.row += 1


R = TypeVar("R", bound=Record)


class OutlierDetector:
    """Decides for the instances of one service. Threads may share it.

    Who owns it calls `sweep` every `settings.interval` seconds, and `watch` when there are other instances.
    """

    Settings = OutlierSettings

    __slots__ = ("__weakref__", "_ejected", "_hosts", "_lock", "settings")

    def __init__(self, settings: OutlierSettings) -> None:
        self.settings = settings
        self.renew()
        forks.renew(self)
        self._hosts = 0
        self._ejected = 0

    def renew(self) -> None:
        """In a child of the process."""
        self._lock = threading.Lock()

    @property
    def ejected(self) -> int:
        """How many are ejected."""
        return self._ejected

    def watch(self, records: Collection[Record]) -> None:
        """These are all instances now."""
        with self._lock:
            self._hosts = len(records)
            self._ejected = sum(record.ejected_until > 0 for record in records)

    def failed(self, record: Record, now: float) -> bool:
        """A call of an instance failed. Whether the instance is ejected for that."""
        record.failed()
        if not 0 < self.settings.consecutive <= record.row or record.ejected_until:
            return False
        with self._lock:
            row = record.row
            return row >= self.settings.consecutive and self._eject(record, now, f"{row} calls in a row have failed")

    def sweep(self, records: Collection[R], now: float) -> tuple[list[R], list[R]]:
        """Look at the rates, and begin a new interval.

        Args:
            records: of all instances.

        Returns:
            Those that were ejected, and those that come back.
        """
        self.watch(records)
        ejected: list[R] = []
        restored: list[R] = []
        with self._lock:
            rates: list[tuple[R, int, float]] = []
            for record in records:
                if not record.ejected_until:
                    # It was quiet for an interval.
                    record.times = max(record.times - 1, 0)
                elif now >= record.ejected_until:
                    self._restore(record)
                    restored.append(record)
                total = record.good + record.bad
                if total and not record.ejected_until:
                    rates.append((record, total, record.good / total))
                record.good = record.bad = 0
            found = *self._below_the_others(rates), *self._failing(rates)
            for record, why in found:
                if self._eject(record, now, why):
                    ejected.append(record)
            return ejected, restored

    def _below_the_others(self, rates: Iterable[tuple[R, int, float]]) -> list[tuple[R, str]]:
        settings = self.settings
        enough = [(record, rate) for record, total, rate in rates if total >= settings.rate_volume]
        if not settings.deviations or len(enough) < settings.rate_hosts:
            return []
        mean = math.fsum(rate for _, rate in enough) / len(enough)
        deviation = math.sqrt(math.fsum((rate - mean) ** 2 for _, rate in enough) / len(enough))
        least = mean - settings.deviations * deviation
        return [
            (record, f"{rate:.1%} of its calls were good, where the mean is {mean:.1%}")
            for record, rate in enough
            if rate < least
        ]

    def _failing(self, rates: Iterable[tuple[R, int, float]]) -> list[tuple[R, str]]:
        settings = self.settings
        enough = [(record, 1 - rate) for record, total, rate in rates if total >= settings.failing_volume]
        if not settings.failing or len(enough) < settings.failing_hosts:
            return []
        return [(record, f"{bad:.1%} of its calls failed") for record, bad in enough if bad >= settings.failing]

    def _eject(self, record: Record, now: float, why: str) -> bool:
        settings = self.settings
        if record.ejected_until or (self._ejected and self._ejected + 1 > settings.most * self._hosts):
            return False
        # A50: the cap is never below the base.
        longest = max(settings.base, settings.longest)
        if settings.base * record.times < longest + settings.base:
            record.times += 1
        record.ejected_until = now + min(settings.base * record.times, longest)
        record.row = 0
        record.why = why
        self._ejected += 1
        return True

    def _restore(self, record: Record) -> None:
        record.ejected_until = 0.0
        record.row = 0
        self._ejected -= 1
