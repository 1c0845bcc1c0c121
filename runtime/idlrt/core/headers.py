"""Names of metadata that the runtime itself writes and reads, and what they say.

| name              | direction | value                                                                              |
|-------------------|-----------|------------------------------------------------------------------------------------|
| `client_timeout`  | call      | milliseconds that the caller goes on waiting, counted from when the call is sent   |
| `rpc_attempt`     | call      | how often the call was sent before; also with calls that are made on its behalf    |
| `rpc_tag`         | call      | the tag of the instances that the call is for (`idlrt.route.tag`); travels along   |
| `drain`           | answer    | `true`: this server is about to stop; make further calls over another connection   |
| `rpc_retry_after` | answer    | milliseconds after which a refused call may be made again; `-1`: never             |

Sources: fbthrift's `THeader.h` (`client_timeout`), Envoy's Thrift proxy (`drain`), gRFC A6 (`rpc_retry_after`, there
`grpc-retry-pushback-ms`: what is negative or cannot be read is "never").

Values in `AMBIENT` travel for the sake of servers that read them. Where a framing carries no metadata they are left
out, and counted; whatever else is said of a call must not be (`idlrt.client.peer_state`).
"""

from __future__ import annotations

import math
from typing import Final

from idlrt.wire.framing import Metadata

__all__ = [
    "AMBIENT",
    "ATTEMPT",
    "CLIENT_TIMEOUT",
    "DRAIN",
    "RETRY_AFTER",
    "TAG",
    "TRUE",
    "is_draining",
    "milliseconds",
    "push_back_text",
    "told_push_back",
    "told_timeout",
]

ATTEMPT: Final = "rpc_attempt"
CLIENT_TIMEOUT: Final = "client_timeout"
DRAIN: Final = "drain"
RETRY_AFTER: Final = "rpc_retry_after"
TAG: Final = "rpc_tag"
TRUE: Final = "true"

AMBIENT: Final = frozenset({ATTEMPT, CLIENT_TIMEOUT, TAG, "traceparent", "tracestate", "baggage"})
"""Best-effort metadata of calls: attempt, deadline, routing tag, trace context (W3C) and baggage."""

_LONGEST_DIGITS: Final = 12
# Over a year is never.
_LONGEST_PUSH_BACK: Final = 365 * 86400.0


def milliseconds(seconds: float) -> str:
    """A time as metadata has it, rounded up: what is left is never none before it is over."""
    return str(max(math.ceil(seconds * 1000), 0))


def told_timeout(metadata: Metadata) -> tuple[float | None, Metadata]:
    """Seconds that the caller goes on waiting, as far as it said so in a way that can be read; and the rest."""
    text = metadata.get(CLIENT_TIMEOUT)
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > _LONGEST_DIGITS:
        return None, metadata
    return int(text) / 1000, {name: value for name, value in metadata.items() if name != CLIENT_TIMEOUT}


def is_draining(metadata: Metadata) -> bool:
    """Whether an answer says that its server is about to stop."""
    return metadata.get(DRAIN) == TRUE


def push_back_text(seconds: float) -> str:
    """`PushBack.retry_after` as metadata has it."""
    return milliseconds(seconds) if seconds < _LONGEST_PUSH_BACK else "-1"


def told_push_back(metadata: Metadata) -> float | None:
    """Seconds after which a call may be made again, as its answer says; `math.inf`: never; `None`: it does not say."""
    text = metadata.get(RETRY_AFTER)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > _LONGEST_DIGITS:
        return math.inf
    return int(text) / 1000
