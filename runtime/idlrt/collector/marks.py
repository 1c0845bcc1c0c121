"""Marks: what happened to services, such as deployments, changed settings and lost instances; shown in all plots."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["Event", "EventKind", "Marks"]

EventKind: TypeAlias = Literal["deployment", "settings", "override", "instance", "lost"]
"""Kind of a mark: a new version of a service, changed settings or rules of a service, an overridden instance, an
instance that came or went, or one that was lost without a last report.
"""

_KEEP_S: Final = 400 * 86_400.0
_MAX_EVENTS: Final = 100_000
_MAX_TEXT: Final = 300
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS event (
  id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, service TEXT NOT NULL, text TEXT NOT NULL,
  UNIQUE (at, kind, service, text)
);
CREATE INDEX IF NOT EXISTS event_at ON event (at);
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
"""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened.

    Attributes:
        at: time in seconds since 1970.
        kind: kind.
        service: name of the service; empty for all.
        text: description.
    """

    at: float
    kind: EventKind
    service: str
    text: str


class Marks:
    """Marks, in a file. Threads may share it.

    Args:
        path: the file; it is created.
        now: clock, in seconds since 1970.

    Raises:
        ConfigurationError: the file cannot be used.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._now = now
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise ConfigurationError(f"collector: cannot use {path}: {error}") from None

    def add(self, event: Event) -> None:
        """Add a mark; one that is there already changes nothing.

        Raises:
            sqlite3.Error: it cannot be written now.
        """
        with self._lock:
            self._connection.execute(
                "INSERT OR IGNORE INTO event (at, kind, service, text) VALUES (?, ?, ?, ?)",
                (event.at, event.kind, event.service, event.text[:_MAX_TEXT]),
            )

    def between(
        self,
        start: float,
        end: float,
        services: Collection[str] = (),
        *,
        has_instances: bool = True,
        limit: int = 100,
    ) -> list[Event]:
        """Return the marks of a period, the oldest first; of more than `limit` the newest.

        Args:
            start: start in seconds since 1970.
            end: end; not included.
            services: names of services of which to return marks, besides those of all services; empty for any.
            has_instances: whether to return marks of instances that came or went.
            limit: maximum number.
        """
        query = "SELECT at, kind, service, text FROM event WHERE at >= ? AND at < ?"
        values: list[float | int | str] = [start, end]
        if services:
            query += f" AND service IN ('', {', '.join('?' * len(services))})"
            values += services
        if not has_instances:
            query += " AND kind <> 'instance'"
        with self._lock:
            rows = self._connection.execute(f"{query} ORDER BY at DESC, id DESC LIMIT ?", (*values, limit)).fetchall()
        return [Event(at=at, kind=kind, service=of, text=text) for at, kind, of, text in reversed(rows)]

    def notes(self) -> dict[str, bytes]:
        """Return what was remembered, by name."""
        with self._lock:
            return dict(self._connection.execute("SELECT name, data FROM note"))

    def remember(self, notes: Sequence[tuple[str, bytes]]) -> None:
        """Remember data by name, in one transaction; without data the name is forgotten.

        Raises:
            sqlite3.Error: they cannot be written now.
        """
        with self._lock, self._connection:
            self._connection.execute("BEGIN")
            for name, data in notes:
                if data:
                    self._connection.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, data))
                else:
                    self._connection.execute("DELETE FROM note WHERE name = ?", (name,))

    def maintain(self) -> None:
        """Delete marks of more than 400 days ago, and of more than 100,000 the oldest.

        Raises:
            sqlite3.Error: they cannot be deleted now.
        """
        with self._lock:
            self._connection.execute("DELETE FROM event WHERE at < ?", (self._now() - _KEEP_S,))
            self._connection.execute(
                "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)", (_MAX_EVENTS,)
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
