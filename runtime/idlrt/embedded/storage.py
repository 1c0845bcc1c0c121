"""Persistent storage of the embedded registry in SQLite: a restart loses no acknowledged change.

The event loop queues changes, and one thread writes them in batches: all changes that arrive during a transaction form
the next one. With `synchronous=FULL` each change is on disk before it is acknowledged, at the cost of one sync per
batch.
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

from idlrt.codecs import encode
from idlrt.core.logs import get_logger
from idlrt.embedded.api import Correction
from idlrt.embedded.limits import Limits
from idlrt.embedded.permissions import make_private
from idlrt.embedded.recovery import check_rows, recover_rows, report, unusable_file
from idlrt.embedded.rows import FORMAT, SCHEMA, Rows, is_registry, read_rows, tables
from idlrt.embedded.state import Lease, Operation, State
from idlrt.errors import ConfigurationError
from idlrt.printable import plural

__all__ = ["Storage"]

_log = get_logger("idlrt.registry")

# Seconds to wait for a registry that is shutting down to release the file.
_LOCK_TIMEOUT: Final = 1.0
# Timeout in seconds of a recovered session whose row is lost.
_UNKNOWN_SESSION: Final = 60.0
# The revisions of removed services count as well: watchers may have them.
_MARK: Final = "CREATE TABLE IF NOT EXISTS mark (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL)"

Statement = tuple[str, tuple[Any, ...]]
_Write = tuple[list[Statement], Callable[[], object], Callable[[], object], "asyncio.Future[None]"]


class Storage:
    """Database of an embedded registry.

    Args:
        path: of the file; `None` to keep nothing.
        connect: opens the database.
        recover: whether to load the readable data and leave the file unchanged; later changes are not kept.

    Attributes:
        epoch: identifies the registry.
        revision: last revision in use.
        is_read_only: whether the data was recovered.

    Raises:
        ConfigurationError: the file cannot be opened, is damaged, or is of another kind; the message has a hint.
    """

    def __init__(
        self,
        path: Path | None,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
        *,
        recover: bool = False,
    ) -> None:
        self.path = path
        self.is_read_only = recover
        self._connect = connect
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="idlrt registry file")
        self._pending: list[_Write] = []
        self._writing: asyncio.Task[None] | None = None
        try:
            self._database, self._rows = self._writer.submit(self._open).result()
        except BaseException:
            self._writer.shutdown()
            raise
        self.epoch = self._rows.epoch or secrets.randbits(62) + 1
        self.revision = self._rows.revision

    def _open(self) -> tuple[sqlite3.Connection, Rows]:
        if self.is_read_only:
            rows = recover_rows(self.path, self._connect)
            return self._prepared(":memory:", sqlite3.connect)[0], rows
        try:
            if self.path is not None:
                make_private(self.path)
            database, rows = self._prepared(self.path or ":memory:", self._connect)
        except (sqlite3.Error, OSError) as error:
            raise unusable_file(self.path, error) from error
        return database, rows

    def _prepared(
        self, path: Path | str, connect: Callable[..., sqlite3.Connection]
    ) -> tuple[sqlite3.Connection, Rows]:
        """Open the database, create missing tables, and read the data."""
        database = connect(path, isolation_level=None, timeout=_LOCK_TIMEOUT)
        try:
            _lock(database)
            database.execute("PRAGMA synchronous=FULL")
            known = tables(database)
            if not known:
                database.executescript(SCHEMA.format(format=FORMAT, epoch=secrets.randbits(62) + 1))
            elif not is_registry(known):
                raise ConfigurationError(
                    f"cannot use {self.path} for a registry: it is the database of another program (table "
                    f"{min(known)!r}); choose another file"
                )
            rows = read_rows(database)
            check_rows(self.path, rows)
            database.execute(_MARK)
        except BaseException:
            database.close()
            raise
        return database, rows

    def load(self, state: State) -> None:
        """Load the stored data into `state`. Each session starts with its full timeout, since clients could not send
        heartbeats.
        """
        rows, self._rows = self._rows, Rows()
        for number, client, timeout in rows.sessions:
            state.begin(client, timeout, number)
        left_out = 0
        for key, id, session, record in rows.records:
            if session not in state.leases:
                if not self.is_read_only:
                    left_out += 1
                    continue
                state.begin("unknown", _UNKNOWN_SESSION, session)
            state.restore_record(key, id, session, record)
        if left_out:
            _log.warning(
                "dropping %s without a session; their servers register again",
                plural(left_out, "instance"),
                extra={"path": str(self.path), "instances": left_out},
            )
        for key, id, correction in rows.corrections:
            state.restore_correction(key, id, correction)
        revisions = {key: (revision, settings) for key, revision, settings in rows.services}
        for key in [*revisions, *(each for each in state.found if each not in revisions)]:
            revision, settings = revisions.get(key, (self.revision, {}))
            state.restore(key, revision, settings)
        if self.is_read_only:
            report(self.path, rows.damage, len(state.found), state.instances)
        elif rows.services:
            services = plural(len(rows.services), "service")
            instances = plural(state.instances, "instance")
            _log.info("loaded %s with %s from %s", services, instances, self.path, extra={"path": str(self.path)})

    async def keep_session(self, lease: Lease) -> None:
        """Store a session."""
        await self._write([("INSERT INTO session VALUES (?, ?, ?)", (lease.id, lease.client, lease.timeout))], _nothing)

    async def drop_session(self, session: int, operations: list[Operation], then: Callable[[], object]) -> None:
        """Delete a session and apply the changes that follow from it. See `keep`."""
        statements: list[Statement] = [("DELETE FROM session WHERE id = ?", (session,))]
        for operation in operations:
            statements += _statements(operation)
        await self._write(statements, then)

    async def keep(
        self, operations: list[Operation], then: Callable[[], object], otherwise: Callable[[], object]
    ) -> None:
        """Store changes, all or none. They are on disk when this returns.

        Args:
            then: called when the changes are on disk, in the order of the changes, even if the caller was cancelled.
            otherwise: called likewise if they cannot be written.
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
            except Exception as failed:  # noqa: BLE001  # reported to the callers; later batches are still written
                _log.error("cannot write to %s: %s", self.path, failed, extra={"path": str(self.path)})
                error = failed
            for _, then, otherwise, written in batch:
                failure = error
                try:
                    then() if error is None else otherwise()
                except Exception as failed:  # noqa: BLE001  # must not affect the other changes of the batch
                    _log.exception(
                        "cannot apply a change that was written to %s", self.path, extra={"path": str(self.path)}
                    )
                    failure = failed
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)
                    written.exception()  # mark it as retrieved: the caller may have been cancelled

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
        """Write pending changes and close the file."""
        if self._writing is not None:
            await self._writing
        self._writer.submit(self._database.close).result()
        self._writer.shutdown()


def _lock(database: sqlite3.Connection) -> None:
    """Lock the file for this process until it is closed: two registries on one file would overwrite each other's
    changes. SQLite takes the lock only on the first access, and the write lock on the first write, which a file with
    all its tables does not see until something is registered.
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
_SET_MARK: Final = """
INSERT INTO mark VALUES (1, ?) ON CONFLICT DO UPDATE SET revision = max(revision, excluded.revision)"""
# Services that were changed again in the meantime stay.
_DROP_SERVICE: Final = "DELETE FROM service WHERE grp = ? AND name = ? AND revision = ?"
_SET_CORRECTION: Final = "INSERT OR REPLACE INTO correction VALUES (?, ?, ?, ?)"
_DROP_CORRECTION: Final = "DELETE FROM correction WHERE grp = ? AND name = ? AND id = ?"
_SET_RECORD: Final = "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?)"
_DROP_RECORD: Final = "DELETE FROM record WHERE grp = ? AND name = ? AND id = ? AND session = ?"


def _statements(operation: Operation) -> list[Statement]:
    """Translate a change to SQL."""
    service = operation.key.group, operation.key.service
    instance = *service, operation.id
    if operation.is_removal:
        return [(_SET_MARK, (operation.revision,)), (_DROP_SERVICE, (*service, operation.revision))]
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
    """Create the state of a registry from its stored data."""
    state = State(limits, now, epoch=storage.epoch, revision=storage.revision)
    storage.load(state)
    return state
