"""Tail sampling: which traces are kept, decided when they are complete.

Kept are all traces with a failed span, slow ones, those with a rare operation, and a share of the rest by the trace
id, which all collectors and samplers with that share agree on. Use it where services record all traces.

Slow is a trace that takes longer than a threshold, or than 99 % of the recent ones with the same root. The quantile
is read from a histogram with buckets of 9 %, whose counts are halved when there are many: so it follows changes.

Source of the share: OpenTelemetry, consistent probability sampling; see `idlrt.observe.tracing.thresholds`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Final

import msgspec

from idlrt.collector.traces.digest import Call, Digest
from idlrt.collector.traces.query import Reason
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.thresholds import MIN_PROBABILITY, RANDOM_BITS, threshold

__all__ = ["TailDecision", "TailSampling"]

_MICRO: Final = 1_000_000
_BUCKETS_OF_DOUBLE: Final = 8
_QUANTILE: Final = 0.99
# A quantile of fewer traces says nothing.
_MIN_COUNT: Final = 200
_MAX_COUNT: Final = 20_000
_MINUTE: Final = 60
_DIGITS: Final = RANDOM_BITS // 4


class TailDecision(msgspec.Struct, frozen=True):
    """Decision about a trace.

    Attributes:
        reason: why it is kept; `None` if it is dropped.
        adjusted_count: number of traces that it stands for; 0 if it is dropped.
    """

    reason: Reason | None
    adjusted_count: float


_DROPPED: Final = TailDecision(None, 0.0)
_FAILED: Final = TailDecision("failed", 1.0)
_SLOW: Final = TailDecision("slow", 1.0)
_RARE: Final = TailDecision("rare", 1.0)


class TailSampling:
    """Sampler of complete traces. Used by one thread; its figures may be read by all.

    Args:
        share: share of the traces without a particular reason, between 0 and 1.
        slow_s: duration in seconds from which a trace is slow: one for all, or by `Service.method` of the root, with
            `*` for others. Where there is none, the running 99th percentile of the root is used.
        rare: number of traces that are kept per operation and minute; 0 disables.
        max_operations: number of operations whose durations and numbers are known. Further ones are neither slow by
            the percentile nor rare.

    Attributes:
        kept: numbers of kept traces by reason.
        dropped: number of dropped traces.
        over_limit: number of times that an operation was unknown because of `max_operations`.

    Raises:
        ConfigurationError: a value is out of range.
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        slow_s: float | Mapping[str, float] | None = None,
        rare: int = 1,
        max_operations: int = 2000,
    ) -> None:
        if share and not MIN_PROBABILITY <= share <= 1:
            raise ConfigurationError(f"tail sampling: share must be between 0 and 1, got {share!r}")
        if rare < 0 or max_operations < 1:
            raise ConfigurationError(
                f"tail sampling: rare must be at least 0 and max_operations at least 1, got {rare} and {max_operations}"
            )
        limits = {} if slow_s is None else dict(slow_s) if isinstance(slow_s, Mapping) else {"*": slow_s}
        if not all(each > 0 for each in limits.values()):
            raise ConfigurationError(f"tail sampling: slow_s must be above 0, got {slow_s!r}")
        self._slow = {name: round(each * _MICRO) for name, each in limits.items()}
        self._rare = rare
        self._max_operations = max_operations
        self._durations: dict[Call, _Durations] = {}
        self._minute = -1
        self._seen: dict[Call, int] = {}
        self._threshold = threshold(share) if share else 1 << RANDOM_BITS
        self._share = TailDecision("share", 1 / share if share else 0.0)
        self.kept: dict[Reason, int] = {"failed": 0, "slow": 0, "rare": 0, "share": 0}
        self.dropped = self.over_limit = 0

    def decide(self, trace_id: str, digest: Digest, now: float) -> TailDecision:
        """Return the decision about a trace.

        Args:
            trace_id: its id.
            digest: its digest.
            now: time in seconds; minutes of it bound the number of rare traces.
        """
        is_slow, is_rare = self._is_slow(digest), self._is_rare(digest, now)
        if digest.failed:
            decision = _FAILED
        elif is_slow:
            decision = _SLOW
        elif is_rare:
            decision = _RARE
        elif _randomness(trace_id) >= self._threshold:
            decision = self._share
        else:
            decision = _DROPPED
        if decision.reason is None:
            self.dropped += 1
        else:
            self.kept[decision.reason] += 1
        return decision

    def _is_slow(self, digest: Digest) -> bool:
        limit = self._slow.get(digest.root[1], self._slow.get("*"))
        if limit is not None:
            return digest.duration >= limit
        durations = self._durations.get(digest.root)
        if durations is None:
            if len(self._durations) >= self._max_operations:
                self.over_limit += 1
                return False
            durations = self._durations[digest.root] = _Durations()
        return durations.add(digest.duration)

    def _is_rare(self, digest: Digest, now: float) -> bool:
        minute = int(now // _MINUTE)
        if minute != self._minute:
            self._minute = minute
            self._seen = {}
        found = False
        for call in digest.calls:
            seen = self._seen.get(call, 0)
            if seen >= self._rare:
                continue
            if not seen and len(self._seen) >= self._max_operations:
                self.over_limit += 1
                continue
            self._seen[call] = seen + 1
            found = True
        return found


class _Durations:
    """Histogram of recent durations."""

    __slots__ = ("_buckets", "_count")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._count = 0

    def add(self, duration: int) -> bool:
        """Add a duration, and return whether it is above the 99th percentile of those before."""
        bucket = int(math.log2(duration + 1) * _BUCKETS_OF_DOUBLE)
        is_above = False
        if self._count >= _MIN_COUNT:
            above = sum(number for each, number in self._buckets.items() if each >= bucket)
            is_above = above < self._count * (1 - _QUANTILE)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._count += 1
        if self._count >= _MAX_COUNT:
            self._buckets = {each: number // 2 for each, number in self._buckets.items() if number > 1}
            self._count = sum(self._buckets.values())
        return is_above


def _randomness(trace_id: str) -> int:
    """Return the random part of a trace id; a hash of an id that is none of W3C's."""
    if len(trace_id) == 32:
        try:
            return int(trace_id[-_DIGITS:], 16)
        except ValueError:
            pass
    return int.from_bytes(hashlib.blake2b(trace_id.encode(), digest_size=RANDOM_BITS // 8).digest(), "big")
