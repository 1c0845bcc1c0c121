"""Spans as OpenTelemetry's SDK gets them, its variables, and what becomes of failures."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from finished_spans import finished_span
from opentelemetry import context as contexts
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import StatusCode

from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.exporters import OtlpSpanExporter
from idlrt.observe.tracing.span import Link, SpanEvent

_log = logging.getLogger(__name__)


def is_suppressed() -> bool:
    """Whether instrumentation of HTTP clients ignores this thread now."""
    return any(name.startswith("suppress_instrumentation") and value for name, value in contexts.get_current().items())


class Kept(SpanExporter):
    """Keeps spans while `text`, which it would log as the SDK does, is empty."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.text = ""
        self.is_shut_down = False
        self.is_suppressed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.is_suppressed = is_suppressed()
        if self.text:
            _log.error(self.text)
            return SpanExportResult.FAILURE
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.is_shut_down = True


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def exported(span: Any, **options: Any) -> ReadableSpan:
    kept = Kept()
    exporter = OtlpSpanExporter("users", exporter=lambda: kept, **options)
    exporter.export([span], 10)
    [found] = kept.spans
    # It can be encoded.
    assert encode_spans([found]).resource_spans
    return found


def test_a_span_has_ids_times_kind_status_and_attributes() -> None:
    span = finished_span(
        parent_id="c" * 16,
        is_remote_parent=True,
        attributes={"rpc.attempt": 1, "is_core": True, "share": 0.5, "text\udcff": "a\udc80"},
        status="error",
        message="no such user",
        dropped=2,
    )
    found = exported(span)
    assert found.context is not None
    assert found.parent is not None
    assert found.name == "UserService.get"
    assert found.kind is SpanKind.SERVER
    assert f"{found.context.trace_id:032x}" == span.trace_id
    assert f"{found.context.span_id:016x}" == span.span_id
    assert found.context.trace_flags.sampled
    assert f"{found.parent.span_id:016x}" == "c" * 16
    assert found.parent.is_remote
    assert (found.start_time, found.end_time) == (span.started_at, span.started_at + 1_500_000)
    assert dict(found.attributes or {}) == {"rpc.attempt": 1, "is_core": True, "share": 0.5, "text?": "a?"}
    assert (found.status.status_code, found.status.description) == (StatusCode.ERROR, "no such user")
    assert found.dropped_attributes == 2
    assert found.instrumentation_scope is not None
    assert found.instrumentation_scope.name == "idlrt"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("client", SpanKind.CLIENT),
        ("internal", SpanKind.INTERNAL),
        ("producer", SpanKind.PRODUCER),
        ("consumer", SpanKind.CONSUMER),
    ],
)
def test_kinds(kind: str, expected: SpanKind) -> None:
    found = exported(finished_span(kind=kind))
    assert found.kind is expected
    assert found.parent is None
    assert found.status.status_code is StatusCode.UNSET


def test_events_and_links() -> None:
    span = finished_span(
        events=(SpanEvent(2_000, "Retrying", {"attempt": 1}),), links=(Link("d" * 32, "e" * 16, "queued by"),)
    )
    found = exported(span)
    [event] = found.events
    assert (event.name, event.timestamp, dict(event.attributes or {})) == (
        "Retrying",
        span.started_at + 2_000,
        {"attempt": 1},
    )
    [link] = found.links
    assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == ("d" * 32, "e" * 16)
    assert dict(link.attributes or {}) == {"idlrt.link": "queued by"}


def test_trace_state_carries_the_sampling_threshold() -> None:
    span = finished_span()
    context = msgspec.structs.replace(span.context, state="vendor=1", threshold=0x8 << 52)
    found = exported(msgspec.structs.replace(span, context=context))
    assert found.context is not None
    assert found.context.trace_state.to_header() == "ot=th:8,vendor=1"


def test_late_spans_are_marked_and_not_sampled() -> None:
    span = finished_span(is_late=True)
    found = exported(
        msgspec.structs.replace(span, context=msgspec.structs.replace(span.context, is_sampled=False, threshold=1))
    )
    assert found.context is not None
    assert not found.context.trace_flags.sampled
    assert found.context.trace_state.to_header() == ""
    assert dict(found.attributes or {}) == {"idlrt.late": True}


def test_arguments_precede_variables_of_the_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "variable")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,zone=a")
    attributes = exported(finished_span(), resource={"zone": "b"}).resource.attributes
    assert (attributes["service.name"], attributes["zone"]) == ("users", "b")
    assert attributes["deployment.environment.name"] == "test"
    assert attributes["process.pid"] == os.getpid()
    kept = Kept()
    OtlpSpanExporter(exporter=lambda: kept).export([finished_span()], 10)
    assert kept.spans[0].resource.attributes["service.name"] == "variable"


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_variables_turn_it_off(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    kept = Kept()
    exporter = OtlpSpanExporter("users", exporter=lambda: kept)
    exporter.export([finished_span()], 10)
    exporter.close()
    assert kept.spans == []


def test_other_protocols_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; set it to http/protobuf"):
        OtlpSpanExporter("users")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    OtlpSpanExporter("users").close()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Failed to export spans batch code: 400, reason: Bad Request", ValueError),
        ("Failed to export span batch code: 401, reason: x", ValueError),
        ("Failed to encode span batch: surrogates", ValueError),
        ("Failed to export spans batch code: 429, reason: slow down", OSError),
        ("Failed to export spans batch code: None, reason: refused", OSError),
        ("Failed to export spans batch due to timeout, max retries or shutdown.", OSError),
    ],
)
def test_failures_tell_whether_to_send_again(text: str, error: type[Exception]) -> None:
    kept = Kept()
    kept.text = text
    exporter = OtlpSpanExporter("users", exporter=lambda: kept)
    with pytest.raises(error, match=text.rstrip(".")):
        exporter.export([finished_span()], 10)


def test_requests_are_not_instrumented_and_the_context_of_the_thread_stays() -> None:
    kept = Kept()
    exporter = OtlpSpanExporter("users", exporter=lambda: kept)
    exporter.export([finished_span()], 10)
    assert kept.is_suppressed
    assert not is_suppressed()
    exporter.close()
    assert kept.is_shut_down


def test_a_forked_child_creates_its_own_exporter() -> None:
    made: list[Kept] = []

    def make() -> Kept:
        made.append(Kept())
        return made[-1]

    exporter = OtlpSpanExporter("users", exporter=make)
    exporter.export([finished_span()], 10)
    child = os.fork()
    if not child:
        exporter.export([finished_span()], 10)
        pid = made[-1].spans[0].resource.attributes["process.pid"]
        os._exit(0 if len(made) == 2 and pid == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(made) == 1
