"""Pages of the admin port for browsers: HTML without scripts, whose only resource is one style sheet in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, cast

from idlrt.printable import printable
from idlrt.protocol.http.pages import HttpResponse
from idlrt.server.admin.pages import PageEntry
from idlrt.server.admin.status import value_text

__all__ = ["html_index", "html_page"]

_STYLE: Final = """
:root { color-scheme: light dark; --text: #1f2328; --back: #fff; --soft: #59636e; --line: #d8dee4; --head: #f4f6f8;
  --link: #0757ba; --good: #0f6b2e; --bad: #a3181f }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --back: #14181d; --soft: #9aa5b1; --line: #30363d;
  --head: #1d232a; --link: #6cb0ff; --good: #58c972; --bad: #ff7b72 } }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.4rem; margin: 0 0 .25rem } h2 { font-size: 1.05rem; margin: 1.75rem 0 .5rem }
nav { margin-bottom: 1rem } nav a { margin-right: 1rem } a { color: var(--link) }
table { border-collapse: collapse; width: 100% } tr { border-bottom: 1px solid var(--line) }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; overflow-wrap: anywhere }
th { font-weight: 500; color: var(--soft); width: 16rem } thead th { background: var(--head); width: auto;
  padding-left: .5rem } thead + tbody td { padding-left: .5rem }
td { font-family: ui-monospace, monospace; font-size: 13px } .serving, .registered { color: var(--good) }
.draining, .starting, .blocked, .stopped, .lost, .pending, .displaced, .refused { color: var(--bad) }
.none { color: var(--soft) }
"""
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("content-security-policy", _POLICY),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
)
_NAVIGATION: Final = (("/", "Pages"), ("/status", "Status"), ("/livez?verbose", "Live"), ("/readyz?verbose", "Ready"))


def html_index(pages: Sequence[PageEntry]) -> HttpResponse:
    """Return the index of pages."""
    rows: list[str] = []
    for each in pages:
        path = _text(each.path)
        link = f'<a href="{path}">{path}</a>' if each.verb == "GET" else f"POST {path}"
        rows.append(f"<tr><td>{link}</td><td>{_text(each.title)}</td></tr>")
    return _page("Admin pages", f"<table>{''.join(rows)}</table>")


def html_page(title: str, content: Mapping[str, Any]) -> HttpResponse:
    """Return a page with nested data: simple values first, then a table for each nested one."""
    simple = {name: value for name, value in content.items() if not isinstance(value, Mapping) and not _is_rows(value)}
    parts = [_table(simple)]
    for name, value in content.items():
        if name not in simple:
            parts.append(f"<h2>{_label(name)}</h2>")
            parts.append(_rows(value) if _is_rows(value) else _table(value))
    return _page(title, "".join(parts))


def _page(title: str, body: str) -> HttpResponse:
    links = "".join(f'<a href="{path}">{name}</a>' for path, name in _NAVIGATION)
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><nav>{links}</nav><main><h1>{_text(title)}</h1>{body}</main></body></html>\n"
    )
    return HttpResponse(
        content_type="text/html; charset=utf-8", body=text.encode("utf-8", "backslashreplace"), headers=_HEADERS
    )


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(each, Mapping) for each in cast("list[object]", value))


def _table(values: Mapping[str, Any]) -> str:
    rows = "".join(f'<tr><th scope="row">{_label(name)}</th>{_cell(name, each)}</tr>' for name, each in values.items())
    return f"<table>{rows}</table>" if rows else '<p class="none">none</p>'


def _rows(values: list[Mapping[str, Any]]) -> str:
    names = list(values[0])
    head = "".join(f'<th scope="col">{_label(name)}</th>' for name in names)
    body = "".join(f"<tr>{''.join(_cell(name, each.get(name)) for name in names)}</tr>" for each in values)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return f"<td>{_table(cast('Mapping[str, Any]', value))}</td>"
    if isinstance(value, list):
        text = ", ".join(value_text(each) for each in cast("list[object]", value))
        return f"<td>{_text(text)}</td>" if text else '<td class="none">none</td>'
    text = value_text(value)
    kind = ' class="none"' if value is None else f' class="{_text(text)}"' if name == "state" else ""
    return f"<td{kind}>{_text(text)}</td>"


def _label(name: str) -> str:
    """Return the name of a value as it is, so that readers find it in the JSON and in the documentation."""
    return _text(name)


def _text(text: str) -> str:
    return escape(printable(text))
