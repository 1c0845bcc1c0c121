"""Sampler that follows rules, which may be replaced at any time, and asks another one about all other calls."""

from __future__ import annotations

import fnmatch
import math
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from idlrt.core import ClockAndRandom
from idlrt.core.forks import forks
from idlrt.observe.tracing.sampling.base import Decision, Sampler, SampleRequest
from idlrt.observe.tracing.sampling.per_method import MAX_METHODS
from idlrt.observe.tracing.sampling.ratio import Ratio
from idlrt.observe.tracing.sampling.reservoir import REAL, Reservoir
from idlrt.observe.tracing.sampling.rules import SamplingRule
from idlrt.observe.tracing.thresholds import MIN_PROBABILITY

__all__ = ["MAX_FORCED", "Rules"]

MAX_FORCED: Final = 100.0
"""Default of the maximum number of forced traces per second."""

_DROPPED: Final = Decision(False, None, "rule")
_KEPT: Final = Decision(True, None, "rule")


class Rules:
    """Decides by the first rule that matches; without one, another sampler decides.

    Use it inside of `ParentBased` to follow the decision of a parent first, or around it to let rules precede that:
    then a forced trace may begin in the middle of a chain, without the spans of its callers.

    Args:
        rules: rules; the first one that matches decides.
        otherwise: asked if no rule matches, or if `max_forced` is exceeded.
        sources: clock and random numbers.
        wall: returns seconds since 1970, for the expiry of rules.
        max_forced: maximum number of forced traces per second, all rules together.
    """

    __slots__ = (
        "__weakref__",
        "_by_method",
        "_compiled",
        "_forced",
        "_lock",
        "_now",
        "_sources",
        "_wall",
        "otherwise",
    )

    def __init__(
        self,
        rules: Iterable[SamplingRule],
        otherwise: Sampler,
        sources: ClockAndRandom = REAL,
        *,
        wall: Callable[[], float] = time.time,
        max_forced: float = MAX_FORCED,
    ) -> None:
        self.otherwise: Final = otherwise
        self._sources = sources
        self._now = self._sources.now
        self._wall = wall
        self._forced = Reservoir(max_forced, self._sources)
        self._compiled: tuple[_Compiled, ...] = ()
        self._by_method: dict[str, tuple[_Compiled, ...]] = {}
        self.after_fork()
        forks.register(self)
        self.replace(rules)

    def after_fork(self) -> None:
        """Replace the lock after a fork: another thread of the parent may hold it."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Rules({len(self._compiled)}, {self.otherwise!r})"

    @property
    def has_tags(self) -> bool:
        """Whether a rule that forces has conditions on tags."""
        return any(each.is_forced and each.has_tags for each in self._compiled)

    @property
    def rules(self) -> tuple[SamplingRule, ...]:
        """Rules in force, in their order; those that have expired are left out."""
        now = self._wall()
        return tuple(each.rule for each in self._compiled if now < each.until)

    def replace(self, rules: Iterable[SamplingRule]) -> None:
        """Follow other rules from now on. Equal rules keep what they have counted."""
        with self._lock:
            now = self._wall()
            before = [(each.rule, each) for each in self._compiled]
            compiled: list[_Compiled] = []
            for rule in rules:
                kept = next((each for old, each in before if old == rule), None)
                each = kept or _Compiled(rule, self._sources)
                if now < each.until:
                    compiled.append(each)
            self._compiled = tuple(compiled)
            self._by_method = {}

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        return self.ruled(request) or self.otherwise.decide(request)

    def ruled(self, request: SampleRequest) -> Decision | None:
        """Return the decision of the rules alone; `None` if none matches, or `max_forced` is exceeded."""
        by_method = self._by_method
        candidates = by_method.get(request.method)
        if candidates is None:
            candidates = self._candidates(request.method, by_method)
        return self._ruled(request, candidates) if candidates else None

    def forces(self, request: SampleRequest) -> bool:
        """Return whether a rule with conditions on tags forces a trace that has been decided about without them."""
        by_method = self._by_method
        candidates = by_method.get(request.method)
        if candidates is None:
            candidates = self._candidates(request.method, by_method)
        for each in candidates:
            if each.matches(request) and (each.until == math.inf or self._wall() < each.until):
                return each.is_forced and each.has_tags and self._forced.take(self._now())
        return False

    def _candidates(self, method: str, by_method: dict[str, tuple[_Compiled, ...]]) -> tuple[_Compiled, ...]:
        found = tuple(each for each in self._compiled if each.matches_method(method))
        if len(by_method) < MAX_METHODS:
            # Not of the rules that may have replaced these meanwhile.
            by_method[method] = found
        return found

    def _ruled(self, request: SampleRequest, candidates: tuple[_Compiled, ...]) -> Decision | None:
        for each in candidates:
            if each.matches(request) and (each.until == math.inf or self._wall() < each.until):
                if each.reservoir is not None:
                    return _KEPT if each.reservoir.take(self._now()) else _DROPPED
                if each.ratio is not None:
                    return each.ratio.decide(request)
                if not each.is_forced:
                    return _DROPPED
                return _KEPT if self._forced.take(self._now()) else None
        return None


class _Compiled:
    """A rule, prepared for matching."""

    __slots__ = ("_caller", "_method", "_tags", "is_forced", "ratio", "reservoir", "rule", "until")

    def __init__(self, rule: SamplingRule, sources: ClockAndRandom) -> None:
        self.rule: Final = rule
        self._method = _matcher(rule.method)
        self._caller = _matcher(rule.caller)
        self._tags = [(name, _matcher(pattern or "*")) for name, pattern in rule.tags.items()]
        self.is_forced = rule.force
        self.ratio = Ratio(max(rule.ratio, MIN_PROBABILITY)) if rule.ratio else None
        self.reservoir = Reservoir(rule.rate, sources) if rule.rate is not None else None
        self.until = rule.until.timestamp() if rule.until is not None else math.inf

    @property
    def has_tags(self) -> bool:
        """Whether it has conditions on tags."""
        return bool(self._tags)

    def matches_method(self, method: str) -> bool:
        """Return whether the rule may apply to calls of a method."""
        return self._method is None or self._method(method)

    def matches(self, request: SampleRequest) -> bool:
        """Return whether the conditions on caller and tags match."""
        if self._caller is None and not self._tags:
            return True
        if not request.is_trusted or not (self._caller is None or self._caller(request.caller)):
            return False
        for name, matcher in self._tags:
            value = request.tags.get(name)
            if value is None or not (matcher is None or matcher(value)):
                return False
        return True


def _matcher(pattern: str) -> Callable[[str], bool] | None:
    """Return a function that matches text; `None` for patterns that match any text."""
    if not pattern.strip("*"):
        return None
    if "*" not in pattern:
        return pattern.__eq__
    # Only `*` is special.
    found = re.compile(fnmatch.translate(re.sub(r"[\[?]", lambda special: f"[{special[0]}]", pattern)))
    return lambda text: found.match(text) is not None
