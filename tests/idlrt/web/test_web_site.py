"""Pages of the web kit: escaping, headers, relative links, and nothing inline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from idlrt.protocol.http.pages import HttpRequest
from idlrt.web import Column, NavItem, Parameter, Site, Table, ViewState

TEMPLATE = """{% extends "base.html" %}{% import "kit.html" as kit %}{% block main %}
{{ kit.pairs(values) }}{{ kit.table(table, state) }}{{ kit.filter("Filter", state, "filter") }}{% endblock %}"""
EVIL = '<img src=x onerror="alert(1)">\u202e'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with templates in another package."""
    (tmp_path / "dashboard_pages" / "templates").mkdir(parents=True)
    (tmp_path / "dashboard_pages" / "__init__.py").write_text("")
    (tmp_path / "dashboard_pages" / "templates" / "page.html").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(tmp_path)
    return Site("Example", (NavItem("/", "Home"), NavItem("/deep/page", "Deep")), "dashboard_pages")


def page(site: Site, path: str, **more: Any) -> str:
    request = HttpRequest(verb="GET", path=path, query=(("sort", "-n"), ("filter", EVIL)))
    state = ViewState(request, (Parameter("sort"), Parameter("filter")))
    columns = (Column(key="name", title=EVIL), Column(key="n", title="N", unit="number"))
    table = Table(id="t", caption=EVIL, columns=columns, rows=[{"name": EVIL, "n": 1203}], sort=state["sort"])
    values = {EVIL: EVIL, "list": [EVIL], "nested": [{EVIL: EVIL}]}
    found = site.page(request, "page.html", title=EVIL, values=values, table=table, state=state, **more)
    assert found.content_type == "text/html; charset=utf-8"
    return found.body.decode()


def test_everything_is_escaped(site: Site) -> None:
    text = page(site, "/")
    assert "<img" not in text
    assert "\u202e" not in text
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;\\u202e" in text


def test_links_are_relative_to_the_page(site: Site) -> None:
    for path, root in (("/", ""), ("/deep/page", "../")):
        links = re.findall(r'(?:href|src|action)="([^"]*)"', page(site, path))
        assert all(link.startswith((f"{root}_web/", f"{root}deep/", "?", "#", "./", "../")) for link in links), links
    assert 'href="../deep/page" aria-current="page"' in page(site, "/deep/page")


def test_pages_have_no_inline_scripts_or_styles(site: Site) -> None:
    text = page(site, "/")
    assert not re.search(r"<style|<script(?! src=)|\sstyle=|\son\w+=\"", text)
    headers = dict(site.page(HttpRequest(verb="GET", path="/"), "sign_in.html", title="T", after="/", error="").headers)
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


def test_tables_are_described(site: Site) -> None:
    text = page(site, "/")
    assert re.search(
        r'<th scope="col" class="figure" aria-sort="descending"><a id="t-by-n" data-view href="\?sort=n&', text
    )
    assert '<th scope="row">' in text
    assert '<data value="1203">1,203</data>' in text
    assert '<caption id="t-caption"' in text


def test_a_page_is_live_only_if_it_says_so(site: Site) -> None:
    assert "data-refresh" not in page(site, "/")
    assert 'id="pause"' not in page(site, "/")
    assert 'data-refresh="5"' in page(site, "/", refresh_s=5)


def test_missing_variables_are_errors(site: Site) -> None:
    with pytest.raises(Exception, match="'table' is undefined"):
        site.page(HttpRequest(verb="GET", path="/"), "page.html", title="T", values={})
