"""Parameters and bodies of requests: what a route binds, place by place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from idlrt.openapi.constraints import has_flag, rules_of
from idlrt.openapi.docs import Doc
from idlrt.openapi.references import Key
from idlrt.openapi.scalars import Schema
from idlrt.openapi.schemas import Schemas, is_needed
from idlrt.protocol.http.routes import BoundField, Place, Route
from idlrt.serialization.plain_json import json_key
from idlrt.spec import BaseType, Field, ListType, SetType, StructType

__all__ = ["parameters", "request_body"]

_PARAMETERS: Final = ("path", "query", "header", "cookie")
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
# Headers that OpenAPI describes elsewhere (OAS 3.1.0, section 4.8.12.2).
_RESERVED: Final = frozenset({"accept", "content-type", "authorization"})


def parameters(route: Route, schemas: Schemas, doc: Doc, renamed: Mapping[str, str]) -> list[Schema]:
    """Return the parameters of a route, in the order of its fields; then path variables without a field.

    Args:
        doc: documentation of the method.
        renamed: names of path variables that differ in the document.
    """
    found: list[Schema] = []
    for bound in route.bound:
        for place in bound.places:
            if place.kind in _PARAMETERS and not (place.kind == "header" and place.name in _RESERVED):
                found.append(_parameter(route, bound, place, schemas, doc, renamed))
    known = {each["name"] for each in found if each["in"] == "path"}
    for name in route.template.variables:
        if renamed.get(name, name) not in known:
            schema = {"type": "string", "minLength": 1}
            ignored: Schema = {"name": renamed.get(name, name), "in": "path", "required": True}
            found.append(ignored | {"description": "Ignored.", "schema": schema, "example": name})
    return found


def _parameter(
    route: Route, bound: BoundField, place: Place, schemas: Schemas, doc: Doc, renamed: Mapping[str, str]
) -> Schema:
    field = bound.field
    schema = _member(route, field, schemas, doc, as_text=False)
    if place.kind == "path":
        schema.pop("default", None)
        if schema.get("type") == "string":
            # A variable is never empty.
            schema["minLength"] = max(1, schema.get("minLength", 0))
    is_rest = any(each.is_rest and each.name == place.name for each in route.template.segments)
    notes = [schema.pop("description", "")]
    if place.kind == "path" and is_rest:
        notes.append("The rest of the path, with slashes.")
    others = [each for each in bound.places if each != place]
    if others and place.kind != "path":
        notes.append(f"Alternatively in {_listed(others)}.")
    is_single = not others
    found: Schema = {"name": renamed.get(place.name, place.name) if place.kind == "path" else place.name}
    found |= {"in": place.kind, "required": place.kind == "path" or (is_single and _is_needed(route, field))}
    if text := "\n\n".join(filter(None, notes)):
        found["description"] = text
    if schema.pop("deprecated", False):
        found["deprecated"] = True
    if isinstance(field.type, ListType | SetType):
        found |= {"style": "form", "explode": True} if place.kind in ("query", "cookie") else {"style": "simple"}
    found["schema"] = schema
    example = schemas.examples.of_field(field, _owner(route), as_text=False)
    return found if example is None else found | {"example": example}


def _listed(places: list[Place]) -> str:
    return ", ".join(f"{each.kind} `{each.name}`" if each.name else "the body" for each in places)


def _member(route: Route, field: Field[Any], schemas: Schemas, doc: Doc, *, as_text: bool | None = None) -> Schema:
    """Return the schema of a bound field.

    Args:
        as_text: whether `i64` is text in JSON; `False` for values that are text as a whole.
    """
    owner = _owner(route)
    text = doc.arguments.get(field.attribute, "")
    return schemas.member(field, owner, is_input=True, as_text=as_text, doc=text)


def _is_needed(route: Route, field: Field[Any]) -> bool:
    """Whether the server rejects a request without a bound field.

    An argument without a default is needed even where the IDL does not mark it `required`, because the functions of
    generated code, and so handlers, have no default for it.
    """
    owner, method = _owner(route), route.method
    if owner is not None:
        return is_needed(owner, field)
    is_not_nil = has_flag(rules_of(field.annotations), "not_nil")
    return field.is_required or is_not_nil or method.mandatory[method.arguments.index(field)]


def _owner(route: Route) -> Any:
    """Return the class of the expanded argument; `None` if arguments are bound."""
    if not route.is_expanded:
        return None
    type = route.method.arguments[0].type
    assert isinstance(type, StructType)
    return type.cls


def request_body(route: Route, schemas: Schemas, doc: Doc) -> Schema | None:
    """Return the body of the requests of a route; `None` for none.

    Args:
        doc: documentation of the method.
    """
    content: Schema = {}
    is_required = False  # of a raw body, too: an empty one is a value
    for bound in route.bound:
        for place in bound.places:
            if place.kind in ("body", "form"):
                is_required = is_required or (len(bound.places) == 1 and _is_needed(route, bound.field))
            if place.kind == "raw_body":
                content["*/*"] = {"schema": _raw(bound.field)}
            elif place == Place("body", ""):
                content["application/json"] = _whole(route, bound.field, schemas, doc)
    members = [(bound, place) for bound in route.bound for place in bound.places if place.kind == "body" and place.name]
    if members and "application/json" not in content:
        content["application/json"] = _object(route, members, schemas, doc)
    forms = [(bound, place) for bound in route.bound for place in bound.places if place.kind == "form"]
    if forms:
        form = _object(route, forms, schemas, doc, is_text=True)
        content |= dict.fromkeys(_FORMS, form)
    if not content:
        return None
    return {"required": is_required, "content": content}


def _raw(field: Field[Any]) -> Schema:
    return {"type": "string"} if isinstance(field.type, BaseType) and field.type.name == "string" else {}


def _whole(route: Route, field: Field[Any], schemas: Schemas, doc: Doc) -> Schema:
    schema = _member(route, field, schemas, doc)
    schema.pop("description", None)
    schema.pop("default", None)
    return _with_example(schema, schemas.examples.of_field(field, _owner(route)))


def _object(
    route: Route, members: list[tuple[BoundField, Place]], schemas: Schemas, doc: Doc, *, is_text: bool = False
) -> Schema:
    owner = _owner(route)
    example: dict[str, Any] | None = {}
    for bound, place in members:
        value = schemas.examples.of_field(bound.field, owner, as_text=False if is_text else None)
        if value is not None and example is not None:
            example[place.name] = value
        elif _is_needed(route, bound.field):
            example = None
    if owner is not None and not is_text and _is_whole(owner, members):
        return _with_example(schemas.refer(Key(owner, "input")), example)
    schema = schemas.object(
        (
            place.name,
            _member(route, bound.field, schemas, doc, as_text=False if is_text else None),
            len(bound.places) == 1 and _is_needed(route, bound.field),
        )
        for bound, place in members
    )
    return _with_example(schema, example)


def _is_whole(owner: Any, members: list[tuple[BoundField, Place]]) -> bool:
    """Whether the body has all fields of a struct, and nothing else."""
    readable = [field for field in owner.__thrift_fields__ if "http.none" not in field.annotations]
    return len(members) == len(readable) and all(
        bound.places == (place,) and place.name == json_key(bound.field) for bound, place in members
    )


def _with_example(schema: Schema, example: Any) -> Schema:
    found: Schema = {"schema": schema}
    return found if example is None else found | {"examples": {"example": {"value": example}}}
