"""Checks of HTTP routes: their paths, and the arguments and fields that get their values from them.

Annotations of our own (`http.get`) are checked strictly. Those of CloudWeGo's tools (`api.get`) describe interfaces
that exist, so that what is merely unclean in them is accepted, and what the runtime reads differently is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from idlc.checks.base import Finding, check
from idlc.diagnostics import Label, Severity
from idlc.model import UNKNOWN, BaseType, Declaration, Enum, Function, Program, Reference, Struct, Type, resolve
from idlc.model.http import Given
from idlc.model.http_routes import Bound, BoundField, Route, bound, functions_of, routes
from idlc.model.scope import nearest
from idlc.source import Span

__all__ = ["is_scalar", "reported_as", "routed_functions", "span_of"]

_RESERVED: Final = "_idl"


@lru_cache(maxsize=1)  # the checks of a file run one after the other
def routed_functions(program: Program) -> Sequence[tuple[Function, list[Route], Bound]]:
    """Return the functions of a file that have routes, with what these bind."""
    found: list[tuple[Function, list[Route], Bound]] = []
    for service in program.services:
        for function in service.functions:
            of_function = routes(function)
            if of_function:
                found.append((function, of_function, bound(function)))
    return found


def span_of(given: Given, declaration: Declaration) -> Span:
    """Return the span of an annotation of a declaration."""
    return declaration.program.document.span(given.node)


def reported_as(given: Given) -> Severity | None:
    """Return the severity of a finding about an annotation: a warning if the annotation belongs to other tools."""
    return "warning" if given.is_synonym else None


def is_scalar(type: Type) -> bool:
    """Return whether values of a type are written as one text: numbers, strings, UUIDs and enums."""
    type = resolve(type)
    if isinstance(type, Reference):
        return isinstance(type.target, Enum)
    return isinstance(type, BaseType)


@check("http.route.invalid", "error")
def paths_are_valid(program: Program) -> Iterator[Finding]:
    """Paths are valid templates, and not among those that the runtime serves itself."""
    for function, found, _ in routed_functions(program):
        for route in found:
            path = route.given.value
            if route.template is None:
                yield Finding(
                    f"invalid path {path!r} of `{function.name}`: {route.reason}",
                    span_of(route.given, function),
                    help=_path_help(path),
                )
            elif route.template.segments[0].shape == _RESERVED:
                yield Finding(
                    f"path `{path}` of `{function.name}` is reserved",
                    span_of(route.given, function),
                    help=f"the runtime uses `/{_RESERVED}/` for its own pages",
                )


def _path_help(path: str) -> str:
    if not path.startswith("/"):
        return f'write "/{path}"'
    if "?" in path:
        return "names in the query are not part of the path: give an argument or field the annotation `http.query`"
    return "a variable is written `{name}`, or `{name=**}` for the rest of the path"


@check("http.route.duplicate", "error")
def routes_are_unique(program: Program) -> Iterator[Finding]:
    """A request matches one route: no two functions have the same verb and path, except for names of variables."""
    known: dict[tuple[str, str], Route] = {}
    for function in functions_of(program.services):
        for route in routes(function):
            if route.template is None:
                continue
            shape = route.template.shape
            others = [known[verb, shape] for verb in route.verbs if (verb, shape) in known]
            for verb in route.verbs:
                known.setdefault((verb, shape), route)
            if others and any(each.function.program is program for each in (route, others[0])):
                yield _duplicate(program, route, others[0])


def _duplicate(program: Program, route: Route, other: Route) -> Finding:
    if route.function.program is not program:
        route, other = other, route
    names = f"`{route.function.name}`", f"`{other.function.service.name}.{other.function.name}`"
    return Finding(
        f"route `{route}` of {names[0]} matches the same requests as `{other}` of {names[1]}",
        span_of(route.given, route.function),
        labels=(Label(span_of(other.given, other.function), "the other route"),),
        help="change the verb or the path of one of them",
    )


@check("http.path.unbound", "error")
def variables_have_fields(program: Program) -> Iterator[Finding]:
    """Each path variable is bound to an argument or a field; otherwise handlers would not see its value."""
    for function, found, given in routed_functions(program):
        for route in found:
            for variable in _unbound(route, given):
                yield _unbound_variable(function, route, given, variable)


def _unbound(route: Route, given: Bound) -> list[str]:
    known: set[str] = set()
    for each in given.fields:
        places = each.places_in(route, is_argument=given.struct is None)
        known |= {place.name for place in places if place.kind == "path"}
    return [] if route.template is None else [each for each in route.template.variables if each not in known]


def _unbound_variable(function: Function, route: Route, given: Bound, variable: str) -> Finding:
    owner = "an argument" if given.struct is None else f"a field of `{given.struct.name}`"
    labels = () if given.struct is None else (Label(given.struct.span, "its fields are bound"),)
    near = nearest(variable, (each.field.name for each in given.fields))
    field = next((each.field for each in given.fields if each.field.name == near), None)
    if field is not None:
        help = f'give `{field.name}` the annotation `http.path = "{variable}"`'
        labels = (Label(field.span, f"not in the path of `{function.name}`"),)
    else:
        help = f"add {owner} with the name `{variable}`, or remove the variable"
    return Finding(
        f"path variable `{variable}` of `{function.name}` is not bound to {owner}",
        span_of(route.given, function),
        labels=labels,
        help=help,
        severity=reported_as(route.given),
    )


@check("http.path.unknown", "error")
def path_fields_have_variables(program: Program) -> Iterator[Finding]:
    """A field in the path is in all paths of its function; otherwise it would have no value."""
    for function, found, given in routed_functions(program):
        if any(route.template is None or _unbound(route, given) for route in found):
            continue  # reported there
        for each in given.fields:
            places = [place for place in each.places if place.name == "http.path"]
            names = {each.name_in(place) for place in places}
            missing = [route for route in found if route.template and not names & {*route.template.variables}]
            if not places or not missing or (places[0].is_synonym and len(places) < len(each.places)):
                continue
            name = each.name_in(places[0])
            variables = [variable for route in missing if route.template for variable in route.template.variables]
            near = nearest(name, iter(variables))
            yield Finding(
                f"path `{missing[0].given.value}` of `{function.name}` has no variable `{name}`",
                span_of(places[0], each.field),
                labels=(Label(span_of(missing[0].given, function), "the path"),),
                help=f"did you mean `{near}`?" if near else f"add `{{{name}}}` to the path, or use another place",
                severity=reported_as(places[0]),
            )


@check("http.path.type", "error")
def path_fields_are_scalars(program: Program) -> Iterator[Finding]:
    """A variable of a path is always there and has one value, so its field is a scalar that is not optional."""
    for function, found, given in routed_functions(program):
        for each in given.fields:
            for route in found:
                places = each.places_in(route, is_argument=given.struct is None)
                in_path = next((place for place in places if place.kind == "path"), None)
                if in_path is not None:
                    yield from _path_type(function, route, each, in_path.given or route.given)
                    break


def _path_type(function: Function, route: Route, each: BoundField, cause: Given) -> Iterator[Finding]:
    field = each.field
    type = resolve(field.type)
    label = (Label(span_of(route.given, function), "the path"),)
    if type != UNKNOWN and (not is_scalar(type) or type == BaseType("binary")):
        kind = type.target.kind if isinstance(type, Reference) and isinstance(type.target, Struct) else "value"
        what = f"the {kind} `{field.type}`" if kind != "value" else f"a `{field.type}`"
        yield Finding(
            f"`{field.name}` is {what} and cannot be in the path of `{function.name}`",
            field.program.document.span(field.node.type),
            labels=label,
            help="use a number, a string, a UUID or an enum",
            severity=reported_as(cause),
        )
    elif field.requiredness == "optional" and not cause.is_synonym:
        at = field.node.requiredness_span
        yield Finding(
            f"`{field.name}` is in the path of `{function.name}` and cannot be optional",
            field.span if at is None else Span(field.program.source, *at),
            labels=label,
            help="make it `required`",
        )
