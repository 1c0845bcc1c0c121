"""The file behind the embedded registry: SQLite, so that a restart loses nothing that was acknowledged.

Changes come from the event loop and are written on one thread, many of them in one transaction: what has come while the
last one was written is the next. With `synchronous=FULL` each is on disk before it is acknowledged, at the price of one
sync for all that came together.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from idlrt.core import ServiceKey
from idlrt.door import decode, encode
from idlrt.embedded.api import Correction, Record
from idlrt.embedded.limits import Limits
from idlrt.embedded.permissions import make_private
from idlrt.embedded.state import Lease, Operation, State
from idlrt.errors import ConfigurationError
from idlrt.printable import get_logger

__all__ = ["Storage"]

_log = get_logger("idlrt.registry")

_FORMAT: Final = 1
# Seconds that a registry which is just ending has for giving up the file.
_LOCK_TIMEOUT: Final = 1.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS registry (format INTEGER NOT NULL, epoch INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS session (id INTEGER PRIMARY KEY, client TEXT NOT NULL, timeout REAL NOT NULL);
CREATE TABLE IF NOT EXISTS service (
    grp TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, settings BLOB,
    PRIMARY KEY (grp, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
    grp TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, session INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (grp, name, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS correction (
    grp TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (grp, name, id)) WITHOUT ROWID;
"""

Statement = tuple[str, tuple[Any, ...]]
_Write = tuple[list[Statement], Callable[[], object], Callable[[], object], "asyncio.Future[None]"]


class Storage:
    """The file.

    Args:
        path: of the file; `None`: nothing is kept.
        connect: opens the database.

    Raises:
        ConfigurationError: it cannot be opened, or is something else.
    """

    def __init__(self, path: Path | None, connect: Callable[..., sqlite3.Connection] = sqlite3.connect) -> None:
        self._path = path
        self._connect = connect
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="idlrt registry file")
        self._pending: list[_Write] = []
        self._writing: asyncio.Task[None] | None = None
        self._database = self._writer.submit(self._open).result()
        self.epoch: int = self._read("SELECT epoch FROM registry")[0][0]

    def _open(self) -> sqlite3.Connection:
        try:
            if self._path is not None:
                make_private(self._path)
            database = self._connect(self._path or ":memory:", isolation_level=None, timeout=_LOCK_TIMEOUT)
            _lock(database)
            database.execute("PRAGMA synchronous=FULL")
            database.executescript(_SCHEMA)
            rows = database.execute("SELECT format FROM registry").fetchall()
            if not rows:
                database.execute("INSERT INTO registry VALUES (?, ?)", (_FORMAT, secrets.randbits(62) + 1))
            elif rows[0][0] != _FORMAT:
                raise ConfigurationError(f"{self._path} has the format {rows[0][0]}; this program knows {_FORMAT}")
        except (sqlite3.Error, OSError) as error:
            hint = (
                "; is another registry using it? Stop that one, or choose another file"
                if "locked" in str(error)
                else ""
            )
            raise ConfigurationError(f"cannot use {self._path} for a registry: {error}{hint}") from error
        return database

    def _read(self, query: str) -> list[Any]:
        return self._writer.submit(lambda: self._database.execute(query).fetchall()).result()

    def load(self, state: State) -> None:
        """Put into `state` what was kept. Every session gets its whole time again: nobody could send heartbeats."""
        for id, client, timeout in self._read("SELECT id, client, timeout FROM session"):
            state.begin(client, timeout, id)
        services = self._read("SELECT grp, name, revision, settings FROM service")
        for group, name, id, session, data in self._read("SELECT grp, name, id, session, data FROM record"):
            if session in state.leases:
                state.restore_record(ServiceKey(name, group), id, session, decode(Record, data))
        for group, name, id, data in self._read("SELECT grp, name, id, data FROM correction"):
            state.restore_correction(ServiceKey(name, group), id, decode(Correction, data))
        for group, name, revision, settings in services:
            decoded = msgspec.json.decode(settings, type=dict[str, str]) if settings is not None else {}
            state.restore(ServiceKey(name, group), revision, decoded)
        if services:
            _log.info("%s has %d services with %d instances", self._path, len(services), state.instances)

    @property
    def revision(self) -> int:
        """The last one that was used."""
        return int(self._read("SELECT coalesce(max(revision), 0) FROM service")[0][0])

    async def keep_session(self, lease: Lease) -> None:
        """Keep a session."""
        await self._write([("INSERT INTO session VALUES (?, ?, ?)", (lease.id, lease.client, lease.timeout))], _nothing)

    async def drop_session(self, session: int, operations: list[Operation], then: Callable[[], object]) -> None:
        """Forget a session, and make the changes that come with it. See `keep`."""
        statements: list[Statement] = [("DELETE FROM session WHERE id = ?", (session,))]
        for operation in operations:
            statements += _statements(operation)
        await self._write(statements, then)

    async def keep(
        self, operations: list[Operation], then: Callable[[], object], otherwise: Callable[[], object]
    ) -> None:
        """Make changes, all or none. They are on disk when this returns.

        Args:
            then: is called when they are on disk, in the order of the changes, also if nobody waits for it any more.
            otherwise: is called if they cannot be written, likewise.
        """
        await self._write([each for operation in operations for each in _statements(operation)], then, otherwise)

    async def _write(
        self, statements: list[Statement], then: Callable[[], object], otherwise: Callable[[], object] | None = None
    ) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((statements, then, otherwise or _nothing, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_pending())
        await asyncio.shield(written)

    async def _write_pending(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            error: Exception | None = None
            try:
                await loop.run_in_executor(self._writer, self._transact, [each for each, *_ in batch])
            except Exception as failed:  # noqa: BLE001  # whoever waits is told, and the next ones are written
                _log.error("cannot write to %s: %s", self._path, failed)
                error = failed
            for _, then, otherwise, written in batch:
                if error is None:
                    then()
                    written.set_result(None)
                else:
                    otherwise()
                    written.set_exception(error)
                    written.exception()  # whoever waited may have gone

    def _transact(self, batch: list[list[Statement]]) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            for statements in batch:
                for statement, values in statements:
                    database.execute(statement, values)
            database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise

    async def close(self) -> None:
        """Write what is pending, and close the file."""
        if self._writing is not None:
            await self._writing
        self._writer.submit(self._database.close).result()
        self._writer.shutdown()


def _lock(database: sqlite3.Connection) -> None:
    """Take the file for this process until it is closed: two registries with one file would each undo what the other
    writes. SQLite takes the lock with the first access only, and for writing with the first write; a file that has all
    its tables is not written to until something is registered.
    """
    database.execute("PRAGMA locking_mode=EXCLUSIVE")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("BEGIN EXCLUSIVE")
    database.execute("COMMIT")


def _nothing() -> None:
    pass


_SET_SETTINGS: Final = """
INSERT INTO service VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET revision = excluded.revision, settings = excluded.settings"""
_SET_REVISION: Final = """
INSERT INTO service VALUES (?, ?, ?, NULL) ON CONFLICT DO UPDATE SET revision = excluded.revision"""
# What was changed since it was decided stays.
_DROP_SERVICE: Final = "DELETE FROM service WHERE grp = ? AND name = ? AND revision = ?"
_SET_CORRECTION: Final = "INSERT OR REPLACE INTO correction VALUES (?, ?, ?, ?)"
_DROP_CORRECTION: Final = "DELETE FROM correction WHERE grp = ? AND name = ? AND id = ?"
_SET_RECORD: Final = "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?)"
_DROP_RECORD: Final = "DELETE FROM record WHERE grp = ? AND name = ? AND id = ? AND session = ?"


def _statements(operation: Operation) -> list[Statement]:
    """A change as SQL."""
    service = operation.key.group, operation.key.service
    instance = *service, operation.id
    if operation.is_farewell:
        return [(_DROP_SERVICE, (*service, operation.revision))]
    if operation.settings is not None:
        return [(_SET_SETTINGS, (*service, operation.revision, msgspec.json.encode(operation.settings)))]
    made: list[Statement] = [(_SET_REVISION, (*service, operation.revision))]
    if operation.correction is not None:
        if operation.correction == Correction():
            made.append((_DROP_CORRECTION, instance))
        else:
            made.append((_SET_CORRECTION, (*instance, encode(operation.correction))))
    elif operation.record is not None:
        made.append((_SET_RECORD, (*instance, operation.session, encode(operation.record))))
    else:
        made.append((_DROP_RECORD, (*instance, operation.session)))
    return made


def new_state(storage: Storage, limits: Limits, now: Callable[[], float]) -> State:
    """The state that a file has kept."""
    state = State(limits, now, epoch=storage.epoch, revision=storage.revision)
    storage.load(state)
    return state
