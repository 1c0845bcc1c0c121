"""Request context: typed values that are propagated with a request."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["NO_CONTEXT", "RequestContext"]


class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """Values that are propagated with a request, best effort; each protocol defines their encoding.

    Attributes:
        timeout: seconds that the caller will wait; `None` if unknown.
        attempt: number of previous attempts, 0 for the first.
        tag: routing tag; empty for none.
        caller: name of the calling application; empty if unknown.
        trace: W3C `traceparent`; empty for none. Reserved: not read yet.
    """

    timeout: float | None = None
    attempt: int = 0
    tag: str = ""
    caller: str = ""
    trace: str = ""


NO_CONTEXT: Final = RequestContext()
