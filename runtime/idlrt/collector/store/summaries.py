"""Summaries: totals of all series of one number, in one row, by which groups are ranked.

Thousands of groups are ranked from a few hundred summaries instead of a million rows. They are written in the
transaction that writes the cells, so both always agree. A summary is the numbers of the series as 32-bit integers, in
ascending order, then their totals as 64-bit floats; all little-endian.
"""

from __future__ import annotations

import sqlite3
import sys
from array import array
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import add
from typing import Final, Literal, TypeAlias

from idlrt.collector.store.blocks import BrokenBlock
from idlrt.collector.store.keys import series_of
from idlrt.printable import plural

__all__ = ["Table", "added", "create", "update"]

Table: TypeAlias = Literal["pending", "block"]

_WIDTH: Final = 12


def update(connection: sqlite3.Connection, table: Table, at: int, totals: Mapping[int, float]) -> None:
    """Set the totals of some series, in the transaction that writes their cells.

    Args:
        connection: connection of the writer.
        table: what the totals are of: pending cells or blocks.
        at: key of the number, with 0 as series.
        totals: totals by series.
    """
    present = connection.execute(f"SELECT data FROM {table}_summary WHERE key = ?", (at,)).fetchone()
    if present is not None:
        totals = {**dict(zip(*_columns(present[0]), strict=True)), **totals}
    series = sorted(totals)
    columns = array("I", series), array("d", [totals[each] for each in series])
    if sys.byteorder == "big":
        for column in columns:
            column.byteswap()
    data = b"".join([column.tobytes() for column in columns])
    connection.execute(f"INSERT OR REPLACE INTO {table}_summary VALUES (?, ?)", (at, data))


def added(summaries: Iterable[bytes]) -> dict[int, float]:
    """Return the sums of the totals by series.

    Raises:
        BrokenBlock: one is not a summary.
    """
    # Most summaries have the same series: adding lists is several times as fast as adding in dictionaries.
    parts: dict[bytes, list[float]] = {}
    for data in summaries:
        series = data[: len(data) // _WIDTH * 4]
        _, totals = _columns(data)
        before = parts.get(series)
        parts[series] = list(totals) if before is None else list(map(add, before, totals))
    found: dict[int, float] = {}
    for series, sums in parts.items():
        for each, value in zip(_numbers(series), sums, strict=True):
            found[each] = found.get(each, 0.0) + value
    return found


def create(connection: sqlite3.Connection) -> None:
    """Write the summaries of all cells of a file of version 1, which has none."""
    tables: tuple[Table, ...] = ("pending", "block")
    for table in tables:
        rows = connection.execute(f"SELECT key, total FROM {table} ORDER BY key")
        for at, cells in groupby(rows, lambda row: row[0] - series_of(row[0])):
            update(connection, table, at, {series_of(found): total for found, total in cells})


def _numbers(data: bytes) -> array[int]:
    numbers = array("I", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _columns(data: bytes) -> tuple[array[int], array[float]]:
    length = len(data) // _WIDTH
    if len(data) != length * _WIDTH:
        raise BrokenBlock(f"a summary of {plural(len(data), 'byte')}")
    totals = array("d", data[4 * length :])
    if sys.byteorder == "big":
        totals.byteswap()
    return _numbers(data[: 4 * length]), totals
