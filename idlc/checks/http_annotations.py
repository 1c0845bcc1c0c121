"""Checks of single HTTP annotations: known names, where they have an effect, and their values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from idlc.checks.base import Finding, check
from idlc.checks.http import is_scalar, reported_as, routed_functions, span_of
from idlc.diagnostics import Fix, Label
from idlc.model import (
    UNKNOWN,
    BaseType,
    Field,
    Function,
    ListType,
    MapType,
    Program,
    Service,
    SetType,
    Struct,
    Type,
    resolve,
)
from idlc.model.http import FIELD_NAMES, FUNCTION_NAMES, PLACES, STRUCT_NAMES, Given, cookie_names, given
from idlc.model.scope import nearest

__all__: list[str] = []

_Owner: TypeAlias = Function | Field | Struct | Service
_KNOWN: Final = tuple(dict.fromkeys([*FUNCTION_NAMES, *FIELD_NAMES]))
_STATUS: Final = "http.status"
_ARGUMENT_NAMES: Final = tuple(name for name in FIELD_NAMES if name != _STATUS)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""Names of headers (RFC 9110, section 5.6.2) and cookies (RFC 6265)."""
_INTEGERS: Final = [BaseType(name) for name in ("i8", "i16", "i32", "i64")]


@lru_cache(maxsize=1)  # the checks of a file run one after the other
def _owners(program: Program) -> Sequence[tuple[_Owner, Sequence[str], str]]:
    """Return annotated declarations, with the annotations that have an effect on them and what they are."""
    return [each for each in _declarations(program) if each[0].node.annotations]


def _declarations(program: Program) -> Iterator[tuple[_Owner, Sequence[str], str]]:
    for struct in program.structs:
        yield struct, STRUCT_NAMES if struct.kind == "exception" else (), struct.kind
        for field in struct.fields:
            yield field, FIELD_NAMES, "field"
    for service in program.services:
        yield service, (), "service"
        for function in service.functions:
            yield function, FUNCTION_NAMES, "function"
            for field in function.arguments:
                yield field, _ARGUMENT_NAMES, "argument"
            for field in function.throws:
                yield field, STRUCT_NAMES, "exception"


@check("http.annotation", "error", is_fixable=True)
def annotations_are_known(program: Program) -> Iterator[Finding]:
    """A mistyped annotation, or one in the wrong place, would be ignored."""
    for owner, allowed, kind in _owners(program):
        for node in owner.node.annotations:
            name = node.name.text
            span = program.document.span(node.name)
            if not name.lower().startswith("http.") or name in allowed:
                continue
            if name in _KNOWN:
                yield Finding(f"`{name}` has no effect on {kind} `{owner.name}`", span, help=_right_place(name))
                continue
            near = nearest(name, iter(allowed)) or nearest(name, iter(_KNOWN))
            yield Finding(
                f"unknown annotation `{name}` of {kind} `{owner.name}`",
                span,
                help=f"did you mean `{near}`?" if near else f"known ones are {', '.join(allowed or _KNOWN)}",
                fixes=(Fix(span, near, is_safe=False),) if near else (),
            )


def _right_place(name: str) -> str:
    if name == _STATUS:
        return "write it after a function, an exception, an exception in `throws`, or a field of a result"
    return f"write it after {'a function' if name in FUNCTION_NAMES else 'an argument or a field'}"


@check("http.status", "error")
def statuses_are_valid(program: Program) -> Iterator[Finding]:
    """The status of a response is a number between 200 and 599, or the value of an integer field."""
    for owner, allowed, kind in _owners(program):
        for each in given(owner) if _STATUS in allowed else ():
            if each.name != _STATUS:
                continue
            if kind == "field":
                assert isinstance(owner, Field)
                yield from _status_field(owner, each)
            elif not (each.value.isascii() and each.value.isdecimal() and 200 <= int(each.value) <= 599):
                yield Finding(
                    f"invalid value {each.value!r} for `{_STATUS}` of `{owner.name}`",
                    span_of(each, owner),
                    help="expected a number between 200 and 599",
                )


def _status_field(field: Field, each: Given) -> Iterator[Finding]:
    if each.value:
        yield Finding(
            f"`{_STATUS}` of field `{field.name}` has a value",
            span_of(each, field),
            help="the value of the field is the status: remove the value of the annotation",
        )
    elif resolve(field.type) not in (*_INTEGERS, UNKNOWN):
        yield Finding(
            f"`{field.name}` cannot be the status of a response: it is a `{field.type}`, not an integer",
            field.program.document.span(field.node.type),
            labels=(Label(span_of(each, field), "the status"),),
            severity=reported_as(each),
        )


@lru_cache(maxsize=1)  # the checks of a file run one after the other
def _fields(program: Program) -> Sequence[tuple[Field, Given]]:
    """Return the annotations of arguments and fields of structs."""
    return [
        (owner, each)
        for owner, _, kind in _owners(program)
        if isinstance(owner, Field) and kind != "exception"
        for each in given(owner)
    ]


@check("http.place.type", "error")
def types_fit_into_places(program: Program) -> Iterator[Finding]:
    """Headers, cookies and query parameters are text, so that structs and maps do not fit into them."""
    for field, each in _fields(program):
        type = resolve(field.type)
        if type != UNKNOWN and not _fits(each.name, type):
            yield Finding(
                f"`{field.name}` cannot be in `{each.name}`: it is a `{field.type}`",
                field.program.document.span(field.node.type),
                labels=(Label(span_of(each, field), "the place"),),
                help=_FITTING[each.name],
                severity=reported_as(each),
            )


_SCALARS: Final = "use a number, a string, a UUID or an enum"
_FITTING: Final = {
    **dict.fromkeys(("http.query", "http.form", "http.header"), f"{_SCALARS}, or a list or set of these"),
    "http.cookie": _SCALARS,
    "http.path": _SCALARS,
    "http.raw_body": "use `string` or `binary`",
    "http.as_text": "only `i64` is written as text, also in lists, sets and maps",
}


def _fits(place: str, type: Type) -> bool:
    match place:
        case "http.query" | "http.form" | "http.header":
            return is_scalar(type.element if isinstance(type, (ListType, SetType)) else type)
        case "http.cookie":
            return is_scalar(type)
        case "http.raw_body":
            return type in (BaseType("string"), BaseType("binary"))
        case _:
            return True


@check("http.place.name", "error")
def names_are_valid(program: Program) -> Iterator[Finding]:
    """Names of headers and cookies have a limited set of characters."""
    for field, each in _fields(program):
        name = each.value or field.name
        if each.name in ("http.header", "http.cookie") and not _TOKEN.fullmatch(name):
            yield Finding(
                f"invalid name {name!r} of a {each.name.removeprefix('http.')}",
                span_of(each, field),
                help="use letters, digits and `-`",
                severity=reported_as(each),
            )


@check("http.cookie.attribute", "warning")
def cookie_attributes_are_not_supported(program: Program) -> Iterator[Finding]:
    """CloudWeGo's `api.cookie = "name,Expires"` sets an attribute of a cookie."""
    for owner, _, _ in _owners(program):
        for node in owner.node.annotations:
            value = node.value or ""
            if node.name.text.lower() == "api.cookie" and "," in value and not cookie_names(value):
                name, _, attribute = value.partition(",")
                yield Finding(
                    f"attribute `{attribute.strip()}` of cookie `{name.strip()}` is not supported",
                    program.document.span(node),
                    help=f"`{owner.name}` is treated like a field without this annotation",
                )


@check("http.as_text", "error")
def text_is_for_i64(program: Program) -> Iterator[Finding]:
    """Only 64-bit integers lose digits in JSON readers that know floating-point numbers only."""
    for field, each in _fields(program):
        if each.name == "http.as_text" and not each.is_synonym and not _has_i64(field.type):
            yield Finding(
                f"`http.as_text` has no effect on `{field.name}`, which is a `{field.type}`",
                span_of(each, field),
                help=_FITTING["http.as_text"],
            )


def _has_i64(type: Type) -> bool:
    type = resolve(type)
    match type:
        case ListType() | SetType():
            return _has_i64(type.element)
        case MapType():
            return _has_i64(type.key) or _has_i64(type.value)
        case _:
            return type in (BaseType("i64"), UNKNOWN)


@check("http.name.duplicate", "error")
def keys_are_unique(program: Program) -> Iterator[Finding]:
    """Fields of a struct, and arguments of a function, have different keys in JSON."""
    for struct in program.structs:
        yield from _same_keys(struct.name, struct.fields)
    routed = {id(function) for function, _, _ in routed_functions(program)}
    for service in program.services:
        for function in service.functions:
            # Two arguments that have the same key in the body have the same place, which is another finding.
            is_routed = id(function) in routed
            yield from _same_keys(function.name, function.arguments, in_different_places=is_routed)


def _same_keys(owner: str, fields: Sequence[Field], *, in_different_places: bool = False) -> Iterator[Finding]:
    known: dict[str, tuple[Field, Given | None]] = {}
    for field in fields:
        each = _key(field)
        if each is not None and each.name == "http.none":
            continue
        name = (each.value if each is not None else "") or field.name
        first, at = known.setdefault(name, (field, each))
        cause = each or at
        if first is field or cause is None or (in_different_places and not (_is_placed(first) or _is_placed(field))):
            continue
        yield Finding(
            f"`{field.name}` and `{first.name}` of `{owner}` have the same key `{name}` in JSON",
            field.span if each is None else span_of(each, field),
            labels=(Label(first.span if at is None else span_of(at, first), "the first one"),),
            help="give one of them another key",
            severity=reported_as(cause),
        )


def _is_placed(field: Field) -> bool:
    """Whether an annotation places a field outside of the JSON body."""
    return any(each.name in PLACES and each.name != "http.body" for each in given(field))


def _key(field: Field) -> Given | None:
    """Return the annotation with the JSON key of a field, or with which it has none."""
    found = {each.name: each for each in given(field)} if field.annotations else {}
    for name in ("http.none", "http.body", "http.name"):
        if name in found and (name == "http.none" or found[name].value):
            return found[name]
    return None
