"""Static files of the kit, below `/_web/`. Their names contain a hash of their content, so browsers may keep them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from idlrt.protocol.http.pages import HttpRequest, HttpResponse

__all__ = ["ASSETS_PATH", "asset_page", "asset_path"]

ASSETS_PATH: Final = "/_web"
"""Path below which the files are. They contain nothing about the server, so they need no token."""

# Folder and content type by name.
_FILES: Final = {
    "icon.svg": ("static", "image/svg+xml"),
    "kit.css": ("static", "text/css; charset=utf-8"),
    "kit.js": ("static", "text/javascript; charset=utf-8"),
    "uPlot.iife.min.js": ("uplot", "text/javascript; charset=utf-8"),
    "uPlot.min.css": ("uplot", "text/css; charset=utf-8"),
}
_HASH_SIZE: Final = 12
_HEADERS: Final = (
    ("cache-control", "public, max-age=31536000, immutable"),
    ("cross-origin-resource-policy", "same-origin"),
)


def asset_path(name: str) -> str:
    """Return the path of a file: `/_web/kit-0123456789ab.css`.

    Raises:
        KeyError: there is no such file.
    """
    return f"{ASSETS_PATH}/{_hashed_names()[name]}"


def asset_page(request: HttpRequest) -> HttpResponse:
    """Return the response to a request below `ASSETS_PATH`; 404 for unknown names, and for old hashes."""
    found = _responses().get(request.path.removeprefix(f"{ASSETS_PATH}/"))
    return found or HttpResponse(status=404, body=b"there is no such file\n")


@cache
def _bodies() -> Mapping[str, bytes]:
    root = files("idlrt.web")
    return {name: (root / folder / name).read_bytes() for name, (folder, _) in _FILES.items()}


@cache
def _hashed_names() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, body in _bodies().items():
        stem, dot, end = name.partition(".")
        found[name] = f"{stem}-{hashlib.sha256(body).hexdigest()[:_HASH_SIZE]}{dot}{end}"
    return found


@cache
def _responses() -> Mapping[str, HttpResponse]:
    return {
        hashed: HttpResponse(content_type=_FILES[name][1], body=_bodies()[name], headers=_HEADERS)
        for name, hashed in _hashed_names().items()
    }
