"""The member `meta` of requests and responses: metadata and typed values.

| member in requests | value                                                                   |
|--------------------|-------------------------------------------------------------------------|
| `timeout`          | remaining timeout of the call when it is sent, in seconds               |
| `attempt`          | number of earlier attempts of the call                                  |
| `tag`              | tag of the instances to call                                            |
| `caller`           | name of the calling application                                         |
| `traceparent`      | W3C trace context; reserved                                             |
| `metadata`         | an object of strings by name                                            |

| member in responses | value                                                                        |
|---------------------|------------------------------------------------------------------------------|
| `metadata`          | an object of strings by name                                                 |
| `retry_after`       | seconds after which a rejected call may be retried; negative: never          |
| `drain`             | `true`: the server is draining; send further requests on another connection  |

`null` members count as absent, and unknown ones are ignored. `meta` has at most 64 KiB: larger ones are not sent, are
invalid in requests, and are ignored in responses. The specification of JSON-RPC does not define this member.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from idlrt.core.metadata import NO_METADATA, TRACE_RESPONSE, Metadata
from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.printable import plural
from idlrt.protocol.events import NO_CONTEXT, RequestContext
from idlrt.serialization.json_objects import encode_json

__all__ = ["ResponseMeta", "read_request_meta", "read_response_meta", "write_request_meta", "write_response_meta"]

_MAX_TIMEOUT: Final = 1e9
_MAX_ATTEMPT: Final = (1 << 31) - 1
# Longer than a year means "never".
_MAX_RETRY_AFTER: Final = 365 * 86400.0
_NEVER: Final = -1
_MAX_SIZE: Final = 1 << 16


class _RequestMeta(msgspec.Struct, frozen=True, gc=False):
    timeout: float | None = None
    attempt: int | None = None
    tag: str | None = None
    caller: str | None = None
    traceparent: str | None = None
    metadata: dict[str, str] | None = None


class ResponseMeta(msgspec.Struct, frozen=True, gc=False):
    """Content of `meta` of a response.

    Attributes:
        metadata: metadata of the response.
        retry_after: pushback in seconds; negative: never.
        drain: whether the server is draining.
    """

    metadata: dict[str, str] | None = None
    retry_after: float | None = None
    drain: bool | None = None

    @property
    def push_back(self) -> float | None:
        """Pushback in seconds, as in `ApplicationError.retry_after`."""
        return math.inf if self.retry_after is not None and self.retry_after < 0 else self.retry_after


_REQUEST: Final = msgspec.json.Decoder(_RequestMeta | None)
_RESPONSE: Final = msgspec.json.Decoder(ResponseMeta | None)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_METADATA: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_NULL: Final = b"null"
_TEXT: Final = msgspec.json.Decoder(str)
_WRONG: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
_NO_META: Final = ResponseMeta()
_RESPONSE_MEMBERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "metadata": msgspec.json.Decoder(dict[str, str] | None),
    "retry_after": msgspec.json.Decoder(float | None),
    "drain": msgspec.json.Decoder(bool | None),
}


def read_request_meta(text: bytes) -> tuple[RequestContext, Metadata]:
    """Parse `meta` of a request.

    Raises:
        RemoteProtocolError: a member has the wrong type or an invalid value.
    """
    if len(text) > _MAX_SIZE:
        raise RemoteProtocolError(f"`meta` must have at most {_MAX_SIZE} bytes, got {len(text)}")
    try:
        meta = _REQUEST.decode(text)
    except _WRONG:
        raise RemoteProtocolError(_invalid_member(text)) from None
    if meta is None:
        return NO_CONTEXT, NO_METADATA
    attempt = meta.attempt or 0
    if not 0 <= attempt <= _MAX_ATTEMPT:
        raise RemoteProtocolError(f"`meta.attempt` must be between 0 and {_MAX_ATTEMPT}")
    timeout = meta.timeout
    if timeout is not None:
        if timeout < 0:
            raise RemoteProtocolError("`meta.timeout` must be at least 0 seconds")
        timeout = min(timeout, _MAX_TIMEOUT)
    context = RequestContext(timeout, attempt, meta.tag or "", meta.caller or "", meta.traceparent or "")
    return context, meta.metadata or NO_METADATA


_KINDS: Final[tuple[tuple[str, msgspec.json.Decoder[Any], str], ...]] = (
    ("timeout", msgspec.json.Decoder(float | None), "a number"),
    ("attempt", msgspec.json.Decoder(int | None), "an integer"),
    ("tag", msgspec.json.Decoder(str | None), "a string"),
    ("caller", msgspec.json.Decoder(str | None), "a string"),
    ("traceparent", msgspec.json.Decoder(str | None), "a string"),
    ("metadata", _METADATA, "an object"),
)


def _invalid_member(text: bytes) -> str:
    """Return the error text for the member that is invalid."""
    try:
        members = _MEMBERS.decode(text)
    except _WRONG:
        return "`meta` must be an object"
    for name, decoder, wanted in _KINDS:
        try:
            decoder.decode(members.get(name, _NULL))
        except _WRONG:
            return f"`meta.{name}` must be {wanted}"
    for name, value in (_METADATA.decode(members.get("metadata", _NULL)) or {}).items():
        try:
            _TEXT.decode(value)
        except _WRONG:
            return f"`meta.metadata` must have string values only; the value of {name[:40]!r} is not a string"
    return "`meta` has an invalid value"


def write_request_meta(metadata: Metadata, context: RequestContext) -> bytes:
    """Return the text of `meta` of a request; empty if there is nothing to send.

    Raises:
        LocalProtocolError: names or values of the metadata are not strings, or they exceed 64 KiB.
    """
    meta: dict[str, Any] = {}
    if context.timeout is not None:
        meta["timeout"] = max(context.timeout, 0.0)
    if context.attempt:
        meta["attempt"] = context.attempt
    if context.tag:
        meta["tag"] = context.tag
    if context.caller:
        meta["caller"] = context.caller
    if context.trace:
        meta["traceparent"] = context.trace
    if metadata:
        meta["metadata"] = _text(metadata)
    return _encode(meta, "request") if meta else b""


def read_response_meta(text: bytes) -> ResponseMeta:
    """Parse `meta` of a response. Members of the wrong type are ignored: other servers may use them differently."""
    if len(text) > _MAX_SIZE:
        return _NO_META
    try:
        return _RESPONSE.decode(text) or _NO_META
    except _WRONG:
        pass
    try:
        members = _MEMBERS.decode(text)
    except _WRONG:
        return _NO_META
    found: dict[str, Any] = {}
    for name, decoder in _RESPONSE_MEMBERS.items():
        try:
            found[name] = decoder.decode(members[name])
        except (KeyError, *_WRONG):
            continue
    return ResponseMeta(**found)


def write_response_meta(metadata: Metadata, is_draining: bool, retry_after: float | None = None) -> bytes:
    """Return the text of `meta` of a response; empty if there is nothing to send.

    Raises:
        LocalProtocolError: names or values of the metadata are not strings, or they exceed 64 KiB.
    """
    meta: dict[str, Any] = {}
    if metadata:
        text = _text(metadata)
        # Clients that do not know `meta` must not get it because a call is traced.
        text.pop(TRACE_RESPONSE, None)
        if text:
            meta["metadata"] = text
    if retry_after is not None:
        meta["retry_after"] = max(retry_after, 0.0) if retry_after < _MAX_RETRY_AFTER else _NEVER
    if is_draining:
        meta["drain"] = True
    return _encode(meta, "response") if meta else b""


def _encode(meta: dict[str, Any], kind: str) -> bytes:
    text = encode_json(meta, f"write the metadata of a {kind} as JSON")
    if len(text) > _MAX_SIZE:
        what = f"it has {plural(len(text), 'byte')} as JSON, the limit is {_MAX_SIZE} bytes"
        raise LocalProtocolError(f"cannot send the metadata of a {kind}: {what}")
    return text


def _text(metadata: Metadata) -> dict[str, str]:
    for name, value in cast("Mapping[Any, Any]", metadata).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise LocalProtocolError(f"cannot send the metadata {name!r}: names and values must be strings")
    return dict(metadata)
