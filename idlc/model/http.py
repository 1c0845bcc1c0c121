"""HTTP annotations and constraints by their current names: what the runtime reads.

Routes, places of fields and constraints have one name each (`http.get`, `http.query`, `vt.gt`). Annotations of
CloudWeGo's tools are synonyms: `api.get`, `api.query` and so on, in any case, their twins `agw.*` where these are
simple, the JSON key in `go.tag`, and expressions in `api.vd`. Other `api.*` and `agw.*` annotations are labels for
other tools.

Source: https://www.cloudwego.io/docs/kitex/tutorials/advanced-feature/generic-call/thrift_idl_annotation_standards/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from idlc.model.constraints import is_enforced
from idlc.model.path_template import rewrite_path, rewrite_route
from idlc.model.program import BaseType, Field, Function, Service, Struct, resolve
from idlc.model.value_expression import Constraints, constraints_of
from idlc.syntax import nodes

__all__ = [
    "BODY",
    "FIELD_NAMES",
    "FUNCTION_NAMES",
    "PLACES",
    "ROUTES",
    "STRUCT_NAMES",
    "Given",
    "cookie_names",
    "field_constraints",
    "given",
    "is_synonym",
]

ROUTES: Final = tuple(f"http.{verb}" for verb in ("get", "post", "put", "patch", "delete", "head", "options", "any"))
"""Annotations of functions whose values are paths."""

BODY: Final = ("http.body", "http.form", "http.raw_body")
"""Places in the body of a request."""

PLACES: Final = ("http.path", "http.query", "http.header", "http.cookie", *BODY)
"""Annotations of arguments and fields that name a place in a request or response."""

FUNCTION_NAMES: Final = (*ROUTES, "http.status")
FIELD_NAMES: Final = (*PLACES, "http.none", "http.name", "http.as_text", "http.status")
STRUCT_NAMES: Final = ("http.status",)

_VT: Final = "vt."
_API_ROUTES: Final = {name.replace("http.", "api."): name for name in ROUTES}
_API_PLACES: Final = {name.replace("http.", "api."): name for name in PLACES}
_SENSITIVE: Final = "sensitive"
"""Values of such fields are not in error messages."""
_FLAGS: Final = {"http.none", "http.as_text", _SENSITIVE}
_JS_CONV: Final = ("api.js_conv", "agw.js_conv")
_KEYS: Final = ("api.key", "agw.key")
_SOURCES: Final = {
    "query": "http.query",
    "header": "http.header",
    "cookie": "http.cookie",
    "path": "http.path",
    "body": "http.body",
    "post": "http.form",
    "raw_body": "http.raw_body",
}
_TARGETS: Final = {"header": "http.header", "cookie": "http.cookie", "http_code": "http.status", "ignore": "http.none"}
_SYNONYMS: Final = frozenset(
    {
        *(*_API_ROUTES, *_API_PLACES, *_JS_CONV, *_KEYS),
        *("api.none", "api.http_code", "api.vd", "agw.source", "agw.target", "go.tag"),
    }
)
_JSON_TAG: Final = re.compile(r'(?:^|\s)json:"([^"]*)"')


class Given(msgspec.Struct, frozen=True):
    """An annotation by its current name.

    Attributes:
        value: the value; empty if the annotation has none.
        node: the annotation in the IDL, which may have another name.
    """

    name: str
    value: str
    node: nodes.Annotation

    @property
    def is_synonym(self) -> bool:
        """Whether the IDL has another name, which belongs to other tools, too."""
        return self.node.name.text != self.name


def given(declaration: Function | Field | Struct | Service) -> list[Given]:
    """Return the annotations that the runtime reads, in the order of the IDL, without repetitions."""
    match declaration:
        case Function():
            found = list(_of_function(declaration))
        case Field():
            found = _of_field(declaration)
        case Struct():
            found = [
                Given(each.name.text, each.value or "", each)
                for each in declaration.node.annotations
                if each.name.text in STRUCT_NAMES
            ]
        case Service():
            found = []
    unique = {(each.name, each.value): each for each in reversed(found)}
    return [each for each in found if unique[each.name, each.value] is each]


def _of_function(function: Function) -> Iterator[Given]:
    for node in function.node.annotations:
        name, value = node.name.text, node.value or ""
        if name in ROUTES:
            yield Given(name, rewrite_path(value), node)
        elif name in FUNCTION_NAMES:
            yield Given(name, value, node)
        elif name.lower() in _API_ROUTES:
            yield Given(_API_ROUTES[name.lower()], rewrite_route(value), node)


def _of_field(field: Field) -> list[Given]:
    own: list[Given] = []
    twins: list[Given] = []
    keys: list[Given] = []
    is_hidden: list[Given] = []
    for node in field.node.annotations:
        name, value = node.name.text, node.value or ""
        lower = name.lower()
        if name.startswith(_VT):
            if is_enforced(name.removeprefix(_VT), value, field.type):
                own.append(Given(name, value, node))
        elif name in FIELD_NAMES or name == _SENSITIVE:
            own.append(Given(name, _flag(value) if name in _FLAGS else value, node))
        elif lower == "api.cookie" and "," in value:
            own += (Given("http.cookie", cookie, node) for cookie in cookie_names(value))
        elif lower in _API_PLACES:
            own.append(Given(_API_PLACES[lower], "" if lower == "api.raw_body" else value, node))
        elif lower == "api.none":
            own.append(Given("http.none", _flag(value), node))
        elif lower in _JS_CONV:
            own.append(Given("http.as_text", _flag(value), node))
        elif lower == "api.http_code":
            own.append(Given("http.status", "", node))
        elif lower == "api.vd":
            own += (Given(*constraint, node) for constraint in field_constraints(field, value) or ())
        elif lower in _KEYS:
            keys.append(Given("http.name", value, node))
        elif lower == "agw.source" and value in _SOURCES:
            twins.append(Given(_SOURCES[value], "", node))
        elif lower == "agw.target" and value in _TARGETS:
            twins.append(Given(_TARGETS[value], "", node))
        elif lower == "go.tag" and (tag := _JSON_TAG.search(value)):
            key, *options = tag[1].split(",")
            if key == "-" and not options:
                is_hidden.append(Given("http.none", "", node))
            elif key:
                keys.insert(0, Given("http.name", key, node))
            if "string" in options and resolve(field.type) == BaseType("i64"):
                own.append(Given("http.as_text", "", node))
    return _resolved(own, twins, keys, is_hidden)


def is_synonym(name: str) -> bool:
    """Return whether an annotation of other tools is read here, so that it has another name in generated code."""
    return name.lower() in _SYNONYMS


def cookie_names(value: str) -> tuple[str, ...]:
    """Return the name of a cookie in `name,Value`; empty for other attributes of a cookie, such as `name,Expires`."""
    name, _, attribute = value.partition(",")
    return (name.strip(),) if attribute.strip().lower() == "value" else ()


def field_constraints(field: Field, expression: str) -> Constraints | None:
    """Return the constraints that `api.vd` stands for; `None` if it is not understood, or not for this type."""
    found = constraints_of(expression)
    if found is None or not all(is_enforced(name.removeprefix(_VT), value, field.type) for name, value in found):
        return None
    return found


def _resolved(own: list[Given], twins: list[Given], keys: list[Given], is_hidden: list[Given]) -> list[Given]:
    """Combine the annotations of a field, which may say the same thing in several dialects."""
    found = [each for each in own if not (each.name in _FLAGS and each.value == "false")]
    if not _names(found) & {*PLACES, "http.status", "http.none"}:
        # The key of a gateway is the name in the place that it reads.
        key = next((each.value for each in keys if each.node.name.text.lower() == "agw.key"), "")
        found += (msgspec.structs.replace(each, value=key if each.name in PLACES else "") for each in twins)
    if not _names(found) & {*PLACES, "http.status"}:
        found += is_hidden
    if "http.name" not in _names(found):
        found += keys[:1]
    return sorted(found, key=lambda each: each.node.start)


def _flag(value: str) -> str:
    return "false" if value.lower() == "false" else ""


def _names(found: Iterable[Given]) -> set[str]:
    return {each.name for each in found}
