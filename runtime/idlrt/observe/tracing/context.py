"""Trace context of calls: ids, the sampling decision, baggage and business tags, as this side reads and sends them.

Ids are text in lower-case hex, as all formats but Pinpoint's write them: formatting and parsing numbers would cost more
than the rest of an unsampled call. They come from the module-level generator of `random`, which Python re-seeds in
forked children; an own `random.Random` would give two children the same ids.

Sources: W3C Trace Context level 2; OpenTelemetry, "TraceState: Probability Sampling"
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

__all__ = ["NOTHING", "NO_TEXTS", "Incoming", "Outgoing", "TraceContext", "new_span_id", "new_trace_id"]

NO_TEXTS: Final[Mapping[str, str]] = MappingProxyType({})
"""No baggage, no tags."""

_getrandbits: Final = random.getrandbits


def new_trace_id() -> str:
    """Return a random trace id: 32 lower-case hex digits, not all zero."""
    # Twice as fast as formatting the number.
    return (_getrandbits(128) or 1).to_bytes(16, "big").hex()


def new_span_id() -> str:
    """Return a random span id: 16 lower-case hex digits, not all zero."""
    return (_getrandbits(64) or 1).to_bytes(8, "big").hex()


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """Position of a call in its trace, and the sampling decision.

    Attributes:
        trace_id: id of the trace, 32 lower-case hex digits, not all zero.
        span_id: id of the sender's span, 16 lower-case hex digits, not all zero.
        is_sampled: decision of the sender; `None`: the sender leaves it to the receiver.
        is_random: whether the low 56 bits of the trace id are random (W3C flag 02).
        is_debug: whether the trace is wanted even if nothing else would sample it (B3, Jaeger). Honour it from trusted
            callers only.
        state: W3C `tracestate`, valid and within the limits. Formats without it leave it as it is.
        threshold: rejection threshold of the `ot` member (`th`), between 0 and 2**56 - 1; `None`: the sampling
            probability is unknown.
        randomness: explicit randomness of the `ot` member (`rv`), between 0 and 2**56 - 1; `None`: the low 56 bits of
            the trace id.
    """

    trace_id: str
    span_id: str
    is_sampled: bool | None
    is_random: bool = False
    is_debug: bool = False
    state: str = ""
    threshold: int | None = None
    randomness: int | None = None


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """Trace context, baggage and tags that a request brought.

    Attributes:
        context: position in the caller's trace; `None`: the request begins a trace.
        format: name of the format that it was read from; empty for none.
        baggage: baggage, business tags included.
        tags: business tags that travel down the whole chain.
        once: business tags for this hop only.
        sender: names that the format carries about the caller: `service`, `instance`, `endpoint`, `address`
            (SkyWalking, also `segment`, `segment_span`, `mode`, and `sent_at` in milliseconds since 1970), `app`
            (EagleEye, Pinpoint), `rpc_id` (EagleEye, that of this call), `parent_id` (EagleEye, Pinpoint: span of the
            caller), `trace_id` (original id of the trace, where it is not 32 hex digits).
        conflicts: formats that carried another trace id.
        malformed: formats that were there but invalid, also `tracestate` and `baggage`.
        links: positions in the traces of `conflicts`, in the same order.
        decision: decision about the trace that the request begins, from headers without ids (`b3: 0`); `None`: none.
        debug_id: name under which the caller wants to find the trace (Jaeger); empty for none.
        dropped: number of members of baggage and tags beyond the limits.
    """

    context: TraceContext | None
    format: str = ""
    baggage: Mapping[str, str] = NO_TEXTS
    tags: Mapping[str, str] = NO_TEXTS
    once: Mapping[str, str] = NO_TEXTS
    sender: Mapping[str, str] = NO_TEXTS
    conflicts: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    links: tuple[TraceContext, ...] = ()
    decision: bool | None = None
    debug_id: str = ""
    dropped: int = 0


NOTHING: Final = Incoming(None)
"""A request without headers of any format."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """Trace context, baggage and tags that an attempt of a client call sends, and names of the sender.

    Attributes:
        context: position of the attempt; `span_id` is that of its client span.
        parent_id: span id of the client span's parent; empty for a root.
        baggage: baggage.
        tags: business tags that travel down the whole chain; they precede baggage of the same names.
        once: business tags for the next hop only.
        service: name of the sending service.
        instance: name of the sending instance.
        endpoint: operation of the server span in which the call is made; empty outside of handlers.
        target: `host:port` that the attempt goes to.
        method: method that is called, e.g. `UserService.get`.
        segment: SkyWalking's id of the sender's segment.
        segment_span: number of the sender's exit span in that segment.
        rpc_id: EagleEye's number of the call, e.g. `0.1.2`: that of the server span, a dot, and a counter from 1.
        original_id: original id of the trace (`trace_id` of `Incoming.sender`), where it is not 32 hex digits.
        sent_at: seconds since 1970 at which a message was sent; 0 for calls.
    """

    context: TraceContext
    parent_id: str = ""
    baggage: Mapping[str, str] = NO_TEXTS
    tags: Mapping[str, str] = NO_TEXTS
    once: Mapping[str, str] = NO_TEXTS
    service: str = ""
    instance: str = ""
    endpoint: str = ""
    target: str = ""
    method: str = ""
    segment: str = ""
    segment_span: int = 0
    rpc_id: str = ""
    original_id: str = ""
    sent_at: float = 0.0
