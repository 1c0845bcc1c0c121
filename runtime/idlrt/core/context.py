"""Typed values that travel with a request."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["NO_CONTEXT", "RequestContext"]


class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """Typed values that travel with a request; each protocol defines how. All of them are best effort.

    Attributes:
        timeout: seconds that the caller continues to wait; `None` if it did not say.
        attempt: how often the call was sent before; 0 for the first time.
        tag: routing tag; empty for none.
        caller: name of the calling application; empty if unknown.
        trace: W3C `traceparent`; empty for none. Reserved: nothing reads it yet.
    """

    timeout: float | None = None
    attempt: int = 0
    tag: str = ""
    caller: str = ""
    trace: str = ""


NO_CONTEXT: Final = RequestContext()
