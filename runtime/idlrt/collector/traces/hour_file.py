"""File with the traces that were written in one hour: a SQLite database.

A trace is a row of `trace`, with its number `no`: the microseconds between the hour and its start, and 15 bits that
make it unique. So numbers are ordered as starts are, and the indexes `call` and `tag` need no other column: conditions
are joined by number. The spans are apart, in `spans`: searches do not read them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import msgspec

from idlrt.collector.traces.digest import Call, Digest
from idlrt.collector.traces.failures import damaged, reading, writing
from idlrt.collector.traces.packing import pack_id
from idlrt.collector.traces.query import Reason
from idlrt.errors import ConfigurationError

__all__ = ["HourWriter", "StoredTrace", "number_range", "open_reader", "reason_of", "start_of"]

# Numbers of reasons in a file.
_REASONS: Final[tuple[Reason, ...]] = ("all", "failed", "slow", "rare", "share")

_APPLICATION: Final = 0x69646C74
_FORMAT: Final = 2
_UNIQUE_BITS: Final = 15
_UNIQUE: Final = 1 << _UNIQUE_BITS
# 10 of these bits are from the id of the trace; further ones make room for traces with the same start.
_FROM_ID: Final = (1 << 10) - 1
# Numbers have 63 bits: starts may be 8 years away; others are found as if they were. There is room for many of them.
_MAX_OFFSET: Final = (1 << 48) - (1 << 30)
_MAX_NAMES: Final = 50_000
_SCHEMA: Final = f"""
PRAGMA page_size = 8192;
BEGIN;
CREATE TABLE operation (id INTEGER PRIMARY KEY, service TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (service, name));
CREATE TABLE tag_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE trace (
    no INTEGER PRIMARY KEY, id NOT NULL UNIQUE, duration INTEGER NOT NULL, root INTEGER NOT NULL,
    spans INTEGER NOT NULL, failed INTEGER NOT NULL, services INTEGER NOT NULL,
    reason INTEGER NOT NULL, weight REAL NOT NULL);
CREATE INDEX trace_duration ON trace (duration);
CREATE TABLE spans (no INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE failed (no INTEGER PRIMARY KEY);
CREATE TABLE call (
    operation INTEGER NOT NULL, no INTEGER NOT NULL, duration INTEGER NOT NULL, failed INTEGER NOT NULL,
    PRIMARY KEY (operation, no)) WITHOUT ROWID;
CREATE TABLE tag (
    name INTEGER NOT NULL, value TEXT NOT NULL, no INTEGER NOT NULL, PRIMARY KEY (name, value, no)) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


class StoredTrace(msgspec.Struct, frozen=True):
    """A row.

    Attributes:
        no: its number.
        data: packed spans.
        reason: why it was kept.
        weight: its adjusted count.
    """

    no: int
    data: bytes
    reason: Reason
    weight: float


def number_range(base: int, start: int, end: int) -> tuple[int, int]:
    """Return the first and last number of traces that start in a time range.

    Args:
        base: the hour, in microseconds since 1970.
        start: start of the range, likewise.
        end: its end, exclusive.
    """
    return _offset(base, start) << _UNIQUE_BITS, (_offset(base, end) << _UNIQUE_BITS) - 1


def start_of(base: int, no: int) -> int:
    """Return the start of a trace in microseconds since 1970."""
    return base + (no >> _UNIQUE_BITS)


def reason_of(number: int) -> Reason:
    """Return the reason for which a row was kept."""
    return _REASONS[number]


def _offset(base: int, start: int) -> int:
    return max(-_MAX_OFFSET, min(start - base, _MAX_OFFSET))


@contextlib.contextmanager
def open_reader(path: Path) -> Generator[sqlite3.Connection, None, None]:
    """Open a file for reading, and translate errors.

    Raises:
        ConfigurationError: the file is damaged, or of another program.
        TraceStorageError: it cannot be read now.
    """
    with reading(path):
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0)) as database:
            _check(path, database)
            yield database


def _check(path: Path, database: sqlite3.Connection) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION:
        raise damaged(path, "it is the database of another program")
    if version != _FORMAT:
        raise ConfigurationError(
            f"cannot read traces from {path}: file format {version} is not the supported format {_FORMAT}; "
            "use the version that has written it, or move the file away"
        )


def _create(path: Path) -> None:
    """Create a file with all its tables, or none if the process is killed meanwhile."""
    new = path.with_suffix(".new")
    for each in (new, path.with_suffix(".new-journal")):
        each.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as database:
        database.executescript(_SCHEMA)
    os.replace(new, path)


class HourWriter:
    """Connection that writes a file. Changes are made in transactions: `begin`, and `commit` or `rollback`.

    Args:
        path: of the file; it is created if it does not exist.
        base: its hour, in microseconds since 1970.

    Raises:
        ConfigurationError: the file is damaged, or of another program.
        TraceStorageError: it cannot be written.
    """

    def __init__(self, path: Path, base: int) -> None:
        self.path = path
        self._base = base
        self._operations: dict[Call, int] = {}
        self._tag_names: dict[str, int] = {}
        with writing(path):
            if not path.exists():
                _create(path)
            # Another thread may close the store.
            self._database = database = sqlite3.connect(
                path, isolation_level=None, timeout=30.0, check_same_thread=False
            )
            try:
                _check(path, database)
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=FULL")
                database.execute("PRAGMA cache_size=-16000")
            except BaseException:
                database.close()
                raise

    def begin(self) -> None:
        """Begin a transaction."""
        self._database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Write the changes to disk."""
        self._database.execute("COMMIT")

    def rollback(self) -> None:
        """Discard the changes."""
        self._operations, self._tag_names = {}, {}
        with contextlib.suppress(sqlite3.Error):  # SQLite itself has done it after some errors
            self._database.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def find(self, trace_id: str) -> StoredTrace | None:
        """Return the row of a trace; `None` if there is none."""
        statement = "SELECT trace.no, data, reason, weight FROM trace JOIN spans USING (no) WHERE id = ?"
        with reading(self.path):
            row = self._database.execute(statement, (pack_id(trace_id),)).fetchone()
            return None if row is None else StoredTrace(row[0], row[1], reason_of(row[2]), row[3])

    def remove(self, no: int, digest: Digest) -> None:
        """Remove a trace with its index entries."""
        execute = self._database.execute
        for table in ("trace", "spans", "failed"):
            execute(f"DELETE FROM {table} WHERE no = ?", (no,))
        for call in digest.calls:
            execute("DELETE FROM call WHERE operation = ? AND no = ?", (self._operation(call), no))
        for name, value in digest.tags:
            execute("DELETE FROM tag WHERE name = ? AND value = ? AND no = ?", (self._tag_name(name), value, no))

    def add(self, trace_id: str, digest: Digest, data: bytes, reason: Reason, weight: float) -> None:
        """Add a trace that is not in the file."""
        database = self._database
        no = self._free_number(trace_id, digest.start)
        root, number = self._operation(digest.root), _REASONS.index(reason)
        database.execute(
            "INSERT INTO trace VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                no,
                pack_id(trace_id),
                digest.duration,
                root,
                digest.spans,
                digest.failed,
                digest.services,
                number,
                weight,
            ),
        )
        database.execute("INSERT INTO spans VALUES (?, ?)", (no, data))
        if digest.failed:
            database.execute("INSERT INTO failed VALUES (?)", (no,))
        database.executemany(
            "INSERT INTO call VALUES (?, ?, ?, ?)",
            [(self._operation(call), no, duration, failed) for call, (duration, failed) in digest.calls.items()],
        )
        database.executemany(
            "INSERT INTO tag VALUES (?, ?, ?)", [(self._tag_name(name), value, no) for name, value in digest.tags]
        )

    def _free_number(self, trace_id: str, start: int) -> int:
        first = _offset(self._base, start) << _UNIQUE_BITS
        no = first + (zlib.crc32(trace_id.encode()) & _FROM_ID)
        if self._one("SELECT no FROM trace WHERE no = ?", no) is None:
            return no
        while True:
            no = self._one("SELECT max(no) FROM trace WHERE no BETWEEN ? AND ?", first, first + _UNIQUE - 1) or 0
            if no < first + _UNIQUE - 1:
                return max(no, first) + 1
            first += _UNIQUE  # the next microsecond

    def _operation(self, call: Call) -> int:
        number = self._operations.get(call)
        if number is None:
            if len(self._operations) >= _MAX_NAMES:
                self._operations.clear()
            number = self._one("SELECT id FROM operation WHERE service = ? AND name = ?", *call)
            if number is None:
                number = self._database.execute("INSERT INTO operation VALUES (NULL, ?, ?)", call).lastrowid or 0
            self._operations[call] = number
        return number

    def _tag_name(self, name: str) -> int:
        number = self._tag_names.get(name)
        if number is None:
            if len(self._tag_names) >= _MAX_NAMES:
                self._tag_names.clear()
            number = self._one("SELECT id FROM tag_name WHERE name = ?", name)
            if number is None:
                number = self._database.execute("INSERT INTO tag_name VALUES (NULL, ?)", (name,)).lastrowid or 0
            self._tag_names[name] = number
        return number

    def _one(self, statement: str, *values: Any) -> int | None:
        row = self._database.execute(statement, values).fetchone()
        return None if row is None else row[0]
