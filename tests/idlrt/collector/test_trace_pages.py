"""The pages `/traces` and `/calls` of the collector: searches, traces and a tail, as HTML and as JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from admin_requests import Response, request
from eventually import eventually
from stored_traces import id_of

from idlrt.collector import CollectorServer
from idlrt.collector.api import CollectorClient, SpanBatch
from idlrt.collector.pages.trace_links import figures_link, traces_link
from idlrt.observe.tracing.span_pages import SpanRecord

# Traces are complete after ten quiet seconds.
pytestmark = pytest.mark.slow

CALL = "Shop.find"


def spans_of(number: int, began: float, seconds: float, *, failed: bool = False, user: str = "") -> list[SpanRecord]:
    """Return a trace of a web request that calls the shop."""
    common: dict[str, Any] = {
        "trace_id": id_of(number),
        "started_at": began,
        "status": "error" if failed else "unset",
        "attributes": {"tag.user": user} if user else {},
    }
    return [
        SpanRecord(span_id="1" * 16, service="web", name="GET /cart", kind="server", duration_s=seconds, **common),
        SpanRecord(
            span_id="2" * 16,
            parent_id="1" * 16,
            service="web",
            name=CALL,
            kind="client",
            duration_s=0.8 * seconds,
            **common,
        ),
        SpanRecord(
            span_id="3" * 16,
            parent_id="2" * 16,
            service="shop",
            name=CALL,
            kind="server",
            duration_s=0.5 * seconds,
            **common,
        ),
    ]


class Collected:
    """A collector with pages.

    Attributes:
        now: time at which the first traces began.
    """

    def __init__(self, server: CollectorServer, now: float) -> None:
        self.server = server
        self.now = now

    def put(self, *traces: list[SpanRecord]) -> None:
        spans = [span for each in traces for span in each]
        with CollectorClient.connect(self.server.address, framing="header", protocol="compact") as client:
            client.push_spans(SpanBatch(service="web", spans=msgspec.msgpack.encode(spans)))

    def request(self, path: str, **headers: str) -> Response:
        return request(self.server.address.replace("tcp://", "http://"), path, **headers)

    def json(self, path: str) -> Any:
        found = self.request(path, accept="application/json")
        assert found.status == 200, found.text
        return json.loads(found.text)

    def html(self, path: str, status: int = 200) -> str:
        found = self.request(path, accept="text/html")
        assert found.status == status, found.text
        return unescape(found.text)

    def found(self, query: str) -> list[int]:
        """Return the numbers of the traces that a search finds; page and JSON must agree."""
        listed = [int(each["trace_id"], 16) for each in self.json(f"/traces{query}")]
        table = self.html(f"/traces{query}").partition('aria-label="Results"')[2]
        assert [int(each, 16) for each in re.findall(r'href="traces/(\w+)"', table)] == listed
        return listed


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collected]:
    """Traces 1 to 4: ordinary, slow, failed, and two hours old; 5 is of a service with markup in its name."""
    folder: Path = tmp_path_factory.mktemp("collected")
    with CollectorServer(folder, "127.0.0.1:0") as server:
        now = time.time()
        made = Collected(server, now)
        odd = [SpanRecord(**{**msgspec.structs.asdict(each), "service": "<b>"}) for each in spans_of(5, now - 50, 0.2)]
        made.put(
            spans_of(1, now - 10, 0.1, user="42"),
            spans_of(2, now - 20, 2.0, user="7"),
            spans_of(3, now - 30, 0.3, failed=True, user="42"),
            spans_of(4, now - 7200, 0.1),
            odd,
        )
        eventually(lambda: len(made.json("/traces?last=86400")) == 5, timeout=90)
        yield made


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [1, 2, 3, 5]),
        ("?last=86400", [1, 2, 3, 5, 4]),
        ("?order=slowest", [2, 3, 5, 1]),
        ("?failed=yes", [3]),
        ("?tags=user:42", [1, 3]),
        ("?tags=user:42%20user:43", []),
        ("?min_s=0.25", [2, 3]),
        ("?service=shop&min_s=0.25", [2]),
        ("?service=shop", [1, 2, 3]),
        ("?service=web&operation=Shop.find&failed=yes", [3]),
        ("?operation=nosuch", []),
        ("?limit=nonsense&order=nonsense&last=900", [1, 2, 3, 5]),
    ],
)
def test_traces_are_searched_as_the_url_says(collected: Collected, query: str, numbers: list[int]) -> None:
    assert collected.found(query) == numbers


def test_times_are_unix_seconds_or_dates(collected: Collected) -> None:
    start, end = collected.now - 25, collected.now - 15
    assert collected.found(f"?start={start}&end={end}") == [2]
    iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end + 1))
    assert collected.found(f"?end={iso}&last=15") in ([2], [2, 3])
    text = collected.html(f"/traces?start={start}&end={end}")
    assert f'name="start" value="{time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(start)))}"' in text
    assert "Follow the time" in text


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?last=2592000", "the time range must be at most 604800 s, got 2592000 s; search in several parts"),
        ("?start=0", "the time range must be at most 604800 s"),
        ("?start=yesterday", "start: must be a time such as 2026-12-01T13:30:00, or Unix seconds, got 'yesterday'"),
        ("?start=20&end=10", "`start` must be before `end`, got 20.0 and 10.0"),
        ("?end=nan", "end: must be a time such as"),
        ("?end=1e300&last=3600", "`start` must be before `end`"),
        ("?tags=user", "tags: expected NAME:VALUE, got 'user'"),
        ("?tags=http.url:/", "attribute 'http.url' is not indexed"),
        ("?min_s=fast", "min_s: must be a number of seconds, got 'fast'"),
        ("?min_s=-1", "min_s: must be a number of seconds, got '-1'"),
        ("?id=4bf9", "id: the id of a trace has 32 hex digits, got '4bf9'"),
    ],
)
def test_invalid_searches_are_told_with_the_form(collected: Collected, query: str, message: str) -> None:
    text = collected.html(f"/traces{query}", status=400)
    assert message in text
    assert "<form" in text
    found = collected.request(f"/traces{query}", accept="application/json")
    assert (found.status, message in found.text) == (400, True)


def test_the_form_keeps_what_was_searched_for(collected: Collected) -> None:
    text = collected.html("/traces?service=shop&operation=Shop.find&tags=user:42&min_s=0.01&failed=yes&order=slowest")
    for name, value in (("service", "shop"), ("operation", CALL), ("tags", "user:42"), ("min_s", "0.01")):
        assert f'name="{name}" value="{value}"' in text
    assert 'name="failed" value="yes" checked' in text
    assert '<option value="slowest" selected>' in text
    assert '<option value="shop">' in text
    assert f'<option value="{CALL}">' in text


def test_results_have_what_a_list_needs_and_a_plot_with_links(collected: Collected) -> None:
    text = collected.html("/traces?service=shop")
    assert "3 traces, the newest first" in text
    assert "Its duration" in text
    assert len(re.findall(r'<a href="traces/\w+" tabindex="-1"><title>', text)) == 3
    assert text.count('<path class="failed" d="M') == 2, "one trace, and the legend"
    [row] = [each for each in re.findall(r"<tr>.*?</tr>", text, re.DOTALL) if id_of(3) in each]
    assert "1 failed" not in row
    assert "3 failed" in row
    assert row.count("<data") == 4
    assert "style=" not in text


def test_names_are_escaped(collected: Collected) -> None:
    found = collected.request("/traces", accept="text/html").text
    assert "&lt;b&gt;" in found
    assert "<b>" not in found
    assert collected.found(f"?service={quote('<b>')}") == [5]


def test_an_id_leads_to_its_trace(collected: Collected) -> None:
    found = collected.request(f"/traces?id={id_of(2).upper()}", accept="text/html")
    assert (found.status, found.headers["location"]) == (303, f"traces/{id_of(2)}")


def test_a_trace_is_a_waterfall_with_links_to_figures_of_its_time(collected: Collected) -> None:
    text = collected.html(f"/traces/{id_of(2)}")
    assert text.count('<details class="span') == 3
    assert "Critical path" in text
    around = "last=1800&end="
    for path in ("service?service=web&", "service?service=shop&", "method?service=shop&method=Shop.find&"):
        assert f'href="../{path}{around}' in text
    assert [each["name"] for each in collected.json(f"/traces/{id_of(2)}")] == ["GET /cart", CALL, CALL]
    only = collected.html(f"/traces/{id_of(2)}?show=path&levels=1")
    assert " open>" not in only.partition('<div class="waterfall')[2]


def test_unknown_and_invalid_traces(collected: Collected) -> None:
    assert "No spans of this trace are known" in collected.html(f"/traces/{id_of(99)}", status=404)
    assert collected.json(f"/traces/{id_of(99)}") == []
    assert "32 lower-case hex digits" in collected.html("/traces/x", status=400)


def test_links_to_examples_find_them(collected: Collected) -> None:
    now = collected.now
    link = traces_link(now - 35, now - 5, service="shop", operation=CALL, failed=True)
    assert collected.found(link.removeprefix("traces")) == [3]
    link = traces_link(now - 35, now - 5, service="web", min_s=0.25, order="slowest")
    assert collected.found(link.removeprefix("traces")) == [2, 3]
    assert figures_link(1000.5, service="shop") == "service?service=shop&last=1800&end=1901"
    assert collected.request(f"/{figures_link(now, service='shop', method=CALL)}").status == 200


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [2, 3]),
        ("?kind=failed", [3]),
        ("?kind=slow", [2]),
        ("?kind=slow&slow=5", []),
        ("?slow=0.1", [1, 2, 3, 5]),
        ("?service=shop", [2, 3]),
        ("?service=shop&slow=0.1", [2, 3]),
        ("?filter=CART", [2, 3]),
        (f"?filter={id_of(3)[20:]}", [3]),
        ("?filter=nosuch", []),
    ],
)
def test_slow_and_failed_calls_are_listed_newest_first(collected: Collected, query: str, numbers: list[int]) -> None:
    assert [int(each["trace_id"], 16) for each in collected.json(f"/calls{query}")] == numbers
    text = collected.html(f"/calls{query}")
    assert [int(each, 16) for each in re.findall(r'href="traces/(\w+)"', text)] == numbers
    assert 'data-refresh="5"' in text


def test_calls_are_listed_before_their_traces_are_complete(collected: Collected) -> None:
    collected.put(spans_of(6, time.time(), 3.0)[1:2])
    text = collected.html("/calls?kind=slow")
    assert re.search(rf"{id_of(6)}.*?<td>open</td>", text, re.DOTALL)
    # The trace gets its root later.
    collected.put(spans_of(6, time.time(), 3.0)[:1])
    assert [each["operation"] for each in collected.json("/calls?kind=slow")][:1] == ["GET /cart"]
