"""W3C Trace Context: `traceparent` and `tracestate`.

Differences to opentelemetry-python 1.45, which reads what this writes and the reverse:

- flags of which this version does not know the meaning are sent as 0; it passes them on.
- a `tracestate` of more than 512 characters loses members; it discards the whole list.

Source: https://www.w3.org/TR/trace-context-2/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import getrandbits as _getrandbits
from typing import ClassVar, Final

from idlrt.observe.tracing.context import Outgoing, TraceContext
from idlrt.observe.tracing.propagation.base import Extracted, MalformedHeader
from idlrt.observe.tracing.propagation.tracestate import parse_sampling, with_sampling
from idlrt.serialization import compiled

__all__ = [
    "TRACEPARENT",
    "TRACESTATE",
    "W3C",
    "is_unsampled",
    "make_next_traceparent",
    "next_traceparent",
    "parse_traceparent",
    "traceparent",
    "with_state",
]

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

# Ids that are zero are invalid, and so is version ff.
_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]([0-9a-f])")
_LENGTH: Final = 55
_SPAN_AT: Final = 36
_MAX_READ: Final = 512
_SAMPLED: Final = frozenset("13579bdf")
_RANDOM: Final = frozenset("2367abef")
_FLAGS: Final = {(False, False): "00", (True, False): "01", (False, True): "02", (True, True): "03"}


def parse_traceparent(text: str) -> TraceContext | None:
    """Return the position in a trace from a `traceparent` header; `None` if it is invalid."""
    if len(text) != _LENGTH:
        text = _trimmed(text)
    found = _PARENT.fullmatch(text)
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    return TraceContext(trace_id, span_id, flags in _SAMPLED, flags in _RANDOM)


def _trimmed(text: str) -> str:
    """Return the 55 characters to parse: without white space, and without what higher versions append."""
    if len(text) > _MAX_READ:
        return ""
    text = text.strip(" \t")
    if len(text) > _LENGTH and text[_LENGTH] == "-" and text[:2] != "00":
        return text[:_LENGTH]
    return text


def traceparent(context: TraceContext) -> str:
    """Return the `traceparent` header. A decision that is left to the receiver is sent as "not sampled"."""
    return f"00-{context.trace_id}-{context.span_id}-{_FLAGS[bool(context.is_sampled), context.is_random]}"


_VALID: Final = r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-"

is_unsampled: Final[Callable[[str], object]] = re.compile(_VALID + "[0-9a-f][02468ace]").fullmatch
"""Tells whether a `traceparent` of version 00 is valid, and says that the trace is not sampled; `None` if not."""

# Flags of higher bits are not passed on.
_goes_on: Final = re.compile(_VALID + "0[02]").fullmatch


def next_traceparent(text: str) -> str:
    """Return the header of a request in a trace that is not sampled, with another span id.

    Args:
        text: `traceparent` that was received; empty for a new trace.

    Returns:
        The header; empty if what was received needs a parser.
    """
    # Twice as fast as formatting numbers.
    if not text:
        return f"00-{(_getrandbits(192) | 1).to_bytes(24, 'big').hex('-', -16)}-02"
    if _goes_on(text) is None:
        return ""
    return f"{text[:_SPAN_AT]}{(_getrandbits(64) or 1).to_bytes(8, 'big').hex()}{text[-3:]}"


make_next_traceparent: Final[Callable[[str], str]] = compiled("next_traceparent") or next_traceparent
"""`next_traceparent` in C, where that was built."""


def with_state(context: TraceContext, text: str) -> Extracted:
    """Return a position in a trace with the contents of `tracestate`, without any if that is invalid."""
    parsed = parse_sampling(text)
    if parsed is None:
        return Extracted(context, malformed=(TRACESTATE,))
    state, threshold, randomness = parsed
    return Extracted(
        TraceContext(
            context.trace_id,
            context.span_id,
            context.is_sampled,
            context.is_random,
            state=state,
            threshold=threshold,
            randomness=randomness,
        )
    )


class W3C:
    """Format `w3c`."""

    name: ClassVar[str] = "w3c"
    headers: ClassVar[tuple[str, ...]] = (TRACEPARENT, TRACESTATE)

    def extract(self, headers: Mapping[str, str]) -> Extracted | None:
        """Return what the headers of a request carry. `tracestate` is read only if `traceparent` is valid."""
        text = headers.get(TRACEPARENT)
        if text is None:
            return None
        context = parse_traceparent(text)
        if context is None:
            raise MalformedHeader("traceparent is invalid")
        written = headers.get(TRACESTATE)
        if not written:
            return Extracted(context)
        return with_state(context, written)

    def inject(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers to send. The threshold of a trace that is not sampled is left out."""
        context = outgoing.context
        headers = {TRACEPARENT: traceparent(context)}
        state = with_sampling(context.state, context.threshold if context.is_sampled else None, context.randomness)
        if state:
            headers[TRACESTATE] = state
        return headers
