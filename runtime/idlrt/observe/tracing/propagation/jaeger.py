"""Jaeger's format: `uber-trace-id`, baggage as `uberctx-NAME`, and `jaeger-debug-id` with `jaeger-baggage`.

Values are percent-decoded, because old clients encode colons over HTTP; opentelemetry-python refuses those. It writes
the flags of every sampled call as 03, which means sampled and debug: honour debug from trusted callers only.

Source: https://www.jaegertracing.io/docs/1.76/sdk-migration/#propagation-format
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

from idlrt.observe.tracing.context import NO_TEXTS, Outgoing, TraceContext
from idlrt.observe.tracing.propagation.baggage import MAX_BAGGAGE, bounded, decoded, encoded
from idlrt.observe.tracing.propagation.base import Extracted, MalformedHeader, padded, plain_name

__all__ = ["Jaeger"]

_TRACE: Final = "uber-trace-id"
_BAGGAGE: Final = "uberctx-"
_DEBUG_ID: Final = "jaeger-debug-id"
_DEBUG_BAGGAGE: Final = "jaeger-baggage"

_MAX_READ: Final = 256
_FLAGS: Final = re.compile(r"[0-9a-fA-F]{1,2}")
_PARENT: Final = re.compile(r"[0-9a-fA-F]{1,16}")
_IS_SAMPLED, _IS_DEBUG = 1, 2
# Names that are the same before and after a proxy that changes the case of headers.
_NAME: Final = re.compile(r"[a-z0-9_.-]+")


class Jaeger:
    """Format `jaeger`."""

    name: ClassVar[str] = "jaeger"
    headers: ClassVar[tuple[str, ...]] = (_TRACE, _BAGGAGE, _DEBUG_ID, _DEBUG_BAGGAGE)

    def extract(self, headers: Mapping[str, str]) -> Extracted | None:
        """Return what the headers of a request carry. A debug id is read only if there is no `uber-trace-id`."""
        text = headers.get(_TRACE)
        if text is not None:
            return Extracted(_parsed(text), baggage=_bounded(_prefixed(headers)))
        debug_id = headers.get(_DEBUG_ID)
        if not debug_id:
            return None
        baggage = [*_listed(headers.get(_DEBUG_BAGGAGE, "")), *_prefixed(headers)]
        return Extracted(None, baggage=_bounded(iter(baggage)), decision=True, debug_id=plain_name(debug_id))

    def inject(self, outgoing: Outgoing) -> dict[str, str]:
        """Return the headers to send. Names that are no lower-case names of headers travel in `baggage` only."""
        context = outgoing.context
        flags = "3" if context.is_debug else "1" if context.is_sampled else "0"
        headers = {_TRACE: f"{context.trace_id}:{context.span_id}:{outgoing.parent_id or '0'}:{flags}"}
        if outgoing.baggage or outgoing.tags:
            members = {**outgoing.baggage, **outgoing.tags}
            headers |= bounded(
                (_BAGGAGE + name, encoded(value)) for name, value in members.items() if _NAME.fullmatch(name)
            )[0]
        return headers


def _parsed(text: str) -> TraceContext:
    if len(text) > _MAX_READ:
        raise MalformedHeader("uber-trace-id is too long")
    fields = decoded(text.strip(" \t")).split(":")
    if len(fields) != 4:
        raise MalformedHeader("uber-trace-id must have four fields")
    trace_id, span_id, parent_id, flags = fields
    if not _FLAGS.fullmatch(flags) or not _PARENT.fullmatch(parent_id):
        raise MalformedHeader("uber-trace-id has invalid flags or parent")
    bits = int(flags, 16)
    is_debug = bool(bits & _IS_DEBUG)
    return TraceContext(
        padded(trace_id, 32), padded(span_id, 16), is_debug or bool(bits & _IS_SAMPLED), is_debug=is_debug
    )


def _prefixed(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name.startswith(_BAGGAGE) and len(name) > len(_BAGGAGE) and len(value) <= MAX_BAGGAGE:
            yield name[len(_BAGGAGE) :], decoded(value)


def _listed(text: str) -> Iterator[tuple[str, str]]:
    for member in text.split(",") if len(text) <= MAX_BAGGAGE else ():
        name, equals, value = member.partition("=")
        if equals and name.strip():
            yield name.strip(), decoded(value.strip())


def _bounded(pairs: Iterator[tuple[str, str]]) -> Mapping[str, str]:
    return bounded(pairs)[0] or NO_TEXTS
