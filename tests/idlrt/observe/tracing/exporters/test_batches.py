"""Queues of exporters: bounded, retried, counted, and sent at the end of a program."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import tracemalloc
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from eventually import eventually
from finished_spans import finished_span
from measured import counts

from idlrt.observe import read_all
from idlrt.observe.tracing.batches import Batches, ExportFailed
from idlrt.observe.tracing.span import FinishedSpan

HARNESS = Path(__file__).parents[4] / "harness"


class Clock:
    """Virtual time in seconds."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time


class Exporter:
    """Keeps what it gets while `failure` is `None`."""

    def __init__(self) -> None:
        self.name = f"test-{uuid.uuid4().hex}"
        self.failure: Exception | None = None
        self.batches: list[list[FinishedSpan]] = []
        self.calls: list[float] = []
        self.clock = Clock()
        self.is_closed = False

    @property
    def spans(self) -> list[FinishedSpan]:
        return [span for batch in self.batches for span in batch]

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        self.calls.append(self.clock.time)
        if self.failure is not None:
            raise self.failure
        self.batches.append(list(spans))

    def close(self) -> None:
        self.is_closed = True


def outcomes(exporter: Exporter) -> dict[str, int]:
    """Return the counted spans by outcome."""
    found = counts(read_all(), "rpc_trace_spans_total")
    return {labels[1]: int(number) for labels, number in found.items() if labels[0] == exporter.name}


def pass_time(batches: Batches, exporter: Exporter, seconds: float, per_second: int = 0) -> None:
    """Let time pass in which spans end, and the exporter is called when it is due."""
    clock = exporter.clock
    end = clock.time + seconds
    while clock.time < end:
        for _ in range(per_second):
            batches.put(finished_span())
        step = clock.time + 1.0
        while clock.time + batches.due_in() <= step:
            clock.time += batches.due_in()
            batches.send()
        clock.time = step


def virtual(max_queued: int = 4096) -> tuple[Batches, Exporter]:
    exporter = Exporter()
    return Batches(exporter, max_queued=max_queued, now=exporter.clock.now, is_threaded=False), exporter


def test_a_receiver_that_is_dead_for_ten_minutes_costs_spans_but_no_memory() -> None:
    batches, exporter = virtual()
    pass_time(batches, exporter, 10, per_second=100)
    assert len(exporter.spans) + batches.queued == 1000
    exporter.failure = ConnectionRefusedError("refused")
    pass_time(batches, exporter, 60, per_second=100)
    assert batches.queued == 4096
    gc.collect()
    tracemalloc.start()
    try:
        pass_time(batches, exporter, 540, per_second=100)
        gc.collect()
        # What is dropped leaves nothing behind.
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
    assert batches.queued == 4096
    # It is not hammered: every 30 seconds in the end.
    assert len([each for each in exporter.calls if each > 10]) < 35
    received = len(exporter.spans)
    exporter.failure = None
    pass_time(batches, exporter, 31)
    assert batches.queued == 0
    assert len(exporter.spans) == received + 4096
    assert outcomes(exporter) == {"exported": received + 4096, "dropped": 61_000 - received - 4096}
    pass_time(batches, exporter, 2, per_second=1)
    assert len(exporter.spans) == received + 4098 - batches.queued


def test_pauses_double_up_to_thirty_seconds_and_end_with_a_success() -> None:
    batches, exporter = virtual()
    exporter.failure = OSError("down")
    batches.put(finished_span())
    pass_time(batches, exporter, 100)
    assert exporter.calls == [1, 2, 4, 8, 16, 32, 62, 92]
    exporter.failure = None
    pass_time(batches, exporter, 30)
    batches.put(finished_span())
    pass_time(batches, exporter, 2)
    assert len(exporter.spans) == 2


def test_a_full_batch_does_not_wait_but_does_not_shorten_a_pause() -> None:
    batches, exporter = virtual()
    for _ in range(512):
        batches.put(finished_span())
    assert batches.due_in() == 0
    exporter.failure = OSError("down")
    batches.send()
    assert batches.due_in() == 1


def test_spans_keep_their_order_over_failures_and_batches_are_bounded() -> None:
    batches, exporter = virtual()
    spans = [finished_span(f"call {number}") for number in range(1200)]
    for each in spans:
        batches.put(each)
    exporter.failure = OSError("down")
    assert not batches.send()
    exporter.failure = None
    assert batches.send()
    assert exporter.spans == spans
    assert [len(each) for each in exporter.batches] == [512, 512, 176]


def test_spans_that_are_being_sent_count_as_waiting() -> None:
    batches, exporter = virtual(max_queued=10)
    inner: list[int] = []

    def export(spans: Sequence[FinishedSpan], timeout: float) -> None:
        for _ in range(5):
            batches.put(finished_span())
        inner.append(batches.queued)
        raise OSError("down")

    exporter.export = export  # type: ignore[method-assign]
    for _ in range(8):
        batches.put(finished_span())
    batches.send()
    assert inner == [10]
    assert batches.queued == 10
    assert outcomes(exporter) == {"dropped": 3}


def test_rejected_spans_are_not_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    batches, exporter = virtual()
    exporter.failure = ValueError("status 400 Bad Request")
    batches.put(finished_span())
    with caplog.at_level(logging.WARNING, "idlrt"):
        assert batches.send()
    assert batches.queued == 0
    assert outcomes(exporter) == {"rejected": 1}
    assert caplog.messages == [f"{exporter.name} rejected 1 span: status 400 Bad Request; dropping them"]


def test_only_the_rest_of_a_batch_is_sent_again() -> None:
    batches, exporter = virtual()
    spans = [finished_span(f"call {number}") for number in range(5)]
    for each in spans:
        batches.put(each)
    exporter.failure = ExportFailed("down", done=3, rejected=1)
    assert not batches.send()
    exporter.failure = None
    assert batches.send()
    assert exporter.spans == spans[3:]
    assert outcomes(exporter) == {"exported": 4, "rejected": 1}


def test_failures_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    batches, exporter = virtual()
    exporter.failure = OSError("refused")
    batches.put(finished_span())
    with caplog.at_level(logging.WARNING, "idlrt"):
        pass_time(batches, exporter, 60)
        assert caplog.messages == [f"cannot export 1 span to {exporter.name}: refused; retrying"]
        pass_time(batches, exporter, 60)
    assert len(caplog.messages) == 2


def test_the_thread_sends_what_waits_and_ends_with_close() -> None:
    exporter = Exporter()
    batches = Batches(exporter, interval_s=0.01)
    batches.put(finished_span())
    eventually(lambda: exporter.spans)
    batches.put(finished_span())
    assert batches.flush()
    assert len(exporter.spans) == 2
    batches.put(finished_span())
    assert batches.close()
    assert len(exporter.spans) == 3
    assert exporter.is_closed
    assert batches.close()
    batches.put(finished_span())
    assert outcomes(exporter) == {"exported": 3, "dropped": 1}
    assert not [each for each in threading.enumerate() if exporter.name in each.name]


def test_flush_and_close_tell_what_was_not_accepted() -> None:
    exporter = Exporter()
    batches = Batches(exporter, interval_s=60)
    exporter.failure = OSError("down")
    batches.put(finished_span())
    assert not batches.flush()
    assert batches.queued == 1
    assert not batches.close()
    assert exporter.is_closed
    assert outcomes(exporter) == {"dropped": 1}


def test_flush_does_not_wait_longer_than_its_timeout() -> None:
    exporter = Exporter()
    gate = threading.Event()

    def export(spans: Sequence[FinishedSpan], timeout: float) -> None:
        gate.wait()

    exporter.export = export  # type: ignore[method-assign]
    batches = Batches(exporter, interval_s=60)
    batches.put(finished_span())
    assert not batches.flush(0.01)
    assert not batches.close(0.01)
    gate.set()
    eventually(lambda: exporter.is_closed)


def test_a_forked_child_begins_without_spans_and_exports_its_own() -> None:
    exporter = Exporter()
    batches = Batches(exporter, interval_s=60)
    batches.put(finished_span())
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        before = batches.queued
        batches.put(finished_span())
        is_sent = batches.flush()
        os.write(writing, f"{before} {is_sent} {len(exporter.spans)}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == "0 True 1"
    os.waitpid(child, 0)
    assert batches.close()
    assert len(exporter.spans) == 1


def test_variables_of_opentelemetry_are_the_defaults(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "3")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "2500")
    monkeypatch.setenv("OTEL_BSP_EXPORT_TIMEOUT", "soon")
    exporter = Exporter()
    timeouts: list[float] = []
    exporter.export = lambda spans, timeout: timeouts.append(timeout)  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING, "idlrt"):
        batches = Batches(exporter, now=exporter.clock.now, is_threaded=False)
    for _ in range(5):
        batches.put(finished_span())
    assert (batches.queued, batches.due_in()) == (3, 2.5)
    batches.send()
    assert timeouts == [10]
    assert caplog.messages == ["ignoring OTEL_BSP_EXPORT_TIMEOUT: must be an integer greater than 0, got 'soon'"]


PROGRAM = """
import sys
from finished_spans import finished_span
from idlrt import observe
from idlrt.observe.tracing.exporters import JsonLinesExporter
observe.trace("short", exporters=[JsonLinesExporter(sys.argv[1], "short")], sampler=1.0)
with observe.span("work"):
    pass
"""


def test_programs_that_end_at_once_keep_their_spans(tmp_path: Path) -> None:
    output = tmp_path / "spans.json"
    environment = {**os.environ, "PYTHONPATH": str(HARNESS)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(output)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"name":"work"' in output.read_text()
