"""Notifications: which alerts are told to a receiver together, when, and in which form.

Alerts are grouped by labels. The first notification of a group waits for further alerts, later ones follow at an
interval, and one is repeated after hours while alerts fire. The end of an alert is told to receivers that were told of
its start, or to which that was tried.

Sources: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config and
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from idlrt.collector.alerts.matchers import all_match
from idlrt.collector.alerts.rules import Receiver
from idlrt.collector.alerts.state_file import Delivery
from idlrt.collector.alerts.states import Alert

__all__ = ["MAX_ALERTS", "Notification", "body_of", "plan", "settled"]

MAX_ALERTS: Final = 500
"""Maximum number of alerts in one notification; further ones are counted."""

_NEVER: Final = "0001-01-01T00:00:00Z"
# How long Alertmanager takes an alert for firing without hearing of it again.
_VALID_S: Final = 300.0


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Notification that is due.

    Attributes:
        name: name of its delivery.
        group: text that identifies the group.
        labels: labels of the group.
        firing: alerts that fire.
        resolved: alerts that have ended.
    """

    name: str
    group: str
    labels: Mapping[str, str]
    firing: Sequence[Alert]
    resolved: Sequence[Alert]


def plan(
    receiver: Receiver, alerts: Iterable[Alert], deliveries: Mapping[str, Delivery], now: float
) -> tuple[list[Notification], float]:
    """Return the notifications that are due, and the time at which the next one is.

    Args:
        receiver: the receiver.
        alerts: alerts that are not silenced.
        deliveries: what receivers were told, by name.
        now: time in seconds since 1970.
    """
    groups: dict[str, tuple[Mapping[str, str], list[Alert]]] = {}
    for alert in alerts:
        if alert.state != "pending" and all_match(receiver.where, alert.labels):
            labels: Mapping[str, str] = {
                name: alert.labels[name] for name in sorted(receiver.group_by) if name in alert.labels
            }
            groups.setdefault(_group_text(labels), (labels, []))[1].append(alert)
    due: list[Notification] = []
    next_at = math.inf
    for group, (labels, members) in groups.items():
        delivery = Delivery(receiver=receiver.name, group=group)
        delivery = deliveries.get(delivery.name, delivery)
        firing = [each for each in members if each.is_firing]
        known = delivery.told | delivery.tried
        resolved = [each for each in members if not each.is_firing and each.fingerprint in known]
        if not receiver.send_resolved:
            resolved = []
        if not firing and not resolved:
            continue
        if not delivery.sent_at:
            at = min(each.started_at for each in (*firing, *resolved)) + receiver.group_wait_s
        elif resolved or any(each.fingerprint not in delivery.told for each in firing):
            at = delivery.sent_at + receiver.group_interval_s
        else:
            at = delivery.sent_at + receiver.repeat_s
        if at <= now:
            name = delivery.name
            due.append(Notification(name=name, group=group, labels=labels, firing=firing, resolved=resolved))
        else:
            next_at = min(next_at, at)
    return due, next_at


def settled(delivery: Delivery, notification: Notification, now: float, *, is_accepted: bool) -> Delivery:
    """Return a delivery after a notification.

    Args:
        delivery: the delivery before.
        notification: the notification.
        now: time in seconds since 1970.
        is_accepted: whether the receiver has accepted it, or would never.
    """
    firing = frozenset(each.fingerprint for each in notification.firing)
    if not is_accepted:
        return msgspec.structs.replace(delivery, tried=delivery.tried | firing)
    # Alerts that are silenced at present stay told.
    told = (delivery.told | firing) - {each.fingerprint for each in notification.resolved}
    return msgspec.structs.replace(delivery, sent_at=now, told=told, tried=frozenset())


def _group_text(labels: Mapping[str, str]) -> str:
    inside = ", ".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{}}:{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def body_of(receiver: Receiver, notification: Notification, external_url: str, now: float) -> bytes:
    """Return the body of the request with a notification."""
    alerts = [*notification.firing, *notification.resolved]
    if receiver.kind == "alertmanager":
        found: Any = [_for_alertmanager(each, external_url, now) for each in alerts]
        return msgspec.json.encode(found)
    shown = alerts[:MAX_ALERTS]
    found = {
        "version": "4",
        "groupKey": notification.group,
        "truncatedAlerts": len(alerts) - len(shown),
        "status": "firing" if notification.firing else "resolved",
        "receiver": receiver.name,
        "groupLabels": notification.labels,
        "commonLabels": _common([each.labels for each in alerts]),
        "commonAnnotations": _common([each.annotations for each in alerts]),
        "externalURL": external_url,
        "alerts": [_for_webhook(each, external_url) for each in shown],
    }
    return msgspec.json.encode(found)


def _for_webhook(alert: Alert, external_url: str) -> dict[str, Any]:
    return {
        "status": "firing" if alert.is_firing else "resolved",
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _time(alert.started_at),
        "endsAt": _NEVER if alert.is_firing else _time(alert.ended_at),
        "generatorURL": _link(alert, external_url),
        "fingerprint": alert.fingerprint,
    }


def _for_alertmanager(alert: Alert, external_url: str, now: float) -> dict[str, Any]:
    return {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _time(alert.started_at),
        "endsAt": _time(now + _VALID_S if alert.is_firing else alert.ended_at),
        "generatorURL": _link(alert, external_url),
    }


def _link(alert: Alert, external_url: str) -> str:
    return f"{external_url}/alerts?{urlencode({'rule': alert.rule})}" if external_url else ""


def _common(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the names and values that all have."""
    first, *others = parts
    return {name: value for name, value in first.items() if all(each.get(name) == value for each in others)}


def _time(at: float) -> str:
    """Return a time as RFC 3339."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
