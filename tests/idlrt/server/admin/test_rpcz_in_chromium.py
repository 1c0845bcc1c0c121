"""The pages `/rpcz` in a real browser: nothing fails, levels collapse, large traces are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pytest
from chromium import Page, opened, require_chromium
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt import Server, observe
from idlrt.errors import RpcError
from idlrt.observe.tracing.sampling import Always
from idlrt.observe.tracing.store import SpanStore

pytestmark = pytest.mark.slow

TRACE = "ab" * 16


class Shop(Users):
    def get(self, id: int) -> Any:
        observe.put("user", str(id))
        with observe.span("price", {"currency": "EUR"}) as span:
            span.add_event("cache miss", {"keys": 3})
        return super().get(id)


class Opened(NamedTuple):
    page: Page
    server: Server
    store: SpanStore
    client: UserServiceClient

    def show(self, path: str, condition: str) -> None:
        """Open another page, and wait until a condition is true there."""
        url = f"{self.server.admin_address}{path}"
        self.page.evaluate(f"location.href = {url!r}")
        self.page.wait_for(f"location.href === {url!r} && ({condition})")

    def count(self, selector: str) -> Any:
        return self.page.evaluate(f"document.querySelectorAll({selector!r}).length")


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Opened]:
    require_chromium()
    profile = tmp_path / "profile"
    profile.mkdir()
    with (
        observe.trace("shop", sampler=Always(), max_spans=6000) as active,
        Server(user_service(Shop()), admin=0).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        client.get(42)
        with pytest.raises(RpcError):
            client.get(0)
        eventually(lambda: len(active.store.recent()) == 6)
        with opened(f"{server.admin_address}/rpcz", profile) as page:
            page.wait_for("document.querySelector('#calls') !== null")
            yield Opened(page, server, active.store, client)
            assert page.problems == []
            assert {urlsplit(url).netloc for url in page.urls} == {urlsplit(server.admin_address).netloc}


def test_the_list_is_live_and_sorted_by_links(shown: Opened, tmp_path: Path) -> None:
    page = shown.page
    assert shown.count("#calls tbody tr") == 4
    shown.client.get(7)
    eventually(lambda: page.evaluate("refresh().then(() => document.querySelectorAll('#calls tbody tr').length)") == 6)
    page.evaluate("document.querySelector('#order-failed').click()")
    page.wait_for("document.querySelectorAll('#calls tbody tr').length === 2")
    assert page.evaluate("location.search") == "?order=failed"
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.screenshot(tmp_path / f"rpcz-{scheme}.png")


def test_the_form_searches(shown: Opened) -> None:
    shown.show("/rpcz?order=slow", "document.querySelector('#calls') !== null")
    shown.page.evaluate("document.querySelector('input[name=tag]').value = 'user:42'")
    shown.page.evaluate("document.querySelector('form.search button').click()")
    shown.page.wait_for("location.search.includes('tag=user%3A42')")
    assert "order=slow" in shown.page.evaluate("location.search")
    assert shown.count("#calls tbody tr") == 1


def test_levels_of_a_trace_collapse(shown: Opened, tmp_path: Path) -> None:
    [call] = shown.store.entries(tags={"user": "42"})
    shown.show(f"/rpcz/{call.trace_id}", "document.querySelectorAll('.span').length === 3")
    page = shown.page
    height = "document.querySelectorAll('.span')[2].checkVisibility({contentVisibilityAuto: true})"
    assert page.evaluate(height)
    page.evaluate("document.querySelectorAll('.span > summary')[0].click()")
    assert not page.evaluate(height)
    page.evaluate("document.querySelectorAll('.span > summary')[0].click()")
    page.evaluate("document.querySelectorAll('.span > summary')[2].click()")
    assert "currency" in page.evaluate("document.querySelectorAll('.span')[2].innerText")
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.screenshot(tmp_path / f"trace-{scheme}.png")
    # Bars of all levels have the same time axis.
    places = (
        "[...new Set([...document.querySelectorAll('.bars')].map(each => each.getBoundingClientRect().left))].length"
    )
    assert page.evaluate(places) == 1
    page.evaluate("document.querySelector('#show-path').click()")
    page.wait_for("location.search === '?show=path' && document.querySelector('#show-path[aria-current]') !== null")
    page.evaluate("document.querySelector('#levels-1').click()")
    page.wait_for("location.search === '?show=path&levels=1' && document.querySelectorAll('.span[open]').length === 0")
    page.resize(390, 900)
    assert page.evaluate("document.documentElement.scrollWidth <= 390"), "only the waterfall scrolls"


@pytest.mark.parametrize("children", [1, 3, 5000])
def test_5000_spans_are_drawn_whatever_their_tree(shown: Opened, children: int) -> None:
    [template] = [each for each in shown.store.entries("failed") if each.kind == "server"]
    for number in range(5000):
        parent = f"{(number - 1) // children + 1:016x}" if number else ""
        changes: dict[str, Any] = {"trace_id": TRACE, "span_id": f"{number + 1:016x}", "parent_id": parent}
        changes |= {"started_at": template.started_at + number * 1000, "status": "error" if number % 50 else "unset"}
        shown.store.put(msgspec.structs.replace(template, **changes))
    shown.show(f"/rpcz/{TRACE}", "document.querySelectorAll('.span').length === 5000")
    shown.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert shown.page.evaluate("document.querySelector('.bars rect').getBoundingClientRect().width") > 0
