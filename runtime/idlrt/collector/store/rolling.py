"""Rolling up: complete blocks of cells are packed, and added to the cells of the next level.

All cells go the same way: a commit adds them to the pending cells of the finest level. When the time of a block is
over, its pending cells are added to the block, and to the pending cells of the next level, in one transaction. So each
cell passes each level once, no matter how late it arrives, how often the program restarts, or whether the clock jumps.
What a level has is its blocks, its pending cells, and the pending cells of all finer levels.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from idlrt.collector.store import summaries
from idlrt.collector.store.blocks import decode, decode_one, encode, encode_one
from idlrt.collector.store.database import Database
from idlrt.collector.store.keys import key, keys, number_of, series_of
from idlrt.collector.store.retention import Level, Retention
from idlrt.collector.store.values import Row, Stored, code_of, summed, total

__all__ = ["delete_expired", "delete_unused", "enforce_size", "kept_since", "roll_up"]

# Seconds after the end of a block until it is packed: reports of its last step may still arrive.
_GRACE: Final = 30
_SLICE: Final = 2000
_NUMBERS: Final = 1 << 31


def kept_since(connection: sqlite3.Connection) -> dict[int, int]:
    """Return the time by tier before which blocks were deleted."""
    return {int(tier): int(since) for tier, since in connection.execute("SELECT tier, since FROM kept")}


def roll_up(database: Database, retention: Retention, now: float) -> int:
    """Pack all blocks whose time is over, the finest level first; return their number."""
    with database.translated("read"):
        kept = kept_since(database.writer)
    found = 0
    for at, level in enumerate(retention.levels):
        coarser = retention.levels[at + 1] if at + 1 < len(retention.levels) else None
        for tier in (2 * at, 2 * at + 1):
            for block in _complete(database, tier, level, now):
                _pack(database, tier, level, coarser, block, kept.get(tier, 0))
                found += 1
    return found


def _complete(database: Database, tier: int, level: Level, now: float) -> Iterator[int]:
    """Yield the numbers of blocks that have pending cells and are over."""
    end = int((now - _GRACE) // level.span) * level.cells
    while end > 0:
        with database.translated("read"):
            query = "SELECT min(key) FROM pending WHERE key BETWEEN ? AND ?"
            first = database.writer.execute(query, keys(tier, 0, end)).fetchone()[0]
        if first is None:
            return
        yield number_of(first) // level.cells


def _pack(database: Database, tier: int, level: Level, coarser: Level | None, block: int, since: int) -> None:
    """Move the pending cells of a block of all series of a tier."""
    first = block * level.cells
    bounds = keys(tier, first, first + level.cells)
    is_kept = (block + 1) * level.span > since
    with database.transaction("write") as connection:
        run = connection.execute
        # The order requires a sorter, which has read everything before the first row: the table may be written to.
        query = "SELECT key, data FROM pending WHERE key BETWEEN ? AND ? ORDER BY key & 134217727, key"
        above = _Above(connection, tier + 2, level, coarser, block) if coarser is not None else None
        seen: list[tuple[int, int]] = []
        totals: dict[int, float] = {}
        for series, rows in groupby(run(query, bounds), lambda row: series_of(row[0])):
            cells = {number_of(found) - first: decode_one(data) for found, data in rows}
            if above is not None:
                above.add(series, cells)
            if is_kept:
                totals[series] = _merge(connection, key(tier, block, series), cells, is_coarse=level.is_coarse)
            seen.append((block * level.span, series))
        if above is not None:
            above.write()
        if totals:
            summaries.update(connection, "block", key(tier, block), totals)
        for table in ("pending", "pending_summary"):
            run(f"DELETE FROM {table} WHERE key BETWEEN ? AND ?", bounds)
        connection.executemany("UPDATE series SET seen = max(seen, ?) WHERE id = ?", seen)


def _merge(connection: sqlite3.Connection, at: int, cells: dict[int, Stored], *, is_coarse: bool) -> float:
    """Add cells to a block; return its total."""
    present = connection.execute("SELECT data FROM block WHERE key = ?", (at,)).fetchone()
    if present is not None:
        for position, value in decode(present[0]).items():
            cells[position] = summed((value, cells[position])) if position in cells else value
    data = encode(code_of(next(iter(cells.values()))), cells, is_coarse=is_coarse)
    weight = sum(map(total, cells.values()))
    connection.execute("INSERT OR REPLACE INTO block VALUES (?, ?, ?)", (at, weight, data))
    return weight


class _Above:
    """Pending cells of the next level that a block is added to."""

    def __init__(self, connection: sqlite3.Connection, tier: int, level: Level, coarser: Level, block: int) -> None:
        self._connection = connection
        self._tier = tier
        self._coarser = coarser
        self._ratio = coarser.step // level.step
        self._first = block * level.cells
        last = self._first + level.cells - 1
        query = "SELECT key, data FROM pending WHERE key BETWEEN ? AND ?"
        bounds = keys(tier, self._first // self._ratio, last // self._ratio + 1)
        self._present: dict[int, bytes] = dict(connection.execute(query, bounds))
        self._rows: list[tuple[int, float, bytes]] = []
        self._totals: dict[int, dict[int, float]] = {}

    def add(self, series: int, cells: dict[int, Stored]) -> None:
        """Add the cells of a series."""
        parts: dict[int, list[Stored]] = {}
        for position, value in cells.items():
            parts.setdefault((self._first + position) // self._ratio, []).append(value)
        for number, values in parts.items():
            at, value = key(self._tier, number, series), summed(values)
            if self._coarser.is_coarse and isinstance(value, Row):
                value = value.coarse()
            present = self._present.get(at)
            if present is not None:
                value = summed((decode_one(present), value))
            weight = self._totals.setdefault(number, {})[series] = total(value)
            self._rows.append((at, weight, encode_one(value)))
        if len(self._rows) >= _SLICE:
            self._flush()

    def write(self) -> None:
        """Write all cells."""
        self._flush()
        for number, totals in self._totals.items():
            summaries.update(self._connection, "pending", key(self._tier, number), totals)

    def _flush(self) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO pending VALUES (?, ?, ?)", self._rows)
        self._rows.clear()


def delete_expired(database: Database, retention: Retention, newest: float) -> None:
    """Delete blocks by retention, in slices.

    Args:
        database: the file.
        retention: what is kept.
        newest: time that ages are relative to. While nothing arrives, nothing expires.
    """
    for at, level in enumerate(retention.levels):
        for tier, keep in ((2 * at, level.keep_instances), (2 * at + 1, level.keep)):
            _delete_before(database, tier, level, int((newest - keep) // level.span))


def delete_unused(database: Database, retention: Retention, newest: float, is_open: Iterable[int]) -> bool:
    """Delete series whose cells have expired, and resources and metrics without series; return whether there were any.

    Args:
        database: the file.
        retention: what is kept.
        newest: time that ages are relative to.
        is_open: series that the writer has open.
    """
    oldest = newest - max(max(each.keep, each.keep_instances) + each.span for each in retention.levels)
    with database.translated("read"):
        found = database.writer.execute("SELECT id FROM series WHERE seen < ?", (oldest,)).fetchall()
    opened = frozenset(is_open) if found else frozenset[int]()
    unused = [row for row in found if row[0] not in opened]
    if not unused:
        return False
    with database.transaction("write") as connection:
        connection.executemany("DELETE FROM series WHERE id = ?", unused)
        connection.execute("DELETE FROM resource WHERE id NOT IN (SELECT resource FROM series)")
        connection.execute("DELETE FROM metric WHERE id NOT IN (SELECT metric FROM series)")
    return True


def _delete_before(database: Database, tier: int, level: Level, block: int) -> None:
    if block <= 0:
        return
    since = block * level.span
    with database.translated("read"):
        if kept_since(database.writer).get(tier, 0) >= since:
            return
    with database.transaction("write") as connection:
        connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (tier, since))
        connection.execute("DELETE FROM block_summary WHERE key BETWEEN ? AND ?", keys(tier, 0, block))
    low, high = keys(tier, 0, block)
    query = "DELETE FROM block WHERE key IN (SELECT key FROM block WHERE key BETWEEN ? AND ? LIMIT ?)"
    while True:
        with database.transaction("write") as connection:
            if connection.execute(query, (low, high, _SLICE)).rowcount < _SLICE:
                return


def enforce_size(database: Database, retention: Retention, max_bytes: int) -> None:
    """Delete the oldest blocks of the finest levels until the file has at most `max_bytes`.

    The newest block of each level is kept, and so are pending cells.
    """
    for at, level in enumerate(retention.levels):
        for tier in (2 * at, 2 * at + 1):
            while True:
                with database.translated("read"):
                    if database.used_bytes <= max_bytes:
                        return
                    query = "SELECT min(key), max(key) FROM block WHERE key BETWEEN ? AND ?"
                    oldest, latest = database.writer.execute(query, keys(tier, 0, _NUMBERS - 1)).fetchone()
                if oldest is None or number_of(oldest) == number_of(latest):
                    break
                _delete_before(database, tier, level, number_of(oldest) + 1)
