"""File of the store: its tables, its connections, and errors of SQLite in the words of the runtime.

A cell is one row of `pending` until its block is complete, then part of a row of `block`. So a commit appends, a query
reads neighbours, and retention deletes whole pages. An ordinary table with that key beats
`WITHOUT ROWID`, which moves values of more than an eighth of a page to pages of their own.

The journal is a WAL with `synchronous=FULL`: a commit survives a kill and a power failure, for one `fsync` in 10 s.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from idlrt.collector.store import summaries
from idlrt.collector.store.blocks import BrokenBlock
from idlrt.errors import ConfigurationError, RpcError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Database", "StoreError"]

_APPLICATION: Final = 0x69646C6D
_VERSION: Final = 2
_PAGE: Final = 32768

_LEVELS: Final = list[tuple[int, int]]
_SCHEMA: Final = """
CREATE TABLE metric (id INTEGER PRIMARY KEY, name TEXT NOT NULL, data TEXT NOT NULL UNIQUE);
CREATE TABLE resource (id INTEGER PRIMARY KEY, data TEXT NOT NULL UNIQUE);
CREATE TABLE series (
  id INTEGER PRIMARY KEY, metric INTEGER NOT NULL, aggregate INTEGER NOT NULL, resource INTEGER NOT NULL,
  labels TEXT NOT NULL, seen INTEGER NOT NULL, UNIQUE (metric, aggregate, resource, labels)
);
CREATE TABLE pending (key INTEGER PRIMARY KEY, total REAL NOT NULL, data BLOB NOT NULL);
CREATE TABLE block (key INTEGER PRIMARY KEY, total REAL NOT NULL, data BLOB NOT NULL);
CREATE TABLE kept (tier INTEGER PRIMARY KEY, since INTEGER NOT NULL);
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE state (name TEXT PRIMARY KEY, data BLOB NOT NULL);
"""
_SUMMARIES: Final = """
CREATE TABLE pending_summary (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE block_summary (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""


class StoreError(RpcError):
    """The file of the store cannot be written or read at present. Nothing is lost: commit again."""


class Database:
    """Connections to one file: one that writes, and any number that read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._is_closed = False
        self._owned = self._own()
        try:
            with self.translated("open"):
                self.writer = self._connect("rwc")
                try:
                    self._prepare()
                except BaseException:
                    self.writer.close()
                    raise
        except BaseException:
            self._disown()
            raise

    def _own(self) -> int:
        """Lock the file against a second writer."""
        lock = f"{self.path}.lock"
        try:
            found = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigurationError(
                f"cannot open the metrics in {str(self.path)!r}: {error.strerror}; use a folder that "
                "exists and is writable"
            ) from error
        if fcntl is not None:
            try:
                fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(found)
                raise ConfigurationError(
                    f"cannot open the metrics in {str(self.path)!r}: another process writes to it; stop it, or use "
                    "another file"
                ) from error
        return found

    def _disown(self) -> None:
        os.close(self._owned)

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=30,
        )
        connection.execute("PRAGMA mmap_size = 0")
        return connection

    def _prepare(self) -> None:
        run = self.writer.execute
        application, version = run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0]
        is_empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if application != _APPLICATION and not (is_empty and application == 0):
            raise ConfigurationError(
                f"cannot open the metrics in {str(self.path)!r}: it is a database of another program; use another file"
            )
        if version > _VERSION:
            raise ConfigurationError(
                f"cannot open the metrics in {str(self.path)!r}: it has version {version}, this program reads version "
                f"{_VERSION}; upgrade the program, or use another file"
            )
        if is_empty:
            run(f"PRAGMA page_size = {_PAGE}")
            run("PRAGMA auto_vacuum = INCREMENTAL")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA wal_autocheckpoint = 256")
        run(f"PRAGMA journal_size_limit = {16 << 20}")
        run("PRAGMA cache_size = -16000")
        if is_empty:
            self.writer.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} {_SUMMARIES} PRAGMA application_id = {_APPLICATION}; "
                f"PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        elif version < _VERSION:
            self._upgrade()

    def _upgrade(self) -> None:
        with self.transaction("upgrade") as connection:
            for statement in _SUMMARIES.strip().splitlines():
                connection.execute(statement)
            summaries.create(connection)
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def translated(self, what: str) -> Generator[None, None, None]:
        """Translate errors of SQLite.

        Raises:
            ConfigurationError: the file is no database, or damaged.
            StoreError: it cannot be read or written at present.
        """
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.InterfaceError, sqlite3.ProgrammingError) as error:
            raise StoreError(
                f"cannot {what} the metrics in {str(self.path)!r}: {error}; check the disk and its free space"
            ) from error
        except (sqlite3.DatabaseError, BrokenBlock, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"cannot {what} the metrics in {str(self.path)!r}: {error}; restore it from a backup, or delete it"
            ) from error

    @contextmanager
    def transaction(self, what: str) -> Generator[sqlite3.Connection, None, None]:
        """Write in one transaction: all of it or nothing."""
        with self.translated(what):
            self.writer.execute("BEGIN IMMEDIATE")
            try:
                yield self.writer
                self.writer.execute("COMMIT")
            except BaseException:
                if self.writer.in_transaction:
                    self.writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection, None, None]:
        """Read one state of the file, from any thread."""
        with self.translated("read"):
            with self._lock:
                if self._is_closed:
                    raise StoreError(f"cannot read the metrics in {str(self.path)!r}: the store is closed")
                connection = self._readers.pop() if self._readers else None
            if connection is None:
                connection = self._connect("ro")
                connection.execute("PRAGMA query_only = 1")
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                with self._lock:
                    is_kept = not self._is_closed
                    if is_kept:
                        self._readers.append(connection)
                if not is_kept:
                    connection.close()

    @property
    def used_bytes(self) -> int:
        """Size of the pages in use."""
        run = self.writer.execute
        pages, free = run("PRAGMA page_count").fetchone()[0], run("PRAGMA freelist_count").fetchone()[0]
        return int((pages - free) * _PAGE)

    def shrink(self, max_bytes: int, slack: float) -> None:
        """Return free pages to the file system, if the file is too large or more than a share of it is free."""
        with self.translated("shrink"):
            run = self.writer.execute
            pages, free = run("PRAGMA page_count").fetchone()[0], run("PRAGMA freelist_count").fetchone()[0]
            if free and (pages * _PAGE > max_bytes or free > pages * slack):
                run("PRAGMA incremental_vacuum(1024)").fetchall()

    def check_steps(self, levels: Sequence[tuple[int, int]]) -> None:
        """Write the steps and block sizes of the levels, or compare them with those of the file.

        Raises:
            ConfigurationError: the file has others. Only levels at the end may be added or removed.
        """
        with self.transaction("open") as connection:
            row = connection.execute("SELECT value FROM setting WHERE name = 'levels'").fetchone()
            present: list[tuple[int, int]] = msgspec.json.decode(row[0], type=_LEVELS) if row is not None else []
            if any(one != other for one, other in zip(levels, present, strict=False)):
                raise ConfigurationError(
                    f"cannot open the metrics in {str(self.path)!r}: it has cells of "
                    f"{', '.join(f'{step} s' for step, _ in present)} in blocks of "
                    f"{', '.join(str(cells) for _, cells in present)}; use the same, or another file"
                )
            longer = msgspec.json.encode(levels if len(levels) > len(present) else present).decode()
            connection.execute("INSERT OR REPLACE INTO setting VALUES ('levels', ?)", (longer,))

    def close(self) -> None:
        """Close all connections; those that read at present as soon as they are done."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            readers, self._readers = self._readers, []
        for each in readers:
            each.close()
        self.writer.close()
        self._disown()
