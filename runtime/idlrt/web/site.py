"""Sites: the name, navigation and templates of a set of pages, and the response with a page.

Templates are jinja2, with escaping of everything that is not marked as HTML; text with characters that would not be
seen as they are (control characters, bidirectional overrides) is shown with escapes. Links are relative, because a
proxy may serve the pages below another path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from idlrt.printable import printable
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.version import __version__
from idlrt.web.assets import asset_path
from idlrt.web.formats import FORMATS, NONE, Unit
from idlrt.web.security import PAGE_HEADERS
from idlrt.web.tables import Badge, Link

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["COOKIE_PREFIX", "NavItem", "Site"]

COOKIE_PREFIX: Final = "idlrt-sign-in"
"""Prefix of names of cookies of `SignIn`."""

_PACKAGE: Final = "idlrt.web"


def _always() -> bool:
    return True


class NavItem(msgspec.Struct, frozen=True):
    """A link of the navigation.

    Attributes:
        path: path, possibly with a query.
        title: text.
        is_shown: returns whether the page exists.
    """

    path: str
    title: str
    is_shown: Callable[[], bool] = _always


class Site:
    """A set of pages.

    Args:
        name: name of the site, for the title of the window.
        navigation: links that all pages have.
        package: package with the folder `templates`, whose files may extend `base.html` and import `kit.html`.

    Attributes:
        name: name of the site.
        navigation: links that all pages have.
    """

    def __init__(self, name: str, navigation: Sequence[NavItem], package: str = _PACKAGE) -> None:
        self.name: Final = name
        self.navigation: Final = tuple(navigation)
        self._package = package

    def page(
        self,
        request: HttpRequest,
        template: str,
        *,
        title: str,
        status: int = 200,
        headers: tuple[tuple[str, str], ...] = (),
        **values: Any,
    ) -> HttpResponse:
        """Return a page.

        Args:
            request: the request, for relative links.
            template: name of the template: `status.html`.
            title: heading of the page.
            status: status code.
            headers: headers in addition to `PAGE_HEADERS`.
            values: variables of the template. `refresh_s` makes a page live: its elements with `data-live` are
                replaced at this interval, in seconds. `has_plots` loads the plot library.
        """
        root = "../" * (request.path.count("/") - 1)

        def url(path: str) -> str:
            return f"{root}{path.removeprefix('/')}" or "./"

        def asset(name: str) -> str:
            return url(asset_path(name))

        text = self._environment.get_template(template).render(
            site=self,
            title=title,
            path=request.path,
            version=__version__,
            is_signed_in=f"{COOKIE_PREFIX}-" in request.headers.get("cookie", ""),
            url=url,
            asset=asset,
            **values,
        )
        return HttpResponse(
            status=status,
            content_type="text/html; charset=utf-8",
            body=text.encode("utf-8", "backslashreplace"),
            headers=(*PAGE_HEADERS, *headers),
        )

    @cached_property
    def _environment(self) -> Environment:
        # Imported for the first page, because most servers never show one.
        from jinja2 import Environment, FunctionLoader, StrictUndefined

        def load(name: str) -> str | None:
            for package in dict.fromkeys((self._package, _PACKAGE)):
                file = files(package) / "templates" / name
                if file.is_file():
                    return file.read_text(encoding="utf-8")
            return None

        def shown(value: object) -> object:
            # Values with `__html__` are HTML.
            return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value

        environment = Environment(
            loader=FunctionLoader(load),
            autoescape=True,
            finalize=shown,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        names = cast("dict[str, Any]", environment.globals)
        names |= {"formatted": formatted, "kind_of": kind_of}
        return environment


def formatted(value: Any, unit: Unit | None) -> str:
    """Return a simple value as text on one line."""
    if value is None:
        return NONE if unit else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit and isinstance(value, int | float):
        return FORMATS[unit](value)
    return " ".join(str(value).split())


def kind_of(value: Any) -> str:
    """Return how a value is shown: `link`, `badge`, `table` (names and values), `rows`, `list` or `text`."""
    match value:
        case Link():
            return "link"
        case Badge():
            return "badge"
        case dict():
            return "table"
        case [*parts] if any(isinstance(each, dict) for each in parts):
            return "rows"
        case [*_]:
            return "list"
        case _:
            return "text"
