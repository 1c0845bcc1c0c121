"""What the file of the embedded registry holds, read row by row.

Nothing in it is believed: every value is checked against its type, every name against what names may be. What cannot be
read is left out and described; the caller decides whether that is an error. A table with a broken page is read from
both of its ends.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from idlrt.core import ServiceKey
from idlrt.door import decode
from idlrt.embedded.api import Correction, Record
from idlrt.embedded.values import instance_of, patch_of

__all__ = ["FORMAT", "SCHEMA", "Rows", "is_registry", "read_rows", "tables"]

T = TypeVar("T")
Row = tuple[Any, ...]

FORMAT: Final = 1
"""Of the tables, as the table `registry` says."""

# Created all at once, so that no part of it is ever missing. `mark` is newer: files of before have none.
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
# Columns and their types; the first ones are the key, as many as the second number says.
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
    type(None): "nothing",
}
# Characters of a value in a message.
_SHOWN: Final = 60


class Rows(msgspec.Struct, kw_only=True):
    """What was read.

    Attributes:
        format: of the file; 0 if it does not say.
        epoch: of the registry; 0 likewise.
        revision: the last one that was used.
        damage: what could not be read: where, and why.
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
    """The names of the tables of a database.

    Raises:
        sqlite3.Error: it is none.
    """
    return {str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def is_registry(names: set[str]) -> bool:
    """Whether tables of these names are those of a registry, or some of them."""
    return not names.isdisjoint(_TABLES)


def read_rows(database: sqlite3.Connection) -> Rows:
    """Read everything. Never fails: what cannot be read is in `damage`."""
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
            found.damage.append("table registry: there is no row")
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
            return 0  # a file of before
        return max((each for (each,) in rows if type(each) is int), default=0)

    def _read(self, table: str, make: Callable[[Row], T]) -> Iterator[T]:
        """The rows of a table, each as what it means."""
        columns, keys = _TABLES[table]
        for row in self._fetch(table, columns, keys):
            try:
                for value, (name, kinds) in zip(row, columns.items(), strict=True):
                    if (kind := _kind(value)) not in kinds:
                        what = _KINDS.get(kind, kind.__name__)
                        raise ValueError(f"{name} must be {' or '.join(_KINDS[each] for each in kinds)}, not {what}")
                yield make(row)
            except Exception as error:  # noqa: BLE001  # whatever is wrong with a row, it is the row's
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
        # One line, whatever stands in the file.
        self.rows.damage.append("".join(each if each.isprintable() else repr(each)[1:-1] for each in what))


def _text(data: bytes) -> str | bytes:
    """Text that is none stays bytes, and is found to be of the wrong type."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _kind(value: object) -> type[object]:
    return type(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _session(row: Row) -> tuple[int, str, float]:
    id, client, timeout = row
    if id <= 0:
        raise ValueError(f"the id must be positive, not {id}")
    if not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"the timeout must be positive, not {timeout}")
    return id, client, float(timeout)


def _service(row: Row) -> tuple[ServiceKey, int, dict[str, str]]:
    group, name, revision, settings = row
    if revision < 0:
        raise ValueError(f"the revision must not be negative, but is {revision}")
    return (
        ServiceKey(name, group),
        revision,
        msgspec.json.decode(settings, type=dict[str, str]) if settings is not None else {},
    )


def _record(row: Row) -> tuple[ServiceKey, str, int, Record]:
    group, name, id, session, data = row
    record = decode(Record, data)
    if (record.group, record.service, record.id) != (group, name, id):
        raise ValueError(f"the instance is {_shown(record.id)} of {_shown(record.group)}, {_shown(record.service)}")
    instance_of(record)
    return ServiceKey(name, group), id, session, record


def _correction(row: Row) -> tuple[ServiceKey, str, Correction]:
    group, name, id, data = row
    correction = decode(Correction, data)
    patch_of(correction)
    return ServiceKey(name, group), id, correction
