"""Digest of a trace: its summary, and the entries of the search indexes.

Tags are indexed by their names and values as text. Business tags (`tag.NAME`) are always indexed, attributes if they
are listed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final, get_args

import msgspec

from idlrt.observe.tracing.span import Kind, Status
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["BUSINESS", "DEFAULT_TAGS", "Call", "Digest", "digest_of", "is_storable", "tag_value"]

BUSINESS: Final = "tag."
"""Prefix of the attributes that are business tags."""

DEFAULT_TAGS: Final = frozenset(
    {"error.type", "http.response.status_code", "http.route", "rpc.caller", "rpc.response.status_code"}
)
"""Attributes that are indexed by default."""

_MAX_TAGS: Final = 64
_MAX_CALLS: Final = 256
_MAX_VALUE: Final = 256
_MAX_ID: Final = 128
# Seconds since 1970, and of a duration: both fit into 64 bits as microseconds.
_MAX_TIME: Final = 1e10
_MAX_DURATION: Final = 1e9
_MICRO: Final = 1_000_000
_KINDS: Final = frozenset(get_args(Kind))
_STATUSES: Final = frozenset(get_args(Status))

Call = tuple[str, str]
"""Service and operation."""


class Digest(msgspec.Struct, frozen=True, gc=False):
    """Summary of a trace with its index entries. Times are microseconds.

    Attributes:
        start: start of the first span, since 1970.
        duration: time from there to the end of the last one.
        root: service and operation of the root.
        spans: number of spans.
        failed: number of failed spans.
        calls: services and operations, each with the duration of its longest span and whether one has failed.
        tags: names and values of indexed tags.
        left_out: number of calls and tags that exceeded the limits of the indexes.
    """

    start: int
    duration: int
    root: Call
    spans: int
    failed: int
    calls: dict[Call, tuple[int, bool]]
    tags: set[tuple[str, str]]
    left_out: int

    @property
    def services(self) -> int:
        """Number of services."""
        return len({service for service, _ in self.calls})


def is_storable(span: SpanRecord) -> bool:
    """Return whether the ids, times, kind and status of a span are plausible; it may come from outside."""
    return (
        0 < len(span.trace_id) <= _MAX_ID
        and 0 < len(span.span_id) <= _MAX_ID
        and math.isfinite(span.started_at)
        and 0 <= span.started_at <= _MAX_TIME
        and 0 <= span.duration_s <= _MAX_DURATION
        and span.kind in _KINDS
        and span.status in _STATUSES
    )


def tag_value(value: object) -> str:
    """Return the value of a tag as the index has it."""
    return str(value)[:_MAX_VALUE]


def digest_of(spans: Sequence[SpanRecord], indexed: Collection[str]) -> Digest:
    """Return the digest of the spans of one trace.

    The root is the first span without a parent; else the first one whose parent is unknown; else the first one.
    """
    known = {each.span_id for each in spans}
    first = min(spans, key=lambda each: each.started_at)
    root, rank = first, 2
    end = 0.0
    failed = left_out = 0
    calls: dict[Call, tuple[int, bool]] = {}
    tags: set[tuple[str, str]] = set()
    for each in spans:
        end = max(end, each.started_at + each.duration_s)
        is_failed = each.status == "error"
        failed += is_failed
        its_rank = 0 if not each.parent_id else 1 if each.parent_id not in known else 2
        if its_rank < rank or (its_rank == rank and each.started_at < root.started_at):
            root, rank = each, its_rank
        call = each.service, each.name
        before = calls.get(call)
        duration = round(each.duration_s * _MICRO)
        if before is not None:
            calls[call] = max(before[0], duration), before[1] or is_failed
        elif len(calls) < _MAX_CALLS:
            calls[call] = duration, is_failed
        else:
            left_out += 1
        for name, value in each.attributes.items():
            if name in indexed or name.startswith(BUSINESS):
                tag = name, tag_value(value)
                if tag in tags:
                    continue
                if len(tags) < _MAX_TAGS:
                    tags.add(tag)
                else:
                    left_out += 1
    start = math.floor(first.started_at * _MICRO)
    return Digest(
        start=start,
        duration=max(round(end * _MICRO) - start, 0),
        root=(root.service, root.name),
        spans=len(spans),
        failed=failed,
        calls=calls,
        tags=tags,
        left_out=left_out,
    )
