"""Metrics arrive by OTLP in real receivers, with the values that were recorded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from otlp_receivers import Receiver, oteltap, rotel

from idlrt.observe.otlp.points import MAX_BUCKETS, MAX_SCALE, RPC_BOUNDS

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SERVER, CLIENT = "rpc.server.call.duration", "rpc.client.call.duration"
DELTA, CUMULATIVE = 1, 2


def export(receiver: Receiver, *rounds: int, program: str = "otlp_program", **variables: str) -> list[dict[str, Any]]:
    """Run a program that exports to a receiver after each of its rounds; returns what it had recorded then."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {
        "PYTHONPATH": str(HERE.parent / "harness"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        **variables,
    }
    command = [sys.executable, str(HERE / f"{program}.py"), *map(str, rounds)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=4 * TIMEOUT, cwd=HERE
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def attributes(point: Mapping[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"]["stringValue"] for each in point["attributes"]}


def exports(receiver: Receiver, name: str, kind: str, count: int) -> list[dict[str, Any]]:
    """Return the data of a metric, of each of its first `count` exports."""

    def found() -> list[dict[str, Any]]:
        data = [each[kind] for each in receiver.metrics() if each["name"] == name]
        return data[:count] if len(data) >= count else []

    return eventually(found, name)


def points(data: Mapping[str, Any], status: str = "ok") -> list[dict[str, Any]]:
    return [each for each in data["dataPoints"] if attributes(each).get("rpc.response.status_code") == status]


def point(data: Mapping[str, Any], status: str = "ok") -> dict[str, Any]:
    (found,) = points(data, status)
    return found


def numbers(found: Mapping[str, Any]) -> list[float]:
    """Return count, sum, min and max in nanoseconds."""
    return [int(found["count"]), *(round(found[name] * 1e9) for name in ("sum", "min", "max"))]


def test_values_names_and_attributes_are_those_that_were_recorded(tmp_path: Path) -> None:
    with oteltap(tmp_path) as receiver:
        first, second = export(receiver, 20, 5)
        for name, side in ((SERVER, "server"), (CLIENT, "client")):
            one, two = exports(receiver, name, "histogram", 2)
            assert [each["aggregationTemporality"] for each in (one, two)] == [CUMULATIVE] * 2
            for data, recorded in ((one, first), (two, second)):
                for status in ("ok", "declared_error"):
                    found = point(data, status)
                    assert numbers(found) == recorded[f"{side} UserService.get {status}"][:4]
                    assert sum(map(int, found["bucketCounts"])) == int(found["count"])
                    assert found["explicitBounds"] == list(RPC_BOUNDS)
            assert point(one)["startTimeUnixNano"] == point(two)["startTimeUnixNano"]
            assert int(point(two)["count"]) == 25
        expected = {"rpc.system.name": "thrift", "rpc.method": "UserService/get"}
        server, client = (exports(receiver, name, "histogram", 1)[0] for name in (SERVER, CLIENT))
        assert attributes(point(server)) == {**expected, "rpc.response.status_code": "ok"}
        failed = attributes(point(server, "declared_error"))
        assert failed == {**expected, "rpc.response.status_code": "declared_error", "error.type": "NotFound"}
        address = attributes(point(client))["server.address"]
        assert attributes(point(client)) == {
            **expected,
            "rpc.response.status_code": "ok",
            "server.address": address,
        }
        # Beside histograms: counters, what is added up, and what is not.
        (request,) = exports(receiver, "rpc.server.request", "sum", 1)
        sizes = [first[f"server UserService.get {status}"][4] for status in ("ok", "declared_error")]
        assert [each["asInt"] for each in request["dataPoints"]] == [sum(sizes)]
        assert request["isMonotonic"]
        (connections,) = exports(receiver, "rpc.server.connections", "sum", 1)
        assert not connections.get("isMonotonic")
        assert connections["dataPoints"][0]["asInt"] == 1
        by_name = {each["name"]: each for each in receiver.metrics()}
        assert by_name[SERVER]["unit"] == by_name["process.cpu.time"]["unit"] == "s"
        assert by_name["rpc.server.request"]["unit"] == by_name["process.memory.usage"]["unit"] == "By"
        assert "gauge" in by_name["rpc.server.draining"]


def test_deltas_are_what_was_added_since_the_export_before(tmp_path: Path) -> None:
    with oteltap(tmp_path) as receiver:
        first, second = export(receiver, 20, 5, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
        for name, side in ((SERVER, "server"), (CLIENT, "client")):
            one, two = exports(receiver, name, "histogram", 2)
            assert [each["aggregationTemporality"] for each in (one, two)] == [DELTA] * 2
            key = f"{side} UserService.get ok"
            assert numbers(point(one)) == first[key][:4]
            assert numbers(point(two))[:2] == [5, second[key][1] - first[key][1]]
            assert sum(map(int, point(two)["bucketCounts"])) == 5
            assert point(two)["startTimeUnixNano"] == point(one)["timeUnixNano"]
        calls = exports(receiver, "rpc.server.calls", "sum", 2)
        assert [point(each)["asInt"] for each in calls] == [20, 5]
        # What goes up and down is never a delta.
        (connections, _) = exports(receiver, "rpc.server.connections", "sum", 2)
        assert connections["aggregationTemporality"] == CUMULATIVE


def test_exponential_histograms_have_the_percentiles(tmp_path: Path) -> None:
    preference = "base2_exponential_bucket_histogram"
    with oteltap(tmp_path) as receiver:
        (recorded,) = export(receiver, 200, OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=preference)
        (data,) = exports(receiver, SERVER, "exponentialHistogram", 1)
        found, (*expected, _, p50, p99) = point(data), recorded["server UserService.get ok"]
        assert numbers(found) == expected
        assert found["scale"] <= MAX_SCALE
        counts = [int(each) for each in found["positive"]["bucketCounts"]]
        assert len(counts) <= MAX_BUCKETS
        assert int(found["zeroCount"]) + sum(counts) == int(found["count"]) == 200
        base = 2.0 ** (2.0 ** -found["scale"])
        for quantile, exact in ((0.5, p50), (0.99, p99)):
            rank, position = quantile * 200 - int(found["zeroCount"]), -1
            while rank > 0:
                position += 1
                rank -= counts[position]
            lower = base ** (found["positive"]["offset"] + position)
            assert lower / 1.008 <= exact <= lower * base * 1.008


def test_a_collector_gets_the_resource_compressed(tmp_path: Path) -> None:
    with rotel(tmp_path) as receiver:
        export(
            receiver,
            20,
            OTEL_SERVICE_NAME="users",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.instance.id=one",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        )
        text = eventually(lambda: receiver.text() if SERVER in receiver.text() else "", SERVER)
        resource = dict(re.findall(r"^     -> ([\w.]+): \w+\((.*)\)$", text.partition("ScopeMetrics")[0], re.MULTILINE))
        assert resource["service.name"] == "users"
        assert resource["service.instance.id"] == "one"
        assert resource["deployment.environment.name"] == "test"
        assert {"host.name", "process.pid", "process.runtime.version", "telemetry.sdk.version"} <= resource.keys()
        assert "InstrumentationScope idlrt" in text
        part = text.partition(f"-> Name: {SERVER}\n")[2].partition("Metric #")[0]
        assert "-> rpc.method: Str(UserService/get)" in part
        assert "AGGREGATION_TEMPORALITY_CUMULATIVE" in part
        assert "Count: 20\n" in part


def test_the_supervisor_of_several_processes_exports_their_sums(tmp_path: Path) -> None:
    with oteltap(tmp_path) as receiver:
        export(receiver, 40, program="otlp_processes")
        (calls,) = exports(receiver, "rpc.server.calls", "sum", 1)
        assert point(calls)["asInt"] == 40
        (processes,) = exports(receiver, "rpc.server.processes", "sum", 1)
        assert sum(each["asInt"] for each in processes["dataPoints"]) == 2
