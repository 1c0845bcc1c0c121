"""Checks of what HTTP requests carry apart from variables of the path: bodies, query, headers and cookies."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.checks.http import is_scalar, reported_as, routed_functions, span_of
from idlc.diagnostics import Label
from idlc.model import UNKNOWN, Function, ListType, Program, SetType, resolve
from idlc.model.http import BODY, Given
from idlc.model.http_routes import Bound, BoundField, Place, Route
from idlc.text import plural

__all__: list[str] = []


@check("http.body.verb", "error")
def bodies_need_a_verb_with_a_body(program: Program) -> Iterator[Finding]:
    """GET, HEAD, DELETE and OPTIONS requests have no body that servers and proxies agree to read."""
    for function, found, given in routed_functions(program):
        if any(route.has_body for route in found):
            continue
        verb = found[0].verb.upper()
        in_body = [each for each in given.fields if each.places and all(place.name in BODY for place in each.places)]
        wrong = [each for each in in_body if not all(place.is_synonym for place in each.places)]
        read = [each for each in in_body if each not in wrong and _body_key(each)]
        for fields, what in (
            (wrong, "cannot be in the body"),
            (read, "{} read from the query"),
            ([each for each in in_body if each not in wrong and not _body_key(each)], "{} never read"),
        ):
            if fields:
                first = fields[0]
                own = next((place for place in first.places if not place.is_synonym), None)
                place = own or _body_key(first) or first.places[0]
                count = len(fields) - 1
                names = f"`{first.field.name}`" + (f" and {plural(count, 'more field')}" if count else "")
                yield Finding(
                    f"{names} {what.format('are' if count else 'is')}: "
                    f"`{function.name}` is a {verb} request, which has no body",
                    span_of(place, first.field),
                    labels=(Label(span_of(found[0].given, function), "the route"),),
                    help="use the query (`http.query`), or a verb with a body, such as `http.post`",
                    severity=reported_as(place),
                )


def _body_key(each: BoundField) -> Given | None:
    return next((place for place in each.places if place.name == "http.body"), None)


@check("http.body.whole", "error")
def one_whole_body(program: Program) -> Iterator[Finding]:
    """Where the whole body is one value, nothing else can be in the body."""
    for function, found, given in routed_functions(program):
        for route in found:
            finding = _whole_body(function, route, given)
            if finding is not None:
                yield finding
                break


def _whole_body(function: Function, route: Route, given: Bound) -> Finding | None:
    placed = [(each, _in_body(each, route, given)) for each in given.fields]
    whole = [(each, place) for each, place in placed if place is not None and not place.name]
    if not whole:
        return None
    first, at = whole[0]
    for each, place in placed:
        # An optional field without a place has no value then, and there is a way to say that it has one.
        if place is None or each is first or (place.given is None and each.field.requiredness != "required"):
            continue
        cause = place.given or at.given or route.given
        return Finding(
            f"`{each.field.name}` cannot be in the body of `{function.name}`: `{first.field.name}` is the whole body",
            each.field.span if place.given is None else span_of(place.given, each.field),
            labels=() if at.given is None else (Label(span_of(at.given, first.field), "the whole body"),),
            help="put one of them into the query or a header (`http.query`, `http.header`)",
            severity=reported_as(cause),
        )
    return None


def _in_body(each: BoundField, route: Route, given: Bound) -> Place | None:
    """Return the place of a field in the body, if it has no other place."""
    places = each.places_in(route, is_argument=given.struct is None)
    return places[0] if places and all(f"http.{place.kind}" in BODY for place in places) else None


@check("http.place.duplicate", "error")
def places_are_unique(program: Program) -> Iterator[Finding]:
    """Two fields with the same place and name would have the same value."""
    reported: set[tuple[int, int]] = set()
    for function, found, given in routed_functions(program):
        for route in found:
            known: dict[tuple[str, str], tuple[BoundField, Given | None]] = {}
            for each in given.fields:
                for place in each.places_in(route, is_argument=given.struct is None):
                    first, at = known.setdefault((place.kind, place.name), (each, place.given))
                    key = id(first.field), id(each.field)
                    if first is each or key in reported or not place.name:
                        continue
                    reported.add(key)
                    where = "path" if place.kind == "path" else place.kind
                    yield Finding(
                        f"`{each.field.name}` and `{first.field.name}` are both `{place.name}` "
                        f"in the {where} of `{function.name}`",
                        each.field.span if place.given is None else span_of(place.given, each.field),
                        labels=(Label(first.field.span if at is None else span_of(at, first.field), "the first one"),),
                        help="give one of them another name",
                        severity=reported_as(place.given or at or route.given),
                    )


@check("http.query.type", "error")
def required_fields_fit_into_the_query(program: Program) -> Iterator[Finding]:
    """Structs and maps cannot be in a query, where fields of requests without a body are by default."""
    for function, found, given in routed_functions(program):
        for each in given.fields:
            route = next((route for route in found if _is_in_query(each, route, given)), None)
            type = resolve(each.field.type)
            inner = resolve(type.element) if isinstance(type, (ListType, SetType)) else type
            if route is None or inner == UNKNOWN or is_scalar(inner) or each.field.requiredness != "required":
                continue
            yield Finding(
                f"`{each.field.name}` is required and cannot be in a {route.verb.upper()} request: "
                f"`{each.field.type}` does not fit into a query",
                each.field.program.document.span(each.field.node.type),
                labels=(Label(span_of(route.given, function), "the route"),),
                help="use a verb with a body, such as `http.post`, or remove the field",
                severity=reported_as(route.given),
            )


def _is_in_query(each: BoundField, route: Route, given: Bound) -> bool:
    """Whether a field is in the query because the route has no body; explicit places are checked without routes."""
    places = each.places_in(route, is_argument=given.struct is None)
    return [place.kind for place in places] == ["query"] and places[0].given is None
