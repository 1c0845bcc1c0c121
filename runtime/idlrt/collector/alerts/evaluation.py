"""Evaluation of rules: whether the condition of a rule holds, by group.

The answer is yes, no, or no decision: without data, or with too few calls, neither an alert nor its end can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import msgspec

from idlrt.collector.alerts.conditions import Absence, Comparison, parse_duration, text_of
from idlrt.collector.alerts.rules import RESOURCE_KEYS, AlertRule, Burn, label_of, outcome_label
from idlrt.collector.alerts.windows import CELL_S, Figures, Key, Windows, end_of_window
from idlrt.collector.store import CellStore
from idlrt.observe.dashboards.burn_rates import BURN_RATES, BurnRate
from idlrt.observe.dashboards.objectives import SERVER_FAULTS
from idlrt.observe.figures import GOOD
from idlrt.observe.metric import Metric
from idlrt.web.formats import duration, rate, share

__all__ = ["Decision", "Evaluator"]

_FAULTS: Final = frozenset(each.value for each in SERVER_FAULTS)
_HOUR: Final = 3600.0
# A group that was there within this time, and is not any more, has no calls, or is absent.
_REMEMBERED_S: Final = _HOUR
_REMEMBERED_SERVICES_S: Final = 24 * _HOUR
_MAX_REFRESH_S: Final = 300.0


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a rule for one group.

    Attributes:
        key: identifies the group in the rule.
        holds: whether the condition holds; `None`: it cannot be decided.
        labels: labels of the group: of `by`, and of burn rates also `window` and `severity`.
        value: the figure; `None` if it is not known.
        value_text: the figure with its unit.
        threshold_text: the threshold with its unit.
    """

    key: Key
    holds: bool | None
    labels: Mapping[str, str]
    value: float | None = None
    value_text: str = ""
    threshold_text: str = ""


class Evaluator:
    """Evaluates rules. It remembers which groups there were, so use the same one again.

    Args:
        store: the store.
        now: clock, in seconds since 1970.
    """

    def __init__(self, store: CellStore, now: Callable[[], float]) -> None:
        self._windows = Windows(store, now)
        self._now = now
        # Programs cannot have reported while the collector was not running.
        self._started_at = now()
        self._seen: dict[str, dict[Key, float]] = {}
        self._ratios: dict[tuple[str, float], tuple[float, dict[Key, tuple[float | None, float]]]] = {}

    def forget(self) -> None:
        """Forget the groups of all rules, which may have changed."""
        self._seen.clear()
        self._ratios.clear()

    def evaluate(self, rule: AlertRule) -> list[Decision]:
        """Return the decisions of a rule, by group.

        Raises:
            ConfigurationError: a file is damaged.
            StoreError: the store cannot be read at present.
        """
        match rule.condition:
            case Absence():
                return list(self._absent(rule, rule.condition))
            case Burn():
                return list(self._burning(rule, rule.condition))
            case Comparison():
                return list(self._compared(rule, rule.condition))

    def _absent(self, rule: AlertRule, condition: Absence) -> Iterator[Decision]:
        now = self._now()
        present = self._windows.reports(now - condition.for_s, now + CELL_S, rule.where, rule.by)
        known: Collection[Key] = [()]
        if rule.by:
            is_short = "instance" in rule.by or "host" in rule.by
            remembered = _REMEMBERED_S if is_short else _REMEMBERED_SERVICES_S
            known = self._known(
                rule, present, remembered, lambda: self._windows.reports(now - remembered, now, rule.where, rule.by)
            )
        could_report = now - self._started_at >= condition.for_s
        for key in known:
            is_absent = key not in present
            yield Decision(
                key=key,
                holds=(True if could_report else None) if is_absent else False,
                labels=dict(zip(rule.by, key, strict=True)),
                value_text="absent" if is_absent else "present",
                threshold_text=f"no report for {duration(condition.for_s)}",
            )

    def _known(
        self, rule: AlertRule, present: Collection[Key], remembered: float, read: Callable[[], Collection[Key]]
    ) -> list[Key]:
        """Return the groups that were there within a time, with those that are there now."""
        now = self._now()
        seen = self._seen.get(rule.name)
        if seen is None:
            seen = self._seen[rule.name] = dict.fromkeys(read(), now)
        seen.update(dict.fromkeys(present, now))
        for key in [key for key, at in seen.items() if now - at > remembered]:
            del seen[key]
        return list(seen)

    def _compared(self, rule: AlertRule, condition: Comparison) -> Iterator[Decision]:
        end = end_of_window(self._now())
        start = end - condition.over_s
        metric, groups = self._read(rule, condition, start, end)
        is_sum = metric is None or metric.kind != "gauge"
        if condition.is_lower and condition.measure in ("calls", "errors", "value") and is_sum:
            self._add_zeros(rule, condition, metric, groups, start, end)
        earlier: Mapping[Key, Figures] = {}
        if condition.earlier_s:
            _, earlier = self._read(rule, condition, start - condition.earlier_s, end - condition.earlier_s)
        for key, figures in groups.items():
            value = _value(rule, condition, figures)
            threshold: float | None = condition.threshold
            if condition.earlier_s:
                before = earlier.get(key)
                threshold = _value(rule, condition, before) if before is not None else None
                if before is not None and before.last is None and before.count < rule.fewest:
                    threshold = None
                threshold = threshold * condition.threshold if threshold is not None else None
            is_known = value is not None and threshold is not None
            shown = _shown(threshold, condition) if threshold is not None else ""
            yield Decision(
                key=key,
                holds=condition.holds(value, threshold) if value is not None and threshold is not None else None,
                labels=dict(zip(rule.by, key, strict=True)),
                value=value if is_known else None,
                value_text=_shown(value, condition) if value is not None else "",
                threshold_text=f"{condition.operator} {shown}" if shown else "",
            )

    def _read(
        self, rule: AlertRule, condition: Comparison, start: float, end: float
    ) -> tuple[Metric | None, dict[Key, Figures]]:
        outcome = outcome_label(condition.metric) if condition.measure in ("errors", "error rate") else ""
        has_durations = condition.measure in ("percentile", "max", "average")
        return self._windows.read(
            condition.metric, start, end, rule.where, rule.by, outcome, has_durations=has_durations
        )

    def _add_zeros(
        self,
        rule: AlertRule,
        condition: Comparison,
        metric: Metric | None,
        groups: dict[Key, Figures],
        start: float,
        end: float,
    ) -> None:
        """Add the groups whose programs have reported that there was nothing to count."""
        of_labels = frozenset(metric.labels) if metric is not None else frozenset[str]()
        names = [label_of(each, condition.metric) for each in rule.by]
        places = [at for at, name in enumerate(names) if name in RESOURCE_KEYS and name not in of_labels]
        of_programs = [names[at] for at in places]
        reports = self._windows.reports(start, end, rule.where, of_programs)
        if len(places) == len(names):
            known = list(reports)
        else:
            known = self._known(rule, groups, _REMEMBERED_S, lambda: self._read(rule, condition, end - _HOUR, end)[1])
        for key in known:
            seconds = reports.get(tuple(key[at] for at in places), 0.0)
            if key not in groups and seconds:
                groups[key] = Figures(known_s=seconds)

    def _burning(self, rule: AlertRule, condition: Burn) -> Iterator[Decision]:
        for each in BURN_RATES:
            limit = each.factor * condition.budget
            if limit >= 1:
                continue  # no ratio is above 1
            shorts = self._ratio(rule, condition, parse_duration(each.short))
            is_any = any(ratio is not None and ratio > limit for ratio, _ in shorts.values())
            longs = self._ratio(rule, condition, each.seconds) if is_any else {}
            for key, (short, _) in shorts.items():
                long, calls = longs.get(key, (None, 0.0))
                burns: bool | None = None
                if short is not None:
                    burns = short > limit and long is not None and long > limit
                value = long if burns else short
                for severity in ("page", "ticket") if each.severity == "page" else ("ticket",):
                    is_enough = each.severity == "ticket" or (calls >= rule.fewest) == (severity == "page")
                    holds = burns and is_enough
                    yield _burn_decision(rule, each, key, severity, value, limit, holds=holds)

    def _ratio(self, rule: AlertRule, condition: Burn, seconds: float) -> dict[Key, tuple[float | None, float]]:
        """Return the ratio of calls that use up the budget, and the number of calls, of a window.

        Long windows change slowly, so they are not read each time.
        """
        now = self._now()
        refresh = min(max(seconds / 60, CELL_S), _MAX_REFRESH_S)
        read_at, found = self._ratios.get((rule.name, seconds), (0.0, {}))
        # Evaluations are not exactly 10 s apart.
        if 0 <= now - read_at < refresh - CELL_S / 2:
            return found
        end = end_of_window(now)
        outcome = outcome_label(condition.metric)
        has_durations = condition.latency_s > 0
        _, groups = self._windows.read(
            condition.metric, end - seconds, end, rule.where, rule.by, outcome, has_durations=has_durations
        )
        found = {key: _budget_used(condition, figures) for key, figures in groups.items()}
        self._ratios[rule.name, seconds] = now, found
        return found


def _value(rule: AlertRule, condition: Comparison, figures: Figures) -> float | None:
    """Return a figure; `None` if there is too little to tell."""
    if figures.last is not None:
        return figures.last if condition.measure == "value" else None
    match condition.measure:
        case "calls" | "value":
            return _amount(condition, figures, figures.count)
        case "errors":
            if rule.min_calls is not None and figures.count < rule.min_calls:
                return None
            return _amount(condition, figures, _errors(figures))
        case _:
            if figures.count < max(rule.fewest, 1):
                return None
    if condition.measure == "error rate":
        return _errors(figures) / figures.count
    found = figures.merged()
    if not found.count:
        return None
    if condition.measure == "max":
        return found.max / 1e9
    return found.mean if condition.measure == "average" else found.percentile(condition.quantile)


def _amount(condition: Comparison, figures: Figures, count: float) -> float | None:
    """Return a number, or a rate. In doubt it is on the side that raises no alert."""
    if condition.is_lower and figures.known_s < condition.over_s / 2:
        return None
    if condition.quantity == "number" and not condition.is_lower and not condition.earlier_s:
        return count
    per_second = count / figures.known_s if figures.known_s else 0.0
    return per_second if condition.quantity != "number" else per_second * condition.over_s


def _errors(figures: Figures) -> float:
    return sum(count for outcome, count in figures.parts.items() if outcome not in GOOD)


def _budget_used(condition: Burn, figures: Figures) -> tuple[float | None, float]:
    if not condition.latency_s:
        failed = sum(count for outcome, count in figures.parts.items() if outcome in _FAULTS)
        return (failed / figures.count if figures.count else None), figures.count
    succeeded = figures.merged(GOOD)
    if not succeeded.count:
        return None, 0.0
    return 1 - succeeded.at_most([condition.latency_s])[0] / succeeded.count, float(succeeded.count)


def _shown(value: float, condition: Comparison) -> str:
    return text_of(value, condition.quantity)


def _burn_decision(
    rule: AlertRule, each: BurnRate, key: Key, severity: str, value: float | None, limit: float, *, holds: bool | None
) -> Decision:
    burn = rate(value / (limit / each.factor)) if value is not None else ""
    return Decision(
        key=(*key, each.long, severity),
        holds=holds,
        labels={**dict(zip(rule.by, key, strict=True)), "window": each.long, "severity": severity},
        value=value,
        value_text=f"{share(value)} (burn rate {burn})" if value is not None else "",
        threshold_text=f"> {share(limit)} in {each.long} and {each.short}",
    )
