"""States of alerts: inactive → pending → firing → keeping → resolved.

An alert without an entry is inactive. `keeping` is an alert whose condition has ended, and which goes on firing for
`keep_firing_for`; `resolved` is one whose end has not been told to all receivers yet. While a condition cannot be
decided, an alert stays as it is, for a limited time.

Source: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.collector.alerts.evaluation import Decision
from idlrt.collector.alerts.rules import AlertRule, Burn
from idlrt.collector.alerts.windows import Key

__all__ = [
    "FIRING",
    "UNDECIDED_S",
    "Alert",
    "Change",
    "State",
    "advance",
    "fingerprint_of",
    "has_labels_of",
    "labels_of",
    "removed",
]

State: TypeAlias = Literal["pending", "firing", "keeping", "resolved"]

FIRING: Final = frozenset({"firing", "keeping"})
"""States in which receivers see an alert as firing."""

UNDECIDED_S: Final = 600.0
"""Seconds without a decision after which an alert ends."""

_OFFSET: Final = 14695981039346656037
_PRIME: Final = 1099511628211
_SEPARATOR: Final = b"\xff"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that is not inactive. Times are in seconds since 1970.

    Attributes:
        fingerprint: identity: hash of the labels.
        rule: name of its rule.
        key: identifies its group in the rule.
        labels: labels.
        annotations: annotations.
        state: its state.
        since: time from which on it is in this state.
        started_at: time from which on it fires; 0 while it is pending.
        ended_at: time at which it ended; 0 before.
        decided_at: time of the last decision.
        value: the figure; `None` if it is not known.
        value_text: the figure with its unit.
        threshold_text: the threshold with its unit.
        reason: why it has ended, if not because its condition has.
    """

    fingerprint: str
    rule: str
    key: Key
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = {}
    state: State
    since: float
    started_at: float = 0.0
    ended_at: float = 0.0
    decided_at: float = 0.0
    value: float | None = None
    value_text: str = ""
    threshold_text: str = ""
    reason: str = ""

    @property
    def is_firing(self) -> bool:
        """Whether receivers see it as firing."""
        return self.state in FIRING


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Change of the state of an alert.

    Attributes:
        at: time, in seconds since 1970.
        rule: name of the rule.
        fingerprint: identity of the alert.
        labels: labels of the alert.
        before: state before, or `inactive`.
        after: state after, or `inactive`.
        value_text: the figure with its unit.
        threshold_text: the threshold with its unit.
        reason: why it has ended, if not because its condition has.
    """

    at: float
    rule: str
    fingerprint: str
    labels: Mapping[str, str]
    before: str
    after: str
    value_text: str = ""
    threshold_text: str = ""
    reason: str = ""


def labels_of(rule: AlertRule, of_group: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of an alert."""
    return {"alertname": rule.name, **rule.where, **of_group, **rule.labels}


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Return the hash by which Alertmanager identifies labels: FNV-1a, 64 bits.

    Source: https://github.com/prometheus/common/blob/main/model/signature.go
    """
    found = _OFFSET
    for name in sorted(labels):
        for byte in name.encode() + _SEPARATOR + labels[name].encode(errors="surrogateescape") + _SEPARATOR:
            found = (found ^ byte) * _PRIME & 0xFFFFFFFFFFFFFFFF
    return f"{found:016x}"


def advance(alert: Alert | None, decision: Decision | None, rule: AlertRule, now: float) -> Alert | None:
    """Return an alert after a decision; `None` if it is inactive.

    Args:
        alert: the alert before; `None` if it is inactive.
        decision: the decision; `None` if its group is not there any more.
        rule: its rule.
        now: time in seconds since 1970.
    """
    holds = decision.holds if decision is not None else None
    if alert is None or alert.state == "resolved":
        if decision is None or not holds:
            return alert
        labels = labels_of(rule, decision.labels)
        state: State = "pending" if rule.for_s else "firing"
        made = Alert(
            fingerprint=fingerprint_of(labels),
            rule=rule.name,
            key=decision.key,
            labels=labels,
            state=state,
            since=now,
            started_at=0.0 if rule.for_s else now,
        )
        return _updated(made, decision, rule, now)
    if holds is None:
        ends = now - alert.decided_at > UNDECIDED_S or (
            alert.state == "keeping" and now - alert.since >= rule.keep_firing_s
        )
        return _ended(alert, now, "no data") if ends else alert
    assert decision is not None
    alert = _updated(alert, decision, rule, now)
    if holds:
        if alert.state == "pending" and now - alert.since >= rule.for_s:
            return msgspec.structs.replace(alert, state="firing", since=now, started_at=now)
        return msgspec.structs.replace(alert, state="firing", since=now) if alert.state == "keeping" else alert
    if alert.state == "firing" and rule.keep_firing_s:
        return msgspec.structs.replace(alert, state="keeping", since=now)
    if alert.state == "keeping" and now - alert.since < rule.keep_firing_s:
        return alert
    return _ended(alert, now, "")


def _ended(alert: Alert, now: float, reason: str) -> Alert | None:
    """Return an alert that ends now. A pending one has never been told."""
    if alert.state == "pending":
        return None
    return msgspec.structs.replace(alert, state="resolved", since=now, ended_at=now, reason=reason)


def removed(alert: Alert, now: float) -> Alert | None:
    """Return an alert whose rule was removed."""
    return alert if alert.state == "resolved" else _ended(alert, now, "the rule was removed or changed")


def has_labels_of(alert: Alert, rule: AlertRule) -> bool:
    """Whether the labels of an alert are those that the rule makes."""
    of_burn = {"window", "severity"} if isinstance(rule.condition, Burn) else set[str]()
    names = {"alertname", *rule.where, *rule.by, *rule.labels, *of_burn}
    fixed = (*rule.where.items(), *rule.labels.items())
    return set(alert.labels) == names and all(alert.labels[name] == value for name, value in fixed)


def _updated(alert: Alert, decision: Decision, rule: AlertRule, now: float) -> Alert:
    values = {
        **alert.labels,
        "value": decision.value_text or "unknown",
        "threshold": decision.threshold_text,
        "condition": rule.condition.text,
    }
    annotations = {name: text.format_map(values) for name, text in rule.annotations.items()}
    if "summary" not in annotations:
        annotations["summary"] = _summary(rule, decision)
    return msgspec.structs.replace(
        alert,
        annotations=annotations,
        decided_at=now,
        value=decision.value,
        value_text=decision.value_text,
        threshold_text=decision.threshold_text,
    )


def _summary(rule: AlertRule, decision: Decision) -> str:
    about = " ".join((*rule.where.values(), *decision.key[: len(rule.by)])) or "all services"
    what = f"error budget of {rule.condition.text}" if isinstance(rule.condition, Burn) else rule.condition.text
    return f"{about}: {what} ({decision.value_text or 'unknown'}, threshold {decision.threshold_text})"
