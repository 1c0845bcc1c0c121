"""Spans in a file, one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from finished_spans import finished_span

from idlrt.observe.tracing.batches import ExportFailed
from idlrt.observe.tracing.exporters import JsonLinesExporter
from idlrt.observe.tracing.span import Link, SpanEvent


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(each) for each in path.read_text().splitlines()]


def test_batches_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "spans.json"
    exporter = JsonLinesExporter(path, "users")
    span = finished_span(
        attributes={"rpc.attempt": 1},
        events=(SpanEvent(5, "Retrying", {"attempt": 1}),),
        links=(Link("d" * 32, "e" * 16, "queued by"),),
    )
    exporter.export([span, finished_span("b\udcff")], 10)
    exporter.export([finished_span("c")], 10)
    exporter.close()
    first, *rest = lines(path)
    assert [each["name"] for each in rest] == ["b?", "c"]
    assert first == {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": "",
        "service": "users",
        "name": "UserService.get",
        "kind": "server",
        "start_ns": span.started_at,
        "duration_ns": 1_500_000,
        "status": "unset",
        "message": "",
        "attributes": {"rpc.attempt": 1},
        "events": [{"at_ns": span.started_at + 5, "name": "Retrying", "attributes": {"attempt": 1}}],
        "links": [{"trace_id": "d" * 32, "span_id": "e" * 16, "why": "queued by"}],
        "is_late": False,
    }
    assert path.stat().st_mode & 0o007 == 0


def test_a_folder_that_does_not_exist_is_tried_again(tmp_path: Path) -> None:
    exporter = JsonLinesExporter(tmp_path / "later" / "spans.json", "users")
    with pytest.raises(OSError, match="No such file"):
        exporter.export([finished_span()], 10)
    (tmp_path / "later").mkdir()
    exporter.export([finished_span()], 10)
    assert len(lines(tmp_path / "later" / "spans.json")) == 1


def test_lines_stay_whole_when_the_disk_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spans.json"
    exporter = JsonLinesExporter(path, "users")
    spans = [finished_span(name) for name in "abc"]
    exporter.export(spans[:1], 10)
    size = path.stat().st_size
    write = os.write
    # Room for a line and a half.
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: size * 3 // 2]))
    with pytest.raises(ExportFailed, match="cannot write") as caught:
        exporter.export(spans, 10)
    assert caught.value.done == 1
    monkeypatch.setattr(os, "write", write)
    exporter.export(spans[caught.value.done :], 10)
    whole = [each for each in path.read_text().splitlines() if each.endswith("}")]
    assert [json.loads(each)["name"] for each in whole] == ["a", "a", "b", "c"]
