"""Tracing begins with checked options, honours the variables of OpenTelemetry, and distrusts strangers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.sampling import Always, read_rules
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.store import SpanStore
from idlrt.observe.tracing.switch import TRACING
from idlrt.server import Server


class Kept:
    """An exporter that keeps what it gets."""

    name = "kept"

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []
        self.is_closed = False

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        self.spans += spans

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    TRACING.use(None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"service": ""}, "trace: service: must be a name, got ''"),
        ({"sampler": 1.5}, "trace: sampler: must be between 0 and 1, or a sampler, got 1.5"),
        ({"sampler": "often"}, "unknown sampler 'often' .known: always, never,"),
        ({"reads": ["w3"]}, "unknown trace format 'w3' .known: .*did you mean 'w3c'"),
        ({"writes": ["b3", "b3"]}, "trace format 'b3' is listed twice"),
        ({"slow_s": 0}, "trace: slow_s: must be greater than 0 seconds, got 0"),
        ({"trusted": ["10.0.0.0/99"]}, "trace: trusted: '10.0.0.0/99' does not appear to be"),
        ({"sampler": Always(), "rules": read_rules('[{"method": "a", "ratio": 1}]')}, "trace: rules: need a ratio"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    with pytest.raises(ConfigurationError, match=message):
        observe.trace(**{"service": "shop", **options})
    assert TRACING.tracer is None


def test_tracing_is_started_once() -> None:
    with observe.trace("one"), pytest.raises(ConfigurationError, match="tracing is on, as 'one'; close it first"):
        observe.trace("two")
    observe.trace("two").close()


def test_spans_reach_exporters_and_the_store_until_it_is_closed() -> None:
    kept = Kept()
    with observe.trace("shop", exporters=[kept], sampler=1.0) as tracing:
        with observe.span("one"):
            pass
        assert tracing.flush()
        assert [each.name for each in kept.spans] == [each.name for each in tracing.store.recent()] == ["one"]
        with observe.span("two"):
            pass
    assert [each.name for each in kept.spans] == ["one", "two"]
    assert kept.is_closed
    with observe.span("three"):
        assert observe.trace_id() == ""


PROGRAM = """
from idlrt import observe
from idlrt.observe.tracing.exporters import JsonLinesExporter
import sys
observe.trace(exporters=[JsonLinesExporter(sys.argv[1], "x")])
with observe.span("short"):
    pass
"""


def test_short_programs_send_their_spans_at_the_end(tmp_path: Path) -> None:
    environment = {"OTEL_SERVICE_NAME": "short", "OTEL_TRACES_SAMPLER": "always_on"}
    file = tmp_path / "spans"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(file)], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b'"name":"short"' in file.read_bytes()


def test_rules_are_replaced_at_run_time() -> None:
    with observe.trace("shop", sampler=0.0, rules=read_rules('[{"method": "checkout", "ratio": 1}]')) as tracing:
        for name in ("checkout", "search"):
            with observe.span(name):
                pass
        assert [each.name for each in tracing.store.recent()] == ["checkout"]
        assert tracing.rules is not None
        tracing.rules.replace(read_rules('[{"method": "search", "ratio": 1}]'))
        for name in ("checkout", "search"):
            with observe.span(name):
                pass
        assert [each.name for each in tracing.store.recent()] == ["search", "checkout"]


@pytest.mark.parametrize(("trusted", "expected"), [(None, {"user": "42"}), (["10.0.0.0/8"], {})])
def test_tags_and_decisions_of_strangers_are_ignored(trusted: list[str] | None, expected: dict[str, str]) -> None:
    seen: list[dict[str, str]] = []

    class Handler(Users):
        def get(self, id: int) -> Any:
            seen.append(dict(observe.tags()))
            return super().get(id)

    with observe.trace("shop", sampler=1.0, trusted=trusted) as tracing:
        with Server(user_service(Handler())).start() as server:
            metadata = {
                "traceparent": "00-4f1e2d3c5b6a79880123456789abcdef-00f0e1d2c3b4a596-00",
                "baggage": "user=42,rpc_tags=user",
            }
            client = UserServiceClient.connect(server.address, framing="header")
            with client:
                client.using(metadata=metadata).get(1)
        served = [each for each in tracing.store.recent() if each.kind == "server"]
        # The caller has not sampled it; a stranger's decision does not count.
        assert len(served) == (0 if trusted is None else 1)
    assert seen == [expected]


@pytest.mark.parametrize("scheme", ["http", "header"])
@pytest.mark.parametrize("flags", ["00", "01"])
def test_the_state_of_the_caller_travels_on(scheme: str, flags: str) -> None:
    seen: list[dict[str, str]] = []

    class Handler(Users):
        def get(self, id: int) -> Any:
            seen.append(observe.trace_headers())
            return super().get(id)

    with observe.trace("shop", sampler=0.0), Server(user_service(Handler()), http=True).start() as server:
        target = server.address.replace("tcp", "http") if scheme == "http" else server.address
        options: Any = {} if scheme == "http" else {"framing": "header"}
        trace_id = "4f1e2d3c5b6a79880123456789abcdef"
        metadata = {"traceparent": f"00-{trace_id}-00f0e1d2c3b4a596-{flags}", "tracestate": "foo=1"}
        with UserServiceClient.connect(target, **options) as client:
            client.using(metadata=metadata).get(1)
    [found] = seen
    assert found["tracestate"] == "foo=1"
    assert found["traceparent"].startswith(f"00-{trace_id}-")
    assert found["traceparent"].endswith(flags)


# The store.


def test_the_store_keeps_slow_and_failed_calls_longer() -> None:
    store = SpanStore(max_spans=20)
    with observe.trace("shop", sampler=1.0) as tracing:
        for number in range(60):
            span = observe.span(f"call {number}")
            with span:
                if number == 3 and span.recorded is not None:
                    span.recorded.fail("broken")
        eventually(lambda: len(tracing.store.recent()) == 60)
        spans = list(reversed(tracing.store.recent()))
    for each in spans:
        store.put(each)
    assert [each.name for each in store.recent()] == [f"call {number}" for number in range(59, 39, -1)]
    [failed] = store.entries("failed")
    assert failed.name == "call 3"
    assert store.trace(failed.trace_id) == [failed]
    slow = store.entries("slow")
    assert [each.duration for each in slow] == sorted((each.duration for each in slow), reverse=True)
    assert store.entries("recent", method="CALL 5", limit=3)[0].name == "call 59"
    assert store.entries("recent", status="error") == []
    assert store.entries("recent", min_s=3600) == []
    with pytest.raises(ValueError, match="order: must be recent, slow or failed, got 'best'"):
        store.entries("best")
