"""Options of the exporter: arguments, then variables, then defaults."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

from idlrt.errors import ConfigurationError
from idlrt.observe.otlp import OtlpExporter
from idlrt.observe.otlp.options import Options, is_disabled, options


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def found(**arguments: Any) -> Options:
    names = ("interval", "timeout", "temporality", "histograms", "bounds")
    return options(*(arguments.get(name) for name in names))


def test_defaults_are_those_of_opentelemetry() -> None:
    expected = Options(interval=60.0, timeout=30.0, temporality="cumulative", histograms="explicit", bounds=None)
    assert found() == expected


def test_variables_replace_defaults_and_arguments_replace_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1500")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_TIMEOUT", "500")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "DELTA")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram")
    expected = Options(interval=1.5, timeout=0.5, temporality="delta", histograms="exponential", bounds=None)
    assert found() == expected
    given = found(interval=2, timeout=3, temporality="lowmemory", histograms="explicit", bounds=[0.5, 1])
    assert given == Options(interval=2, timeout=3, temporality="lowmemory", histograms="explicit", bounds=(0.5, 1))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon", "a number of milliseconds greater than 0"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-1", "a number of milliseconds greater than 0"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "low",
            "'cumulative', 'delta' or 'lowmemory'",
        ),
    ],
)
def test_invalid_variables_are_logged_and_ignored(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING, "idlrt.observe"):
        assert found() == Options(
            interval=60.0, timeout=30.0, temporality="cumulative", histograms="explicit", bounds=None
        )
    assert caplog.messages == [f"ignoring {name}: must be {expected}, got {value!r}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interval": 0}, "interval: must be greater than 0, got 0"),
        ({"timeout": float("nan")}, "timeout: must be greater than 0, got nan"),
        ({"temporality": "low"}, "temporality: must be 'cumulative', 'delta' or 'lowmemory', got 'low'"),
        ({"histograms": "many"}, "histograms: must be 'explicit' or 'exponential', got 'many'"),
        ({"bounds": [2, 1]}, r"bounds: must be ascending numbers greater than 0, got \[2, 1\]"),
        ({"bounds": []}, r"bounds: must be ascending numbers greater than 0, got \[\]"),
    ],
)
def test_invalid_arguments_are_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}$"):
        OtlpExporter(**arguments)


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "True"), ("OTEL_METRICS_EXPORTER", "none")])
def test_variables_disable_the_export(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_disabled()
    monkeypatch.setenv(name, value)
    assert is_disabled()
    with OtlpExporter() as exporter:
        assert not exporter.is_running
        assert exporter.flush()


def test_other_protocols_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    message = "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; set it to http/protobuf, or pass another exporter"
    with pytest.raises(ConfigurationError, match=message):
        OtlpExporter()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf")
    OtlpExporter()
