"""Search of one file of traces.

A search walks one index, that of the condition with the fewest entries, and looks the other conditions up by the
number of the trace. Rows of summaries are read after the limit was applied, spans never.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from idlrt.collector.traces.digest import BUSINESS, tag_value
from idlrt.collector.traces.hour_file import number_range, reason_of, start_of
from idlrt.collector.traces.packing import unpack_id
from idlrt.collector.traces.query import TraceQuery, TraceSummary

__all__ = ["Bounds", "search_file"]

_MICRO: Final = 1_000_000
# Counting stops here: both are large then.
_MAX_COUNTED: Final = 1000
_MAX_DURATION: Final = (1 << 63) - 1


class Bounds(msgspec.Struct, frozen=True):
    """Bounds of a search, in microseconds.

    Attributes:
        start: start of the time range, since 1970.
        end: its end, exclusive.
        min: minimum duration.
        max: maximum duration.
    """

    start: int
    end: int
    min: int = 0
    max: int = _MAX_DURATION


class _Condition(msgspec.Struct, frozen=True):
    """A condition with an index.

    Attributes:
        table: the index.
        walks: conditions of its walks, each with the values of its placeholders; results of all walks count.
        lookup: condition that holds for the trace `d.no`.
        values: values of the placeholders in `lookup`.
    """

    table: str
    walks: Sequence[tuple[str, tuple[Any, ...]]]
    lookup: str
    values: tuple[Any, ...] = ()


def search_file(database: sqlite3.Connection, base: int, query: TraceQuery, bounds: Bounds) -> list[TraceSummary]:
    """Return the traces of a file that match, at most `query.limit` per entry of the walked index.

    Args:
        database: the file.
        base: its hour, in microseconds since 1970.
        query: the query.
        bounds: its bounds.
    """
    numbers = number_range(base, bounds.start, bounds.end)
    conditions: list[_Condition] = []
    matched = "(SELECT t.duration FROM trace t WHERE t.no = d.no)"
    has_call = bool(query.service or query.operation)
    if has_call:
        operations = _operations(database, query)
        if not operations:
            return []
        listed = ",".join(map(str, operations))
        failed = " AND c.failed" if query.is_failed else ""
        matched = (
            f"(SELECT max(c.duration) FROM call c WHERE c.operation IN ({listed}) AND c.no = d.no "
            f"AND c.duration BETWEEN {bounds.min} AND {bounds.max}{failed})"
        )
        walks = [(f"d.operation = {each}{failed.replace('c.', 'd.')}", ()) for each in operations]
        conditions.append(_Condition("call", walks, "1"))
    elif query.is_failed:
        conditions.append(_Condition("failed", [("1", ())], "EXISTS (SELECT 1 FROM failed f WHERE f.no = d.no)"))
    for name, value in query.tags.items():
        names = _tag_names(database, name)
        if not names:
            return []
        text = tag_value(value)
        listed = ",".join(map(str, names))
        lookup = f"EXISTS (SELECT 1 FROM tag g WHERE g.name IN ({listed}) AND g.value = ? AND g.no = d.no)"
        conditions.append(
            _Condition("tag", [(f"d.name = {each} AND d.value = ?", (text,)) for each in names], lookup, (text,))
        )
    driver = _tightest(database, conditions, numbers) if conditions else _Condition("trace", [("1", ())], "1")
    others = [each for each in conditions if each is not driver]
    if driver.table in ("call", "trace"):
        matched = "d.duration"
    order = "matched DESC, d.no DESC" if query.order == "slowest" else "d.no DESC"
    found: dict[int, TraceSummary] = {}
    for walk, values in driver.walks:
        statement = f"""
            SELECT t.no, t.id, t.duration, o.service, o.name, t.spans, t.failed, t.services, t.reason, t.weight,
            x.matched FROM (
                SELECT d.no AS no, {matched} AS matched FROM {driver.table} d
                WHERE {walk} AND d.no BETWEEN ? AND ? AND {" AND ".join(each.lookup for each in others) or "1"}
                AND {matched} BETWEEN {bounds.min} AND {bounds.max} ORDER BY {order} LIMIT ?
            ) x CROSS JOIN trace t ON t.no = x.no CROSS JOIN operation o ON o.id = t.root"""
        looked_up = [value for each in others for value in each.values]
        for row in database.execute(statement, (*values, *numbers, *looked_up, query.limit)):
            summary = _summary(base, row)
            known = found.get(row[0])
            if known is None or known.matched_s < summary.matched_s:
                found[row[0]] = summary
    return list(found.values())


def _summary(base: int, row: tuple[Any, ...]) -> TraceSummary:
    no, id, duration, service, name, spans, failed, services, reason, weight, matched = row
    return TraceSummary(
        trace_id=unpack_id(id),
        started_at=start_of(base, no) / _MICRO,
        duration_s=duration / _MICRO,
        service=service,
        operation=name,
        spans=spans,
        failed=failed,
        services=services,
        matched_s=matched / _MICRO,
        reason=reason_of(reason),
        adjusted_count=weight,
    )


def _operations(database: sqlite3.Connection, query: TraceQuery) -> list[int]:
    rows = database.execute(
        "SELECT id FROM operation WHERE (?1 = '' OR service = ?1) AND (?2 = '' OR name = ?2)",
        (query.service, query.operation),
    )
    return [each for (each,) in rows]


def _tag_names(database: sqlite3.Connection, name: str) -> list[int]:
    rows = database.execute("SELECT id FROM tag_name WHERE name IN (?, ?)", (name, BUSINESS + name))
    return [each for (each,) in rows]


def _tightest(database: sqlite3.Connection, conditions: Sequence[_Condition], numbers: tuple[int, int]) -> _Condition:
    """Return the condition with the fewest entries in its index."""
    if len(conditions) == 1:
        return conditions[0]

    def entries(condition: _Condition) -> int:
        found = 0
        for walk, values in condition.walks:
            statement = f"SELECT 1 FROM {condition.table} d WHERE {walk} AND d.no BETWEEN ? AND ? LIMIT ?"
            left = _MAX_COUNTED - found
            if left > 0:
                found += len(database.execute(statement, (*values, *numbers, left)).fetchall())
        return found

    return min(conditions, key=entries)
