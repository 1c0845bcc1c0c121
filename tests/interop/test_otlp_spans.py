"""Spans arrive by OTLP in real receivers, whole and with their resource."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from otlp_receivers import Receiver, oteltap, rotel
from traced_chain import run_chain
from traced_program import start_tracing

pytestmark = pytest.mark.long

NAMES = ("web", "shop", "users")
INTERNAL, SERVER, CLIENT = 1, 2, 3
ERROR = 2
IS_REMOTE = 0x200


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def chain(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with start_tracing("otlp", receiver.url, "web") as tracing:
        return run_chain("otlp", receiver.url, tracing)


def test_all_spans_of_a_chain_arrive_as_one_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with oteltap(tmp_path) as receiver:
        retried, failed = chain(receiver, monkeypatch)

        def of(trace_id: str, number: int) -> list[dict[str, Any]] | None:
            found = [each for each in receiver.metrics() if each.get("traceId") == trace_id]
            return found if len(found) >= number else None

        spans = eventually(lambda: of(retried, 8), "the spans of the chain")
        errors = [each for each in eventually(lambda: of(failed, 6)) if each["status"]["code"] == ERROR]
    assert Counter(each["kind"] for each in spans) == {INTERNAL: 2, SERVER: 2, CLIENT: 4}
    # What a span of another process is the parent of says so.
    assert {each["kind"]: bool(each["flags"] & IS_REMOTE) for each in spans} == {
        INTERNAL: False,
        SERVER: True,
        CLIENT: False,
    }
    # Everything is sampled.
    assert {each["traceState"] for each in spans} == {"ot=th:0"}
    ids = {each["spanId"] for each in spans}
    assert len(ids) == 8
    assert [each["name"] for each in spans if each.get("parentSpanId") not in ids] == ["buy"]
    [call] = [each for each in spans if any(event["name"] == "Retrying" for event in each.get("events", ()))]
    [dead] = [each for each in spans if each["status"]["code"] == ERROR]
    assert dead["parentSpanId"] == call["spanId"]
    assert "connection refused" in dead["status"]["message"]
    assert all(int(each["endTimeUnixNano"]) >= int(each["startTimeUnixNano"]) for each in spans)
    assert len(errors) >= 4


def test_resources_and_scopes_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with rotel(tmp_path, "traces") as receiver:
        chain(receiver, monkeypatch)
        eventually(lambda: all(f"Str({each})" in receiver.text() for each in NAMES))
        text = receiver.text()
    assert "deployment.environment.name: Str(test)" in text
    assert "InstrumentationScope idlrt" in text
