"""URL state: everything that a page shows by choice is in its query, so that a link shows the same view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from idlrt.protocol.http.pages import HttpRequest

__all__ = ["Parameter", "ViewState"]

_LONGEST: Final = 200


class Parameter(msgspec.Struct, frozen=True):
    """A query parameter.

    Attributes:
        name: name.
        default: value without the parameter.
        choices: valid values; empty for any text of at most 200 characters.
    """

    name: str
    default: str = ""
    choices: tuple[str, ...] = ()


class ViewState:
    """The parameters of one request. Invalid values count as the default.

    Args:
        request: the request.
        parameters: parameters of the page.
    """

    def __init__(self, request: HttpRequest, parameters: Sequence[Parameter]) -> None:
        self._parameters = {each.name: each for each in parameters}
        self._values = {each.name: _value(request, each) for each in parameters}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def link(self, **changes: str) -> str:
        """Return the URL, relative to the page, of the view with changes: `?period=300`. Defaults are left out.

        Raises:
            KeyError: the page has no such parameter.
        """
        values = [(name, changes.pop(name, value)) for name, value in self._values.items()]
        if changes:
            raise KeyError(f"the page has no parameter {next(iter(changes))!r}")
        return "?" + urlencode([pair for pair in values if pair[1] != self._parameters[pair[0]].default])

    def others(self, name: str) -> list[tuple[str, str]]:
        """Return names and values of the other parameters that differ from their defaults, for hidden form fields."""
        return [(key, text) for key, text in self._values.items() if key != name and text != self._default(key)]

    def _default(self, name: str) -> str:
        return self._parameters[name].default


def _value(request: HttpRequest, parameter: Parameter) -> str:
    value = request.get(parameter.name, parameter.default)
    if parameter.choices:
        return value if value in parameter.choices else parameter.default
    return value[:_LONGEST]
