"""`promtool` evaluates the rules: each alert fires when it should, with its texts, and is silent otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_server import promtool

from idlrt.observe.dashboards import LatencyObjective, Objectives, alert_groups, alert_names, monitoring_files
from idlrt.observe.dashboards.model import Alert

pytestmark = pytest.mark.slow

DEFAULT = Objectives()
OTHER = Objectives(
    slo=99.0,
    latency=LatencyObjective(1.0, 95.0),
    thresholds={"workers": 0.5, "queue": 0.5},
    severities={"page": "critical", "ticket": "warning"},
    labels={"team": "shop"},
    runbooks="https://wiki.example.com/rpc",
)
PARAMETERS = {"default": DEFAULT, "other": OTHER}

HERE = 'job="j",instance="i"'
UP = f"rpc_build_info{{{HERE}}}"


class Fires(NamedTuple):
    """Expected alert of a case: its labels besides those of its rule, and the value in its texts."""

    labels: Mapping[str, str]
    value: str = ""


class Case(NamedTuple):
    """Series (in the notation of promtool, a value each minute) and what an alert makes of them.

    `fires` is empty where the alert is silent. `rules` selects some of its rules, by window and severity.
    """

    name: str
    alert: str
    series: Mapping[str, str]
    minute: int
    fires: tuple[tuple[tuple[str, str], Fires], ...] = ()


def once(alert: str, series: Mapping[str, str], minute: int, labels: Mapping[str, str], value: str = "") -> Case:
    return Case(f"{alert} fires", alert, series, minute, ((("", ""), Fires(labels, value)),))


def silent(alert: str, series: Mapping[str, str], minute: int) -> Case:
    return Case(f"{alert} is silent", alert, series, minute)


def buckets(metric: str, labels: str, below: int, above: int, bound: str, length: int) -> dict[str, str]:
    """A histogram that grows each minute by numbers of values below and above a bound."""
    both = below + above
    return {
        f'{metric}_bucket{{{labels},le="{bound}"}}': f"0+{below}x{length}",
        f'{metric}_bucket{{{labels},le="30.0"}}': f"0+{both}x{length}",
        f'{metric}_bucket{{{labels},le="+Inf"}}': f"0+{both}x{length}",
        f"{metric}_count{{{labels}}}": f"0+{both}x{length}",
    }


LOCAL = {"job": "j", "instance": "i"}
QUEUE, LAG = "rpc_server_queue_duration_seconds", "rpc_loop_lag_seconds"
TARGET = f'{HERE},server_address="S"'
IN_TARGET = {**LOCAL, "server_address": "S"}


def others() -> Iterator[Case]:
    """Cases of alerts without windows; each fires and is silent once."""
    down = {f"up{{{HERE}}}": "1x4 0x20", 'up{job="j",instance="k"}': "1x24", UP: "1x24"}
    yield once("RpcInstanceDown", down, 8, LOCAL)
    yield silent("RpcInstanceDown", down, 6)
    yield Case("RpcInstanceDown is silent for other programs", "RpcInstanceDown", {f"up{{{HERE}}}": "0x24"}, 20)
    yield once("RpcJobDown", {f"up{{{HERE}}}": "1x4 0x20", UP: "1x4 _x20"}, 10, {"job": "j"})
    yield silent("RpcJobDown", down, 10)
    restarts = f"rpc_server_process_restarts_total{{{HERE}}}"
    yield once("RpcProcessCrashLoop", {restarts: "0+1x20"}, 20, LOCAL, "15")
    yield silent("RpcProcessCrashLoop", {restarts: "0x10 1x10"}, 20)
    busy, idle = (f'rpc_server_workers{{{HERE},state="{state}"}}' for state in ("busy", "idle"))
    yield once("RpcWorkersSaturated", {busy: "19x20", idle: "1x20"}, 10, LOCAL, "95%")
    yield silent("RpcWorkersSaturated", {busy: "1x20", idle: "3x20"}, 10)
    method = f'{HERE},rpc_method="S.m"'
    yield once("RpcQueueSlow", buckets(QUEUE, method, 0, 100, "0.0001", 20), 15, LOCAL, "29.7s")
    yield silent("RpcQueueSlow", buckets(QUEUE, method, 100, 0, "0.03", 20), 15)
    opened, limit = f"process_open_fds{{{HERE}}}", f"process_max_fds{{{HERE}}}"
    yield once("RpcFileDescriptorsNearLimit", {opened: "90x20", limit: "100x20", UP: "1x20"}, 10, LOCAL, "90%")
    yield silent("RpcFileDescriptorsNearLimit", {opened: "50x20", limit: "100x20", UP: "1x20"}, 10)
    used, most = f"process_resident_memory_bytes{{{HERE}}}", f"process_memory_limit_bytes{{{HERE}}}"
    yield once("RpcMemoryNearLimit", {used: "95x20", most: "100x20"}, 10, LOCAL, "95%")
    yield silent("RpcMemoryNearLimit", {used: "95x20"}, 10)
    waiting = f"rpc_client_waiting{{{TARGET}}}"
    yield once("RpcConnectionsExhausted", {waiting: "7x20"}, 10, IN_TARGET, "7")
    yield silent("RpcConnectionsExhausted", {waiting: "7 0 7 0 0 0 0 0 0 0 0"}, 10)
    breaker = f'rpc_breaker_state{{{HERE},name="S"}}'
    yield once("RpcBreakerOpen", {breaker: "0x5 2x10"}, 10, {**LOCAL, "name": "S"})
    yield silent("RpcBreakerOpen", {breaker: "0x5 1x10"}, 10)
    ejected, known = f"rpc_client_ejected{{{TARGET}}}", f"rpc_client_endpoints{{{TARGET}}}"
    yield once("RpcInstancesEjected", {ejected: "3x10", known: "4x10"}, 5, IN_TARGET, "75%")
    yield silent("RpcInstancesEjected", {ejected: "1x10", known: "4x10"}, 5)
    refused = f'rpc_client_not_retried_total{{{HERE},rpc_method="S.m",mode="failover",reason="%s"}}'
    yield once("RpcRetryBudgetExhausted", {refused % "budget": "0+10x20"}, 15, {"job": "j", "rpc_method": "S.m"}, "50")
    yield silent("RpcRetryBudgetExhausted", {refused % "disabled": "0+10x20"}, 15)
    fresh = f'rpc_registry_freshness{{{HERE},service="S",freshness="%s"}}'
    listed = f'rpc_registry_instances{{{HERE},service="S",zone="",status="%s"}}'
    service = {"job": "j", "service": "S"}
    yield once("RpcNoInstances", {fresh % "live": "1x10", listed % "disabled": "2x10"}, 5, service)
    yield silent("RpcNoInstances", {fresh % "live": "1x10", listed % "up": "1x10"}, 5)
    yield once("RpcRegistryStale", {fresh % "stale": "1x20"}, 10, {**service, "freshness": "stale"})
    yield silent("RpcRegistryStale", {fresh % "live": "1x20"}, 10)
    pauses = f'python_gc_pause_seconds_sum{{{HERE},generation="2"}}'
    yield once("RpcGcPauses", {pauses: "0+6x30"}, 20, LOCAL, "10%")
    yield silent("RpcGcPauses", {pauses: "0+0.6x30"}, 20)
    loop = f'{HERE},loop="server"'
    yield once("RpcLoopLag", buckets(LAG, loop, 0, 600, "0.1", 20), 15, {**LOCAL, "loop": "server"}, "29.7s")
    yield silent("RpcLoopLag", buckets(LAG, loop, 600, 0, "0.01", 20), 15)
    dropped = f'rpc_observe_dropped_total{{{HERE},what="series"}}'
    yield once("RpcMetricsDropped", {dropped: "0+2x20"}, 20, {**LOCAL, "what": "series"}, "30")
    yield silent("RpcMetricsDropped", {dropped: "5x20"}, 20)


def calls(good: int, bad: int, length: int, status: str = "internal") -> dict[str, str]:
    """Calls of a method each minute, and a method that no server knows, which does not count."""
    one = 'rpc_server_calls_total{job="j",instance="i",rpc_method="%s",rpc_status_code="%s"}'
    return {
        one % ("shop.Users.get", "ok"): f"0+{good}x{length}",
        one % ("shop.Users.put", status): f"0+{bad}x{length}",
        one % ("_OTHER", "unimplemented"): f"0+1000x{length}",
    }


def durations(fast: int, slow: int, bound: float, length: int) -> dict[str, str]:
    labels = 'job="j",instance="i",rpc_method="shop.Users.get",rpc_status_code="ok"'
    found = buckets("rpc_server_call_duration_seconds", labels, fast, slow, repr(bound), length)
    return {**found, **calls(fast + slow, 0, length)}


SERVICE = {"job": "j", "rpc_service": "shop.Users"}
WINDOWS = (("1h", "page"), ("6h", "page"), ("1d", "ticket"), ("3d", "ticket"))


def firing(value: str, *windows: tuple[str, str]) -> tuple[tuple[tuple[str, str], Fires], ...]:
    return tuple((each, Fires(SERVICE, value)) for each in windows)


def exceeded(ratio: float, budget: float) -> Iterator[tuple[str, str]]:
    """The windows whose factor a ratio of failures exceeds."""
    yield from (each for each, factor in zip(WINDOWS, (14.4, 6.0, 3.0, 1.0), strict=True) if ratio > factor * budget)


def burning(objectives: Objectives) -> Iterator[Case]:
    """Cases of burn rates: the same share of failures all the time, so that windows do not differ."""
    name = "RpcErrorBudgetBurn"
    yield Case("a tenth fails", name, calls(900, 100, 100), 90, firing("10%", *exceeded(0.1, objectives.budget)))
    # Between the factors 3 and 6.
    bad = round(4e5 * objectives.budget)
    share = f"{bad / 1000:.4g}%"
    yield Case("the budget burns slowly", name, calls(100000 - bad, bad, 100), 90, firing(share, *WINDOWS[2:]))
    bad = round(5e4 * objectives.budget)
    yield Case("within the objective", name, calls(100000 - bad, bad, 100), 90)
    yield Case("callers make mistakes", name, calls(500, 500, 100, "invalid_argument"), 90)
    few = (("1h", "ticket"), ("6h", "ticket"), *WINDOWS[2:])
    yield Case("few calls", name, calls(1, 1, 100), 90, firing("50%", *few))
    # Failures that ended 20 minutes ago: the short window of 5 minutes is over.
    failed = 'rpc_server_calls_total{job="j",instance="i",rpc_method="shop.Users.put",rpc_status_code="internal"}'
    ended = {failed: "0+1000x60 60000x40"}
    yield Case("the short window ends the alert", name, ended, 80, firing("100%", *WINDOWS[1:]))
    slow = "RpcLatencyBudgetBurn"
    bound = objectives.latency.seconds
    half = firing("50%", *exceeded(0.5, objectives.latency.budget))
    yield Case("half of the calls are slow", slow, durations(500, 500, bound, 100), 90, half)
    yield Case("all calls are fast", slow, durations(1000, 0, bound, 100), 90)


def rules(objectives: Objectives) -> Iterator[Alert]:
    for group in alert_groups(objectives):
        yield from (each for each in group.rules if isinstance(each, Alert))


def expected(case: Case, objectives: Objectives) -> Iterator[dict[str, Any]]:
    for (window, severity), fires in case.fires:
        (rule,) = (
            each
            for each in rules(objectives)
            if each.name == case.alert and each.labels.get("window", "") == window and severity in ("", each.severity)
        )

        def text(template: str, fires: Fires = fires) -> str:
            shown = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: fires.labels[match[1]], template)
            return re.sub(r"\{\{ \$value [^}]*\}\}", fires.value, shown)

        yield {
            "exp_labels": {
                **fires.labels,
                **rule.labels,
                **objectives.labels,
                "severity": objectives.severity(rule.severity),
            },
            "exp_annotations": {
                "summary": text(rule.summary),
                "description": text(rule.description),
                "runbook_url": f"{objectives.runbooks}#{rule.name.lower()}",
            },
        }


def unit_tests(cases: Sequence[Case], objectives: Objectives) -> str:
    """A file for `promtool test rules`; JSON is YAML."""
    tests = [
        {
            "name": case.name,
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
            "alert_rule_test": [
                {
                    "eval_time": f"{case.minute}m",
                    "alertname": case.alert,
                    "exp_alerts": list(expected(case, objectives)),
                }
            ],
        }
        for case in cases
    ]
    files = ["idlrt-recording.yml", "idlrt-alerts.yml"]
    return json.dumps({"rule_files": files, "evaluation_interval": "1m", "tests": tests}, indent=1)


@pytest.fixture(params=list(PARAMETERS))
def objectives(request: pytest.FixtureRequest) -> Objectives:
    return PARAMETERS[request.param]


@pytest.fixture
def folder(tmp_path: Path, objectives: Objectives) -> Path:
    for name, text in monitoring_files(objectives).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_rules_and_configuration_have_no_problems(folder: Path) -> None:
    shown = promtool("check", "rules", *map(str, sorted((folder / "prometheus/rules").iterdir())))
    assert shown.count("SUCCESS") == 2
    assert "SUCCESS" in promtool("check", "config", str(folder / "prometheus/prometheus.example.yml"))


def test_alerts_fire_and_are_silent(folder: Path, objectives: Objectives) -> None:
    cases = [*others(), *burning(objectives)]
    assert {each.alert for each in cases if each.fires} == set(alert_names())
    assert {each.alert for each in cases if not each.fires} == set(alert_names())
    path = folder / "prometheus/rules/tests.json"
    path.write_text(unit_tests(cases, objectives))
    assert "SUCCESS" in promtool("test", "rules", str(path))
