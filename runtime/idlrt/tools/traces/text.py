"""Calls and traces as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.observe.tracing.waterfall import Row, Waterfall
from idlrt.printable import plural
from idlrt.web.formats import duration

__all__ = ["call_line", "heading", "tree_lines"]

_BAR: Final = 24
_MAX_INDENT: Final = 20


def heading() -> str:
    """Return the titles of `call_line`."""
    return f"{'TIME':<12}  {'DURATION':>9}  {'STATUS':<18}  {'TRACE':<32}  {'KIND':<8}  SERVICE: METHOD"


def call_line(span: SpanRecord) -> str:
    """Return a call as one line."""
    at = datetime.fromtimestamp(span.started_at, UTC).strftime("%H:%M:%S.%f")[:-3]
    status = span.outcome or "-"
    line = f"{at:<12}  {duration(span.duration_s):>9}  {status:<18}  {span.trace_id}  {span.kind:<8}  "
    line += f"{span.service}: {span.name}"
    if span.caller:
        line += f" from {span.caller}"
    if span.is_late:
        line += " (late)"
    if span.has_lost_context:
        line += " (context lost)"
    return line + "".join(f" {name}:{value}" for name, value in span.tags.items())


def tree_lines(found: Waterfall, trace_id: str, *, has_attributes: bool = False) -> Iterator[str]:
    """Return a trace as a tree with its times.

    Args:
        found: the trace.
        trace_id: its id.
        has_attributes: whether to show attributes.
    """
    at = datetime.fromtimestamp(found.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    counts = f"{plural(len(found.rows), 'span')} of {plural(len(found.services), 'service')}, {found.failed} failed"
    yield f"trace {trace_id} at {at} UTC: {duration(found.duration_s)}, {counts}"
    yield f"{'START':>9} {'DURATION':>9} {'SELF':>9}  {'':{_BAR}}  SPAN"
    for row in found.rows:
        yield from _row_lines(row, found, has_attributes=has_attributes)


def _row_lines(row: Row, found: Waterfall, *, has_attributes: bool) -> Iterator[str]:
    span = row.span
    indent = "  " * min(row.depth, _MAX_INDENT)
    times = f"{duration(row.offset_s):>9} {duration(span.duration_s):>9} {duration(row.self_s):>9}"
    known = ("late", span.is_late), ("context lost", span.has_lost_context), ("parent unknown", row.is_orphan)
    notes = [f"({text})" for text, is_so in known if is_so]
    if row.shift_s:
        notes.append(f"(clock corrected by {'-' if row.shift_s < 0 else '+'}{duration(abs(row.shift_s))})")
    name = " ".join(each for each in (f"{span.service}: {span.name}", span.kind, span.outcome, *notes) if each)
    yield f"{times}  {_bar(row, found)}  {indent}{name}"
    margin = f"{'':{29 + _BAR + 4}}{indent}  "
    if span.message:
        yield f"{margin}! {span.message}"
    for link in span.links:
        yield f"{margin}link to {link.trace_id}" + (f": {link.why}" if link.why else "")
    for each in span.events:
        values = "".join(f" {name}={value}" for name, value in each.attributes.items())
        yield f"{margin}+{duration(each.at_s)} {each.name}{values}"
    if has_attributes:
        for name, value in span.attributes.items():
            yield f"{margin}{name}={value}"


def _bar(row: Row, found: Waterfall) -> str:
    """Return the place of a span on the time axis, at least one character wide."""
    scale = _BAR / found.duration_s if found.duration_s > 0 else 0.0
    first = min(int(row.offset_s * scale), _BAR - 1)
    last = min(max(round((row.offset_s + row.span.duration_s) * scale), first + 1), _BAR)
    return f"{' ' * first}{('x' if row.span.is_failed else '=') * (last - first)}".ljust(_BAR)
