"""Pages of an admin port, by path: the one place where they register.

A page is a function that takes the request and returns the response, plain or `async`; it runs on the event loop of the
admin port, so it must not block.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

import msgspec

from idlrt.core.handlers import Handlers, bind
from idlrt.printable import printable
from idlrt.protocol.http.pages import PAGES, HttpRequest, HttpResponse
from idlrt.web import is_cross_origin

__all__ = ["AdminPages", "Page", "PageEntry", "text_page", "wanted_format"]

Page: TypeAlias = Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]
"""A page: takes a request and returns its response."""

_FORMATS: Final = ("json", "text", "html")


class PageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A registered page.

    Attributes:
        path: path. With `takes_name`, paths below it have the same page.
        verb: GET or POST; HEAD arrives as GET.
        title: what the page is, for the index.
        page: the page.
        takes_name: whether the page has parts: `/livez/loop`.
        is_listed: whether the index lists it.
    """

    path: str
    verb: str
    title: str
    page: Page
    takes_name: bool = False
    is_listed: bool = True


class AdminPages:
    """The pages of one admin port. It is the handler of the service `PAGES`."""

    def __init__(self) -> None:
        self._pages: dict[str, PageEntry] = {}

    def add(
        self,
        path: str,
        page: Page,
        title: str,
        *,
        verb: str = "GET",
        takes_name: bool = False,
        is_listed: bool = True,
    ) -> None:
        """Register a page.

        Args:
            path: path, with a leading slash. The first page of a path stays.
            page: the page.
            title: what the page is, for the index.
            verb: GET for pages that only show something, otherwise POST.
            takes_name: whether the page gets requests of `PATH/NAME`, too.
            is_listed: whether the index lists it.
        """
        entry = PageEntry(path=path, verb=verb, title=title, page=page, takes_name=takes_name, is_listed=is_listed)
        self._pages.setdefault(path, entry)

    @property
    def entries(self) -> list[PageEntry]:
        """The pages of the index, by path."""
        return [self._pages[path] for path in sorted(self._pages) if self._pages[path].is_listed]

    @property
    def handlers(self) -> Handlers:
        """The pages as a service for a server."""
        return bind(PAGES, self)

    def _find(self, path: str) -> PageEntry | None:
        found = self._pages.get(path)
        if found is None:
            found = self._pages.get(path.rpartition("/")[0])
            if found is not None and not found.takes_name:
                return None
        return found

    async def page(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        entry = self._find(request.path)
        if entry is None:
            return text_page(404, "there is no such page; / lists all pages")
        if request.verb != entry.verb:
            allowed = "GET, HEAD" if entry.verb == "GET" else entry.verb
            return text_page(405, f"this page supports {allowed}", ("allow", allowed))
        if entry.verb == "POST" and (refusal := _refusal(request)) is not None:
            return refusal
        found: Any = entry.page(request)
        return cast("HttpResponse", await found if inspect.isawaitable(found) else found)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the response to a request to change something that a page of another site may have sent.

    Browsers send the content type JSON to another site only if it agrees to that (CORS), and always say where the
    request comes from.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return text_page(415, "the content type must be application/json")
    if is_cross_origin(request):
        return text_page(403, "requests of pages of other sites are not allowed")
    return None


def text_page(status: int, text: str, *headers: tuple[str, str]) -> HttpResponse:
    """Return a response with plain text."""
    body = f"{printable(text, keep=chr(10))}\n".encode()
    return HttpResponse(status=status, body=body, headers=headers)


def wanted_format(request: HttpRequest) -> str:
    """Return `json`, `text` or `html`, as the query parameter `format` or the header `Accept` says; else `text`."""
    wanted = request.get("format")
    if wanted:
        return wanted if wanted in _FORMATS else ""
    for each in request.headers.get("accept", "").lower().split(","):
        match each.partition(";")[0].strip():
            case "application/json":
                return "json"
            case "text/html" | "application/xhtml+xml":
                return "html"
            case "text/plain":
                return "text"
            case _:
                pass
    return "text"
