"""Names of metadata that the runtime itself writes and reads, and what they say.

| name             | direction | value                                                                              |
|------------------|-----------|------------------------------------------------------------------------------------|
| `client_timeout` | call      | milliseconds that the caller goes on waiting, counted from when the call is sent   |
| `drain`          | answer    | `true`: this server is about to stop; make further calls over another connection   |
| `rpc_tag`        | call      | the tag of the instances that the call is for (`idlrt.route.tag`); travels along   |

Sources: fbthrift's `THeader.h` (`client_timeout`), Envoy's Thrift proxy (`drain`).
"""

from __future__ import annotations

import math
from typing import Final

from idlrt.wire.framing import Metadata

__all__ = ["CLIENT_TIMEOUT", "DRAIN", "TAG", "TRUE", "is_draining", "milliseconds", "told_timeout"]

CLIENT_TIMEOUT: Final = "client_timeout"
DRAIN: Final = "drain"
TAG: Final = "rpc_tag"
TRUE: Final = "true"

_LONGEST_DIGITS: Final = 12


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
