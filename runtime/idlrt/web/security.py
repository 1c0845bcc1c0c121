"""Security headers of pages, and the check that a request does not come from a page of another site."""

from __future__ import annotations

from typing import Final

from idlrt.protocol.http.pages import HttpRequest

__all__ = ["PAGE_HEADERS", "is_cross_origin"]

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

PAGE_HEADERS: Final = (
    ("content-security-policy", _POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    # With `no-referrer` browsers would send forms with `Origin: null`.
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "DENY"),
)
"""Headers of all HTML pages: scripts and styles from the own origin only, none inline, no frames."""


def is_cross_origin(request: HttpRequest, *, needs_origin: bool = False) -> bool:
    """Whether a request comes from a page of another site, according to the headers that browsers set.

    Args:
        request: the request.
        needs_origin: whether a request without `Origin` counts as one of another site. Set it for forms, which
            browsers send to other sites, too, always with `Origin`.

    Source: https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/
    """
    headers = request.headers
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None:
        if needs_origin:
            return True
    elif origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        return True
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
