"""B3, Zipkin's formats: one header `b3`, or one header a value (`x-b3-…`).

Without a sampling state the receiver decides. opentelemetry-python takes that as sampled in `b3` and as not sampled in
the other form, reads nothing from a `b3` without ids, and takes debug as sampled. The parent's id is ignored, because
servers begin a span of their own.

Source: https://github.com/openzipkin/b3-propagation
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from idlrt.observe.tracing.context import Outgoing, TraceContext
from idlrt.observe.tracing.propagation.base import Extracted, MalformedHeader, padded

__all__ = ["B3", "B3Multi"]

_SINGLE: Final = "b3"
_TRACE: Final = "x-b3-traceid"
_SPAN: Final = "x-b3-spanid"
_PARENT: Final = "x-b3-parentspanid"
_SAMPLED: Final = "x-b3-sampled"
_FLAGS: Final = "x-b3-flags"

_MAX_READ: Final = 128
_TRACE_LENGTHS: Final = (16, 32)
_SPAN_LENGTHS: Final = (16,)
_DEBUG: Final = "d"
# Old tracers write words.
_STATES: Final = {"0": False, "1": True, _DEBUG: True, "false": False, "true": True}


class B3:
    """Format `b3`: one header."""

    name: ClassVar[str] = "b3"
    headers: ClassVar[tuple[str, ...]] = (_SINGLE,)

    def extract(self, headers: Mapping[str, str]) -> Extracted | None:
        """Return what the headers of a request carry."""
        text = headers.get(_SINGLE)
        if text is None:
            return None
        if len(text) > _MAX_READ:
            raise MalformedHeader("b3 is too long")
        fields = text.strip(" \t").split("-")
        if len(fields) == 1:
            return Extracted(None, decision=_state(fields[0]))
        if len(fields) > 4:
            raise MalformedHeader("b3 has too many fields")
        if len(fields) == 4:
            padded(fields[3], 16, lengths=_SPAN_LENGTHS)
        return Extracted(_context(fields[0], fields[1], fields[2] if len(fields) > 2 else None, is_debug=False))

    def inject(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers to send."""
        context = outgoing.context
        text = f"{context.trace_id}-{context.span_id}"
        if context.is_debug:
            text += f"-{_DEBUG}"
        elif context.is_sampled is not None:
            text += "-1" if context.is_sampled else "-0"
        else:
            return {_SINGLE: text}
        return {_SINGLE: f"{text}-{outgoing.parent_id}" if outgoing.parent_id else text}


class B3Multi:
    """Format `b3multi`: a header for each value."""

    name: ClassVar[str] = "b3multi"
    headers: ClassVar[tuple[str, ...]] = (_TRACE, _SPAN, _PARENT, _SAMPLED, _FLAGS)

    def extract(self, headers: Mapping[str, str]) -> Extracted | None:
        """Return what the headers of a request carry."""
        trace_id, span_id = headers.get(_TRACE), headers.get(_SPAN)
        sampled = headers.get(_SAMPLED)
        is_debug = headers.get(_FLAGS) == "1"
        if trace_id is None and span_id is None:
            if sampled is None and not is_debug:
                return None
            return Extracted(None, decision=is_debug or _state(sampled))
        if trace_id is None or span_id is None:
            raise MalformedHeader("x-b3-traceid and x-b3-spanid belong together")
        return Extracted(_context(trace_id, span_id, sampled, is_debug=is_debug))

    def inject(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers to send. Debug implies sampled, which is not sent along."""
        context = outgoing.context
        headers = {_TRACE: context.trace_id, _SPAN: context.span_id}
        if outgoing.parent_id:
            headers[_PARENT] = outgoing.parent_id
        if context.is_debug:
            headers[_FLAGS] = "1"
        elif context.is_sampled is not None:
            headers[_SAMPLED] = "1" if context.is_sampled else "0"
        return headers


def _context(trace_id: str, span_id: str, sampled: str | None, *, is_debug: bool) -> TraceContext:
    return TraceContext(
        padded(trace_id, 32, lengths=_TRACE_LENGTHS),
        padded(span_id, 16, lengths=_SPAN_LENGTHS),
        True if is_debug else None if sampled is None else _state(sampled),
        is_debug=is_debug or (sampled is not None and sampled.lower() == _DEBUG),
    )


def _state(text: str | None) -> bool:
    state = _STATES.get(text.lower()) if text else None
    if state is None:
        raise MalformedHeader("unknown sampling state")
    return state
