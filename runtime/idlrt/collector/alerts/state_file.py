"""File with the states of alerts (SQLite): alerts, silences, deliveries, and the history of changes.

What is in memory counts, so alerts go on while the disk is full; what could not be written is written later.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from idlrt.collector.alerts.silences import Silence
from idlrt.collector.alerts.states import Alert, Change
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError

__all__ = ["MAX_CHANGES", "Delivery", "StateFile"]

_log: Final = get_logger("idlrt.collector")

MAX_CHANGES: Final = 10_000
"""Number of changes that are kept."""

_APPLICATION: Final = 0x69646C61
_VERSION: Final = 1
_T = TypeVar("_T")
_Table: TypeAlias = Literal["alert", "silence", "delivery", "setting"]
_SCHEMA: Final = """
CREATE TABLE alert (name TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE silence (name TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE delivery (name TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE setting (name TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE change (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""
_encode: Final = msgspec.json.encode
_as_change: Final = msgspec.json.Decoder(Change)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts of a group that a receiver was told of.

    Attributes:
        receiver: name of the receiver.
        group: identifies the group.
        sent_at: time of the last notification that was accepted, in seconds since 1970; 0: none was.
        told: fingerprints of alerts that it takes for firing.
        tried: fingerprints of alerts in notifications that were not accepted.
    """

    receiver: str
    group: str
    sent_at: float = 0.0
    told: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Name in the file."""
        return f"{self.receiver} {self.group}"


class StateFile:
    """States of alerts. Hold `lock` while you read or change them.

    Args:
        path: the file; created if it does not exist.

    Raises:
        ConfigurationError: the file belongs to another program, is damaged, or cannot be opened.

    Attributes:
        lock: guards everything here.
        alerts: alerts by fingerprint.
        silences: silences by identifier.
        deliveries: deliveries by name.
        evaluated_at: time of an evaluation before the last start, in seconds since 1970; 0: there was none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lock = threading.RLock()
        self._waiting: dict[tuple[_Table, str], bytes | None] = {}
        self._changes: list[bytes] = []
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            try:
                self._prepare()
                self.alerts = {each.fingerprint: each for each in self._read("alert", Alert)}
                self.silences = {each.id: each for each in self._read("silence", Silence)}
                self.deliveries = {each.name: each for each in self._read("delivery", Delivery)}
                self.evaluated_at = max(self._read("setting", float), default=0.0)
            except BaseException:
                self._connection.close()
                raise
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            what = "restore it from a backup, or delete it"
            raise ConfigurationError(f"cannot open the states of alerts in {str(path)!r}: {error}; {what}") from error

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        application, version = run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0]
        is_empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if is_empty:
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; "
                f"PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        elif application != _APPLICATION or version > _VERSION:
            what = f"it has version {version}; upgrade" if application == _APPLICATION else "it is of another program"
            raise ConfigurationError(f"cannot open the states of alerts in {str(self._path)!r}: {what}")

    def _read(self, table: _Table, kind: type[_T]) -> list[_T]:
        decoder = msgspec.json.Decoder(kind)
        return [decoder.decode(data) for (data,) in self._connection.execute(f"SELECT data FROM {table}")]

    def put_alert(self, alert: Alert) -> None:
        """Set an alert; it is written if its state is another one."""
        before = self.alerts.get(alert.fingerprint)
        self.alerts[alert.fingerprint] = alert
        if before is None or (before.state, before.since) != (alert.state, alert.since):
            self._waiting["alert", alert.fingerprint] = _encode(alert)

    def remove_alert(self, fingerprint: str) -> None:
        """Remove an alert."""
        self.alerts.pop(fingerprint, None)
        self._waiting["alert", fingerprint] = None

    def put_silence(self, silence: Silence) -> None:
        """Set a silence."""
        self.silences[silence.id] = silence
        self._waiting["silence", silence.id] = _encode(silence)

    def remove_silence(self, id: str) -> None:
        """Remove a silence."""
        self.silences.pop(id, None)
        self._waiting["silence", id] = None

    def put_delivery(self, delivery: Delivery) -> None:
        """Set a delivery; one that tells nothing is removed."""
        if delivery.told or delivery.tried:
            self.deliveries[delivery.name] = delivery
            self._waiting["delivery", delivery.name] = _encode(delivery)
        else:
            self.deliveries.pop(delivery.name, None)
            self._waiting["delivery", delivery.name] = None

    def put_evaluated_at(self, at: float) -> None:
        """Set the time of the last evaluation."""
        self._waiting["setting", "evaluated_at"] = _encode(at)

    def add_change(self, change: Change) -> None:
        """Add a change to the history."""
        self._changes.append(_encode(change))

    def flush(self) -> None:
        """Write what has changed, in one transaction; if that fails, next time again."""
        if not self._waiting and not self._changes:
            return
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            for (table, name), data in self._waiting.items():
                if data is None:
                    run(f"DELETE FROM {table} WHERE name = ?", (name,))
                else:
                    run(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (name, data))
            for data in self._changes:
                run("INSERT INTO change (data) VALUES (?)", (data,))
            if self._changes:
                run("DELETE FROM change WHERE number <= (SELECT max(number) FROM change) - ?", (MAX_CHANGES,))
            run("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            del self._changes[:-MAX_CHANGES]
            _log.error("cannot write the states of alerts: %s; retrying", error, extra={"path": self._path})
            return
        self._waiting.clear()
        self._changes.clear()

    def changes(self, limit: int) -> list[Change]:
        """Return the last changes that were written, the newest first.

        Raises:
            ConfigurationError: the file is damaged.
        """
        try:
            rows = self._connection.execute("SELECT data FROM change ORDER BY number DESC LIMIT ?", (limit,)).fetchall()
            return [_as_change.decode(data) for (data,) in rows]
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise ConfigurationError(f"cannot read the history of alerts: {error}") from error

    def close(self) -> None:
        """Write what has changed, and close the file."""
        with self.lock:
            self.flush()
            self._connection.close()
