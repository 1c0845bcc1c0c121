"""Arguments of a call from an HTTP request, as its route says.

All values become one JSON object first: the members of the JSON body, and the text of path, query, headers, cookies and
forms, converted to what JSON has for it. This object is decoded like the arguments of JSON-RPC, within the same limits.
A field that the route takes from another place is never taken from the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, cast

import msgspec

from idlrt.errors import RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.http.forms import FORM_TYPES, MULTIPART, URL_ENCODED, cookies_of, parse_pairs
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.routes import BoundField, Place, Route
from idlrt.protocol.http.templates import unquoted
from idlrt.serialization import Limits
from idlrt.serialization._conversion_errors import ConversionError, what_of
from idlrt.serialization.constraints import constraints_of
from idlrt.serialization.json_costs import Meter
from idlrt.serialization.json_objects import decode_json
from idlrt.serialization.plain_json import JsonOptions, arguments_from_plain, from_plain, json_key
from idlrt.serialization.text_scalars import text_reader
from idlrt.spec import BaseType, EnumType, Field, ListType, SetType, StructType, Type

__all__ = ["RequestBinding", "RequestParts"]

_ABSENT: Final = object()
_JSON: Final = b"application/json"


class RequestParts(Protocol):
    """Parts of a request that arguments come from.

    Attributes:
        values: raw values of the variables of the path.
        query: raw query.
        headers: values by lower-case name.
        body: decoded body.
    """

    @property
    def values(self) -> tuple[bytes, ...]: ...
    @property
    def query(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[bytes, bytes]: ...
    @property
    def body(self) -> bytes: ...


class _Source:
    """Parts of one request, parsed when first needed."""

    __slots__ = ("_cookies", "form", "query", "request")

    def __init__(self, request: RequestParts, query: Mapping[str, list[str]], form: Mapping[str, list[str]]) -> None:
        self.request = request
        self.query = query
        self.form = form
        self._cookies: Mapping[str, list[str]] | None = None

    @property
    def cookies(self) -> Mapping[str, list[str]]:
        if self._cookies is None:
            self._cookies = cookies_of(self.request.headers.get(b"cookie", b""))
        return self._cookies


_Get = Callable[[_Source], list[str] | None]


class _Located(msgspec.Struct, frozen=True, eq=False):
    """A field whose value may be outside of the JSON body.

    Attributes:
        field: the field.
        key: key in the JSON object.
        getters: functions that return its texts, by place in their order, with the name of the place for messages.
        read: converts one text to a JSON value.
        is_many: whether it is a list or a set.
        is_in_body: whether the body is one of its places.
    """

    field: Field[Any]
    key: str
    getters: tuple[tuple[str, _Get], ...]
    read: Callable[[str], Any]
    is_many: bool
    is_in_body: bool


class RequestBinding:
    """Reads the arguments of the requests of one route.

    Args:
        route: the route.
        limits: limits of the server.
        options: options of the server.

    Raises:
        ConfigurationError: a constraint in the IDL is invalid.

    Attributes:
        has_body: whether the route reads a body.
        is_raw: whether it reads the body as bytes.
        has_form: whether it reads form fields.
    """

    def __init__(self, route: Route, limits: Limits, options: Http) -> None:
        method = route.method
        kinds = route.kinds
        self._method = method
        self._options = JsonOptions(rest=True, i64_as_text=options.i64_as_text, max_depth=limits.max_depth)
        self._meter = Meter(method.arguments, limits, rest=True)
        self._root = f"body of {method.full_name}"
        self._expanded = method.arguments[0] if route.is_expanded else None
        self._expanded_key = "" if self._expanded is None else json_key(self._expanded)
        self._located = tuple(_located(each, route) for each in route.bound if _is_located(each))
        self._names = frozenset(place.name for each in route.bound for place in each.places if place.kind == "query")
        self._whole = next((json_key(each.field) for each in route.bound if each.is_whole_body), "")
        self._has_json = "body" in kinds
        self._raw = next(((each.field.type, json_key(each.field)) for each in route.bound if _is_raw(each)), None)
        self._check = constraints_of(method)
        # Keys of fields without a place, which a body must not set.
        self._hidden = tuple(map(json_key, _without_place(route)))
        # The common case: a JSON object, and nothing else.
        self._is_plain = self._has_json and not (self._located or self._whole or self._raw or self._hidden)
        self.has_form: Final = "form" in kinds
        if self.has_form:
            from idlrt.protocol.http.multipart import parse_multipart

            self._parse_multipart = parse_multipart
            self._binary = frozenset(
                place.name
                for each in route.bound
                for place in each.places
                if place.kind == "form" and _is_binary(each.field.type)
            )
        self.is_raw: Final = self._raw is not None
        self.has_body: Final = self._has_json or self.has_form or self.is_raw

    def accepts(self, content_type: bytes) -> bool:
        """Whether the route reads a body of a content type (lower case, without parameters)."""
        if self.is_raw:
            return True
        if self.has_form and content_type in FORM_TYPES:
            return True
        return self._has_json and (
            content_type == _JSON or (content_type.startswith(b"application/") and content_type.endswith(b"+json"))
        )

    @property
    def accepted(self) -> str:
        """Content types that the route reads, for error messages."""
        names = ["application/json"] if self._has_json else []
        if self.has_form:
            names += [each.decode() for each in FORM_TYPES]
        return " or ".join(names) or "no body"

    def read(self, request: RequestParts) -> tuple[tuple[Any, ...], int]:
        """Return the arguments, and an upper bound of their memory, in bytes.

        Raises:
            RemoteProtocolError: a value is missing or invalid, a limit is exceeded, or the query has unknown names.
        """
        body = request.body
        if self._is_plain and not request.query:
            plain: Any = decode_json(body, self._meter, self._root) if body else {}
            size = len(body)
        else:
            plain = self._collected(request)
            size = len(body) + len(request.query) + sum(map(len, request.values))
        arguments, cost = self._arguments(plain, size)
        if self._check is not None:
            self._check(arguments)
        return arguments, cost

    def _arguments(self, plain: Any, size: int) -> tuple[tuple[Any, ...], int]:
        expanded = self._expanded
        if expanded is None:
            cost = self._meter.measure(plain, size, self._root)
            return arguments_from_plain(self._method, plain, self._options, from_peer=True), cost
        cost = self._meter.measure({self._expanded_key: plain}, size, self._root)
        return (from_plain(expanded.type, plain, self._options),), cost

    def _collected(self, request: RequestParts) -> dict[str, Any]:
        """Return all values of a request as one JSON object."""
        plain: dict[str, Any] = {}
        body = request.body
        form: Mapping[str, list[str]] = {}
        if self._raw is not None:
            plain[self._raw[1]] = _raw_value(*self._raw, body)  # an empty body is a value, too
        elif body:
            content_type = request.headers.get(b"content-type", b"")
            kind = content_type.partition(b";")[0].strip().lower()
            if self.has_form and kind == URL_ENCODED:
                form = parse_pairs(body, "form")
            elif self.has_form and kind == MULTIPART:
                form = self._parse_multipart(body, content_type, self._binary)
            elif self._has_json:
                decoded = decode_json(body, self._meter, self._root)
                if self._whole:
                    plain[self._whole] = decoded
                elif decoded.__class__ is dict:
                    plain = decoded
                    for key in self._hidden:
                        plain.pop(key, None)
                else:
                    raise RemoteProtocolError(f"cannot read the {self._root}: expected a JSON object")
        query = parse_pairs(request.query, "query")
        if not query.keys() <= self._names:
            unknown = next(name for name in query if name not in self._names)
            known = ", ".join(sorted(self._names)) or "none"
            raise RemoteProtocolError(f"unknown query parameter {unknown[:80]!r} (known: {known})")
        if self._located:
            source = _Source(request, query, form)
            for each in self._located:
                value = _value(each, source)
                if value is not _ABSENT:
                    plain[each.key] = value
                elif not each.is_in_body:
                    plain.pop(each.key, None)
        return plain


def _without_place(route: Route) -> Iterator[Field[Any]]:
    """Return the arguments, or the fields of the expanded one, that the route never sets."""
    arguments = route.method.arguments
    fields = cast("StructType[Any]", arguments[0].type).cls.__thrift_fields__ if route.is_expanded else arguments
    known = {id(each.field) for each in route.bound}
    for field in fields:
        if id(field) not in known and "http.none" not in field.annotations:
            yield field


def _is_raw(bound: BoundField) -> bool:
    return any(place.kind == "raw_body" for place in bound.places)


def _is_located(bound: BoundField) -> bool:
    return any(place.kind not in ("body", "raw_body") for place in bound.places)


def _located(bound: BoundField, route: Route) -> _Located:
    type: Type[Any] = bound.field.type
    is_many = isinstance(type, ListType | SetType)
    getters = tuple(
        (f"{place.kind} {place.name}", _getter(place, route, is_many=is_many))
        for place in bound.places
        if place.kind not in ("body", "raw_body")
    )
    read = _json_reader(cast("ListType[Any]", type).element if is_many else type)
    is_in_body = any(each.kind == "body" for each in bound.places)
    return _Located(bound.field, json_key(bound.field), getters, read, is_many, is_in_body)


def _is_binary(type: Type[Any]) -> bool:
    element: Type[Any] = type.element if isinstance(type, ListType | SetType) else type
    return isinstance(element, BaseType) and element.name == "binary"


def _json_reader(type: Type[Any]) -> Callable[[str], Any]:
    """Return the function that converts text to the JSON value of a scalar."""
    read = text_reader(type)

    def checked(text: str) -> str:
        read(text)
        return text

    if isinstance(type, EnumType):
        return lambda text: int(read(text))
    if isinstance(type, BaseType) and type.name in ("binary", "uuid"):
        return checked
    if isinstance(type, BaseType) and type.name == "double":
        return lambda text: read(text) if text[-1:].isdigit() else checked(text)
    return read


def _getter(place: Place, route: Route, *, is_many: bool) -> _Get:
    name = place.name
    if place.kind == "path":
        at = route.template.variables.index(name)
        what = f"path variable {name}"
        return lambda source: [unquoted(source.request.values[at], what)]
    if place.kind == "query":
        return lambda source: source.query.get(name)
    if place.kind == "form":
        return lambda source: source.form.get(name)
    if place.kind == "cookie":
        return lambda source: source.cookies.get(name)
    key = name.encode()

    def header(source: _Source) -> list[str] | None:
        value = source.request.headers.get(key)
        if value is None:
            return None
        text = value.decode("latin-1")
        return [part.strip() for part in text.split(",")] if is_many else [text]

    return header


def _value(each: _Located, source: _Source) -> Any:
    """Return the JSON value of a field; `_ABSENT` if none of its places has one."""
    for what, get in each.getters:
        texts = get(source)
        if texts is None:
            continue
        if not each.is_many and len(texts) > 1:
            raise RemoteProtocolError(f"{what}: must occur once, got {plural(len(texts), 'value')}")
        try:
            found = [each.read(text) for text in texts]
        except ConversionError as error:
            raise RemoteProtocolError(f"cannot read {what}: {what_of(error, each.field)}") from None
        return found if each.is_many else found[0]
    return _ABSENT


def _raw_value(type: Type[Any], key: str, body: bytes) -> Any:
    """Return the JSON value of a raw body: text, or base64 of bytes."""
    if getattr(type, "name", "") == "binary":
        import binascii

        return binascii.b2a_base64(body, newline=False).decode()
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError(f"cannot read the body as {key}: must be UTF-8") from None
