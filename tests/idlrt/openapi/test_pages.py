"""Files of the documentation page."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from idlrt.openapi import static_pages


@pytest.mark.parametrize("prefix", ["", "/docs", "/docs/"])
def test_paths(prefix: str) -> None:
    base = prefix.rstrip("/")
    pages = static_pages(b"{}", prefix)
    assert {*pages} - {base} == {
        f"{base}/{name}"
        for name in ("", "openapi.json", "page.css", "page.js", "swagger-ui-bundle.js", "swagger-ui.css")
    }
    assert pages[f"{base}/openapi.json"].body == b"{}"
    assert pages[f"{base}/openapi.json"].content_type == "application/json"


def test_the_path_without_a_slash_redirects_to_the_page() -> None:
    page = static_pages(b"{}", "/api/docs/")["/api/docs"]
    assert (page.status, page.headers) == (308, (("Location", "docs/"),))
    assert "" not in static_pages(b"{}", "")


def test_the_page_loads_only_what_is_served_with_it() -> None:
    pages = static_pages(b"{}", "/docs")
    text = pages["/docs/"].body.decode()
    linked = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert {each for each in linked if each != "data:,"} == {path.removeprefix("/docs/") for path in pages} - {
        "",
        "/docs",
    }


def test_the_page_has_no_inline_script_and_its_policy_forbids_them() -> None:
    page = static_pages(b"{}", "/docs")["/docs/"]
    text = page.body.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
    assert re.findall(r"<style|\bstyle=|\bon\w+=", text) == []
    policy = dict(page.headers)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy


def test_licences_are_next_to_what_they_are_of() -> None:
    folder = files("idlrt.openapi") / "page"
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert "SmartBear" in (folder / "NOTICE").read_text()
    assert (folder / "swagger-ui-bundle.js.LICENSE.txt").is_file()
