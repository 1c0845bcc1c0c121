"""Pages of traces in a real browser, with calls through three programs: nothing fails, and links lead somewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pytest
from chromium import Page, opened, require_chromium
from eventually import eventually
from traced_chain import run_chain

from idlrt import observe
from idlrt.collector import CollectorExporter, CollectorServer
from idlrt.collector.api import CollectorClient, SpanBatch, TraceSearch
from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.observe.tracing.switch import TRACING

# Traces are complete after ten quiet seconds.
pytestmark = pytest.mark.slow


class Chain(NamedTuple):
    """A collector with the traces of real calls."""

    url: str
    address: str
    retried: str
    failed: str


class Opened(NamedTuple):
    page: Page
    chain: Chain

    def show(self, path: str, condition: str) -> None:
        """Open another page, and wait until a condition is true there."""
        url = f"{self.chain.url}{path}"
        self.page.evaluate(f"location.href = {url!r}")
        self.page.wait_for(f"location.href === {url!r} && ({condition})")

    def count(self, selector: str) -> Any:
        return self.page.evaluate(f"document.querySelectorAll({selector!r}).length")

    def shots(self, folder: Path, name: str) -> None:
        for scheme in ("light", "dark"):
            self.page.prefer(scheme)
            self.page.screenshot(folder / f"{name}-{scheme}.png")


def push(address: str, spans: list[SpanRecord]) -> None:
    with CollectorClient.connect(address, framing="header", protocol="compact", timeout=60.0) as client:
        client.push_spans(SpanBatch(service="web", spans=msgspec.msgpack.encode(spans)))


def complete(address: str) -> int:
    now = time.time()
    with CollectorClient.connect(address, framing="header", protocol="compact", timeout=60.0) as client:
        return len(client.search(TraceSearch(start=now - 3600, end=now + 60, service="users")))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    require_chromium()
    with CollectorServer(tmp_path_factory.mktemp("collected"), "127.0.0.1:0") as server:
        address = server.address.removeprefix("tcp://")
        tracing = observe.trace("web", sampler="always", exporters=[CollectorExporter(address, "web")])
        try:
            retried, failed = run_chain("collector", address, tracing)
        finally:
            TRACING.use(None)
        eventually(lambda: complete(address) >= 3, timeout=90)
        yield Chain(f"http://{address}", address, retried, failed)


@pytest.fixture
def shown(chain: Chain, tmp_path: Path) -> Iterator[Opened]:
    profile = tmp_path / "profile"
    profile.mkdir()
    with opened(f"{chain.url}/traces", profile) as page:
        page.wait_for("document.querySelector('#traces') !== null")
        yield Opened(page, chain)
        assert page.problems == []
        # Chromium's own icons of form fields are data.
        urls = [urlsplit(url) for url in page.urls if not url.startswith("data:")]
        assert {each.netloc for each in urls} == {urlsplit(chain.url).netloc}


def test_the_form_searches_and_points_are_links(shown: Opened, tmp_path: Path) -> None:
    page = shown.page
    assert shown.count("#traces tbody tr") == shown.count(".points a") >= 3
    shown.shots(tmp_path, "traces")
    page.evaluate("document.querySelector('input[name=service]').value = 'users'")
    page.evaluate("document.querySelector('input[name=failed]').checked = true")
    page.evaluate("document.querySelector('form.search button').click()")
    page.wait_for(
        "location.search.includes('service=users') && document.querySelectorAll('#traces tbody tr').length === 1"
    )
    assert page.evaluate("document.querySelector('input[name=failed]').checked")
    # A point has a size, is a square if the trace failed, and is a link.
    point = page.evaluate("document.querySelector('.points a').getBoundingClientRect().toJSON()")
    assert page.evaluate("getComputedStyle(document.querySelector('.points path')).strokeLinecap") == "square"
    for away in (-3, 3):
        at = f"{point['x'] + away}, {point['y'] + away}"
        assert page.evaluate(f"document.elementFromPoint({at}).closest('a') !== null")
    page.evaluate("document.querySelector('.points a').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    page.wait_for(f"location.pathname === '/traces/{shown.chain.failed}'")
    page.resize(390, 900)
    shown.show("/traces", "document.querySelector('#traces') !== null")
    assert page.evaluate("document.documentElement.scrollWidth <= 390"), "only tables scroll"


def test_an_invalid_search_is_told_in_the_page(shown: Opened, tmp_path: Path) -> None:
    # The browser notes that the status is 400.
    shown.show("/traces?last=2592000", "document.querySelector('[role=alert]') !== null")
    assert "at most 604800 s" in shown.page.evaluate("document.querySelector('[role=alert]').innerText")
    shown.shots(tmp_path, "refused")
    assert all("status of 400" in each for each in shown.page.problems)
    shown.page.problems.clear()


def test_a_trace_of_several_programs(shown: Opened, tmp_path: Path) -> None:
    page = shown.page
    shown.show(f"/traces/{shown.chain.failed}", "document.querySelectorAll('.span').length >= 5")
    services = "[...document.querySelectorAll('.span-legend .service')].map(each => each.parentElement.innerText)"
    assert page.evaluate(services) == ["web", "shop", "users"]
    assert shown.count(".bars .path") >= 3
    shown.shots(tmp_path, "trace")
    page.evaluate("document.querySelector('#show-path').click()")
    page.wait_for("location.search === '?show=path' && document.querySelector('#show-path[aria-current]') !== null")
    assert shown.count(".span") == page.evaluate("[...document.querySelectorAll('.bars')].length")
    # Its page can be opened and closed with the keyboard.
    page.evaluate("document.querySelector('.span > summary').focus()")
    assert page.evaluate("document.activeElement.matches('summary:focus-visible')")
    links = page.evaluate("[...document.querySelectorAll('.view-links a')].map(each => each.getAttribute('href'))")
    assert links[0].startswith("../service?service=web&last=1800&end=")
    page.evaluate("document.querySelectorAll('.view-links a')[1].click()")
    page.wait_for("location.pathname === '/service' && location.search.includes('service=shop')")
    page.resize(390, 900)
    shown.show(f"/traces/{shown.chain.failed}", "document.querySelector('.waterfall') !== null")
    assert page.evaluate("document.documentElement.scrollWidth <= 390"), "only the waterfall scrolls"


def test_calls_are_a_live_tail(shown: Opened, tmp_path: Path) -> None:
    page = shown.page
    shown.show("/calls?slow=5", "document.querySelector('#calls') !== null")
    before = shown.count("#calls tbody tr")
    assert before >= 1
    spans = [
        SpanRecord(
            trace_id=f"{number:032x}",
            span_id="1" * 16,
            service="web",
            name="GET /slow",
            kind="server",
            started_at=time.time() - 8,
            duration_s=7.0,
        )
        for number in (1, 2)
    ]
    push(shown.chain.address, spans)
    page.wait_for(f"document.querySelectorAll('#calls tbody tr').length === {before + 2}")
    assert "GET /slow" in page.evaluate("document.querySelector('#calls tbody tr').innerText")
    assert "open" in page.evaluate("document.querySelector('#calls tbody tr').innerText")
    shown.shots(tmp_path, "calls")
    page.press("p")
    assert page.evaluate("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
    page.press("/")
    page.write("slow")
    page.wait_for(
        "location.search.includes('filter=slow') && document.querySelectorAll('#calls tbody tr').length === 2"
    )
    page.evaluate("document.querySelector('#kind-failed').click()")
    page.wait_for("document.querySelector('#kind-failed[aria-current]') !== null")
    assert shown.count("#calls tbody tr") == 0


@pytest.mark.parametrize("children", [1, 3, 5000])
def test_5000_spans_are_drawn_whatever_their_tree(shown: Opened, children: int) -> None:
    trace_id = f"{children:032x}"[::-1]
    spans = [
        SpanRecord(
            trace_id=trace_id,
            span_id=f"{number + 1:016x}",
            parent_id=f"{(number - 1) // children + 1:016x}" if number else "",
            service=("web", "shop", "users")[number % 3],
            name="Shop.find",
            kind="client" if number % 2 else "server",
            started_at=time.time() - 60 + number * 1e-5,
            duration_s=0.1,
            status="unset" if number % 50 else "error",
        )
        for number in range(5000)
    ]
    push(shown.chain.address, spans)
    shown.show(f"/traces/{trace_id}", "document.querySelectorAll('.span').length === 5000")
    shown.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert shown.page.evaluate("document.querySelector('.bars rect').getBoundingClientRect().width") > 0
    shown.page.evaluate("document.querySelector('#show-path').click()")
    shown.page.wait_for("document.querySelector('#show-path[aria-current]') !== null")
    assert 1 <= shown.count(".span") <= 5000
