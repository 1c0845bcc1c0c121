"""Dashboards: what Grafana has, what the metrics are, and identities that links refer to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from idlrt.observe import catalogue, features, gc_pauses, host, loop_lag, process, resources
from idlrt.observe.dashboards import Objectives, alert_groups, all_dashboards, monitoring_files, recording_groups
from idlrt.observe.dashboards.model import Recording
from idlrt.observe.metric import Metric

# Visualizations of Grafana 12: https://grafana.com/docs/grafana/latest/panels-visualizations/visualizations/
PANEL_TYPES = {
    *("alertlist", "annolist", "barchart", "bargauge", "candlestick", "canvas", "dashlist", "datagrid", "flamegraph"),
    *("gauge", "geomap", "heatmap", "histogram", "logs", "news", "nodeGraph", "piechart", "row", "stat"),
    *("state-timeline", "status-history", "table", "text", "timeseries", "traces", "trend", "xychart"),
}
# Units of Grafana: https://github.com/grafana/grafana/blob/main/packages/grafana-data/src/valueFormats/categories.ts
UNITS = {
    *("none", "string", "short", "sishort", "percent", "percentunit", "bool", "dateTimeAsIso"),
    *("bytes", "decbytes", "bits", "Bps", "binBps", "bps", "pps"),
    *("ns", "µs", "ms", "s", "m", "h", "d", "dtdurations", "hertz"),
    *("cps", "ops", "reqps", "rps", "wps", "iops", "eps", "mps", "cpm", "opm", "reqpm"),
}
COLORS = {"green", "yellow", "orange", "red", "blue"}
REFRESH = {"", "5s", "10s", "30s", "1m", "5m", "15m", "30m", "1h", "2h", "1d"}

DASHBOARDS = {name: json.loads(text) for name, text in monitoring_files(Objectives()).items() if name.endswith(".json")}


def metrics() -> list[Metric]:
    modules = (catalogue, features, gc_pauses, host, loop_lag, process, resources)
    found = {each.name: each for module in modules for each in vars(module).values() if isinstance(each, Metric)}
    return list(found.values())


def exposed() -> dict[str, set[str]]:
    """Names of all series in Prometheus, with the names of their labels."""
    found: dict[str, set[str]] = {"up": set()}
    for metric in metrics():
        labels = set(metric.labels) - set(metric.hidden)
        if metric.kind == "histogram":
            found |= {f"{metric.name}{suffix}": labels for suffix in ("_sum", "_count")}
            found[f"{metric.name}_bucket"] = {*labels, "le"}
        else:
            found[metric.name] = labels
        found |= {derived.name: set(derived.labels) for derived in metric.derived}
    for group in recording_groups(Objectives()):
        for rule in group.rules:
            assert isinstance(rule, Recording)
            level = rule.record.partition(":")[0]
            known = ("rpc_method", "rpc_service", "server_address")
            found[rule.record] = {each for each in known if each in level}
    return found


EXPOSED = exposed()
FUNCTIONS = {
    *("rate", "increase", "sum", "max", "min", "count", "group", "histogram_quantile", "label_replace", "vector"),
    *("time", "last_over_time", "max_over_time"),
}


def panels(dashboard: Any) -> Iterator[Any]:
    yield from dashboard["panels"]


def expressions() -> Iterator[str]:
    for dashboard in all_dashboards(Objectives()):
        for row in dashboard.rows:
            for panel in row.panels:
                yield from (each.expr for each in panel.queries)
                yield from (each.expr for each in panel.columns)
    for group in (*recording_groups(Objectives()), *alert_groups(Objectives())):
        yield from (rule.expr for rule in group.rules)


def without_texts(expression: str) -> str:
    return re.sub(r'"[^"]*"', '""', expression)


def names(expression: str) -> set[str]:
    """Names of series in an expression."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on) ?\([^)]*\)|offset \w+", " ", without_texts(expression))
    found = set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare))
    return found - FUNCTIONS - {"or", "and", "unless"} - {"e"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_has_the_types_and_units(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert {each["type"] for each in panels(dashboard)} <= PANEL_TYPES
    assert dashboard["refresh"] in REFRESH
    for panel in panels(dashboard):
        if panel["type"] == "row":
            continue
        defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
        units = {
            defaults["unit"],
            *(each["value"] for one in overrides for each in one["properties"] if each["id"] == "unit"),
        }
        assert units <= UNITS, panel["title"]
        assert {step["color"] for step in defaults.get("thresholds", {}).get("steps", ())} <= COLORS


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_different_identities_and_places(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert [id for id, count in Counter(each["id"] for each in panels(dashboard)).items() if count > 1] == []
    taken: Counter[tuple[int, int]] = Counter()
    for panel in panels(dashboard):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            taken.update((x, y) for y in range(place["y"], place["y"] + place["h"]))
    assert max(taken.values()) == 1


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_describe_themselves_and_name_their_data_source(name: str) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(DASHBOARDS[name]):
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["datasource"] == source
            assert panel["targets"]
            assert all(each["datasource"] == source for each in panel["targets"])
            references = [each["refId"] for each in panel["targets"]]
            assert len(references) == len(set(references))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_variables_are_declared(name: str) -> None:
    text = json.dumps(DASHBOARDS[name])
    declared = {each["name"] for each in DASHBOARDS[name]["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w+)", text))
    assert used == declared


def test_links_lead_to_dashboards() -> None:
    uids = {each["uid"] for each in DASHBOARDS.values()}
    assert uids == {"idlrt-overview", "idlrt-service", "idlrt-resources", "idlrt-governance"}
    linked = {uid for each in DASHBOARDS.values() for uid in re.findall(r"/d/([\w-]+)", json.dumps(each))}
    assert linked == {"idlrt-service"}
    for each in DASHBOARDS.values():
        assert each["links"][0]["tags"] == each["tags"]


def test_tables_name_all_their_columns() -> None:
    for dashboard in all_dashboards(Objectives()):
        for row in dashboard.rows:
            for panel in row.panels:
                assert (panel.type == "table") == bool(panel.columns), panel.title
                for column in panel.columns:
                    (labels,) = set(re.findall(r"sum by \(([^)]*)\)|max by \(([^)]*)\)", column.expr)[:1])
                    kept = {each for each in re.split(r",\s*", "".join(labels)) if each != "le"}
                    assert kept == set(panel.names), (panel.title, column.title)


def test_expressions_use_metrics_that_exist() -> None:
    used = {name for expression in expressions() for name in names(expression)}
    assert used - set(EXPOSED) == set()
    assert len(used) > 60


def test_expressions_use_labels_that_exist() -> None:
    known = {"job", "instance", "rpc_service", *(label for labels in EXPOSED.values() for label in labels)}
    for expression in expressions():
        grouped = re.findall(r"\b(?:by|on) ?\(([^)]*)\)", expression)
        labels = {label for each in grouped for label in re.split(r",\s*", each) if label}
        assert labels <= known, expression
        for metric, selector in re.findall(r"([\w:]+)\{([^}]*)\}", without_texts(expression)):
            selected = set(re.findall(r"(\w+)(?:=|!)", selector))
            assert selected <= {"job", "instance", *EXPOSED[metric]}, expression


# Metrics that no dashboard shows, because another one says the same.
NOT_SHOWN = {
    "process_virtual_memory_bytes",
    "python_gc_objects_collected_total",
    "python_gc_objects_uncollectable_total",
    "python_info",
    "resource_started_total",
    "rpc_client_request_bytes_total",
    "rpc_client_response_bytes_total",
    "rpc_observe_series",
}


def test_dashboards_show_all_metrics() -> None:
    used = {re.sub(r"_(bucket|sum|count)$", "", name) for expression in expressions() for name in names(expression)}
    every = {metric.name for metric in metrics()} | {each.name for metric in metrics() for each in metric.derived}
    assert every - used == NOT_SHOWN


def test_files_are_the_same_in_every_process() -> None:
    program = "from idlrt.observe.dashboards import *; print(hash(''), repr(monitoring_files(Objectives())))"

    def output(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert output("1") == output("2")


def test_objectives_change_the_panels_of_objectives() -> None:
    def budget(objectives: Objectives) -> str:
        return json.dumps(json.loads(monitoring_files(objectives)["grafana/dashboards/idlrt-overview.json"])["panels"])

    assert "99.5 % of the calls succeed" in budget(Objectives(slo=99.5))
    assert "/ 0.005" in budget(Objectives(slo=99.5))
