"""Parsing of JSON-RPC requests, and building of messages.

Parsing splits a request into its members, which validates the whole JSON text; the values in `params` are decoded
later. An id is kept and repeated exactly as the client wrote it, so no digit of a number is lost. If a member occurs
twice, the last one applies.

Source: https://www.jsonrpc.org/specification
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from idlrt.errors import RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.jsonrpc.codes import INVALID_REQUEST, PARSE_ERROR

__all__ = [
    "MAX_BATCH",
    "MAX_ID",
    "BadMessage",
    "Request",
    "check_text",
    "elements_of",
    "error_text",
    "is_id",
    "is_json",
    "read_request",
    "request_line",
    "result_text",
]

MAX_BATCH: Final = 1000
"""Maximum number of requests in one batch. Source: go-ethereum's `--rpc.batch-request-limit`."""

MAX_ID: Final = 1024
"""Maximum size of an id in bytes. It is kept until the response, and repeated in it."""

VERSION: Final = "2.0"
NULL: Final = b"null"

_ABSENT: Final = msgspec.Raw()
_HEAD: Final = b'{"jsonrpc":"2.0",'
_ENCODE: Final = msgspec.json.Encoder().encode
# Maximum length of the text of an error.
_MAX_TEXT: Final = 4096


class BadMessage(RemoteProtocolError):
    """A message that is not a valid request.

    Attributes:
        code: error code of JSON-RPC.
        id: JSON text of the request's id; `null` if it is unknown.
    """

    def __init__(self, message: str, code: int = INVALID_REQUEST, id: bytes = NULL) -> None:
        super().__init__(message)
        self.code = code
        self.id = id


class Request(msgspec.Struct, frozen=True, gc=False):
    """The members of a request; those that are decoded later as JSON text, empty if they are absent."""

    jsonrpc: str
    method: str
    params: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT
    meta: msgspec.Raw = _ABSENT


class _Loose(msgspec.Struct, frozen=True, gc=False):
    """The members of an invalid request, of any type, to find the reason."""

    jsonrpc: msgspec.Raw = _ABSENT
    method: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT


_REQUEST: Final = msgspec.json.Decoder(Request)
_LOOSE: Final = msgspec.json.Decoder(_Loose)
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
# Stops at the first element over the limit, before objects for millions of elements are created.
_BOUNDED: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "Batch",
        [(f"element{index}", msgspec.Raw, _ABSENT) for index in range(MAX_BATCH)],
        array_like=True,
        forbid_unknown_fields=True,
    )
)


def check_text(line: bytes) -> None:
    """Check that a line is valid UTF-8.

    Raises:
        BadMessage: it is not valid.
    """
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise BadMessage(f"parse error: {error.reason} at byte {error.start}", PARSE_ERROR) from None


def read_request(text: bytes | msgspec.Raw) -> Request:
    """Parse a request; the text must be UTF-8.

    Raises:
        BadMessage: the request is invalid.
    """
    try:
        request = _REQUEST.decode(text)
    except msgspec.ValidationError:
        raise _invalid(text) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"parse error: {error}", PARSE_ERROR) from None
    except RecursionError:
        raise BadMessage("parse error: nested too deeply", PARSE_ERROR) from None
    if request.jsonrpc != VERSION:
        raise _invalid(text)
    return request


def _invalid(text: bytes | msgspec.Raw) -> BadMessage:
    """Return the error of an invalid request, with its id if it is known."""
    try:
        loose = _LOOSE.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return BadMessage("invalid request: must be an object or an array of objects")
    id = bytes(loose.id)
    if not is_id(id):
        id = NULL
    if bytes(loose.jsonrpc) != b'"2.0"':
        return BadMessage('invalid request: the member `jsonrpc` must be "2.0"', id=id)
    return BadMessage("invalid request: the member `method` must be a string", id=id)


def is_id(text: bytes) -> bool:
    """Whether a member can be an id: a string, a number or `null`, of at most `MAX_ID` bytes."""
    return 0 < len(text) <= MAX_ID and text[:1] in b'"-0123456789n'


def is_json(text: bytes) -> bool:
    """Whether a text is complete JSON."""
    try:
        _RAW.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def elements_of(line: bytes, most: int) -> list[msgspec.Raw]:
    """Return the elements of a batch.

    Raises:
        BadMessage: the batch is empty, has more than `most` elements, or is not JSON.
    """
    try:
        if line.count(b",") < MAX_BATCH:
            elements = _ELEMENTS.decode(line)
        else:
            batch: Any = _BOUNDED.decode(line)
            elements = [each for each in msgspec.structs.astuple(batch) if each is not _ABSENT]
    except msgspec.ValidationError:
        elements = None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"parse error: {error}", PARSE_ERROR) from None
    except RecursionError:
        raise BadMessage("parse error: nested too deeply", PARSE_ERROR) from None
    if elements is None or len(elements) > most:
        limit = plural(most, "request")
        raise BadMessage(f"invalid request: the batch has more than {limit}; send several batches")
    if not elements:
        raise BadMessage("invalid request: the batch is empty")
    return elements


def request_line(method: str, params: bytes, id: bytes, meta: bytes) -> bytes:
    """Return the line of a request; empty members are omitted."""
    parts = [_HEAD, b'"method":', _ENCODE(method)]
    if params:
        parts += (b',"params":', params)
    if id:
        parts += (b',"id":', id)
    if meta:
        parts += (b',"meta":', meta)
    parts.append(b"}\n")
    return b"".join(parts)


def result_text(id: bytes, result: bytes, meta: bytes = b"") -> bytes:
    """Return the text of a response with a result."""
    if meta:
        return b'%b"id":%b,"result":%b,"meta":%b}' % (_HEAD, id, result, meta)
    return b'%b"id":%b,"result":%b}' % (_HEAD, id, result)


def error_text(id: bytes, code: int, message: object, data: bytes = b"", meta: bytes = b"") -> bytes:
    """Return the text of a response with an error."""
    # Texts of other exceptions may contain lone surrogates, which UTF-8 cannot encode, be long, or not be strings.
    text = message if isinstance(message, str) else type(message).__name__
    text = text.encode(errors="backslashreplace").decode()
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    parts = [_HEAD, b'"id":', id, b',"error":{"code":', str(code).encode(), b',"message":', _ENCODE(text)]
    if data:
        parts += (b',"data":', data)
    parts.append(b"}")
    if meta:
        parts += (b',"meta":', meta)
    parts.append(b"}")
    return b"".join(parts)
