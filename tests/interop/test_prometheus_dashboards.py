"""A real Prometheus scrapes a program: every expression of every dashboard and rule has data."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from eventually import TIMEOUT, eventually
from prometheus_server import answer, ask, prometheus, promtool, scrape_config

from idlrt.observe.dashboards import Objectives, all_dashboards, monitoring_files, recording_groups
from idlrt.observe.dashboards.model import Panel, Recording

pytestmark = pytest.mark.long

PROGRAM = Path(__file__).with_name("monitored_program.py")
EVERYTHING = {"job": ".*", "instance": ".*", "service": ".*", "method": ".*"}
ONE = {"job": "idlrt", "service": "(UserService)", "method": "(UserService.get|UserService.blob)"}


class Monitored(NamedTuple):
    """URL of Prometheus, and the addresses of what it scrapes."""

    url: str
    targets: list[str]


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    folder = tmp_path_factory.mktemp("prometheus")
    for name, text in monitoring_files(Objectives()).items():
        (folder / Path(name).name).write_text(text)
    command = [sys.executable, str(PROGRAM)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            targets = [program.stdout.readline().strip() for _ in range(2)]
            config = scrape_config(*targets) + "rule_files: [idlrt-recording.yml, idlrt-alerts.yml]\n"
            with prometheus(config, folder) as url:
                yield Monitored(url, targets)
        finally:
            program.stdin.close()
            program.wait(TIMEOUT)


def expressions(panel: Panel) -> Iterator[str]:
    yield from (each.expr for each in panel.queries)
    yield from (each.expr for each in panel.columns)


def all_expressions() -> dict[str, str]:
    """All expressions of dashboards by names of their places."""
    return {
        f"{dashboard.uid}: {panel.title} {position}": expression
        for dashboard in all_dashboards(Objectives())
        for row in dashboard.rows
        for panel in row.panels
        for position, expression in enumerate(expressions(panel))
    }


def substituted(expression: str, values: Mapping[str, str]) -> str:
    """An expression with values of its variables, as Grafana sends it for a scrape interval of a second."""
    found = expression.replace("$__rate_interval", "10s")
    return re.sub(r"\$(\w+)\b(?!\d)", lambda match: values.get(match[1], match[0]), found)


def has_data(series: list[Any]) -> bool:
    """Whether there is a number besides those that stand for nothing."""
    return any(math.isfinite(float(each["value"][1])) and "none" not in each["metric"].values() for each in series)


def wait_for(url: str, named: Mapping[str, str]) -> None:
    """Wait until every expression has data."""
    left = dict(named)

    def is_done() -> bool:
        for name, expression in list(left.items()):
            if has_data(ask(url, expression)):
                del left[name]
        return not left

    try:
        eventually(is_done, "every expression has data")
    finally:
        print(f"{len(named) - len(left)} of {len(named)} expressions have data; without: {left}")


@pytest.mark.parametrize("values", [EVERYTHING, {**EVERYTHING, **ONE}], ids=["everything", "one"])
def test_every_expression_of_a_dashboard_has_data(monitored: Monitored, values: Mapping[str, str]) -> None:
    named = all_expressions()
    assert len(named) > 100
    wait_for(monitored.url, {name: substituted(expression, values) for name, expression in named.items()})


def test_expressions_about_rare_events_are_0_before_the_first_one(monitored: Monitored) -> None:
    # As if a program without any event were selected.
    nothing = {**EVERYTHING, "job": "nothing"}
    found = {
        expression: [each["value"][1] for each in ask(monitored.url, substituted(expression, nothing))]
        for expression in all_expressions().values()
        if "vector(0)" in expression
    }
    assert len(found) > 30
    assert {expression: values for expression, values in found.items() if values != ["0"]} == {}


def test_error_ratios_are_0_without_errors(monitored: Monitored) -> None:
    quiet = {**EVERYTHING, "instance": monitored.targets[1]}
    for name, expression in all_expressions().items():
        if "rate(rpc_server_calls_total" in expression and "or 0 *" in expression and "offset" not in expression:
            found = eventually(partial(ask, monitored.url, substituted(expression, quiet)), name)
            assert {each["value"][1] for each in found} == {"0"}, name


def test_every_variable_has_values(monitored: Monitored) -> None:
    for dashboard in all_dashboards(Objectives()):
        for variable in dashboard.variables:
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", substituted(variable.query, EVERYTHING))
            assert match is not None, variable

            def values(selector: str = match[1], label: str = match[2]) -> list[str]:
                found: list[str] = answer(monitored.url, f"label/{label}/values", **{"match[]": selector})
                return found

            found = eventually(values, f"values of {variable.name}")
            if variable.name == "service":
                parts = [re.search(variable.regex.strip("/"), each) for each in found]
                assert {each[1] for each in parts if each is not None} == {"UserService"}


def test_every_recording_rule_has_data(monitored: Monitored) -> None:
    wait_for(
        monitored.url,
        {
            each.record: each.record
            for group in recording_groups(Objectives())
            for each in group.rules
            if isinstance(each, Recording)
        },
    )


def test_no_rule_fails(monitored: Monitored) -> None:
    def evaluated() -> list[Any]:
        rules = [rule for group in answer(monitored.url, "rules")["groups"] for rule in group["rules"]]
        return rules if all(each["health"] != "unknown" for each in rules) else []

    rules = eventually(evaluated, "all rules are evaluated")
    assert [(each["name"], each.get("lastError")) for each in rules if each["health"] != "ok"] == []


def test_metrics_have_no_problems(monitored: Monitored) -> None:
    for target in monitored.targets:
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=TIMEOUT) as response:
            text = response.read().decode()
        assert "rpc_server_calls_total" in text
        assert promtool("check", "metrics", text=text) == ""
