"""Real Zipkin has our traces: as one tree, searchable, and with the dependency graph right."""

from __future__ import annotations

import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from eventually import eventually
from finished_spans import finished_span
from java_servers import ask_json, running_zipkin
from traced_chain import run_chain
from traced_program import start_tracing

from idlrt.observe.tracing.batches import ExportFailed
from idlrt.observe.tracing.exporters import ZipkinExporter
from idlrt.observe.tracing.exporters.http_post import HttpPost, post_list

# The first run downloads the server.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def zipkin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_zipkin(tmp_path_factory.mktemp("zipkin")) as url:
        yield url


def spans_of(url: str, trace_id: str, number: int) -> list[dict[str, Any]]:
    """Wait until a trace has this number of spans, and return them."""

    def found() -> list[dict[str, Any]] | None:
        spans: list[dict[str, Any]] = ask_json(f"{url}/api/v2/trace/{trace_id}") or []
        return spans if len(spans) >= number else None

    return eventually(found, f"{number} spans in Zipkin")


def test_a_chain_is_one_trace_with_the_right_graph(zipkin: str) -> None:
    with start_tracing("zipkin", zipkin, "web") as tracing:
        retried, failed = run_chain("zipkin", zipkin, tracing)
    spans = spans_of(zipkin, retried, 8)
    assert Counter((each["localEndpoint"]["serviceName"], each.get("kind", "")) for each in spans) == {
        ("web", ""): 1,
        ("web", "CLIENT"): 3,  # the call and two attempts
        ("shop", "SERVER"): 1,
        ("shop", ""): 1,
        ("shop", "CLIENT"): 1,
        ("users", "SERVER"): 1,
    }
    # Client and server never share a span.
    assert len({each["id"] for each in spans}) == 8
    assert not any(each.get("shared") for each in spans)
    ids = {each["id"] for each in spans}
    assert [each["name"] for each in spans if each.get("parentId") not in ids] == ["buy"]
    [call] = [
        each for each in spans if any(note["value"].startswith("Retrying") for note in each.get("annotations", ()))
    ]
    assert "error" not in call.get("tags", {})
    [dead] = [each for each in spans if "error" in each.get("tags", {})]
    assert dead["parentId"] == call["id"]
    assert dead["remoteEndpoint"]["ipv4"] == "127.0.0.1"
    errors = {
        each["localEndpoint"]["serviceName"] for each in spans_of(zipkin, failed, 6) if "error" in each.get("tags", {})
    }
    assert errors == {"web", "shop", "users"}

    # The graph: three programs in a row, nothing else, and the calls as they were.
    query = f"endTs={int(time.time() * 1000)}&lookback=600000"
    links = eventually(lambda: ask_json(f"{zipkin}/api/v2/dependencies?{query}"), "the graph")
    assert {(each["parent"], each["child"]) for each in links} == {("web", "shop"), ("shop", "users")}
    assert len({each["callCount"] for each in links}) == 1
    assert {each["errorCount"] for each in links} == {1}
    assert set(ask_json(f"{zipkin}/api/v2/services")) >= {"web", "shop", "users"}
    found = ask_json(f"{zipkin}/api/v2/traces?serviceName=users&annotationQuery=error")
    assert [each[0]["traceId"] for each in found] == [failed]


def test_large_batches_arrive_whole_and_bad_spans_are_rejected(zipkin: str) -> None:
    exporter = ZipkinExporter(zipkin, "large")
    fields = {f"field{number}": "x" * 1000 for number in range(20)}
    trace_id = finished_span().trace_id
    exporter.export([finished_span(trace_id=trace_id, attributes=fields) for _ in range(500)], 60)
    exporter.close()
    assert len(spans_of(zipkin, trace_id, 500)) == 500
    post = HttpPost(f"{zipkin}/api/v2/spans", is_compressed=True)
    with pytest.raises(ExportFailed, match="status 400") as caught:
        post_list(post, [b'{"traceId":"no","id":"no"}'], 1000, 60)
    post.close()
    assert (caught.value.done, caught.value.rejected) == (1, 1)
    with urllib.request.urlopen(f"{zipkin}/prometheus") as response:
        figures = response.read().decode().splitlines()
    dropped = [each for each in figures if each.startswith("zipkin_collector_spans_dropped_total{")]
    assert all(float(each.rpartition(" ")[2]) == 0 for each in dropped), dropped
