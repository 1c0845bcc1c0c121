"""Static files of the web kit: where they come from, and how browsers may cache them."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest

from idlrt.protocol.http.pages import HttpRequest
from idlrt.web import ASSETS_PATH, asset_page
from idlrt.web.assets import asset_path

ROOT = Path(__file__).parents[3]
UPLOT = files("idlrt.web") / "uplot"
NAMES = ("icon.svg", "kit.css", "kit.js", "uPlot.iife.min.js", "uPlot.min.css")


def test_files_of_others_are_unchanged() -> None:
    version = (UPLOT / "VERSION").read_text(encoding="utf-8")
    listed = {name: expected for expected, name in (line.split() for line in version.splitlines()[1:])}
    assert version.startswith("uPlot 1.6.32 (npm, `uplot`), MIT")
    assert {each.name for each in UPLOT.iterdir()} == {*listed, "VERSION"}
    for name, expected in listed.items():
        assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == expected, name


def test_their_licence_is_distributed() -> None:
    assert "The MIT License (MIT)" in (UPLOT / "LICENSE").read_text(encoding="utf-8")
    assert '"runtime/idlrt/web/uplot/LICENSE"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_browsers_keep_files_by_the_hash_in_their_name(name: str) -> None:
    path = asset_path(name)
    stem, _, end = name.partition(".")
    assert re.fullmatch(rf"{ASSETS_PATH}/{stem}-[0-9a-f]{{12}}\.{re.escape(end)}", path)
    found = asset_page(HttpRequest(verb="GET", path=path))
    assert found.status == 200
    assert found.body
    assert dict(found.headers)["cache-control"] == "public, max-age=31536000, immutable"
    assert found.content_type.startswith(
        {"css": "text/css", "js": "text/javascript", "svg": "image/svg"}[name[-3:].strip(".")]
    )


@pytest.mark.parametrize("name", ["kit.css", "kit-000000000000.css", "../site.py", "", "nosuch"])
def test_other_names_are_not_found(name: str) -> None:
    found = asset_page(HttpRequest(verb="GET", path=f"{ASSETS_PATH}/{name}"))
    assert (found.status, found.body) == (404, b"there is no such file\n")


def test_the_script_and_style_load_nothing_else() -> None:
    for name in ("kit.css", "kit.js", "icon.svg"):
        text = (
            (files("idlrt.web") / "static" / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        )
        assert not re.search(r"https?://|@import|url\(|eval\(|innerHTML\s*=[^=]|insertAdjacentHTML", text), name


def test_there_is_no_animation_for_users_who_want_none() -> None:
    css = (files("idlrt.web") / "static" / "kit.css").read_text(encoding="utf-8")
    outside = re.sub(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}", "", css, flags=re.DOTALL)
    assert not re.search(r"transition|animation|scroll-behavior", outside)
