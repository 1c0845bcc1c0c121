"""Spans as admin ports show them: in seconds, as JSON, without secrets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from idlrt.errors import RemoteProtocolError
from idlrt.observe.tracing.context import TraceContext
from idlrt.observe.tracing.span import FinishedSpan, Link, SpanEvent
from idlrt.observe.tracing.span_pages import SpanPage, SpanRecord, decode_page, encode_page, record_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def record(**changes: Any) -> SpanRecord:
    values: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "name": "UserService.get",
        "kind": "server",
        "started_at": 1_796_000_000_250_000_000,
        "duration": 1_500_000,
        "context": TraceContext(TRACE, SPAN, is_sampled=True),
    }
    return record_of(FinishedSpan(**(values | changes)), "shop")


def test_times_are_seconds() -> None:
    found = record(events=(SpanEvent(500_000, "retry", {"why": "timeout"}),))
    assert (found.started_at, found.duration_s, found.service) == (1_796_000_000.25, 0.0015, "shop")
    assert (found.events[0].at_s, found.events[0].attributes) == (0.0005, {"why": "timeout"})


@pytest.mark.parametrize("name", ["token", "tag.api_key", "http.request.header.authorization", "db.password", "Cookie"])
def test_values_of_secrets_are_masked(name: str) -> None:
    found = record(attributes={name: "hunter2"}, events=(SpanEvent(0, "sent", {name: "hunter2"}),))
    assert b"hunter2" not in msgspec.json.encode(found)
    assert found.attributes == {name: "***"}


def test_passwords_of_urls_are_masked() -> None:
    found = record(kind="client", attributes={"url": "redis://me:hunter2@db"}, message="no redis://me:hunter2@db")
    assert b"hunter2" not in msgspec.json.encode(found)


def test_texts_of_exceptions_of_handlers_stay_in_the_log() -> None:
    failed: dict[str, Any] = {"status": "error", "message": "no user bob@example.com"}
    attributes = {"error.type": "ValueError", "rpc.response.status_code": "internal"}
    assert record(**failed, attributes=attributes).message == ""
    assert record(**failed, kind="internal", attributes={"error.type": "ValueError"}).message == ""
    # Its client has got a text without that of the exception.
    assert record(**failed, kind="client", attributes=attributes).message
    assert record(**failed, attributes={**attributes, "rpc.response.status_code": "unavailable"}).message
    assert record(**failed, kind="internal").message, "what a program has set"


def test_properties_of_calls() -> None:
    attributes = {"rpc.response.status_code": "ok", "rpc.caller": "web", "client.address": "10.0.0.7:4711"}
    found = record(attributes={**attributes, "tag.user": "42"})
    assert (found.outcome, found.caller, found.tags, found.is_failed) == ("ok", "web", {"user": "42"}, False)
    assert record(status="error").outcome == "error"
    assert record(attributes={"client.address": "10.0.0.7:4711"}).caller == "10.0.0.7:4711"
    assert (record().outcome, record().caller) == ("", "")


def test_pages_are_read_as_they_were_written() -> None:
    page = SpanPage(service="shop", at=1.5, spans=[record(links=(Link("a", "b", "queued by"),), is_late=True)])
    assert encode_page(decode_page(encode_page(page))) == encode_page(page)
    for broken in (b"", b"[]", b'{"service": 1}', b"\xff"):
        with pytest.raises(RemoteProtocolError, match="the response is no page of spans"):
            decode_page(broken)
