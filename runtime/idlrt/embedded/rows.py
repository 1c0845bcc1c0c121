"""Rows of the embedded registry's file.

No content is trusted: each value is checked for its type, each name for its syntax. Unreadable rows are skipped and
described; the caller decides whether that is an error. A table with a damaged page is read from both ends.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from idlrt.codecs import decode
from idlrt.core import ServiceKey
from idlrt.embedded.api import Correction, Record
from idlrt.embedded.values import instance_of, patch_of

__all__ = ["FORMAT", "SCHEMA", "Rows", "is_registry", "read_rows", "tables"]

T = TypeVar("T")
Row = tuple[Any, ...]

FORMAT: Final = 1
"""Version of the table layout, stored in the table `registry`."""

# Created in one transaction, so that a file has all tables or none. `mark` was added later: older files lack it.
SCHEMA: Final = """
BEGIN;
CREATE TABLE registry (format INTEGER NOT NULL, epoch INTEGER NOT NULL);
CREATE TABLE session (id INTEGER PRIMARY KEY, client TEXT NOT NULL, timeout REAL NOT NULL);
CREATE TABLE service (
    grp TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, settings BLOB,
    PRIMARY KEY (grp, name)) WITHOUT ROWID;
CREATE TABLE record (
    grp TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, session INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (grp, name, id)) WITHOUT ROWID;
CREATE TABLE correction (
    grp TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (grp, name, id)) WITHOUT ROWID;
INSERT INTO registry VALUES ({format}, {epoch});
COMMIT;
"""
_INTEGER: Final = (int,)
_TEXT: Final = (str,)
_NUMBER: Final = (int, float)
_BYTES: Final = (bytes,)
_MAYBE_BYTES: Final = (bytes, type(None))
# Columns with their types, and the number of leading columns that form the key.
_TABLES: Final[dict[str, tuple[dict[str, tuple[type, ...]], int]]] = {
    "registry": ({"format": _INTEGER, "epoch": _INTEGER}, 1),
    "session": ({"id": _INTEGER, "client": _TEXT, "timeout": _NUMBER}, 1),
    "service": ({"grp": _TEXT, "name": _TEXT, "revision": _INTEGER, "settings": _MAYBE_BYTES}, 2),
    "record": ({"grp": _TEXT, "name": _TEXT, "id": _TEXT, "session": _INTEGER, "data": _BYTES}, 3),
    "correction": ({"grp": _TEXT, "name": _TEXT, "id": _TEXT, "data": _BYTES}, 3),
}
_KINDS: Final[dict[type[object], str]] = {
    int: "an integer",
    str: "text",
    float: "a number",
    bytes: "bytes",
    type(None): "null",
}
# Maximum length of a value in a message.
_MAX_SHOWN: Final = 60


class Rows(msgspec.Struct, kw_only=True):
    """Content of a file.

    Attributes:
        format: version of the table layout; 0 if missing.
        epoch: identifies the registry; 0 if missing.
        revision: last revision in use.
        damage: unreadable parts, each with its place and the reason.
    """

    format: int = 0
    epoch: int = 0
    revision: int = 0
    sessions: list[tuple[int, str, float]] = []
    services: list[tuple[ServiceKey, int, dict[str, str]]] = []
    records: list[tuple[ServiceKey, str, int, Record]] = []
    corrections: list[tuple[ServiceKey, str, Correction]] = []
    damage: list[str] = []


def tables(database: sqlite3.Connection) -> set[str]:
    """Return the names of the tables of a database.

    Raises:
        sqlite3.Error: the file is not a database.
    """
    return {str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def is_registry(names: set[str]) -> bool:
    """Whether the tables include any of a registry."""
    return not names.isdisjoint(_TABLES)


def read_rows(database: sqlite3.Connection) -> Rows:
    """Read all rows. Never fails: unreadable parts are listed in `damage`."""
    return _Reading(database).rows


class _Reading:
    def __init__(self, database: sqlite3.Connection) -> None:
        database.text_factory = _text
        self._database = database
        self.rows = Rows()
        found = self.rows
        for format, epoch in self._read("registry", lambda row: (row[0], row[1])):
            found.format, found.epoch = format, epoch
        if not found.format and not found.damage:
            found.damage.append("table registry: no row")
        found.sessions = list(self._read("session", _session))
        found.services = list(self._read("service", _service))
        found.records = list(self._read("record", _record))
        found.corrections = list(self._read("correction", _correction))
        revisions = [revision for _, revision, _ in found.services]
        found.revision = max([*revisions, self._mark()], default=0)

    def _mark(self) -> int:
        try:
            rows = self._database.execute("SELECT revision FROM mark").fetchall()
        except sqlite3.Error:
            return 0  # a file without the newer table
        return max((each for (each,) in rows if type(each) is int), default=0)

    def _read(self, table: str, make: Callable[[Row], T]) -> Iterator[T]:
        """Yield the rows of a table, converted by `make`."""
        columns, keys = _TABLES[table]
        for row in self._fetch(table, columns, keys):
            try:
                for value, (name, kinds) in zip(row, columns.items(), strict=True):
                    if (kind := _kind(value)) not in kinds:
                        what = _KINDS.get(kind, kind.__name__)
                        raise ValueError(f"{name} must be {' or '.join(_KINDS[each] for each in kinds)}, got {what}")
                yield make(row)
            except Exception as error:  # noqa: BLE001  # a bad row must not hide the others
                place = ", ".join(_shown(each) for each in row[:keys])
                self._damaged(f"table {table}, row {place}: {error}")

    def _fetch(self, table: str, columns: dict[str, tuple[type, ...]], keys: int) -> Iterator[Row]:
        names = ", ".join(columns)
        order = ", ".join(list(columns)[:keys])
        descending = ", ".join(f"{each} DESC" for each in list(columns)[:keys])
        seen: set[Row] = set()
        for direction in (order, descending):
            try:
                for row in self._database.execute(f"SELECT {names} FROM {table} ORDER BY {direction}"):
                    if row[:keys] not in seen:
                        seen.add(row[:keys])
                        yield row
            except sqlite3.Error as error:
                if direction == order:
                    self._damaged(f"table {table}: {error}")
            else:
                return

    def _damaged(self, what: str) -> None:
        # Escaped, so that content of the file cannot forge lines of the log.
        self.rows.damage.append("".join(each if each.isprintable() else repr(each)[1:-1] for each in what))


def _text(data: bytes) -> str | bytes:
    """Decode text; invalid text stays bytes, which is reported as a wrong type."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _kind(value: object) -> type[object]:
    return type(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


def _session(row: Row) -> tuple[int, str, float]:
    id, client, timeout = row
    if id <= 0:
        raise ValueError(f"id must be positive, got {id}")
    if not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"timeout must be positive, got {timeout}")
    return id, client, float(timeout)


def _service(row: Row) -> tuple[ServiceKey, int, dict[str, str]]:
    group, name, revision, settings = row
    if revision < 0:
        raise ValueError(f"revision must not be negative, got {revision}")
    return (
        ServiceKey(name, group),
        revision,
        msgspec.json.decode(settings, type=dict[str, str]) if settings is not None else {},
    )


def _record(row: Row) -> tuple[ServiceKey, str, int, Record]:
    group, name, id, session, data = row
    record = decode(Record, data)
    if (record.group, record.service, record.id) != (group, name, id):
        place = f"group {_shown(record.group)}, service {_shown(record.service)}, id {_shown(record.id)}"
        raise ValueError(f"the data describes another instance ({place})")
    instance_of(record)
    return ServiceKey(name, group), id, session, record


def _correction(row: Row) -> tuple[ServiceKey, str, Correction]:
    group, name, id, data = row
    correction = decode(Correction, data)
    patch_of(correction)
    return ServiceKey(name, group), id, correction
