"""The documentation page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium import Page, opened, require_chromium
from library_service import library_server

pytestmark = pytest.mark.slow

STATUS = "document.querySelector('.live-responses-table .response .response-col_status')?.textContent"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """The page of a server of the library."""
    require_chromium()
    profile = tmp_path / "profile"
    profile.mkdir()
    with library_server(tmp_path / "gen") as server, opened(f"http://127.0.0.1:{server.port}/_idl/", profile) as shown:
        shown.wait_for("document.querySelectorAll('.opblock').length === 14")
        yield shown


def expand(page: Page, operation: str) -> None:
    block = f"#operations-Library-{operation}"
    page.evaluate(f"document.querySelector('{block} .opblock-summary-control').click()")
    page.wait_for(f"document.querySelector('{block} .execute') !== null")
    # Examples are filled in a moment later.
    inputs = f"[...document.querySelectorAll('{block} .opblock-section :is(input[type=text], textarea)')]"
    page.wait_for(f"{inputs}.length > 0 && {inputs}.every(input => input.value !== '')")


def execute(page: Page) -> None:
    page.evaluate("document.querySelector('.execute').click()")
    page.wait_for(f"{STATUS} !== undefined")


def test_calls_can_be_tried(page: Page) -> None:
    expand(page, "Library_add")
    execute(page)
    assert page.evaluate(STATUS).startswith("201")
    assert '"from": "origin"' in page.evaluate(
        "document.querySelector('.live-responses-table .microlight').textContent"
    )
    assert page.problems == []


def test_the_page_needs_no_other_host(page: Page) -> None:
    expand(page, "Library_search")
    execute(page)
    assert page.evaluate(STATUS).startswith("200")
    hosts = {urlsplit(url).netloc for url in page.urls if not url.startswith("data:")}
    assert len(hosts) == 1
    assert hosts.pop().startswith("127.0.0.1:")
    assert page.problems == []
    assert page.evaluate("document.title") == "A library: books and readers"


def test_problems_are_shown_as_they_come(page: Page) -> None:
    expand(page, "Library_get")
    execute(page)
    assert page.evaluate(STATUS).startswith("404")
    assert "urn:idl:NoBook" in page.evaluate("document.querySelector('.live-responses-table .microlight').textContent")


def test_colors_follow_the_preference_of_the_user(page: Page) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    page.prefer("light")
    page.wait_for(f"{background} === 'rgb(255, 255, 255)'")
    page.prefer("dark")
    page.wait_for(f"{background} === 'rgb(28, 32, 34)'")


def test_scripts_of_others_do_not_run(page: Page) -> None:
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.wait_for("true")
    page.evaluate("fetch('http://localhost:1/').catch(() => { window.blocked = 1 })")
    page.wait_for("window.blocked === 1")
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in page.problems)
