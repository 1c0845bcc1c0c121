"""The pages of the collector in a real browser, with programs under load: figures agree with what was called."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from chromium import Page, opened, require_chromium
from eventually import eventually
from synthetic_programs import SyntheticProgram

from idlrt.collector import CollectorServer
from idlrt.collector.api import CollectorClient

pytestmark = pytest.mark.slow

MS = 1_000_000
CALLS = 60
FAILED = 7
QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))

# A service with resources and features, and its clients, in separate processes.
SERVER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from hand_written import Users, user_service
from idlrt import Server, collector, observe

class Shop(Users):
    def get(self, id):
        with observe.resource("postgresql", "select"), observe.feature("profile"):
            return super().get(id)

with collector.push(sys.argv[1], service="users", instance="users-1", zone="eu-1", version="2.0", interval=0.5):
    with Server(user_service(Shop()), metrics=True).start() as server:
        print(server.address, flush=True)
        sys.stdin.read()
"""
CLIENT = """
import contextlib, sys
sys.path.insert(0, sys.argv[2])
from hand_written import UserServiceClient
from idlrt import collector
from idlrt.errors import RpcError
with collector.push(sys.argv[1], service="web", instance="web-1", interval=0.5):
    with UserServiceClient.connect(sys.argv[3], framing="header") as client:
        for _ in range(int(sys.argv[4])):
            client.get(1)
        for _ in range(int(sys.argv[5])):
            with contextlib.suppress(Exception):
                client.get(0)
"""
ROOT = Path(__file__).parents[2]


class Shown(NamedTuple):
    page: Page
    server: CollectorServer
    durations: list[int]

    def show(self, path: str, condition: str = "document.querySelector('main') !== null") -> None:
        """Open a page, and wait until a condition is true there."""
        url = f"{base(self.server)}{path}"
        self.page.evaluate(f"location.href = {url!r}")
        self.page.wait_for(f"location.href === {url!r} && ({condition})")

    def cell(self, table: str, row: str, column: str) -> Any:
        """Return the number in a cell of a table; `None` if it is not there."""
        found = self.page.evaluate(
            f"[...document.querySelectorAll('#{table} tbody tr')].find(row => "
            f"row.querySelector('th').textContent.trim().startsWith({row!r}))"
            f"?.querySelector('[data-column={column}] data')?.value ?? null"
        )
        return None if found is None else float(found)

    def has_percentiles(self, table: str, row: str) -> None:
        """Check the percentiles in a row against those of the durations that were pushed."""
        for column, quantile in QUANTILES:
            assert self.cell(table, row, column) == pytest.approx(percentile(self.durations, quantile), rel=0.02)


def base(server: CollectorServer) -> str:
    return f"http://{server.address.removeprefix('tcp://')}"


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ.copy(), cwd=ROOT
    )


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    require_chromium()
    profile = tmp_path / "profile"
    profile.mkdir()
    stubs = str(ROOT / "harness")
    generator = random.Random(20)
    durations = [int(generator.lognormvariate(16, 0.7)) for _ in range(5000)]
    with CollectorServer(tmp_path / "data", "127.0.0.1:0") as server:
        users = started(SERVER, server.address, stubs)
        try:
            assert users.stdout is not None
            address = users.stdout.readline().strip()
            clients = [started(CLIENT, server.address, stubs, address, str(CALLS), str(FAILED)) for _ in range(2)]
            shop = SyntheticProgram("shop", "shop-1", core=("Shop",), zone="eu-2")
            shop.calls("Shop.find", durations, caller="web")
            with CollectorClient.connect(server.address, framing="header", protocol="compact") as client:
                [packet] = shop.packets()
                client.push(packet)
            for each in clients:
                each.communicate(timeout=120)
                assert each.returncode == 0
            with opened(f"{base(server)}/", profile) as page:
                yield Shown(page, server, durations)
                assert page.problems == []
                urls = [url for url in page.urls if not url.startswith("data:")]  # of date fields
                assert [url for url in urls if not url.startswith(f"{base(server)}/")] == []
        finally:
            users.communicate(timeout=120)


def percentile(values: list[int], quantile: float) -> float:
    return sorted(values)[max(round(quantile * len(values)) - 1, 0)] / 1e9


def test_all_pages_agree_with_what_was_called(shown: Shown, tmp_path: Path) -> None:
    page = shown.page
    total = 2 * (CALLS + FAILED)
    # The last calls arrive with the next push of the server; the page follows.
    eventually(lambda: (shown.show("/"), shown.cell("services", "users", "calls"))[1] == total)
    assert shown.cell("services", "users", "errors") == 2 * FAILED
    assert shown.cell("services", "shop", "calls") == len(shown.durations)
    shown.has_percentiles("services", "shop")
    first = page.evaluate("document.querySelector('#services tbody th').textContent.trim()")
    assert first.startswith("shop"), "core services are first"
    page.screenshot(tmp_path / "services.png")

    shown.show("/service?service=users", "document.querySelectorAll('.canvas canvas').length >= 5")
    assert shown.cell("methods", "UserService.get", "calls") == total
    assert shown.cell("methods", "UserService.get", "errors") == 2 * FAILED
    assert shown.cell("instances-table", "users-1", "calls") == total
    page.screenshot(tmp_path / "service.png")
    shown.show("/method?service=users&method=UserService.get", "document.querySelector('#codes-table') !== null")
    assert shown.cell("callers-table", "", "calls") == total
    shown.show("/service?service=shop", "document.querySelector('#methods') !== null")
    shown.has_percentiles("methods", "Shop.find")
    shown.show("/method?service=shop&method=Shop.find", "document.querySelector('#callers-table') !== null")
    shown.has_percentiles("callers-table", "web")
    shown.show("/service?service=web", "document.querySelector('#dependencies') !== null")
    assert shown.cell("dependencies", "UserService.get", "calls") == total
    shown.show("/methods")
    assert shown.cell("methods", "UserService.get", "calls") == total
    shown.has_percentiles("methods", "Shop.find")
    shown.show("/resources")
    assert shown.cell("rows", "postgresql", "calls") == total
    shown.show("/features")
    assert shown.cell("rows", "profile", "calls") == total
    shown.show("/compare?service=users")
    assert shown.cell("comparison", "now", "calls") == total
    assert shown.cell("comparison", "now", "errors") == 2 * FAILED
    shown.show("/compare?service=shop", "document.querySelector('#comparison') !== null")
    shown.has_percentiles("comparison", "now")
    shown.show("/alerts")
    shown.show("/governance", "document.body.innerText.includes('Targets of clients')")
    shown.show("/hosts", "document.querySelectorAll('#hosts tbody tr').length >= 2")
    name = page.evaluate("document.querySelectorAll('#hosts tbody th a')[1].getAttribute('href')")
    shown.show(f"/{name}", "document.querySelectorAll('#instances-table tbody tr').length >= 1")
    shown.show("/collector")
    programs = page.evaluate("document.querySelectorAll('#programs tbody tr').length")
    assert programs == 4, "a server, two clients, and one that was made up"
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.screenshot(tmp_path / f"collector-{scheme}.png")


def test_plots_are_read_with_keys_and_lead_to_examples(shown: Shown) -> None:
    page = shown.page
    shown.show("/service?service=shop&last=900", "document.querySelectorAll('.canvas canvas').length >= 4")
    page.evaluate("document.querySelector('#calls').focus()")
    # The latest step may have begun just now.
    for _ in range(3):
        page.press("ArrowLeft")
    reading = "document.querySelector('#calls').closest('figure').querySelector('.reading').textContent"
    page.wait_for(f"{reading}.includes('UTC')")
    page.press("Enter")
    page.wait_for("location.pathname === '/traces' && location.search.includes('service=shop')")
    assert page.evaluate(
        "new URL(location.href).searchParams.get('end') > new URL(location.href).searchParams.get('start')"
    )
    # Back, to the values as a table, by a link that works without a mouse.
    page.evaluate("history.back()")
    page.wait_for("document.querySelector('#heat-switch') !== null")
    page.evaluate("document.querySelector('#heat-switch').click()")
    page.wait_for("document.querySelector('#heat-values') !== null")
    assert "table=heat" in page.evaluate("location.search")
    counts = page.evaluate(
        "[...document.querySelectorAll('#heat-values data')].map(each => Number(each.value)).reduce((a, b) => a + b, 0)"
    )
    assert counts == len(shown.durations)


def test_the_page_follows_the_time_until_it_is_paused(shown: Shown) -> None:
    page = shown.page
    shown.show("/service?service=shop&last=900")
    assert shown.cell("methods", "Shop.find", "calls") == len(shown.durations)
    later = SyntheticProgram("shop", "shop-2")
    later.calls("Shop.find", [10 * MS] * 100)
    with CollectorClient.connect(shown.server.address, framing="header", protocol="compact") as client:
        [packet] = later.packets(at=time.time())
        client.push(packet)
    eventually(lambda: shown.cell("methods", "Shop.find", "calls") == len(shown.durations) + 100)
    page.press("p")
    assert page.evaluate("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
    page.resize(390, 900)
    # Only tables scroll, once the plots have the new width.
    page.wait_for("document.documentElement.scrollWidth <= 390")
