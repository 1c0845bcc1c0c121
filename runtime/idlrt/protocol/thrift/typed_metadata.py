"""Typed values of requests and responses in the metadata of THeader frames.

| name              | direction | value                                                                                |
|-------------------|-----------|--------------------------------------------------------------------------------------|
| `client_timeout`  | request   | remaining timeout of the call when it is sent, in milliseconds                       |
| `rpc_attempt`     | request   | number of earlier attempts of the call; propagated to nested calls                   |
| `rpc_tag`         | request   | tag of the instances to call (`idlrt.route.tag`); propagated to nested calls         |
| `rpc_caller`      | request   | name of the calling application                                                      |
| `traceparent`     | request   | W3C trace context; reserved                                                          |
| `drain`           | response  | `true`: the server is draining; send further requests on another connection          |
| `rpc_retry_after` | response  | milliseconds after which a rejected call may be retried; `-1`: never                 |

Sources: fbthrift's `THeader.h` (`client_timeout`), Envoy's Thrift proxy (`drain`), gRFC A6 (`rpc_retry_after`, there
`grpc-retry-pushback-ms`: negative and invalid values mean "never").
"""

from __future__ import annotations

import math
from typing import Final

from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.protocol.events import NO_CONTEXT, RequestContext

__all__ = ["context_from", "is_draining", "push_back_from", "request_metadata", "response_metadata"]

ATTEMPT: Final = "rpc_attempt"
CALLER: Final = "rpc_caller"
CLIENT_TIMEOUT: Final = "client_timeout"
DRAIN: Final = "drain"
RETRY_AFTER: Final = "rpc_retry_after"
TAG: Final = "rpc_tag"
TRACE: Final = "traceparent"
TRUE: Final = "true"

_TYPED: Final = frozenset({ATTEMPT, CALLER, CLIENT_TIMEOUT, TAG, TRACE})
_LONGEST_DIGITS: Final = 12
# Longer than a year means "never".
_LONGEST_PUSH_BACK: Final = 365 * 86400.0


def request_metadata(metadata: Metadata, context: RequestContext) -> dict[str, str]:
    """Return the metadata of a request, including its typed values."""
    carried = dict(metadata)
    if context.timeout is not None:
        carried[CLIENT_TIMEOUT] = _milliseconds(context.timeout)
    if context.attempt:
        carried[ATTEMPT] = str(context.attempt)
    if context.tag:
        carried[TAG] = context.tag
    if context.caller:
        carried[CALLER] = context.caller
    if context.trace:
        carried[TRACE] = context.trace
    return carried


def context_from(metadata: Metadata) -> tuple[RequestContext, Metadata]:
    """Split the metadata of a request into typed values and the rest. Invalid typed values stay in the rest.

    `traceparent` is in both, because clients set it as metadata and tracing filters look for it there.
    """
    if metadata.keys().isdisjoint(_TYPED):
        return NO_CONTEXT, metadata
    rest = dict(metadata)
    timeout, attempt = _number(metadata.get(CLIENT_TIMEOUT)), _number(metadata.get(ATTEMPT))
    if timeout is not None:
        del rest[CLIENT_TIMEOUT]
    if attempt is not None:
        del rest[ATTEMPT]
    context = RequestContext(
        timeout=timeout / 1000 if timeout is not None else None,
        attempt=attempt or 0,
        tag=rest.pop(TAG, ""),
        caller=rest.pop(CALLER, ""),
        trace=rest.get(TRACE, ""),
    )
    return context, rest or NO_METADATA


def response_metadata(metadata: Metadata, is_draining: bool, retry_after: float | None = None) -> Metadata:
    """Return the metadata of a response, including drain and pushback."""
    if not is_draining and retry_after is None:
        return metadata
    carried = dict(metadata)
    if is_draining:
        carried[DRAIN] = TRUE
    if retry_after is not None:
        carried[RETRY_AFTER] = _milliseconds(retry_after) if retry_after < _LONGEST_PUSH_BACK else "-1"
    return carried


def is_draining(metadata: Metadata) -> bool:
    """Whether the metadata of a response says that its server is draining."""
    return metadata.get(DRAIN) == TRUE


def push_back_from(metadata: Metadata) -> float | None:
    """Return the pushback of a response in seconds; `math.inf`: do not retry; `None`: there is none."""
    text = metadata.get(RETRY_AFTER)
    if text is None:
        return None
    number = _number(text)
    return math.inf if number is None else number / 1000


def _milliseconds(seconds: float) -> str:
    """Return milliseconds, rounded up so that a remaining time does not become 0."""
    return str(max(math.ceil(seconds * 1000), 0))


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > _LONGEST_DIGITS:
        return None
    return int(text)
