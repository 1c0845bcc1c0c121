"""Connections of databases, against a real SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from measured import grown, process_counts

from idlrt import observe
from idlrt.errors import ConfigurationError

DURATION = "resource_duration_seconds"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    found = observe.instrument(sqlite3.connect(":memory:"))
    found.execute("create table users (id integer primary key, name text)")
    yield found
    found.close()


def operations(before: dict[tuple[str, ...], float]) -> dict[str, float]:
    """Numbers of operations that have ended well since then."""
    found = grown(before, DURATION)
    assert {(labels[0], labels[2]) for labels in found} <= {("sqlite3", "ok")}
    return {labels[1]: value for labels, value in found.items()}


def test_statements_have_the_name_of_their_first_keyword(connection: sqlite3.Connection) -> None:
    before = process_counts(DURATION)
    cursor = connection.cursor()
    assert cursor.execute("INSERT INTO users VALUES (?, ?)", (1, "a")) is cursor
    cursor.executemany("insert into users values (?, ?)", [(2, "b"), (3, "c")])
    connection.commit()
    connection.execute("-- all\n/* x */ SELECT 1")
    connection.executescript("DELETE FROM users; SELECT 1")
    connection.rollback()
    assert operations(before) == {"INSERT": 2, "COMMIT": 1, "SELECT": 1, "DELETE": 1, "ROLLBACK": 1}


def test_rows_are_read_as_before(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.executemany("insert into users values (?, ?)", [(1, "a"), (2, "b")])
    cursor = connection.execute("select * from users order by id")
    assert [row["name"] for row in cursor] == ["a", "b"]
    assert next(connection.execute("select 5"))[0] == 5
    assert cursor.execute("select name from users where id = 2").fetchone()["name"] == "b"
    assert cursor.description[0][0] == "name"
    cursor.arraysize = 7
    assert cursor.arraysize == 7
    assert cursor.connection is connection
    assert connection.total_changes == 2


def test_a_proxy_passes_for_what_it_wraps(connection: sqlite3.Connection) -> None:
    assert isinstance(connection, sqlite3.Connection)
    assert isinstance(connection.cursor(), sqlite3.Cursor)
    assert "users" in {row[0] for row in connection.execute("select name from sqlite_master")}
    assert "iterdump" in dir(connection)
    wrapped: Any = connection.__wrapped__  # type: ignore[attr-defined]
    assert type(wrapped) is sqlite3.Connection
    assert repr(connection) == repr(wrapped)
    assert observe.instrument(connection) is connection


def test_with_commits_and_rolls_back(connection: sqlite3.Connection) -> None:
    before = process_counts(DURATION)
    with connection as same:
        assert same is connection
        connection.execute("insert into users values (1, 'a')")
    with pytest.raises(sqlite3.IntegrityError), connection:
        connection.executescript("insert into users values (2, 'b'); insert into users values (2, 'c')")
    found = {labels[1:]: value for labels, value in grown(before, DURATION).items()}
    assert found == {
        ("INSERT", "ok", ""): 1,
        ("COMMIT", "ok", ""): 1,
        ("INSERT", "error", "IntegrityError"): 1,
        ("ROLLBACK", "ok", ""): 1,
    }


def test_errors_have_their_class_and_pass(connection: sqlite3.Connection) -> None:
    before = process_counts(DURATION)
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("select * from nothing")
    with pytest.raises(sqlite3.OperationalError):
        connection.cursor().execute("selekt 1")
    assert grown(before, DURATION) == {
        ("sqlite3", "SELECT", "error", "OperationalError"): 1,
        ("sqlite3", "_OTHER", "error", "OperationalError"): 1,
    }


class Statement:
    """A statement that is no text, as `psycopg.sql` has them."""


class OtherCursor:
    """A cursor of another module, with what sqlite3 lacks."""

    def execute(self, operation: Any) -> int:
        return 5

    def callproc(self, name: str) -> str:
        return name

    def __enter__(self) -> OtherCursor:
        return self

    def __exit__(self, *error: Any) -> None:
        pass


class OtherConnection:
    def cursor(self) -> OtherCursor:
        return OtherCursor()

    def commit(self) -> None:
        pass

    rollback = close = commit

    def __enter__(self) -> OtherConnection:
        return self

    def __exit__(self, *error: Any) -> None:
        pass


def test_other_modules_and_their_statements() -> None:
    before = process_counts(DURATION)
    with observe.instrument(OtherConnection(), system="orders") as connection, connection.cursor() as cursor:
        assert cursor.execute(b"update x") == 5
        cursor.execute(Statement())
        cursor.execute("")
        assert cursor.callproc("p") == "p"
    # It is not known to commit at the end of `with`.
    assert {labels[:2]: value for labels, value in grown(before, DURATION).items()} == {
        ("orders", "UPDATE"): 1,
        ("orders", "_OTHER"): 2,
        ("orders", "CALL"): 1,
    }


def test_the_default_system_is_the_module() -> None:
    before = process_counts(DURATION)
    observe.instrument(OtherConnection()).commit()
    assert grown(before, DURATION) == {("test_dbapi", "COMMIT", "ok", ""): 1}


def test_what_is_not_supported_is_refused() -> None:
    class AsyncConnection(OtherConnection):
        async def commit(self) -> None:  # type: ignore[override]
            pass

    with pytest.raises(ConfigurationError, match=r"it is asynchronous; use observe\.resource"):
        observe.instrument(AsyncConnection())
    with pytest.raises(ConfigurationError, match=r"an object of class builtins\.dict: supported are"):
        observe.instrument({})
    with pytest.raises(ConfigurationError, match="must have between 1 and 100"):
        observe.instrument(OtherConnection(), system="")


def test_another_version_of_the_interface_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "apilevel", "3.0")
    with pytest.raises(ConfigurationError, match=r"its apilevel must be 2\.0, got '3\.0'"):
        observe.instrument(sqlite3.connect(":memory:"))
