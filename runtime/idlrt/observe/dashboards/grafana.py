"""Dashboards as Grafana reads them (JSON).

Identities are fixed and the order is that of the description, so equal descriptions give equal files.

Source: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from idlrt.observe.dashboards.model import Column, Dashboard, Mapped, Panel, Query, Row, Step, Variable

__all__ = ["DATASOURCE", "SCHEMA_VERSION", "TAG", "dashboard_json"]

SCHEMA_VERSION: Final = 42
"""Version of the format, that of Grafana 12."""

TAG: Final = "idlrt"
"""Tag of the dashboards, by which they link to each other."""

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
"""Data source of all panels: the one that is selected on the page."""

_Json: TypeAlias = dict[str, Any]
_WIDTH: Final = 24
_ROW_HEIGHT: Final = 1


def dashboard_json(dashboard: Dashboard) -> str:
    """Return the text of a dashboard."""
    return json.dumps(_dashboard(dashboard), indent=2, ensure_ascii=False) + "\n"


def _dashboard(dashboard: Dashboard) -> _Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m", "30m", "1h"]},
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "annotations": {"list": [_annotations()]},
        "links": [_link("Dashboards", kind="dashboards")],
        "templating": {"list": [_datasource_variable(), *map(_variable, dashboard.variables)]},
        "panels": list(_panels(dashboard.rows)),
    }


def _annotations() -> _Json:
    return {
        "name": "Annotations & Alerts",
        "type": "dashboard",
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
    }


def _link(title: str, *, kind: str = "link", url: str = "") -> _Json:
    return {
        "title": title,
        "type": kind,
        "icon": "external link",
        "tooltip": "",
        "url": url,
        "tags": [TAG] if kind == "dashboards" else [],
        "asDropdown": False,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }


def _datasource_variable() -> _Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "hide": 0,
        "refresh": 1,
        "regex": "",
        "multi": False,
        "includeAll": False,
        "options": [],
    }


def _variable(variable: Variable) -> _Json:
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.title,
        "datasource": DATASOURCE,
        "definition": variable.query,
        "query": {"query": variable.query, "refId": f"variable-{variable.name}"},
        "regex": variable.regex,
        "hide": 0,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def _panels(rows: Sequence[Row]) -> Iterator[_Json]:
    y = 0
    for row in rows:
        place = {"h": _ROW_HEIGHT, "w": _WIDTH, "x": 0, "y": y}
        yield {"type": "row", "id": row.id, "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        y += _ROW_HEIGHT
        x = height = 0
        for panel in row.panels:
            if x + panel.width > _WIDTH:
                x, y, height = 0, y + height, 0
            yield _panel(panel, {"h": panel.height, "w": panel.width, "x": x, "y": y})
            x, height = x + panel.width, max(height, panel.height)
        y += height


def _panel(panel: Panel, place: _Json) -> _Json:
    is_table = panel.type == "table"
    found: _Json = {
        "type": panel.type,
        "id": panel.id,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": list(map(_column_target, range(len(panel.columns)), panel.columns))
        if is_table
        else [_target(position, query, panel) for position, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_overrides(panel))},
        "options": _options(panel),
    }
    if is_table:
        found["transformations"] = _transformations(panel)
    return found


def _reference(position: int) -> str:
    return chr(ord("A") + position)


def _target(position: int, query: Query, panel: Panel) -> _Json:
    return {
        "refId": _reference(position),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or panel.title,
        "format": "heatmap" if panel.type == "heatmap" else "time_series",
        "instant": False,
        "range": True,
    }


def _column_target(position: int, column: Column) -> _Json:
    return {
        "refId": _reference(position),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": column.expr,
        "format": "table",
        "instant": True,
        "range": False,
    }


def _defaults(panel: Panel) -> _Json:
    found: _Json = {"unit": panel.unit, "color": {"mode": "palette-classic"}, "custom": _CUSTOM[panel.type](panel)}
    if panel.type != "table" and panel.minimum is not None:
        found["min"] = panel.minimum
    if panel.maximum is not None:
        found["max"] = panel.maximum
    if panel.steps or panel.type == "stat":
        found["thresholds"] = _thresholds(panel.steps or (Step(0.0, "blue"),))
        if panel.type == "stat":
            found["color"] = {"mode": "thresholds"}
    if panel.mapped:
        found["mappings"] = [_mapping(panel.mapped)]
    if not found["custom"]:
        del found["custom"]
    return found


def _lines(panel: Panel) -> _Json:
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if panel.is_stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
    }


def _cells(_: Panel) -> _Json:
    return {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}


def _bands(_: Panel) -> _Json:
    return {"lineWidth": 0, "fillOpacity": 70}


def _nothing(_: Panel) -> _Json:
    return {}


_CUSTOM: Final = {
    "timeseries": _lines,
    "table": _cells,
    "state-timeline": _bands,
    "stat": _nothing,
    "heatmap": _nothing,
}


def _thresholds(steps: Sequence[Step]) -> _Json:
    # The first one has no lower end.
    found: list[_Json] = [{"value": each.at, "color": each.color} for each in steps]
    found[0]["value"] = None
    return {"mode": "absolute", "steps": found}


def _mapping(mapped: Sequence[Mapped]) -> _Json:
    texts = {
        f"{each.value:g}": {"text": each.text, "color": each.color, "index": position}
        for position, each in enumerate(mapped)
    }
    return {"type": "value", "options": texts}


def _overrides(panel: Panel) -> Iterator[_Json]:
    for label, title in panel.names.items():
        url = panel.links.get(label)
        if url is not None:
            links = [_link(f"Show {title.lower()}", url=f"{url}&${{datasource:queryparam}}&${{__url_time_range}}")]
            yield {"matcher": _named(title), "properties": [{"id": "links", "value": links}]}
    for column in panel.columns:
        properties: list[_Json] = [{"id": "unit", "value": column.unit}]
        if column.steps:
            properties.append({"id": "thresholds", "value": _thresholds(column.steps)})
            properties.append({"id": "color", "value": {"mode": "thresholds"}})
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
        yield {"matcher": _named(column.title), "properties": properties}


def _named(title: str) -> _Json:
    return {"id": "byName", "options": title}


def _transformations(panel: Panel) -> list[_Json]:
    """Join the columns by their labels, name them, and put them in order."""
    value = "Value" if len(panel.columns) == 1 else "Value #{}"
    values = {value.format(_reference(position)): each.title for position, each in enumerate(panel.columns)}
    names = {**panel.names, **values}
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: position for position, name in enumerate(names)},
                "renameByName": names,
            },
        },
    ]


def _options(panel: Panel) -> _Json:
    legend: _Json = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    tooltip = {"mode": "multi", "sort": "desc"}
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.type:
        case "timeseries":
            return {"legend": legend, "tooltip": tooltip}
        case "state-timeline":
            return {"showValue": "auto", "rowHeight": 0.9, "mergeValues": True, "legend": legend, "tooltip": tooltip}
        case "stat":
            return {
                "graphMode": "area",
                "colorMode": "value",
                "justifyMode": "auto",
                "textMode": "auto",
                "wideLayout": True,
                "showPercentChange": False,
                "percentChangeColorMode": "standard",
                "orientation": "auto",
                "reduceOptions": last,
            }
        case "table":
            first = panel.columns[0].title
            return {
                "frameIndex": 0,
                "showHeader": True,
                "cellHeight": "sm",
                "sortBy": [{"displayName": first, "desc": True}],
            }
        case "heatmap":
            return {
                "calculate": False,
                "cellGap": 1,
                "color": {
                    "mode": "scheme",
                    "scheme": "Spectral",
                    "fill": "dark-orange",
                    "scale": "exponential",
                    "exponent": 0.5,
                    "steps": 64,
                    "reverse": True,
                },
                "showValue": "never",
                "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
                "rowsFrame": {"layout": "auto"},
                "legend": {"show": True},
                "tooltip": {"mode": "single", "yHistogram": False},
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "filterValues": {"le": 1e-9},
            }
