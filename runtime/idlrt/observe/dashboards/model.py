"""Descriptions of dashboards and rules, from which all files are generated.

They know nothing of formats: `grafana` and `rules_file` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "Alert",
    "Column",
    "Dashboard",
    "Group",
    "Mapped",
    "Panel",
    "PanelType",
    "Query",
    "Recording",
    "Row",
    "Rule",
    "Severity",
    "Step",
    "Unit",
    "Variable",
]

PanelType: TypeAlias = Literal["timeseries", "stat", "table", "heatmap", "state-timeline"]
"""Names of visualizations, as Grafana has them."""

Unit: TypeAlias = Literal["none", "short", "s", "percentunit", "bytes", "Bps", "reqps", "ops", "cps"]
"""Names of units, as Grafana has them; `ops` are operations, `cps` other counts, both per second."""

Severity: TypeAlias = Literal["page", "ticket"]
"""Urgency of alerts: `page` wakes a human, `ticket` waits for working hours."""


class Query(msgspec.Struct, frozen=True):
    """Expression of a panel.

    Attributes:
        expr: the expression (PromQL), which may use the variables of the dashboard.
        legend: name of its series, with labels as `{{label}}`.
    """

    expr: str
    legend: str = ""


class Column(msgspec.Struct, frozen=True):
    """Column of a table with the values of an expression.

    Attributes:
        title: its heading.
        expr: the expression, evaluated at the end of the time range.
        unit: its unit.
        steps: colors of values.
    """

    title: str
    expr: str
    unit: Unit = "short"
    steps: tuple[Step, ...] = ()


class Step(msgspec.Struct, frozen=True):
    """Color of the values from a threshold on, up to the next one.

    Attributes:
        at: the threshold.
        color: name of the color.
    """

    at: float
    color: Literal["green", "yellow", "orange", "red", "blue"]


class Mapped(msgspec.Struct, frozen=True):
    """Text for a value.

    Attributes:
        value: the value.
        text: what is shown.
        color: name of the color.
    """

    value: float
    text: str
    color: Literal["green", "yellow", "orange", "red", "blue"]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Panel of a dashboard.

    Attributes:
        id: identifies it in its dashboard; it must not change, because links refer to it.
        type: visualization.
        title: title.
        description: what it shows, and what to look for.
        unit: unit of its values.
        queries: expressions; of a table, see `columns`.
        columns: columns of a table.
        names: headings of the labels of a table, in their order; other labels are hidden.
        links: URL of the dashboard that a label of a table links to, by label.
        width: width, of 24.
        height: height in rows of the grid.
        minimum: lower end of the axis.
        maximum: upper end of the axis.
        is_stacked: whether series are stacked.
        steps: colors of values.
        mapped: texts for values.
    """

    id: int
    type: PanelType = "timeseries"
    title: str
    description: str
    unit: Unit = "short"
    queries: tuple[Query, ...] = ()
    columns: tuple[Column, ...] = ()
    names: Mapping[str, str] = {}
    links: Mapping[str, str] = {}
    width: int = 8
    height: int = 8
    minimum: float | None = 0.0
    maximum: float | None = None
    is_stacked: bool = False
    steps: tuple[Step, ...] = ()
    mapped: tuple[Mapped, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """Panels under a heading, from left to right, and then down.

    Attributes:
        id: see `Panel.id`.
        title: heading.
        panels: its panels.
    """

    id: int
    title: str
    panels: tuple[Panel, ...]


class Variable(msgspec.Struct, frozen=True):
    """Variable of a dashboard; its values are those of a label, and `All`.

    Attributes:
        name: its name in expressions.
        title: its name on the page.
        query: expression of Grafana that lists its values.
        regex: part of each value that counts, as a group.
    """

    name: str
    title: str
    query: str
    regex: str = ""


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """Dashboard.

    Attributes:
        uid: identifies it in URLs; it must not change.
        title: title.
        description: what it shows.
        variables: its variables.
        rows: its rows.
    """

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]


class Recording(msgspec.Struct, frozen=True):
    """Recording rule.

    Attributes:
        record: name of the new series, `level:metric:operations`.
        expr: the expression.
        labels: labels of the new series.
    """

    record: str
    expr: str
    labels: Mapping[str, str] = {}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Alert rule.

    Attributes:
        name: its name, in CamelCase; also that of its runbook.
        expr: the condition.
        severity: urgency.
        summary: what is wrong, in a line; may use `{{ $labels.name }}` and `{{ $value }}`.
        description: details, and what to look at.
        wait: time for which the condition must hold, such as `5m`; empty: none.
        labels: further labels.
    """

    name: str
    expr: str
    severity: Severity
    summary: str
    description: str
    wait: str = ""
    labels: Mapping[str, str] = {}


Rule: TypeAlias = Recording | Alert


class Group(msgspec.Struct, frozen=True):
    """Rules that are evaluated one after the other.

    Attributes:
        name: name of the group.
        rules: its rules.
    """

    name: str
    rules: tuple[Rule, ...]
