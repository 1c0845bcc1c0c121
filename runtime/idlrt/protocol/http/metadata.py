"""Headers that carry metadata and typed values, in both directions.

| header of a request         | meaning                                                                |
|-----------------------------|------------------------------------------------------------------------|
| `Rpc-Timeout-Ms`            | remaining timeout of the call in milliseconds                          |
| `Rpc-Attempt`               | number of earlier attempts of the call                                 |
| `Rpc-Tag`                   | tag of the instances to call                                           |
| `Rpc-Caller`                | name of the calling application                                        |
| `Rpc-Metadata-NAME`         | metadata `NAME`; its value is percent-encoded UTF-8                    |
| `Authorization`             | metadata `authorization`; the token alone for the scheme `Bearer`      |
| `traceparent`               | W3C trace context                                                      |
| `tracestate`, `baggage`, and trace context of other formats, such as `b3` | metadata of the same name |
| `uberctx-NAME`              | metadata of the same name: baggage of Jaeger                           |
| others                      | metadata of the same name, if the option `Http.metadata` lists them    |

Metadata in one of these headers takes precedence over `Rpc-Metadata-NAME`, because gateways set such headers.

Responses carry metadata as `Rpc-Metadata-NAME`, except `traceresponse`, the position in the trace, which has the name
and the format of the drafts of W3C and of OpenTelemetry's instrumentation for Python. Names of the runtime's own
metadata in other protocols, such as `client_timeout`, cannot arrive in this way, and neither can headers that concern
one connection only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import quote

from idlrt.core.metadata import JAEGER_BAGGAGE, NO_METADATA, TRACE_RESPONSE, Metadata
from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.protocol.events import NO_CONTEXT, RequestContext
from idlrt.protocol.http.templates import unquoted

__all__ = ["PREFIX", "read_metadata", "retry_after_line", "write_metadata"]

PREFIX: Final = b"rpc-metadata-"
"""Prefix of the headers that carry metadata."""

_RPC: Final = b"rpc-"
_TIMEOUT, _ATTEMPT, _TAG, _CALLER = b"rpc-timeout-ms", b"rpc-attempt", b"rpc-tag", b"rpc-caller"
_TRACE: Final = b"traceparent"
_BAGGAGE: Final = JAEGER_BAGGAGE.encode()
_AUTHORIZATION: Final = b"authorization"
_MAX_DIGITS: Final = 10
_NAME_BYTES: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
# Metadata of the runtime, and tokens: a gateway that removes `Authorization` removes them all.
_REFUSED: Final = frozenset(
    {b"client_timeout", b"rpc_attempt", b"rpc_tag", b"rpc_caller", b"rpc_retry_after", b"drain", _AUTHORIZATION}
)
# Longer than a year means "never".
_MAX_RETRY_AFTER: Final = 365 * 86_400


def read_metadata(headers: Mapping[bytes, bytes], allowed: frozenset[bytes]) -> tuple[RequestContext, Metadata]:
    """Return the typed values and the metadata of a request.

    Args:
        headers: values by lower-case name.
        allowed: names of headers that become metadata.

    Raises:
        RemoteProtocolError: a value is invalid.
    """
    found: dict[str, str] = {}
    timeout: float | None = None
    attempt, tag, caller, trace = 0, "", "", ""
    for name, value in headers.items():
        if name[:4] == _RPC:
            if name.startswith(PREFIX):
                key = name[len(PREFIX) :]
                if key and key not in _REFUSED and _NAME_BYTES.issuperset(key):
                    # A header of the same name, which a gateway may have set, takes precedence.
                    found.setdefault(key.decode(), unquoted(value, f"header {name.decode()}"))
            elif name == _TIMEOUT:
                timeout = _number(name, value) / 1000
            elif name == _ATTEMPT:
                attempt = _number(name, value)
            elif name == _TAG:
                tag = unquoted(value, "header rpc-tag")
            elif name == _CALLER:
                caller = unquoted(value, "header rpc-caller")
        elif name == _AUTHORIZATION:
            text = value.decode("latin-1")
            found["authorization"] = text[7:].lstrip(" ") if text[:7].lower() == "bearer " else text
        elif name == _TRACE:
            trace = value.decode("latin-1")
        elif name in allowed or (name.startswith(_BAGGAGE) and _NAME_BYTES.issuperset(name)):
            found[name.decode()] = value.decode("latin-1")
    if timeout is None and not (attempt or tag or caller or trace):
        return NO_CONTEXT, found or NO_METADATA
    return RequestContext(timeout, attempt, tag, caller, trace), found or NO_METADATA


def _number(name: bytes, value: bytes) -> int:
    if not (value.isdigit() and len(value) <= _MAX_DIGITS):
        raise RemoteProtocolError(f"header {name.decode()}: must be a number of at most {_MAX_DIGITS} digits")
    return int(value)


def write_metadata(metadata: Metadata) -> bytes:
    """Return the header lines of metadata, each with its line break.

    Raises:
        LocalProtocolError: a name cannot be sent, or a value is not a string.
    """
    lines: list[bytes] = []
    for name, value in cast("Mapping[object, object]", metadata).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise LocalProtocolError(f"cannot send the metadata {name!r}: names and values must be strings")
        key = name.encode(errors="replace")
        if not key or not _NAME_BYTES.issuperset(key):
            what = "over HTTP, names must consist of lower-case letters, digits, '.', '_' and '-'"
            raise LocalProtocolError(f"cannot send the metadata {name!r}: {what}")
        prefix = b"" if name == TRACE_RESPONSE else PREFIX
        lines.append(b"%b%b: %b\r\n" % (prefix, key, quote(value, errors="surrogatepass").encode()))
    return b"".join(lines)


def retry_after_line(seconds: float | None) -> bytes:
    """Return the header line of a pushback, in whole seconds, rounded up; empty for none."""
    if seconds is None or math.isnan(seconds):
        return b""
    return b"retry-after: %d\r\n" % min(max(math.ceil(min(seconds, _MAX_RETRY_AFTER)), 0), _MAX_RETRY_AFTER)
