"""Routes of functions, and what each of them binds: arguments, or the fields of the struct that is the only argument.

The runtime has the same rules (`idlrt.protocol.http.routes`), because neither side imports the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from idlc.model.http import PLACES, ROUTES, Given, given
from idlc.model.path_template import InvalidTemplate, PathTemplate, parse_template
from idlc.model.program import Field, Function, Reference, Service, Struct, resolve

__all__ = ["Bound", "BoundField", "Place", "Route", "bound", "functions_of", "routes"]

_WITHOUT_BODY: Final = frozenset({"get", "head", "delete", "options"})
_ANY: Final = ("get", "post", "put", "patch", "delete")


class Route(msgspec.Struct, frozen=True, eq=False):
    """A verb and a path of a function.

    Attributes:
        verb: lower case; may be `any`.
        template: the parsed path; `None` if it is invalid.
        reason: why the path is invalid.
    """

    function: Function
    given: Given
    verb: str
    template: PathTemplate | None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.verb.upper()} {self.given.value}"

    @property
    def verbs(self) -> tuple[str, ...]:
        """Verbs of requests that match it."""
        return _ANY if self.verb == "any" else (self.verb,)

    @property
    def has_body(self) -> bool:
        """Whether requests may have a body."""
        return self.verb not in _WITHOUT_BODY


class Place(msgspec.Struct, frozen=True):
    """A place in requests of a route.

    Attributes:
        kind: `path`, `query`, `header`, `cookie`, `form`, `body` or `raw_body`.
        name: name in it; that of a header is in lower case.
        given: the annotation; `None` if the default applies.
    """

    kind: str
    name: str
    given: Given | None = None


class BoundField(msgspec.Struct, frozen=True, eq=False):
    """An argument or a field that gets its value from a request.

    Attributes:
        places: its annotations that name places, in order; empty if the defaults apply.
    """

    field: Field
    places: tuple[Given, ...]

    def name_in(self, place: Given) -> str:
        """Return its name in one of its places."""
        return place.value or self.field.name

    def places_in(self, route: Route, *, is_argument: bool) -> list[Place]:
        """Return its places in requests of a route; for a whole body, the name is empty."""
        variables: set[str] = set() if route.template is None else {*route.template.variables}
        found: list[Place] = []
        for each in self.places:
            kind, name = each.name.removeprefix("http."), self.name_in(each)
            if kind == "raw_body":
                found.append(Place(kind, "", each))
            elif kind == "body" and route.has_body:
                found.append(Place(kind, each.value if is_argument else each.value or self._key(), each))
            elif kind == "header":
                found.append(Place(kind, name.lower(), each))
            elif kind != "body" and (kind != "path" or name in variables):
                found.append(Place(kind, name, each))
        in_body = next((each for each in self.places if each.name == "http.body"), None)
        if self.places and (in_body is None or route.has_body):
            return found
        if self.field.name in variables:
            return [*found, Place("path", self.field.name)]
        if route.has_body:
            return [*found, Place("body", self._key())]
        return [*found, Place("query", in_body.value if in_body is not None and in_body.value else self.field.name)]

    def _key(self) -> str:
        keys = [each.value for each in given(self.field) if each.name == "http.name"]
        return keys[-1] if keys else self.field.name


class Bound(msgspec.Struct, frozen=True, eq=False):
    """Arguments or fields that the routes of a function bind.

    Attributes:
        struct: the struct whose fields are bound, if it is the only argument; `None` if the arguments are bound.
        fields: bound arguments or fields, without those that are never read.
    """

    struct: Struct | None
    fields: tuple[BoundField, ...]


def routes(function: Function) -> list[Route]:
    """Return the routes in the annotations of a function."""
    found: list[Route] = []
    for each in given(function) if function.annotations else ():
        if each.name in ROUTES:
            template, reason = None, ""
            try:
                template = parse_template(each.value)
            except InvalidTemplate as error:
                reason = str(error)
            found.append(Route(function, each, each.name.removeprefix("http."), template, reason))
    return found


def bound(function: Function) -> Bound:
    """Return what the routes of a function bind."""
    struct = _expanded(function)
    found: list[BoundField] = []
    for field in function.arguments if struct is None else struct.fields:
        annotations = given(field) if field.annotations else []
        if all(each.name != "http.none" for each in annotations):
            found.append(BoundField(field, tuple(each for each in annotations if each.name in PLACES)))
    return Bound(struct, tuple(found))


def functions_of(services: Iterable[Service]) -> Iterator[Function]:
    """Yield the functions of services and of those that they extend, each once, inherited ones first."""
    seen: set[int] = set()
    for service in services:
        chain: list[Service] = []
        base: Service | None = service
        while base is not None and id(base) not in seen:
            seen.add(id(base))
            chain.append(base)
            base = base.extends
        for each in reversed(chain):
            yield from each.functions


def _expanded(function: Function) -> Struct | None:
    if len(function.arguments) != 1:
        return None
    [argument] = function.arguments
    type = resolve(argument.type)
    if not (isinstance(type, Reference) and isinstance(type.target, Struct)) or type.target.kind == "union":
        return None
    return None if any(each.name in PLACES for each in given(argument)) else type.target
