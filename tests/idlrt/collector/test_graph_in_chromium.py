"""The graph of calls in a real browser: drawn without violations of the policy, live, and within a narrow window."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from chromium import Page, opened, require_chromium
from synthetic_programs import SyntheticProgram

from idlrt.collector import CollectorServer
from idlrt.collector.api import CollectorClient

pytestmark = pytest.mark.slow

MS = 1_000_000
# Caller, callee, calls, failed calls.
CALLS = (
    ("", "web", 2000, 0),
    ("", "app", 900, 0),
    ("web", "shop", 1500, 4),
    ("web", "users", 700, 0),
    ("app", "shop", 600, 30),
    ("app", "users", 100, 0),
    ("shop", "stock", 1200, 0),
    ("shop", "prices", 2100, 0),
    ("shop", "shop", 50, 0),
    ("users", "mail", 20, 3),
    ("stock", "prices", 300, 0),
    ("prices", "stock", 10, 0),
    ("web", "a-recommender-of-products", 3, 0),
    ("a-recommender-of-products", "prices", 3, 0),
)


class Shown(NamedTuple):
    page: Page
    address: str

    def push(self, programs: list[SyntheticProgram]) -> None:
        address = f"tcp://{self.address}"
        with CollectorClient.connect(address, framing="header", protocol="compact", timeout=60.0) as client:
            for program in programs:
                for packet in program.packets():
                    client.push(packet)

    def show(self, path: str) -> None:
        url = f"http://{self.address}{path}"
        self.page.evaluate(f"location.href = {url!r}")
        self.page.wait_for(f"location.href === {url!r} && document.querySelector('#graph svg.graph') !== null")


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    require_chromium()
    profile = tmp_path / "profile"
    profile.mkdir()
    with CollectorServer(tmp_path / "data", "127.0.0.1:0") as server:
        address = server.address.removeprefix("tcp://")
        with opened(f"http://{address}/graph", profile) as page:
            yield Shown(page, address)
            assert page.problems == []
            assert [url for url in page.urls if not url.startswith(f"http://{address}/")] == []


def programs() -> list[SyntheticProgram]:
    found: dict[str, SyntheticProgram] = {}
    for caller, callee, calls, failed in CALLS:
        program = found.setdefault(callee, SyntheticProgram(callee))
        program.calls(f"{callee}.get", [3 * MS] * (calls - failed), caller=caller)
        if failed:
            program.calls(f"{callee}.get", [9 * MS] * failed, status="error", error="ValueError", caller=caller)
    return list(found.values())


def test_the_graph_is_drawn_and_follows_the_time(shown: Shown, tmp_path: Path) -> None:
    page = shown.page
    page.wait_for("document.body.innerText.includes('no calls in this period')")
    shown.push(programs())
    # The page is live: nothing is loaded again by hand.
    page.wait_for(f"document.querySelectorAll('.graph .line-of-calls').length === {len(CALLS)}")
    boxes = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.graph .box')].map(each => "
        "[each.querySelector('title').textContent.split(':')[0], each.getBoundingClientRect().x]))"
    )
    assert boxes["unknown"] < boxes["web"] == boxes["app"] < boxes["shop"] < boxes["prices"]
    style = "getComputedStyle([...document.querySelectorAll('.graph g')].find(each => each.textContent.startsWith({}))"
    failed = style.format("'app → shop'") + ".querySelector('.line-of-calls'))"
    healthy = style.format("'web → shop'") + ".querySelector('.line-of-calls'))"
    assert page.evaluate(f"{failed}.strokeDasharray") != "none"
    assert page.evaluate(f"{healthy}.strokeDasharray") == "none"
    assert page.evaluate(f"{failed}.stroke") != page.evaluate(f"{healthy}.stroke")
    assert page.evaluate(f"parseFloat({healthy}.strokeWidth)") > 1
    is_inside = (
        "[...document.querySelectorAll('.graph .box')].every(each => "
        "each.querySelector('text').getComputedTextLength() <= each.width.baseVal.value)"
    )
    assert page.evaluate(is_inside)
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.screenshot(tmp_path / f"graph-{scheme}.png")
    # A narrow window: the graph scrolls by itself, and stays where it is while the page is live.
    page.resize(390, 900)
    assert page.evaluate("document.documentElement.scrollWidth <= 390")
    scroll = "document.querySelector('#graph-scroll')"
    assert page.evaluate(f"{scroll}.scrollWidth > {scroll}.clientWidth")
    page.evaluate(f"{scroll}.scrollLeft = 200")
    page.screenshot(tmp_path / "graph-narrow.png")
    late = SyntheticProgram("late")
    late.calls("Late.get", [MS], caller="web")
    shown.push([late])
    page.wait_for(f"document.querySelectorAll('.graph .line-of-calls').length === {len(CALLS) + 1}")
    assert page.evaluate(f"{scroll}.scrollLeft") == 200


def test_a_box_leads_to_its_service_and_from_there_to_its_graph(shown: Shown) -> None:
    page = shown.page
    shown.push(programs())
    shown.show("/graph?last=900")
    page.evaluate(
        "[...document.querySelectorAll('.graph a')].find(each => each.textContent.includes('stock'))"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))"
    )
    page.wait_for("location.pathname === '/service' && location.search === '?service=stock&last=900'")
    page.evaluate("[...document.querySelectorAll('.view-links a')].find(each => each.textContent === 'Graph').click()")
    page.wait_for("location.pathname === '/graph' && location.search === '?service=stock&last=900'")
    assert page.evaluate("document.querySelectorAll('.graph .line-of-calls').length") == 3
    assert page.evaluate("document.querySelector('.graph .current title').textContent").startswith("stock")


def test_a_large_graph_is_drawn(shown: Shown, tmp_path: Path) -> None:
    generator = random.Random(4)
    found = []
    for number in range(1, 150):
        program = SyntheticProgram(f"service-{number:03}")
        for caller in {int(number * generator.random() ** 1.5) for _ in range(2)}:
            program.calls("S.get", [MS] * int(generator.lognormvariate(4, 1.5)), caller=f"service-{caller:03}")
        found.append(program)
    shown.push(found)
    shown.show("/graph?last=900")
    assert shown.page.evaluate("document.querySelectorAll('.graph .box').length") == 60
    shown.page.screenshot(tmp_path / "graph-large.png")
