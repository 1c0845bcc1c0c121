"""Rules of alerts and receivers of notifications, as they were read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.collector.alerts.conditions import Absence, Comparison
from idlrt.collector.alerts.matchers import Matcher
from idlrt.observe.catalogue import METHOD, SERVER_CALLS
from idlrt.observe.dashboards.burn_rates import fewest_calls
from idlrt.observe.figures import SIDES

__all__ = [
    "METHOD_ALIAS",
    "RESOURCE_KEYS",
    "AlertRule",
    "Burn",
    "Condition",
    "Receiver",
    "ReceiverKind",
    "RuleSet",
    "label_of",
    "outcome_label",
]

RESOURCE_KEYS: Final = ("service", "instance", "host", "zone", "version")
"""Keys of the resource of a program."""

METHOD_ALIAS: Final = "method"
"""Name of the label with the method, whatever the metric calls it."""

_OF_METRIC: Final = {side.metric: side for side in SIDES.values()}


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """Burn rate of the error budget of an objective, in the four windows of `BURN_RATES`.

    Attributes:
        text: the objective as text.
        budget: fraction of the calls that may fail, or may be slower than `latency_s`.
        latency_s: duration up to which a call is fast enough, in seconds; 0: the objective is about failures.
    """

    text: str
    budget: float
    latency_s: float = 0.0

    @property
    def metric(self) -> str:
        """Name of the metric with the calls."""
        return SERVER_CALLS.name


Condition: TypeAlias = Comparison | Absence | Burn


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """Rule of an alert.

    Attributes:
        name: its name.
        condition: when it fires.
        where: values that labels and keys of the resource must have.
        by: labels and keys of the resource; there is one alert for each of their values.
        min_calls: number of calls in the window below which nothing is decided; `None`: the default of the condition.
        labels: labels of its alerts, besides those of `where` and `by`.
        annotations: texts with `{placeholders}`.
        keep_firing_s: time that an alert goes on firing after its condition has ended, in seconds.
    """

    name: str
    condition: Condition
    where: Mapping[str, str] = {}
    by: tuple[str, ...] = ()
    min_calls: int | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    keep_firing_s: float = 0.0

    @property
    def for_s(self) -> float:
        """Time for which the condition must hold, in seconds."""
        return self.condition.for_s if isinstance(self.condition, Comparison) else 0.0

    @property
    def fewest(self) -> int:
        """Number of calls in the window below which nothing is decided."""
        if self.min_calls is not None:
            return self.min_calls
        return fewest_calls(self.condition.budget) if isinstance(self.condition, Burn) else 1

    @property
    def subject(self) -> str:
        """The programs and methods that the rule is about, for texts."""
        return " ".join(self.where.values()) or "all services"


ReceiverKind: TypeAlias = Literal["webhook", "alertmanager"]
"""Form of notifications: that of Alertmanager's webhooks (version 4), or of its API (`/api/v2/alerts`)."""


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """Receiver of notifications.

    Attributes:
        name: its name.
        kind: form of the notifications.
        url: URL, which may contain a secret: it is not printed.
        headers: headers of the requests; not printed either.
        where: which alerts it gets; all conditions must match.
        group_by: labels of the alerts that are in one notification.
        group_wait_s: time that the first notification of a group waits for further alerts, in seconds.
        group_interval_s: time between notifications of a group, in seconds.
        repeat_s: time after which a notification is repeated while alerts fire, in seconds.
        send_resolved: whether the end of alerts is told.
    """

    name: str
    kind: ReceiverKind
    url: str
    headers: Mapping[str, str] = {}
    where: tuple[Matcher, ...] = ()
    group_by: tuple[str, ...] = ("alertname", "service")
    group_wait_s: float = 30.0
    group_interval_s: float = 300.0
    repeat_s: float = 4 * 3600.0
    send_resolved: bool = True


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of a file of alerts.

    Attributes:
        rules: rules in the order of the file.
        receivers: receivers in the order of the file.
        external_url: URL of the pages of the collector, for links in notifications; empty: none.
    """

    rules: tuple[AlertRule, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    external_url: str = ""


def label_of(name: str, metric: str) -> str:
    """Return the name of a label in a metric: `method` stands for its label of the method."""
    if name != METHOD_ALIAS:
        return name
    side = _OF_METRIC.get(metric)
    return side.names[METHOD_ALIAS] if side is not None else METHOD


def outcome_label(metric: str) -> str:
    """Return the label of the outcome of a metric; empty if it has none."""
    side = _OF_METRIC.get(metric)
    return side.outcome if side is not None else ""
