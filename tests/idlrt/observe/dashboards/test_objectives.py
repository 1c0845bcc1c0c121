"""Objectives: valid ones, errors, and the rules that follow from them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from idlrt.core import Outcome
from idlrt.errors import ConfigurationError
from idlrt.observe.dashboards import THRESHOLDS, LatencyObjective, Objectives, alert_groups, recording_groups
from idlrt.observe.dashboards.burn_rates import fewest_calls
from idlrt.observe.dashboards.model import Alert, Recording
from idlrt.observe.dashboards.objectives import SERVER_FAULTS
from idlrt.observe.figures import GOOD


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slo": 100.0}, "SLO: must be between 50 and 99.9999 percent, got 100"),
        ({"slo": float("nan")}, "SLO: must be between 50 and 99.9999 percent, got nan"),
        ({"slo": 0.999}, "SLO: must be between 50 and 99.9999 percent, got 0.999"),
        ({"latency": LatencyObjective(0.3, 10)}, "latency SLO: must be between 50 and 99.9999 percent, got 10"),
        ({"latency": LatencyObjective(0.2)}, "latency SLO: the number of seconds must be a bucket bound of the"),
        ({"thresholds": {"cpu": 1}}, "unknown threshold 'cpu' (known: descriptors, ejected, gc, loop_lag, memory,"),
        ({"thresholds": {"gc": 0}}, "threshold gc: must be above 0 and at most 1 (fraction of the time spent in"),
        ({"thresholds": {"workers": 90}}, "threshold workers: must be above 0 and at most 1 ("),
        ({"severities": {"warn": "x"}}, "unknown severity 'warn' (known: page, ticket)"),
        ({"severities": {"page": ""}}, "severity page: expected printable text without '{{', got ''"),
        ({"labels": {"a-b": "x"}}, "label 'a-b': its name must consist of letters, digits and '_', and begin with"),
        ({"labels": {"severity": "x"}}, "label 'severity': the rules set it; choose another name"),
        ({"labels": {"team": "{{ x }}"}}, "label team: expected printable text without '{{', got '{{ x }}'"),
        ({"runbooks": "x y"}, "runbooks: expected a URL or a path without spaces and '#', such as https://"),
        ({"runbooks": ""}, "runbooks: expected a URL or a path without spaces and '#', such as https://"),
    ],
)
def test_invalid_parameters_are_errors(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        Objectives(**options)


@pytest.mark.parametrize("text", ["0.3", "0.3:", ":99", "fast:99", "0.3/99"])
def test_latency_objectives_have_two_numbers(text: str) -> None:
    expected = f"latency SLO: expected SECONDS:PERCENT, such as 0.3:99, got {text!r}"
    with pytest.raises(ConfigurationError, match=re.escape(expected)):
        LatencyObjective.parse(text)


def test_latency_objectives_are_read() -> None:
    assert LatencyObjective.parse("1:99.5") == LatencyObjective(1.0, 99.5)


def test_every_outcome_is_good_or_the_fault_of_someone() -> None:
    of_callers = {"cancelled", "invalid_argument", "unimplemented", "permission_denied", "unauthenticated"}
    assert {*GOOD, *map(str, SERVER_FAULTS), *of_callers} == {str(each) for each in Outcome}


def test_pages_need_some_calls() -> None:
    assert [fewest_calls(budget) for budget in (0.5, 0.05, 0.01, 0.001, 0.0001)] == [20, 200, 1000, 1000, 1000]


def alerts(objectives: Objectives) -> list[Alert]:
    return [rule for group in alert_groups(objectives) for rule in group.rules if isinstance(rule, Alert)]


def test_limits_are_exact_decimals() -> None:
    found = {each.labels["window"]: each.expr for each in alerts(Objectives()) if each.name == "RpcErrorBudgetBurn"}
    assert [re.findall(r"> ([\d.]+)", found[window]) for window in ("1h", "6h", "1d", "3d")] == [
        ["0.0144", "0.0144"],
        ["0.006", "0.006"],
        ["0.003", "0.003"],
        ["0.001", "0.001"],
    ]


def test_a_limit_that_no_ratio_exceeds_is_left_out() -> None:
    found = [each for each in alerts(Objectives(slo=90)) if each.name == "RpcErrorBudgetBurn"]
    assert [(each.labels["window"], each.severity) for each in found] == [
        ("6h", "page"),
        ("6h", "ticket"),
        ("1d", "ticket"),
        ("3d", "ticket"),
    ]


def test_every_threshold_is_used() -> None:
    before = {each.name: each.expr for each in alerts(Objectives())}
    for name in THRESHOLDS:
        changed = alerts(Objectives(thresholds={name: 0.017}))
        assert [each.name for each in changed if each.name in before and before[each.name] != each.expr], name


def test_names_follow_the_conventions() -> None:
    for group in recording_groups(Objectives()):
        for rule in group.rules:
            assert isinstance(rule, Recording)
            assert re.fullmatch(r"job_[a-z_]+:rpc_[a-z_]+:[a-z0-9_]+", rule.record)
    for each in alerts(Objectives()):
        assert re.fullmatch(r"Rpc([A-Z][a-z]+)+", each.name)
        assert each.description.endswith(".")
        assert not each.summary.endswith(".")
