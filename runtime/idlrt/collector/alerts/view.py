"""States of alerts and rules as pages and commands show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.collector.alerts.rules import AlertRule
from idlrt.collector.alerts.states import Alert

__all__ = ["AlertState", "ShownState", "state_of", "states_of_rules"]

ShownState: TypeAlias = Literal["firing", "keeping", "pending", "resolved", "inactive"]

_ORDER: Final[Mapping[str, int]] = {"firing": 0, "keeping": 1, "pending": 2, "resolved": 3, "inactive": 4}


class AlertState(msgspec.Struct, frozen=True, kw_only=True):
    """State of an alert, or of a rule without alerts. Times are in seconds since 1970.

    Attributes:
        rule: name of the rule.
        condition: condition of the rule as text; empty if the rule was removed.
        state: the state; `inactive` for a rule without alerts.
        labels: labels of the alert, or of the rule.
        annotations: annotations, with the values filled in.
        fingerprint: identity of the alert; empty for a rule.
        since: time from which on it is in this state; 0 for a rule.
        started_at: time from which on it fires; 0 while it does not.
        value: the figure; `None` if it is not known.
        value_text: the figure with its unit.
        threshold_text: the threshold with its unit.
        silenced_by: identifiers of the silences that hold back its notifications.
        reason: why it has ended, if not because its condition has.
        error: why the rule could not be evaluated the last time; empty if it could.
    """

    rule: str
    condition: str
    state: ShownState
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = {}
    fingerprint: str = ""
    since: float = 0.0
    started_at: float = 0.0
    value: float | None = None
    value_text: str = ""
    threshold_text: str = ""
    silenced_by: tuple[str, ...] = ()
    reason: str = ""
    error: str = ""

    @property
    def is_firing(self) -> bool:
        """Whether receivers see it as firing."""
        return self.state in ("firing", "keeping")


def state_of(alert: Alert, rule: AlertRule | None, silenced_by: tuple[str, ...], error: str) -> AlertState:
    """Return the state of an alert."""
    return AlertState(
        rule=alert.rule,
        condition=rule.condition.text if rule is not None else "",
        state=alert.state,
        labels=alert.labels,
        annotations=alert.annotations,
        fingerprint=alert.fingerprint,
        since=alert.since,
        started_at=alert.started_at,
        value=alert.value,
        value_text=alert.value_text,
        threshold_text=alert.threshold_text,
        silenced_by=silenced_by,
        reason=alert.reason,
        error=error,
    )


def states_of_rules(
    rules: Sequence[AlertRule], found: Iterable[AlertState], errors: Mapping[str, str]
) -> list[AlertState]:
    """Return the states of alerts, and one for each rule without alerts; firing ones first."""
    places = {each.name: at for at, each in enumerate(rules)}
    states = list(found)
    active = {each.rule for each in states}
    states += [
        AlertState(
            rule=each.name,
            condition=each.condition.text,
            state="inactive",
            labels={"alertname": each.name, **each.where, **each.labels},
            error=errors.get(each.name, ""),
        )
        for each in rules
        if each.name not in active
    ]
    last = len(places)
    states.sort(key=lambda each: (_ORDER[each.state], places.get(each.rule, last), sorted(each.labels.items())))
    return states
