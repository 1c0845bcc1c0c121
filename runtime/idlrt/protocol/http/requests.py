"""Requests of clients: where the arguments of a call go, as the first route of its method says.

A value goes to the first of its places that can carry its type: scalars everywhere; lists and sets of scalars in
queries and forms, repeated, and in headers, separated by commas; everything else in JSON. A variable of the path always
has its value. `None` is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import msgspec

from idlrt.errors import ConfigurationError, LocalProtocolError
from idlrt.printable import plural
from idlrt.protocol.http.client_headers import FRAMING_HEADERS
from idlrt.protocol.http.routes import ANY_VERB, BoundField, Place, Route, routes_of
from idlrt.protocol.http.texts import cookie_value, header_value, is_list_of_scalars, is_scalar, list_value
from idlrt.protocol.http.values import json_options
from idlrt.serialization import Limits
from idlrt.serialization._conversion_errors import ConversionError, what_of
from idlrt.serialization.json_objects import encode_json
from idlrt.serialization.plain_json import JsonOptions, to_plain
from idlrt.serialization.text_scalars import text_writer
from idlrt.spec import BaseType, Field, Method, Type

__all__ = ["OutgoingRequest", "RequestWriter", "request_writer"]

_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_RAW_TYPES: Final = ("string", "binary")
# Of `Any`, so that type checkers do not ask what is inside.
_ITEMS: tuple[type[Any], ...] = (list, tuple, set, frozenset)
_SIZED: tuple[type[Any], ...] = (Sized,)
_BYTES_LIKE: tuple[type[Any], ...] = (bytes, bytearray, memoryview)
_DOTS: Final = (".", "..")


class OutgoingRequest(msgspec.Struct, frozen=True, gc=False):
    """Parts of a request.

    Attributes:
        target: path and query, percent-encoded.
        headers: headers that the arguments are in, by names in lower case; also `content-type` if there is a body.
        body: content; `None` for none.
    """

    target: str
    headers: dict[str, str]
    body: bytes | None


class _Content:
    """Values of one request, by place."""

    __slots__ = ("cookies", "form", "headers", "members", "path", "query", "raw", "whole")

    def __init__(self) -> None:
        self.path: dict[str, str] = {}
        self.query: list[str] = []
        self.headers: dict[str, str] = {}
        self.cookies: list[str] = []
        self.form: list[str] = []
        self.members: dict[str, Any] = {}
        # JSON of the whole body, in a list of one; and a body that is not JSON, with its type.
        self.whole: list[Any] = []
        self.raw: list[tuple[str, bytes]] = []


_Put: TypeAlias = Callable[[_Content, Any], None]
_Write: TypeAlias = Callable[[Any], str]


class RequestWriter:
    """Writer of the requests of a method. `request_writer` caches it.

    Args:
        route: route of the requests.
        limits: limits of the client.

    Raises:
        ConfigurationError: an annotation cannot be used in a request.

    Attributes:
        verb: verb of the requests.
        route: as given.
    """

    __slots__ = ("_has_members", "_limits", "_names", "_options", "_puts", "route", "verb")

    def __init__(self, route: Route, limits: Limits) -> None:
        self.route = route
        self.verb = "POST" if route.verb == ANY_VERB else route.verb
        self._limits = limits
        self._options = json_options(limits)
        self._puts: list[tuple[Field[Any], _Put]] = []
        self._has_members = False
        for bound in route.bound:
            try:
                self._puts.append((bound.field, self._put(bound)))
            except ConfigurationError as error:
                name = f"{route.method.full_name}: `{bound.field.name}`"
                raise ConfigurationError(f"cannot call {name} over HTTP: {error}") from None
        self._puts += [(field, _refuse) for field in _unbound(route)]

    def write(self, arguments: Sequence[Any]) -> OutgoingRequest:
        """Return the parts of a request.

        Raises:
            LocalProtocolError: the arguments do not match the method, or cannot be in their places.
        """
        content = _Content()
        for field, put, value in self._values(arguments):
            if value is None:
                if field.is_required:
                    raise self._unsendable(field, "required, but None")
                continue
            try:
                put(content, value)
            except ConversionError as error:
                raise self._unsendable(field, what_of(error, field)) from None
            except LocalProtocolError as error:
                raise self._unsendable(field, str(error)) from None
        if content.cookies:
            content.headers["cookie"] = "; ".join(content.cookies)
        body = self._body(content)
        if body is not None and len(body) > self._limits.max_message:
            what = f"it has {plural(len(body), 'byte')}, the limit is max_message={self._limits.max_message}"
            raise LocalProtocolError(f"cannot send the call of {self.route.method.full_name}: {what}")
        target = self._path(content.path)
        if content.query:
            target = f"{target}?{'&'.join(content.query)}"
        return OutgoingRequest(target, content.headers, body)

    def _values(self, arguments: Sequence[Any]) -> list[tuple[Field[Any], _Put, Any]]:
        method = self.route.method
        if len(arguments) != len(method.arguments):
            what = f"expected {plural(len(method.arguments), 'argument')}, got {len(arguments)}"
            raise LocalProtocolError(f"cannot write the arguments of {method.full_name}: {what}")
        if self.route.is_expanded:
            [whole] = arguments
            cls: Any = method.arguments[0].type
            if whole is not None and not isinstance(whole, cls.cls):
                raise self._unsendable(method.arguments[0], f"must be {cls!r}, got {type(whole).__name__}")
            if whole is None and method.arguments[0].is_required:
                raise self._unsendable(method.arguments[0], "required, but None")
            return [(field, put, getattr(whole, field.attribute, None)) for field, put in self._puts]
        given = {id(field): value for field, value in zip(method.arguments, arguments, strict=True)}
        return [(field, put, given[id(field)]) for field, put in self._puts]

    def _path(self, values: dict[str, str]) -> str:
        template = self.route.template
        for segment in template.segments:
            if not segment.name:
                continue
            value = values.get(segment.name)
            if value is None:
                raise self._no_path(segment.name, "missing")
            is_alone = not segment.prefix and not segment.suffix
            parts = value.split("/") if segment.is_rest else [value]
            # Clients and proxies remove such segments.
            if is_alone and any(part in _DOTS for part in parts):
                raise self._no_path(segment.name, f"must not have a segment {value!r}")
            if not value and not segment.is_rest:
                raise self._no_path(segment.name, "must not be empty")
        return template.fill(values)

    def _no_path(self, name: str, why: str) -> LocalProtocolError:
        what = f"cannot send the call of {self.route.method.full_name}"
        return LocalProtocolError(f"{what}: `{name}` of the path {self.route.template}: {why}")

    def _body(self, content: _Content) -> bytes | None:
        """Return the body, and set its type."""
        kinds = [bool(content.raw), bool(content.form), bool(content.whole or content.members)]
        if sum(kinds) > 1 or len(content.raw) > 1 or (content.whole and content.members):
            what = "its arguments are in several bodies: raw, form or JSON"
            raise LocalProtocolError(f"cannot send the call of {self.route.method.full_name}: {what}")
        if content.raw:
            [(kind, body)] = content.raw
        elif content.form:
            kind, body = _FORM, "&".join(content.form).encode()
        elif content.whole or content.members or self._has_members:
            plain = content.whole[0] if content.whole else content.members
            kind, body = _JSON, encode_json(plain, f"write the arguments of {self.route.method.full_name} as JSON")
        else:
            return None
        content.headers.setdefault("content-type", kind)
        return body

    def _unsendable(self, field: Field[Any], why: str) -> LocalProtocolError:
        return LocalProtocolError(
            f"cannot write the arguments of {self.route.method.full_name}: argument `{field.name}`: {why}"
        )

    # What is done with each value.

    def _put(self, bound: BoundField) -> _Put:
        place = _chosen(bound)
        if place is None:
            kinds = ", ".join(dict.fromkeys(each.kind for each in bound.places))
            raise ConfigurationError(f"values of type {bound.field.type!r} cannot be in: {kinds}")
        field, type, name = bound.field, bound.field.type, place.name
        match place.kind:
            case "path":
                return _put_path(name, text_writer(type))
            case "query" | "form":
                return _put_pairs(name, type, is_form=place.kind == "form")
            case "header":
                _check_name(name, "header")
                return _put_header(name, type)
            case "cookie":
                _check_name(name, "cookie")
                return _put_cookie(name, text_writer(type))
            case "raw_body":
                return _put_raw
            case "body":
                self._has_members = self._has_members or name != ""
                return _put_body(name, field, json_options(self._limits, field))


def request_writer(method: Method[..., Any], service: str, prefix: str, limits: Limits) -> RequestWriter:
    """Return the cached writer of the requests of a method, created on first use.

    Args:
        service: name of the service that the server has.
        prefix: path in front of the routes.

    Raises:
        ConfigurationError: an annotation of the method is invalid.
    """
    key = RequestWriter, service, prefix, limits
    found: RequestWriter | None = method.codecs.get(key)
    if found is not None:
        return found
    made: RequestWriter = method.codecs.setdefault(key, RequestWriter(routes_of(method, service, prefix)[0], limits))
    return made


def _unbound(route: Route) -> list[Field[Any]]:
    """Return the arguments or fields that the route has no place for, without those that are not sent by intention."""
    [*fields] = route.method.arguments
    if route.is_expanded:
        whole: Any = fields[0].type
        fields = [*whole.cls.__thrift_fields__]
    known = {id(each.field) for each in route.bound}
    return [field for field in fields if id(field) not in known and "http.none" not in field.annotations]


def _refuse(content: _Content, value: Any) -> None:
    # An empty container may be the default of the IDL.
    if not isinstance(value, _SIZED) or len(value):
        raise ConversionError("the route has no place for it")


def _chosen(bound: BoundField) -> Place | None:
    """Return the place of a field in requests: the path if the route has such a variable, else the first possible."""
    type = bound.field.type
    is_text, is_list = is_scalar(type), is_list_of_scalars(type)
    is_raw = isinstance(type, BaseType) and type.name in _RAW_TYPES
    able: dict[str, bool] = {
        "path": is_text,
        "query": is_text or is_list,
        "form": is_text or is_list,
        "header": is_text or is_list,
        "cookie": is_text,
        "raw_body": is_raw,
        "body": True,
    }
    for place in bound.places:
        if place.kind == "path":
            return place if is_text else None
    return next((place for place in bound.places if able[place.kind]), None)


def _check_name(name: str, kind: str) -> None:
    if not name or not _TOKEN.issuperset(name):
        raise ConfigurationError(f"invalid name of a {kind}: {name!r}")
    if kind == "header" and (name in FRAMING_HEADERS or name == "cookie"):
        raise ConfigurationError(f"header {name!r} belongs to the connection; it cannot have a value of the IDL")


def _put_path(name: str, write: _Write) -> _Put:
    def put(content: _Content, value: Any) -> None:
        content.path[name] = write(value)

    return put


def _put_pairs(name: str, type: Type[Any], *, is_form: bool) -> _Put:
    quoted = quote(name, safe="")
    texts = _texts(type)

    def put(content: _Content, value: Any) -> None:
        pairs = content.form if is_form else content.query
        pairs += [f"{quoted}={quote(text, safe='')}" for text in texts(value)]

    return put


def _put_header(name: str, type: Type[Any]) -> _Put:
    texts, is_list = _texts(type), is_list_of_scalars(type)

    def put(content: _Content, value: Any) -> None:
        found = texts(value)
        if found:
            content.headers[name] = list_value(found) if is_list else header_value(found[0])

    return put


def _put_cookie(name: str, write: _Write) -> _Put:
    def put(content: _Content, value: Any) -> None:
        content.cookies.append(f"{name}={cookie_value(write(value))}")

    return put


def _put_raw(content: _Content, value: Any) -> None:
    if isinstance(value, str):
        try:
            content.raw.append((_TEXT, value.encode()))
        except UnicodeEncodeError as error:
            raise ConversionError(f"not Unicode text: lone surrogate at index {error.start}") from None
    elif isinstance(value, _BYTES_LIKE):
        content.raw.append((_BYTES, bytes(value)))
    else:
        raise ConversionError(f"must be str or bytes, got {type(value).__name__}")


def _put_body(name: str, field: Field[Any], options: JsonOptions) -> _Put:
    def put(content: _Content, value: Any) -> None:
        plain = to_plain(field.type, value, options)
        if name:
            content.members[name] = plain
        else:
            content.whole.append(plain)

    return put


def _texts(type: Type[Any]) -> Callable[[Any], list[str]]:
    """Return the writer of the texts of a scalar, or of the elements of a list."""
    write = text_writer(type)
    if not is_list_of_scalars(type):
        return lambda value: [write(value)]

    def write_all(value: Any) -> list[str]:
        if not isinstance(value, _ITEMS):
            raise ConversionError(f"must be {type!r}, got {value.__class__.__name__}")
        items: Iterable[Any] = value
        return [write(each) for each in items]

    return write_all
