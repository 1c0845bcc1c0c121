"""Headers with metadata and typed values, as clients write and read them; `metadata` has the table of headers.

Trace context, `baggage` and `x-request-id` are sent as they are, `authorization` with the scheme `Bearer`
unless it has one, and all other metadata percent-encoded as `Rpc-Metadata-NAME`, so that it never sets other headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast
from urllib.parse import quote

from idlrt.core.metadata import AMBIENT, JAEGER_BAGGAGE, NO_METADATA, Metadata
from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.protocol.events import RequestContext
from idlrt.protocol.http.metadata import PREFIX
from idlrt.protocol.http.templates import unquoted

__all__ = ["FRAMING_HEADERS", "metadata_of_response", "request_headers"]

FRAMING_HEADERS: Final = frozenset(
    {
        "connection", "content-encoding", "content-length", "expect", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers of connections and messages, in lower case, which no field of the IDL can set."""

_PREFIX: Final = PREFIX.decode()
_AS_IS: Final = AMBIENT | {"x-request-id"}
_AUTHORIZATION: Final = "authorization"
_NAME: Final = re.compile(r"[a-z0-9_.-]+")
_VISIBLE: Final = re.compile(r"[!-~](?:[ -~\t]*[!-~])?|")
_MOST_MS: Final = 9_999_999_999


def request_headers(metadata: Metadata, context: RequestContext) -> dict[str, str]:
    """Return the headers of a request with its metadata and typed values, by their names in lower case.

    Raises:
        LocalProtocolError: a name is not lower case or has other characters than `a-z 0-9 _ . -`, or a value cannot be
            sent in a header.
    """
    found: dict[str, str] = {}
    if context.timeout is not None:
        found["rpc-timeout-ms"] = str(min(max(round(context.timeout * 1000), 0), _MOST_MS))
    if context.attempt:
        found["rpc-attempt"] = str(context.attempt)
    if context.tag:
        found["rpc-tag"] = _encoded("tag", context.tag)
    if context.caller:
        found["rpc-caller"] = _encoded("caller", context.caller)
    if context.trace:
        found["traceparent"] = _visible("traceparent", context.trace)
    for name, value in cast("Mapping[Any, Any]", metadata).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise _unsendable(name, "names and values must be strings")
        if name in _AS_IS or (name.startswith(JAEGER_BAGGAGE) and _NAME.fullmatch(name)):
            found[name] = _visible(name, value)
        elif name == _AUTHORIZATION:
            text = _visible(name, value)
            found[name] = text if " " in text else f"Bearer {text}"
        elif _NAME.fullmatch(name):
            found[_PREFIX + name] = _encoded(name, value)
        else:
            raise _unsendable(name, "use lower-case letters, digits and _ . - in names of metadata over HTTP")
    return found


def metadata_of_response(headers: Iterable[tuple[str, str]]) -> Metadata:
    """Return the metadata of a response. Values that are not percent-encoded UTF-8 are ignored.

    Args:
        headers: names in lower case, and values.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        if name.startswith(_PREFIX) and len(name) > len(_PREFIX):
            try:
                found[name[len(_PREFIX) :]] = unquoted(value.encode("latin-1"), name)
            except RemoteProtocolError:
                continue
    return found or NO_METADATA


def _encoded(name: str, value: str) -> str:
    try:
        return quote(value)
    except UnicodeEncodeError:
        raise _unsendable(name, "the value is not Unicode text") from None


def _visible(name: str, value: str) -> str:
    if not _VISIBLE.fullmatch(value):
        raise _unsendable(name, "the value must have visible ASCII characters only")
    return value


def _unsendable(name: object, why: str) -> LocalProtocolError:
    return LocalProtocolError(f"cannot send the metadata {name!r}: {why}")
