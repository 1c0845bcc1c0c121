"""The page `/status` in a real browser: plots, refreshing, keys, colors, sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chromium import Page, opened, require_chromium
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt import Admin, Server
from idlrt.errors import RpcError

pytestmark = pytest.mark.slow

DRAWN = "document.querySelectorAll('.canvas canvas').length === 4"
CALLS = "[...document.querySelectorAll('.tiles dt')].find(each => each.textContent === 'Calls').nextSibling.textContent"
FOCUS = "document.activeElement"
# Notes the delays of timers from now on.
TIMERS = """
window.delays = []
const original = window.setTimeout
window.setTimeout = (work, delay) => { window.delays.push(delay); return original(work, delay) }
"""
REFRESH_MS = 5000


@contextmanager
def shown(folder: Path, path: str = "/status", **options: Any) -> Iterator[tuple[Page, Server]]:
    require_chromium()
    profile = folder / "profile"
    profile.mkdir()
    with Server(user_service(Users()), **{"admin": 0, **options}) as server:
        server.start()
        call(server, 12)
        with opened(f"{server.admin_address}{path}", profile) as page:
            yield page, server


def call(server: Server, count: int) -> None:
    """Send calls, the first two of which fail."""
    with UserServiceClient.connect(server.address) as client:
        for number in range(count):
            if number < 2:
                with pytest.raises(RpcError):
                    client.get(0)
            else:
                client.ping()


@pytest.fixture
def opened_page(tmp_path: Path) -> Iterator[tuple[Page, Server]]:
    with shown(tmp_path) as (page, server):
        page.wait_for(DRAWN)
        # Servers count calls after the response.
        eventually(lambda: refreshed(page) == "12")
        yield page, server


@pytest.fixture
def page(opened_page: tuple[Page, Server]) -> Page:
    return opened_page[0]


def refreshed(page: Page) -> str:
    """The number of calls after a refresh."""
    found: str = page.evaluate(f"refresh().then(() => {CALLS})")
    return found


def click(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector('{selector}').click()")


def test_nothing_is_requested_from_other_hosts_and_nothing_fails(
    opened_page: tuple[Page, Server], tmp_path: Path
) -> None:
    page, server = opened_page
    assert {urlsplit(url).netloc for url in page.urls} == {urlsplit(server.admin_address).netloc}
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.wait_for(DRAWN)
        page.screenshot(tmp_path / f"status-{scheme}.png")
    page.resize(390, 2400)
    page.wait_for("document.querySelector('.u-wrap').clientWidth < 360")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "narrow screens do not scroll sideways"
    page.screenshot(tmp_path / "status-narrow.png")
    assert page.problems == []


def test_colors_follow_the_preference_of_the_user(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    page.prefer("light")
    page.wait_for(f"{background} === 'rgb(255, 255, 255)'")
    page.prefer("dark")
    page.wait_for(f"{background} === 'rgb(20, 24, 29)'")
    page.wait_for(DRAWN)
    assert page.problems == []


def test_the_page_is_live(opened_page: tuple[Page, Server]) -> None:
    page, server = opened_page
    page.evaluate("window.isSame = true")
    call(server, 5)
    eventually(lambda: refreshed(page) == "17")
    page.evaluate("document.querySelector('#history-details').open = true")
    call(server, 3)
    eventually(lambda: refreshed(page) == "20")
    assert page.evaluate("window.isSame && document.querySelector('#history-details').open")
    assert page.evaluate("document.querySelector('#freshness').textContent") == "Live"
    assert page.problems == []


def test_pausing_ends_polling(opened_page: tuple[Page, Server]) -> None:
    page, _ = opened_page
    page.evaluate(TIMERS)
    click(page, "#pause")
    assert page.evaluate("document.querySelector('#pause').ariaPressed") == "true"
    assert page.evaluate("document.querySelector('#freshness').textContent") == "Paused"
    refreshed(page)
    assert REFRESH_MS not in page.evaluate("window.delays")
    page.press("p")
    page.wait_for(f"window.delays.includes({REFRESH_MS})")
    assert page.evaluate("document.querySelector('#pause').ariaPressed") == "false"


def test_a_hidden_tab_does_not_poll(page: Page) -> None:
    page.evaluate(TIMERS)
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true})"
    page.evaluate(f"{hide % 'true'}; document.dispatchEvent(new Event('visibilitychange'))")
    refreshed(page)
    assert REFRESH_MS not in page.evaluate("window.delays")
    page.evaluate(f"{hide % 'false'}; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for(f"window.delays.includes({REFRESH_MS})")


def test_choices_are_in_the_url_and_the_page_stays(page: Page) -> None:
    page.evaluate("window.isSame = true")
    page.evaluate("document.querySelector('#period-300').focus()")
    click(page, "#period-300")
    page.wait_for("document.querySelector('#period-300').ariaCurrent === 'true'")
    assert page.evaluate(f"{FOCUS}.id") == "period-300", "the focus stays"
    click(page, "#methods-by-pv")
    page.wait_for("document.querySelector('[aria-sort=descending]') !== null")
    assert page.evaluate("location.search") == "?period=300&sort=-pv"


def test_a_method_is_chosen_by_its_link(page: Page) -> None:
    page.evaluate("[...document.querySelectorAll('#methods a')].find(a => a.textContent === 'UserService.get').click()")
    page.wait_for("document.querySelector('#figures h2').textContent.endsWith('UserService.get')")
    assert page.evaluate("location.search") == "?method=UserService.get"
    page.evaluate("history.back()")
    page.wait_for("document.querySelector('#figures h2').textContent === 'Figures'")


def test_keys(page: Page) -> None:
    page.press("?")
    page.wait_for("document.querySelector('#keys').open")
    page.press("Escape")
    page.wait_for("!document.querySelector('#keys').open")
    page.press("/")
    assert page.evaluate(f"{FOCUS}.name") == "filter"
    assert page.evaluate(f"{FOCUS}.value") == ""
    page.write("ping")
    page.wait_for("document.querySelectorAll('#methods tbody tr').length === 1")
    assert page.evaluate("location.search") == "?filter=ping"
    page.press("?")
    assert not page.evaluate("document.querySelector('#keys').open"), "keys are text in a field"
    page.press("Escape")
    page.wait_for("document.querySelectorAll('#methods tbody tr').length === 2")
    assert page.evaluate("location.search") == ""


def test_keys_that_are_characters_can_be_turned_off(page: Page) -> None:
    click(page, "#show-keys")
    click(page, "#use-keys")
    page.press("Escape")
    page.press("/")
    assert page.evaluate(f"{FOCUS}.name") != "filter"
    assert page.evaluate("localStorage.getItem('idlrt-keys')") == "off"


def test_arrows_read_the_values_of_a_plot(page: Page) -> None:
    page.evaluate("document.querySelector('#plot-durations').focus()")
    page.press("End")
    reading = "document.querySelector('#plot-durations').parentElement.querySelector('.reading').textContent"
    page.wait_for(f"/^\\d\\d:\\d\\d:\\d\\d UTC: p50 .+, p90 .+, p99 .+/.test({reading})")
    page.wait_for(f"document.querySelector('#announcer').textContent === {reading}")
    page.press("Escape")
    page.wait_for(f"{reading} === ''")


def test_a_server_that_is_gone_is_reported(opened_page: tuple[Page, Server]) -> None:
    page, server = opened_page
    server.stop()
    page.evaluate("refresh()")
    assert page.evaluate("document.querySelector('#freshness').textContent") == "No connection; retrying"


def test_signing_in_and_out(tmp_path: Path) -> None:
    with shown(tmp_path, "/status?period=300", admin=Admin("127.0.0.1:0", token="hunter2")) as (page, server):
        page.wait_for("document.querySelector('#token') !== null")
        page.prefer("dark")
        page.screenshot(tmp_path / "sign-in.png")
        page.evaluate("document.querySelector('#token').focus()")
        page.write("wrong")
        click(page, ".sign-in button")
        page.wait_for("document.querySelector('#sign-in-error') !== null")
        page.screenshot(tmp_path / "sign-in-failed.png")
        page.evaluate("document.querySelector('#token').focus()")
        page.write("hunter2")
        click(page, ".sign-in button")
        page.wait_for(DRAWN)
        assert page.evaluate("location.pathname + location.search") == "/status?period=300"
        assert page.evaluate("document.cookie") == "", "scripts cannot read it"
        assert "hunter2" not in page.evaluate("document.documentElement.outerHTML")
        click(page, ".tools form button")
        page.wait_for("document.querySelector('#token') !== null && location.pathname === '/sign-in'")
        # Chromium reports the status of pages, too.
        assert [each for each in page.problems if "401 (Unauthorized)" not in each] == []
        assert {urlsplit(url).netloc for url in page.urls} == {urlsplit(server.admin_address).netloc}


def test_a_page_whose_sign_in_has_ended_says_so(tmp_path: Path) -> None:
    with shown(tmp_path, admin=Admin("127.0.0.1:0", token="hunter2")) as (page, _):
        page.wait_for("document.querySelector('#token') !== null")
        page.evaluate("document.querySelector('#token').value = 'hunter2'")
        click(page, ".sign-in button")
        page.wait_for(DRAWN)
        page.evaluate("fetch('sign-out', {method: 'POST', body: new URLSearchParams()})")
        page.evaluate("refresh()")
        assert page.evaluate("document.querySelector('#freshness').textContent") == "Signed out; reload the page"
