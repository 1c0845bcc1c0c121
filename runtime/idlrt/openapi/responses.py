"""Responses: the result, declared exceptions by status, and other errors as problems (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from idlrt.openapi.docs import Doc
from idlrt.openapi.references import Key
from idlrt.openapi.scalars import Schema
from idlrt.openapi.schemas import Schemas, is_always_written
from idlrt.protocol.http.responses import DeclaredResponse, LocatedField, declared_responses, located_fields
from idlrt.protocol.http.routes import Route
from idlrt.protocol.http.statuses import code_of, title
from idlrt.serialization.plain_json import json_key
from idlrt.spec import BaseType, StructType, Union, name_of

__all__ = ["PROBLEM", "PROBLEM_SCHEMA", "responses"]

PROBLEM: Final = "Problem"
"""Name of the schema of errors."""

_MEDIA: Final = "application/problem+json"
_REFERENCE: Final[Schema] = {"$ref": f"#/components/schemas/{PROBLEM}"}

PROBLEM_SCHEMA: Final[Schema] = {
    "type": "object",
    "description": "Details of an error (RFC 9457).",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "`urn:idl:NAME` for an exception of the IDL, else `about:blank`: see `status`.",
        },
        "title": {"type": "string", "description": "Kind of the error: the same for each occurrence."},
        "status": {"type": "integer", "minimum": 100, "maximum": 599, "description": "Status of the response."},
        "detail": {"type": "string", "description": "What happened."},
        "code": {"type": "string", "description": "Code of the error, such as `not_found` or `unavailable`."},
    },
    "required": ["type", "title", "status", "detail", "code"],
    "examples": [
        {
            "type": "about:blank",
            "title": title(503),
            "status": 503,
            "detail": "the server is overloaded",
            "code": code_of(503),
        }
    ],
}
_GENERAL: Final = {
    400: "The request is invalid.",
    401: "The token is missing or invalid.",
    403: "The caller may not call the method.",
}


def responses(route: Route, schemas: Schemas, doc: Doc, *, require_token: bool) -> Schema:
    """Return the responses of a route by status; the last one is that of all other errors.

    Args:
        doc: documentation of the method.
        require_token: whether callers need a token.
    """
    found = _success(route, schemas)
    by_status: dict[int, list[_Declared]] = {}
    for declared in _named(declared_responses(route.method)):
        by_status.setdefault(declared.response.status, []).append(declared)
    general = {400} if route.bound else set[int]()
    if require_token:
        general |= {401, 403}
    for status in sorted({*by_status, *general}):
        found[str(status)] = _errors(status, by_status.get(status, []), schemas, doc, is_general=status in general)
    found["default"] = {"description": "Any other error.", "content": {_MEDIA: {"schema": _REFERENCE}}}
    return found


def _success(route: Route, schemas: Schemas) -> Schema:
    method = route.method
    found: Schema = {"description": title(route.status)}
    if not method.has_result or method.is_oneway:
        return {str(route.status): found}
    located: tuple[LocatedField, ...] = ()
    cls: Any = None
    if isinstance(method.result, StructType) and not issubclass(method.result.cls, Union):
        cls = method.result.cls
        located = located_fields(cls.__thrift_fields__)
    if headers := _headers(located, cls, schemas):
        found["headers"] = headers
    if route.verb != "HEAD":
        found["content"] = _content(route, cls, located, schemas)
    statuses = [str(route.status)]
    if any(each.location == "status" for each in located):
        # The field may have any status.
        statuses.append("2XX")
    return dict.fromkeys(statuses, found)


def _content(route: Route, cls: Any, located: tuple[LocatedField, ...], schemas: Schemas) -> Schema:
    raw = next((each for each in located if each.location == "raw_body"), None)
    if raw is not None:
        is_text = isinstance(raw.field.type, BaseType) and raw.field.type.name == "string"
        if any(each.location == "header" and each.name.lower() == "content-type" for each in located):
            return {"*/*": {"schema": {"type": "string"}} if is_text else {}}
        return {"text/plain": {"schema": {"type": "string"}}} if is_text else {"application/octet-stream": {}}
    if not located:
        schema = schemas.of(route.method.result, is_input=False, as_text=schemas.json.i64_as_text)
        return {
            "application/json": {"schema": schema} | _example(schemas.examples.of_type(route.method.result, "item"))
        }
    return {"application/json": {"schema": schemas.fields(cls, is_input=False, without=_fields(located))}}


def _example(value: Any) -> Schema:
    return {} if value is None else {"examples": {"example": {"value": value}}}


def _fields(located: Iterable[LocatedField]) -> list[Any]:
    return [each.field for each in located]


def _headers(located: Iterable[LocatedField], cls: Any, schemas: Schemas) -> Schema:
    found: Schema = {}
    cookies: list[str] = []
    for each in located:
        if each.location == "cookie":
            cookies.append(each.name)
        elif each.location == "header" and each.name.lower() != "content-type":
            schema = schemas.member(each.field, cls, is_input=False)
            header: Schema = {}
            if text := schema.pop("description", ""):
                header["description"] = text
            if is_always_written(cls, each.field):
                header["required"] = True
            schema.pop("default", None)
            found[each.name] = header | {"schema": schema}
    if cookies:
        names = ", ".join(f"`{name}`" for name in cookies)
        found["set-cookie"] = {"description": f"Sets {names}.", "schema": {"type": "string"}}
    return found


class _Declared(NamedTuple):
    """Response with an exception.

    Attributes:
        name: name in the `type` of the problem.
        response: its description.
    """

    name: str
    response: DeclaredResponse


def _named(declared: Iterable[DeclaredResponse]) -> Iterator[_Declared]:
    """Return exceptions with their names: those that a server sends, of the first entry in `throws` that matches."""
    names: set[str] = set()
    classes: set[Any] = set()
    for each in declared:
        if each.cls not in classes:
            name: str = name_of(each.cls)
            name = f"{each.field.name}.{name}" if name in names else name
            yield _Declared(name, each)
            names.add(name)
            classes.add(each.cls)


def _errors(status: int, declared: list[_Declared], schemas: Schemas, doc: Doc, *, is_general: bool) -> Schema:
    """Return the response of a status.

    Args:
        declared: exceptions with this status.
        is_general: whether other errors have it, too.
    """
    options = [_problem(each, schemas) for each in declared]
    if is_general:
        # Every problem matches the general schema, so it is no `oneOf`.
        schema: Schema = {"anyOf": [*options, _REFERENCE]} if options else _REFERENCE
    else:
        schema = options[0] if len(options) == 1 else {"oneOf": options}
    texts = [f"`{each.name}`: {_text(each.response, schemas, doc)}".removesuffix(": ") for each in declared]
    examples = {each.name: {"value": _example_of(each, schemas)} for each in declared}
    if is_general:
        texts.append(_GENERAL[status])
        examples["other"] = {"value": _plain_problem(status)}
    found: Schema = {"description": "\n\n".join(texts)}
    headers: Schema = {}
    for _, each in declared:
        headers |= _headers(each.located, each.cls, schemas)
    if len(declared) > 1 or is_general:
        for header in headers.values():
            header.pop("required", None)
    if headers:
        found["headers"] = headers
    return found | {"content": {_MEDIA: {"schema": schema, "examples": examples}}}


def _plain_problem(status: int) -> Schema:
    found = {"type": "about:blank", "title": title(status), "status": status}
    return found | {"detail": _GENERAL.get(status, title(status)), "code": code_of(status)}


def _example_of(declared: _Declared, schemas: Schemas) -> Schema:
    name, response = declared
    found: Schema = {"type": f"urn:idl:{name}", "title": name, "status": response.status, "detail": name}
    fields = _without(schemas.examples.of_class(response.cls), response.located)
    return found | {"code": code_of(response.status), "fields": fields if fields is not None else {}}


def _without(example: Any, located: Iterable[LocatedField]) -> Any:
    """Return the example of a class without the fields that are outside of the body."""
    keys = {json_key(each.field) for each in located}
    return {key: value for key, value in example.items() if key not in keys} if example is not None else None


def _text(declared: DeclaredResponse, schemas: Schemas, doc: Doc) -> str:
    return doc.raises.get(declared.cls.__name__, "") or schemas.docs.of_class(declared.cls)


def _problem(declared: _Declared, schemas: Schemas) -> Schema:
    """Return the schema of the problem of an exception."""
    name, (cls, located) = declared.name, (declared.response.cls, declared.response.located)
    properties: Schema = PROBLEM_SCHEMA["properties"] | {"type": {"const": f"urn:idl:{name}"}}
    if located:
        fields = schemas.fields(cls, is_input=False, without=_fields(located))
    else:
        fields = schemas.refer(Key(cls, "output"))
    found = PROBLEM_SCHEMA | {"properties": properties | {"fields": fields}}
    found["required"] = [*found["required"], "fields"]
    text = schemas.docs.of_class(cls)
    found = {key: value for key, value in found.items() if key not in ("description", "examples")}
    found |= {"description": text} if text else {}
    # Where two exceptions of a method have one name, the type depends on the method.
    return schemas.add(Key(cls, "problem"), found) if name == name_of(cls) else found
