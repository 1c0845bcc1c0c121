"""Routes of methods: verbs and paths, and where each argument comes from, as the IDL's annotations say.

    Article get(1: string sku) (http.get = "/articles/{sku}")

A method without a route annotation has the route `POST /Service/method`, with a JSON object of its arguments.

What a route binds is an argument, or, where a struct is the only argument, each field of that struct: *expanded*
arguments, as in CloudWeGo's IDL. A bound field has places, which are tried in order: those of its annotations, or else
the path variable of its name, the query of requests without a body (GET, HEAD, DELETE, OPTIONS), the JSON body of
others. A field that does not fit into its place, such as a struct in the query, is never set, and path variables
without a field are ignored: CloudWeGo's IDL has both. In annotations of our own, the compiler rejects them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.protocol.http.responses import success_status
from idlrt.protocol.http.templates import PathTemplate, parse_template
from idlrt.serialization.plain_json import json_key
from idlrt.spec import BaseType, EnumType, Field, ListType, Method, Service, SetType, StructType, Type, Union

__all__ = [
    "ANY_VERB",
    "VERBS",
    "BoundField",
    "Place",
    "PlaceKind",
    "Route",
    "has_routes",
    "routes_of",
    "service_routes",
]

PlaceKind: TypeAlias = Literal["path", "query", "header", "cookie", "form", "body", "raw_body"]
"""Part of a request."""

VERBS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
ANY_VERB: Final = "ANY"
"""Verb of the annotation `http.any`: all of `VERBS` but HEAD and OPTIONS."""

_ROUTES: Final = {f"http.{verb.lower()}": verb for verb in (*VERBS, ANY_VERB)}
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_PLACES: Final[Mapping[str, PlaceKind]] = {
    "http.path": "path",
    "http.query": "query",
    "http.header": "header",
    "http.cookie": "cookie",
    "http.form": "form",
    "http.body": "body",
    "http.raw_body": "raw_body",
}


class Place(msgspec.Struct, frozen=True):
    """A place in a request.

    Attributes:
        kind: part of the request.
        name: name in it: of the variable, parameter, header (lower case), cookie or member; empty for a whole body.
    """

    kind: PlaceKind
    name: str


class BoundField(msgspec.Struct, frozen=True, eq=False):
    """An argument, or a field of an expanded argument.

    Attributes:
        field: its description.
        places: where its value is, in the order in which they are tried.
    """

    field: Field[Any]
    places: tuple[Place, ...]

    @property
    def is_whole_body(self) -> bool:
        """Whether the JSON body as a whole is its value."""
        return self.places == (Place("body", ""),)


class Route(msgspec.Struct, frozen=True, eq=False):
    """A route.

    Attributes:
        verb: HTTP method, or `ANY_VERB`.
        template: path.
        service: name of the service that is served.
        method: method that is called.
        bound: bound arguments or fields.
        is_expanded: whether `bound` are the fields of the only argument.
        is_annotated: whether the IDL has the route; otherwise it is `POST /Service/method`.
        status: status of a response with a result.
    """

    verb: str
    template: PathTemplate
    service: str
    method: Method[..., Any]
    bound: tuple[BoundField, ...]
    is_expanded: bool
    is_annotated: bool
    status: int

    def __str__(self) -> str:
        return f"{self.verb} {self.template}"

    @property
    def key(self) -> str:
        """Name of the method in the method table of a server."""
        return f"{self.service}:{self.method.name}"

    @property
    def kinds(self) -> frozenset[PlaceKind]:
        """Parts of the request that the route reads."""
        return frozenset(place.kind for each in self.bound for place in each.places)


def has_routes(service: Service) -> bool:
    """Whether the IDL has a route for a method of the service."""
    return any(_ROUTES.keys() & method.annotations.keys() for method in service.methods.values())


def service_routes(service: Service, prefix: str = "") -> Iterator[Route]:
    """Return the routes of all methods of a service.

    Args:
        prefix: path in front of all templates.

    Raises:
        ConfigurationError: an annotation is invalid.
    """
    for method in service.methods.values():
        yield from routes_of(method, service.name, prefix)


def routes_of(method: Method[..., Any], service: str, prefix: str = "") -> list[Route]:
    """Return the routes of a method, in the order of its annotations.

    Args:
        service: name of the service that is served, which may have inherited the method.
        prefix: path in front of all templates.

    Raises:
        ConfigurationError: an annotation is invalid.
    """
    found: list[Route] = []
    for name, verb in _ROUTES.items():
        for text in method.annotations.get(name, ()):
            try:
                found.append(_annotated(method, service, verb, parse_template(prefix + text)))
            except ConfigurationError as error:
                raise ConfigurationError(f"route {verb} {prefix}{text} of {method.full_name}: {error}") from None
    if found:
        order = {name: place for place, name in enumerate(method.annotations)}
        found.sort(key=lambda route: order[f"http.{route.verb.lower()}"])
        return found
    template = parse_template(f"{prefix}/{service}/{method.name}")
    bound = tuple(BoundField(each, (Place("body", json_key(each)),)) for each in method.arguments)
    return [Route("POST", template, service, method, bound, False, False, success_status(method))]


def _annotated(method: Method[..., Any], service: str, verb: str, template: PathTemplate) -> Route:
    struct = _expanded(method)
    fields: tuple[Field[Any], ...] = method.arguments if struct is None else struct.__thrift_fields__
    variables = set(template.variables)
    bound: list[BoundField] = []
    for field in fields:
        if "http.none" in field.annotations:
            continue
        found = _places(field, variables, has_body=verb not in _WITHOUT_BODY, is_argument=struct is None)
        places = tuple(place for place in found if _fits(field.type, place.kind))
        if places:
            bound.append(BoundField(field, places))
    return Route(verb, template, service, method, tuple(bound), struct is not None, True, success_status(method))


def _expanded(method: Method[..., Any]) -> Any:
    """Return the class of the struct whose fields are bound; `None` if the arguments are."""
    if len(method.arguments) != 1:
        return None
    [field] = method.arguments
    if not isinstance(field.type, StructType) or issubclass(field.type.cls, Union):
        return None
    return None if _PLACES.keys() & field.annotations.keys() else field.type.cls


def _fits(type: Type[Any], kind: PlaceKind) -> bool:
    """Whether values of a type have a form in a part of the request: structs and maps have one in bodies only."""
    if kind in ("body", "raw_body"):
        return True
    if isinstance(type, ListType | SetType) and kind not in ("path", "cookie"):
        type = type.element
    return isinstance(type, BaseType | EnumType)


def _places(field: Field[Any], variables: set[str], *, has_body: bool, is_argument: bool) -> Iterator[Place]:
    is_located = False
    for name, values in field.annotations.items():
        kind = _PLACES.get(name)
        if kind is None:
            continue
        is_located = True
        value = values[-1]
        if kind == "raw_body":
            yield Place(kind, "")
        elif kind == "body":
            if has_body:
                yield Place(kind, value or ("" if is_argument else json_key(field)))
        elif kind == "path":
            # A field may be in the path of one route of a method and in another place of the next.
            if (value or field.name) in variables:
                yield Place(kind, value or field.name)
        elif kind == "header":
            yield Place(kind, (value or field.name).lower())
        else:
            yield Place(kind, value or field.name)
    if is_located and not ("http.body" in field.annotations and not has_body):
        return
    if field.name in variables:
        yield Place("path", field.name)
    elif has_body:
        yield Place("body", json_key(field))
    else:
        yield Place("query", field.annotations.get("http.body", ("",))[-1] or field.name)
