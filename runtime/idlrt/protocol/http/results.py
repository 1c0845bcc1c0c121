"""Encoding of results, exceptions and errors as HTTP responses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from idlrt.errors import ApplicationCode, ApplicationError, LocalProtocolError
from idlrt.printable import plural
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.problems import rpc_members
from idlrt.protocol.http.responses import DeclaredResponse, LocatedField, declared_responses, located_fields
from idlrt.protocol.http.responses import success_status as status_of
from idlrt.protocol.http.statuses import code_of, title
from idlrt.serialization import Limits
from idlrt.serialization.json_objects import encode_json
from idlrt.serialization.plain_json import JsonOptions, json_key, to_plain
from idlrt.spec import DeclaredError, Method, StructType, Type, name_of

__all__ = ["JSON", "PROBLEM", "Payload", "ResultWriter", "problem", "refusal_payload"]

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
_NOTHING: Final[Mapping[str, Any]] = {}
_TEXT: Final = b"text/plain; charset=utf-8"
_BYTES: Final = b"application/octet-stream"
_CONTENT_TYPE: Final = b"content-type:"
_ENCODE: Final = msgspec.json.Encoder().encode
# Latin-1 without control characters but the tab (RFC 9110, section 5.5).
_HEADER: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Without what would begin attributes, or another cookie (RFC 6265, section 4.1.1).
_COOKIE: Final = re.compile(r"[!-+\--:<-~\x80-\xff]*")
# Bytes of a problem document without its detail, and of a character in it, at most.
_PROBLEM_SIZE: Final = 512
_WIDEST: Final = 6
_ERROR_STATUS: Final = range(200, 600)


class Payload(msgspec.Struct, frozen=True, gc=False):
    """Content of a response.

    Attributes:
        status: status code.
        content_type: type of the body; empty without a body.
        body: the body.
        headers: lines of additional headers, each with its line break.
    """

    status: int
    content_type: bytes
    body: bytes
    headers: bytes = b""


class _Writer:
    """Encodes the values of one type: a result, or an exception."""

    __slots__ = ("_attributes", "_label", "_located", "_options", "_type")

    def __init__(self, type: Type[Any], located: tuple[LocatedField, ...], options: JsonOptions, label: str) -> None:
        self._type = type
        self._located = tuple((each, json_key(each.field)) for each in located)
        self._options = options
        self._label = label

    def plain(self, value: Any) -> Any:
        return to_plain(self._type, value, self._options)

    def split(self, value: Any, plain: dict[str, Any], status: int) -> tuple[int, bytes, Any]:
        """Take the located fields out of `plain`. Returns the status, header lines, and the value of the raw body."""
        lines: list[bytes] = []
        raw: Any = None
        for each, key in self._located:
            item = plain.pop(key, None)
            if item is None:
                continue
            if each.location == "status":
                if item.__class__ is not int or item not in _ERROR_STATUS:
                    what = f"field {each.field.name} is the status, which must be between 200 and 599, got {item!r}"
                    raise LocalProtocolError(f"cannot write {self._label}: {what}")
                status = item
            elif each.location == "raw_body":
                raw = getattr(value, each.field.attribute)
            else:
                lines.append(self._line(each, item))
        return status, b"".join(lines), raw

    def _line(self, located: LocatedField, item: Any) -> bytes:
        parts: list[Any] = item if item.__class__ is list else [item]
        text = ", ".join("true" if part is True else "false" if part is False else str(part) for part in parts)
        name, is_cookie = located.name, located.location == "cookie"
        if not (_COOKIE if is_cookie else _HEADER).fullmatch(text):
            must = "Latin-1 text without blanks, commas and semicolons" if is_cookie else "Latin-1 text on one line"
            what = f"field {located.field.name} is a {located.location}, which must be {must}"
            raise LocalProtocolError(f"cannot write {self._label}: {what}")
        data = text.encode("latin-1")
        if is_cookie:
            return b"set-cookie: %b=%b\r\n" % (name.encode(), data)
        return b"%b: %b\r\n" % (name.lower().encode(), data)


class ResultWriter:
    """Encodes the responses of one method.

    Args:
        method: the method.
        limits: limits of the server.
        options: options of the server.

    Raises:
        ConfigurationError: an annotation is invalid.
    """

    def __init__(self, method: Method[..., Any], limits: Limits, options: Http) -> None:
        self._method = method
        self._status = status_of(method)
        self._limit = limits.max_message
        json = JsonOptions(
            rest=True,
            i64_as_text=options.i64_as_text,
            enums_as_numbers=options.enums_as_numbers,
            max_depth=limits.max_depth,
        )
        located: tuple[LocatedField, ...] = ()
        if isinstance(method.result, StructType):
            located = located_fields(method.result.cls.__thrift_fields__)
        self._is_simple = not located
        self._result = _Writer(method.result, located, json, f"the result of {method.full_name}")
        self._throws: list[tuple[DeclaredResponse, str, _Writer]] = []
        names: set[str] = set()
        for each in declared_responses(method):
            name: str = name_of(each.cls)
            name = f"{each.field.name}.{name}" if name in names else name
            names.add(name)
            label = f"the exception {name} of {method.full_name}"
            self._throws.append((each, name, _Writer(each.field.type, each.located, json, label)))

    def result(self, value: Any) -> Payload:
        """Encode a result.

        Raises:
            ApplicationError: it is `None`, and the method has a result.
            LocalProtocolError: it does not match the type, or is larger than a limit.
        """
        method = self._method
        if not method.has_result:
            return Payload(self._status, b"", b"")
        if value is None:
            what = f"{method.full_name}: missing result of type {method.result!r}: the handler returned None"
            raise ApplicationError(what, ApplicationCode.MISSING_RESULT)
        plain = self._result.plain(value)
        if self._is_simple:
            return self._checked(Payload(self._status, JSON, self._text(plain)))
        status, lines, raw = self._result.split(value, plain, self._status)
        if raw is None:
            return self._checked(Payload(status, JSON, self._text(plain), lines))
        kind = _TEXT if isinstance(raw, str) else _BYTES
        if lines.startswith(_CONTENT_TYPE) or b"\n" + _CONTENT_TYPE in lines:  # not within a value
            kind = b""
        return self._checked(Payload(status, kind, raw.encode() if isinstance(raw, str) else bytes(raw), lines))

    def error(self, error: DeclaredError) -> Payload | None:
        """Encode an exception; `None` if the method does not declare it.

        Raises:
            LocalProtocolError: it cannot be encoded, or is larger than a limit.
        """
        for declared, name, writer in self._throws:
            if isinstance(error, declared.cls):
                fields = writer.plain(error)
                status, lines, _ = writer.split(error, fields, declared.status)
                body = self._text({
                    "type": f"urn:idl:{name}",
                    "title": name,
                    "status": status,
                    "detail": _printable(str(error)),
                    "code": code_of(status),
                    "fields": fields,
                })  # fmt: skip
                return self._checked(Payload(status, PROBLEM, body, lines))
        return None

    def _text(self, plain: Any) -> bytes:
        return encode_json(plain, f"write the response of {self._method.full_name}")

    def _checked(self, payload: Payload) -> Payload:
        if len(payload.body) > self._limit:
            what = f"it has {plural(len(payload.body), 'byte')}, the limit is max_message={self._limit}"
            raise LocalProtocolError(f"cannot send the response of {self._method.full_name}: {what}")
        return payload


def problem(status: int, code: str, detail: str, more: Mapping[str, Any] = _NOTHING) -> bytes:
    """Return the body of an error that the IDL does not declare.

    Args:
        more: further members.

    Source: RFC 9457
    """
    body = {"type": "about:blank", "title": title(status), "status": status, "detail": detail, "code": code, **more}
    try:
        return _ENCODE(body)
    except UnicodeEncodeError:
        return _ENCODE(body | {"detail": _printable(detail)})


def _printable(text: str) -> str:
    """Return text without lone surrogates, which cannot be encoded."""
    return text.encode(errors="replace").decode()


def refusal_payload(status: int, code: str, error: ApplicationError, limit: int) -> Payload:
    """Return the response for an error that the IDL does not declare.

    Args:
        limit: maximum size of the body in bytes; the detail is shortened to fit.
    """
    detail = f"{error.message}"[: max((limit - _PROBLEM_SIZE) // _WIDEST, 0)]
    return Payload(status, PROBLEM, problem(status, code, detail, rpc_members(status, code, error)))
