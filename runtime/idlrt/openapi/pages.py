"""The documentation page: Swagger UI, from files in this package. It loads nothing from other hosts.

Calls can be tried from the page. The content security policy allows connections to the host of the page only, so a
document with `servers` on other hosts can be read, but calls of these servers are blocked.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from idlrt.protocol.http.pages import StaticPage

__all__ = ["static_pages"]

_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
}
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_OF_PAGE: Final = (("Content-Security-Policy", _POLICY), ("Referrer-Policy", "no-referrer"))


def static_pages(document: bytes, prefix: str) -> Mapping[str, StaticPage]:
    """Return the pages that show a document, by path.

    Args:
        document: OpenAPI document as JSON text.
        prefix: path of all pages, such as `/docs`: the page itself is `/docs/`, the document `/docs/openapi.json`, and
            `/docs` redirects to the page.
    """
    folder = files("idlrt.openapi") / "page"
    base = prefix.rstrip("/")
    pages = {
        f"{base}/": StaticPage("text/html; charset=utf-8", (folder / "index.html").read_bytes(), _OF_PAGE),
        f"{base}/openapi.json": StaticPage("application/json", document),
    }
    for name, content_type in _TYPES.items():
        pages[f"{base}/{name}"] = StaticPage(content_type, (folder / name).read_bytes())
    if base:
        # Relative, because a proxy may serve the pages below another path.
        location = f"{base.rpartition('/')[2]}/"
        pages[base] = StaticPage("text/plain; charset=utf-8", b"", (("Location", location),), 308)
    return pages
