"""Text of metrics: valid for Prometheus, with the units and labels of the catalogue."""

from __future__ import annotations

import math
import re
import subprocess

import pytest
from programs import require_program
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from idlrt.observe import Histogram, Metric, Series
from idlrt.observe.catalogue import METRICS, SERVER_CALLS, TARGET_INFO
from idlrt.observe.exposition import BUCKETS, Family, Sample, exposition, families, wants_openmetrics

OK = ("Store.get", "ok", "")
SERIES = [
    Series(
        SERVER_CALLS,
        {
            (*OK, "checkout"): Histogram({5: 2, 7: 1}, 3, 20, 5, 9, 100, 2000),
            (*OK, ""): Histogram.of([90_000, 2_000_000, 40_000_000_000]),
            ("Store.get", "declared_error", "Missing", ""): Histogram.of([5]),
        },
    ),
    Series(TARGET_INFO, {("shop", "10.0.0.5:9090", "host", "eu-1", "7"): 1}),
]


def everything() -> list[Series]:
    """Series of all metrics, each with one value."""
    return [
        Series(each, {tuple("x" for _ in each.labels): Histogram.of([5]) if each.kind == "histogram" else 1})
        for each in METRICS
    ]


def samples(name: str) -> dict[str, float]:
    text = exposition(families(SERIES))
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_buckets_are_cumulative_and_end_with_the_count_of_all_callers() -> None:
    labels = 'rpc_method="Store.get",rpc_status_code="ok",error_type=""'
    found = {
        float(bound): value
        for each, value in samples("rpc_server_call_duration_seconds_bucket").items()
        for bound in re.findall(rf'^{re.escape(labels)},le="(.*)"$', each)
    }
    assert list(found) == list(BUCKETS)
    assert list(found.values()) == sorted(found.values())
    assert (found[0.0001], found[0.0025], found[30.0], found[math.inf]) == (4, 5, 5, 6)
    assert samples("rpc_server_call_duration_seconds_count")[labels] == 6
    assert samples("rpc_server_call_duration_seconds_sum")[labels] == pytest.approx(40.00209)


def test_counters_are_read_from_the_histogram_with_all_labels() -> None:
    labels = 'rpc_method="Store.get",rpc_status_code="ok",error_type="",caller='
    assert samples("rpc_server_calls_total")[f'{labels}"checkout"'] == 3
    assert samples("rpc_server_calls_total")[f'{labels}""'] == 3
    assert samples("rpc_server_request_bytes_total") == {'rpc_method="Store.get"': 100}
    assert samples("rpc_server_response_bytes_total") == {'rpc_method="Store.get"': 2000}


def test_text_of_labels_is_escaped() -> None:
    family = Family("x_total", "counter", 'a "b"\nc\\', (Sample({"name": 'q"\\\n'}, 1.5),))
    help, kind, sample = exposition([family]).splitlines()
    assert help == '# HELP x_total a "b"\\nc\\\\'
    assert kind == "# TYPE x_total counter"
    assert sample == 'x_total{name="q\\"\\\\\\n"} 1.5'


def test_labels_can_always_be_sent() -> None:
    family = Family("x_total", "counter", "x", (Sample({"caller": "a\udc80b"}, 1),))
    assert 'x_total{caller="a?b"} 1' in exposition([family]).encode().decode()


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (2.0, "2")])
def test_numbers_are_those_of_the_format(value: float, shown: str) -> None:
    assert exposition([Family("x", "gauge", "x", (Sample({}, value),))]).endswith(f"x {shown}\n")


def test_a_family_without_samples_is_left_out() -> None:
    assert exposition(families([Series(SERVER_CALLS, {})])) == ""


def test_openmetrics_names_counters_without_total_and_ends() -> None:
    text = exposition(families(SERIES), is_openmetrics=True)
    assert "# TYPE rpc_server_calls counter\n" in text
    assert "\nrpc_server_calls_total{" in text
    assert "# TYPE target info\n" in text
    assert "\ntarget_info{" in text
    assert text.endswith("# EOF\n")


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS, True),
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text;q=0.1,text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=x", False),
    ],
)
def test_the_scraper_chooses_the_format(accept: str, expected: bool) -> None:
    assert wants_openmetrics(accept) == expected


def test_names_have_the_units_of_their_values() -> None:
    for each in METRICS:
        assert isinstance(each, Metric)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", each.name)
        assert (each.kind == "counter") == each.name.endswith("_total"), each.name
        assert each.kind != "histogram" or each.name.endswith("_seconds"), each.name
        assert set(each.hidden) <= set(each.labels)
        for derived in each.derived:
            assert derived.name.endswith("_total")
            assert set(derived.labels) <= set(each.labels)
    names = [each.name for each in METRICS] + [derived.name for each in METRICS for derived in each.derived]
    assert len(names) == len(set(names))


def test_no_family_is_there_twice_in_openmetrics() -> None:
    text = exposition(families(everything()), is_openmetrics=True)
    names = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
    assert sorted(names) == sorted(set(names))
    assert {each.name for each in text_string_to_metric_families(text)} == set(names)


def test_promtool_finds_no_fault_in_all_metrics() -> None:
    done = subprocess.run(
        [require_program("promtool", "prometheus"), "check", "metrics"],
        input=exposition(families(everything())),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
