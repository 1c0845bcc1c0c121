"""Responses of calls: status, headers and body as a result or an error.

A response is a result if its status is 2xx or that of the method, or if a field of the result is the status; never if
it is a problem document. Status and media type are checked before anything is decoded, because gateways answer, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.events import ResponseReceived
from idlrt.protocol.http.content import excerpt, expanded, is_json, media_type
from idlrt.protocol.http.problems import (
    PROBLEM,
    problem_error,
    problem_types,
    pushback,
    read_problem,
    shown_status,
    status_error,
    type_of,
)
from idlrt.protocol.http.responses import LocatedField, located_fields, success_status
from idlrt.protocol.http.texts import is_list_of_scalars
from idlrt.protocol.http.values import json_options
from idlrt.protocol.jsonrpc.values import missing_result
from idlrt.serialization import Limits
from idlrt.serialization._conversion_errors import ConversionError, what_of
from idlrt.serialization.json_costs import Meter
from idlrt.serialization.json_objects import decode_json
from idlrt.serialization.plain_json import from_plain, json_key, to_plain
from idlrt.serialization.text_scalars import text_reader
from idlrt.spec import DeclaredError, Field, Method, StructType, Union, required

__all__ = ["CallResponse", "ResponseCodec", "response_codec"]

_REDIRECTS: Final = range(300, 400)
_SERVER_ERRORS: Final = range(500, 600)


class CallResponse(ResponseReceived, frozen=True, gc=False, kw_only=True):
    """A response, not decoded yet.

    Attributes:
        codec: decoder of the responses of the method.
        status: status code.
        headers: names in lower case, and values as latin-1 text.
        body: the body as it arrived.
        is_head: whether the request was a HEAD, whose responses have no body.
    """

    codec: ResponseCodec
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_head: bool = False

    def result(self) -> Any:
        return self.codec.result_of(self)

    def value(self, name: str) -> str:
        """Return the value of a header, its values separated by `, ` if it is repeated; empty if there is none."""
        return ", ".join(self.values(name))

    def values(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for key, value in self.headers if key == name]


class _Record:
    """Decoder of a struct or an exception, with its fields outside of the body."""

    __slots__ = ("_fields", "_limits", "_options", "_raw", "_type", "has_raw_body", "has_status", "needs_body")

    def __init__(self, type: StructType[Any], limits: Limits) -> None:
        fields = type.cls.__thrift_fields__
        located = () if issubclass(type.cls, Union) else located_fields(fields)
        self._type = type
        self._limits = limits
        self._options = json_options(limits)
        self._fields: Final = [each for each in located if each.location != "raw_body"]
        self._raw: Final = next((each for each in located if each.location == "raw_body"), None)
        self.has_raw_body: Final = self._raw is not None
        self.has_status: Final = any(each.location == "status" for each in located)
        self.needs_body: Final = len(located) < len(fields)

    def read(self, plain: dict[str, Any], response: CallResponse, body: bytes, root: str) -> Any:
        """Return the value.

        Args:
            plain: the JSON object; empty if the whole body is a field.
            root: name of the value, for messages.

        Raises:
            RemoteProtocolError: a field cannot be read.
        """
        for each in self._fields:
            key = json_key(each.field)
            plain.pop(key, None)
            found = self._located(each, response, root)
            if found is not None:
                plain[key] = to_plain(each.field.type, found, json_options(self._limits, each.field))
        raw = self._raw
        if raw is None:
            return from_plain(self._type, plain, self._options, root)
        plain[json_key(raw.field)] = ""  # also as binary
        made = from_plain(self._type, plain, self._options, root)
        value: Any = body
        if getattr(raw.field.type, "name", "") == "string":
            try:
                value = body.decode()
            except UnicodeDecodeError as error:
                what = f"cannot read {root}.{raw.field.name}: the body is not UTF-8: {error.reason}"
                raise RemoteProtocolError(what) from None
        if isinstance(made, DeclaredError):
            setattr(made, raw.field.attribute, value)
        else:
            msgspec.structs.force_setattr(made, raw.field.attribute, value)
        return made

    def _located(self, located: LocatedField, response: CallResponse, root: str) -> Any:
        field = located.field
        if located.location == "status":
            return response.status
        where = f"{root}.{field.name}: {located.location} {located.name}"
        if located.location == "cookie":
            texts = list(_cookies(response.values("set-cookie"), located.name))[-1:]
        else:
            texts = response.values(located.name.lower())
        if not texts:
            return None
        try:
            read = text_reader(field.type, rest=False)
            if is_list_of_scalars(field.type):
                return [read(item) for text in texts for each in text.split(",") if (item := each.strip())]
            return read(texts[0])
        except ConversionError as error:
            raise RemoteProtocolError(f"cannot read {where}: {what_of(error, field)}") from None


class ResponseCodec:
    """Decoder of the responses of a method. `response_codec` caches it.

    Args:
        method: the method.
        limits: limits of the client.

    Raises:
        ConfigurationError: an annotation of the method is invalid.
    """

    __slots__ = ("_limits", "_meter", "_method", "_options", "_record", "_roots", "_status", "_throws", "accepts_any")

    def __init__(self, method: Method[..., Any], limits: Limits) -> None:
        self._method = method
        self._limits = limits
        self._options = json_options(limits)
        self._status: Final = success_status(method)
        self._roots: Final = tuple(f"{name} of {method.full_name}" for name in ("result", "error"))
        self._throws: Final = {
            name: (each, _Record(each.field.type, limits))
            for name, each in problem_types(method).items()
            if isinstance(each.field.type, StructType)
        }
        results = (required(0, "result", method.result),) if method.has_result else ()
        self._meter: Final = Meter((*results, *method.throws), limits, rest=True)
        self._record: Final = _Record(method.result, limits) if isinstance(method.result, StructType) else None
        self.accepts_any: Final = self._record is not None and self._record.has_raw_body

    def result_of(self, response: CallResponse) -> Any:
        """Return the result in a response.

        Raises:
            DeclaredError: the exception that the handler raised and the IDL declares.
            ApplicationError: the server, or a gateway before it, rejected the call or failed.
            RemoteProtocolError: the response cannot be decoded.
        """
        media = media_type(response.value("content-type"))
        if not self._is_result(response.status, media):
            raise self._failure(response, media)
        method, record = self._method, self._record
        if not method.has_result:
            return None
        body = expanded(response.body, response.value("content-encoding"), self._limits.max_message)
        if record is not None and record.has_raw_body:
            return record.read({}, response, body, self._roots[0])
        if not body:
            if record is None or (record.needs_body and not response.is_head):
                raise missing_result(method, f"the server's response has no body ({shown_status(response.status)})")
            return record.read({}, response, body, self._roots[0])
        if media and not is_json(media):
            what = f"expected JSON, got {media[:80]!r} with {shown_status(response.status)}"
            shown = excerpt(body, media)
            raise RemoteProtocolError(f"{what}: {shown}" if shown else what)
        plain = decode_json(body, self._meter, self._roots[0])
        if plain is None:
            raise missing_result(method, "the server's result is null")
        self._meter.measure([plain], len(body), self._roots[0])
        if record is not None and isinstance(plain, dict):
            return record.read(cast("dict[str, Any]", plain), response, body, "result")
        return from_plain(method.result, plain, self._options, "result")

    def _is_result(self, status: int, media: str) -> bool:
        if media == PROBLEM:
            return False
        if 200 <= status < 300 or status == self._status:
            return True
        record = self._record
        if record is None or not record.has_status:
            return False
        return is_json(media) or (record.has_raw_body and status not in _SERVER_ERRORS)

    def _failure(self, response: CallResponse, media: str) -> Exception:
        status, method = response.status, self._method
        try:
            body = expanded(response.body, response.value("content-encoding"), self._limits.max_message)
        except RemoteProtocolError as error:
            body, media = str(error).encode(), "text/plain"
        problem = read_problem(body) if media == PROBLEM else None
        if problem is None:
            what = shown_status(status)
            if status in _REDIRECTS:
                what = f"{what}, and redirects are not followed"
            shown = excerpt(body, media)
            failure = status_error(status, f"{what}: {shown}" if shown else what)
        else:
            found = self._throws.get(type_of(problem))
            if found is not None:
                declared, record = found
                try:
                    return self._declared(record, bytes(problem.fields), response, declared.field)
                except RemoteProtocolError as error:
                    return RemoteProtocolError(f"cannot read the error of {method.full_name}: {error}")
            failure = problem_error(status, problem)
        if failure.retry_after is None and (text := response.value("retry-after")):
            failure.push_back(pushback(text, response.value("date")))
        return failure

    def _declared(self, record: _Record, text: bytes, response: CallResponse, declared: Field[Any]) -> DeclaredError:
        plain: Any = decode_json(text, self._meter, self._roots[1]) if text else {}
        if not isinstance(plain, dict):
            raise RemoteProtocolError("`fields` must be an object")
        members = cast("dict[str, Any]", plain)
        self._meter.measure({json_key(declared): members}, len(text), self._roots[1])
        error: DeclaredError = record.read(members, response, b"", "fields")
        return error


def response_codec(method: Method[..., Any], limits: Limits) -> ResponseCodec:
    """Return the cached decoder of the responses of a method, created on first use.

    Raises:
        ConfigurationError: an annotation of the method is invalid.
    """
    key = ResponseCodec, limits
    found: ResponseCodec | None = method.codecs.get(key)
    if found is not None:
        return found
    made: ResponseCodec = method.codecs.setdefault(key, ResponseCodec(method, limits))
    return made


def _cookies(headers: Iterable[str], name: str) -> Iterable[str]:
    """Return the values of a cookie in `Set-Cookie` headers."""
    for header in headers:
        key, equals, value = header.partition(";")[0].partition("=")
        if equals and key.strip() == name:
            yield value.strip().strip('"')
