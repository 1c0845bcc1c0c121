"""Text of metrics: valid for Prometheus, with the units and labels of the catalogue."""

from __future__ import annotations

import math
import re
import subprocess

import pytest
from programs import require_program

from idlrt.observe import CallKey, Histogram, ServerSnapshot, Sizes
from idlrt.observe.catalogue import ServerGauges, process_families, server_families
from idlrt.observe.exposition import BUCKETS, Family, Sample, exposition, histogram_family

SNAPSHOT = ServerSnapshot(
    calls={
        CallKey("Store.get", "ok"): Histogram.of([90_000, 2_000_000, 40_000_000_000]),
        CallKey("Store.get", "declared_error", "Missing"): Histogram.of([5]),
    },
    sizes={"Store.get": Sizes(100, 2000)},
    callers={"checkout": 3},
    dropped=1,
)
GAUGES = ServerGauges(connections=2, in_flight=1, unsent_bytes=0, is_draining=False)


def text() -> str:
    return exposition([*server_families(SNAPSHOT, GAUGES), *process_families()])


def samples(name: str) -> dict[str, float]:
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text(), re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_buckets_are_cumulative_and_end_with_the_count() -> None:
    labels = 'rpc_method="Store.get",rpc_status_code="ok",error_type=""'
    found = {
        float(bound): value
        for each, value in samples("rpc_server_call_duration_seconds_bucket").items()
        for bound in re.findall(rf'^{re.escape(labels)},le="(.*)"$', each)
    }
    assert list(found) == list(BUCKETS)
    assert list(found.values()) == sorted(found.values())
    assert (found[0.0001], found[0.0025], found[30.0], found[math.inf]) == (1, 2, 2, 3)
    assert samples("rpc_server_call_duration_seconds_count")[labels] == 3
    assert samples("rpc_server_call_duration_seconds_sum")[labels] == pytest.approx(40.00209)


def test_gauges_and_counters() -> None:
    assert samples("rpc_server_connections") == {"": 2}
    assert samples("rpc_server_request_bytes_total") == {'rpc_method="Store.get"': 100}
    assert samples("rpc_server_callers_total") == {'caller="checkout"': 3}
    assert samples("rpc_observe_dropped_total") == {'what="series"': 1}
    assert samples("process_cpu_seconds_total")[""] > 0


def test_text_of_labels_is_escaped() -> None:
    family = Family("x_total", "counter", 'a "b"\nc\\', (Sample({"name": 'q"\\\n'}, 1.5),))
    help, kind, sample = exposition([family]).splitlines()
    assert help == '# HELP x_total a "b"\\nc\\\\'
    assert kind == "# TYPE x_total counter"
    assert sample == 'x_total{name="q\\"\\\\\\n"} 1.5'


def test_labels_can_always_be_sent() -> None:
    family = Family("x_total", "counter", "x", (Sample({"caller": "a\udc80b"}, 1),))
    assert 'x_total{caller="a?b"} 1' in exposition([family]).encode().decode()


def test_a_family_without_samples_is_left_out() -> None:
    assert exposition([histogram_family("x_seconds", "nothing", [])]) == ""


def test_promtool_finds_no_fault() -> None:
    done = subprocess.run(
        [require_program("promtool", "prometheus"), "check", "metrics"],
        input=text(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
