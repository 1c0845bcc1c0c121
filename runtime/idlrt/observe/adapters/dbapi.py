"""Connections of databases (DB-API 2.0): proxies that measure statements, commits and rollbacks.

What a proxy does not measure it passes on. Fetching rows is not measured. `isinstance` takes a proxy for what it wraps;
functions in C that need the real object get `__wrapped__`.

Source: PEP 249
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self, cast

from idlrt.errors import ConfigurationError
from idlrt.observe.metric import OTHER
from idlrt.observe.resources import resource

__all__ = ["MeasuredConnection", "MeasuredCursor", "is_connection", "measured_connection"]

_KEYWORD_NAMES: Final = """
    ALTER ANALYZE ATTACH BEGIN CALL CLOSE COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DESCRIBE DETACH DO DROP
    EXEC EXECUTE EXPLAIN FETCH GRANT INSERT LISTEN LOAD LOCK MERGE NOTIFY OPTIMIZE PRAGMA PREPARE REFRESH REINDEX
    RELEASE RENAME REPLACE RESET REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW START TRUNCATE UNLISTEN UNLOCK UPDATE USE
    VACUUM VALUES WITH
"""
_KEYWORDS: Final = frozenset(_KEYWORD_NAMES.split())
# White space, comments and brackets in front of a statement, then its first keyword.
_FIRST_WORD: Final = re.compile(r"(?:[\s(;]|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*+([A-Za-z]{2,12})\b", re.DOTALL)
_METHODS: Final = ("cursor", "commit", "rollback", "close")
# Modules whose connections, as context managers, commit or roll back.
_COMMITTING: Final = frozenset({"sqlite3", "psycopg", "psycopg2"})
_API_LEVEL: Final = "2.0"
_LONGEST: Final = 4096


def is_connection(client: object) -> bool:
    """Whether an object has the methods of a connection."""
    return all(callable(getattr(client, name, None)) for name in _METHODS)


def measured_connection(connection: Any, system: str | None) -> Any:
    """Return a proxy of a connection. Idempotent.

    Args:
        connection: the connection.
        system: name of the resource. Default: the name of its module.

    Raises:
        ConfigurationError: the connection is asynchronous, or of another version of DB-API.
    """
    if type(connection) is MeasuredConnection:
        return connection
    module = type(connection).__module__.partition(".")[0].lstrip("_")
    what = f"cannot instrument a connection of {module}"
    if any(inspect.iscoroutinefunction(getattr(connection, name)) for name in _METHODS):
        raise ConfigurationError(f"{what}: it is asynchronous; use observe.resource around its operations")
    level = getattr(sys.modules.get(module), "apilevel", _API_LEVEL)
    if level != _API_LEVEL:
        raise ConfigurationError(f"{what}: its apilevel must be {_API_LEVEL}, got {level!r}")
    return MeasuredConnection(connection, system or module, module in _COMMITTING)


def _operation(statement: object) -> str:
    """Return the first keyword of a statement; `_OTHER` if it is none of the known ones."""
    if isinstance(statement, bytes | bytearray):
        statement = bytes(statement[:_LONGEST]).decode("ascii", "replace")
    if not isinstance(statement, str):
        return OTHER
    match = _FIRST_WORD.match(statement, 0, _LONGEST)
    word = match[1].upper() if match is not None else ""
    return sys.intern(word) if word in _KEYWORDS else OTHER


class _Proxy:
    """Passes on what it does not have."""

    __slots__ = ("__weakref__", "__wrapped__", "_system")

    __wrapped__: Any
    _system: str

    def __init__(self, wrapped: Any, system: str) -> None:
        object.__setattr__(self, "__wrapped__", wrapped)
        object.__setattr__(self, "_system", system)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __dir__(self) -> list[str]:
        return dir(self.__wrapped__)

    @property
    def __class__(self) -> Any:
        """Class of what is wrapped, for `isinstance`."""
        return cast("Any", type(self.__wrapped__))

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise TypeError("cannot change the class of an instrumented object")

    def _run(self, operation: str, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        with resource(self._system, operation):
            return function(*args, **options)


class MeasuredCursor(_Proxy):
    """A cursor that measures statements.

    Args:
        wrapped: the cursor.
        system: name of the resource.
        connection: its connection.
    """

    __slots__ = ("_connection",)

    def __init__(self, wrapped: Any, system: str, connection: MeasuredConnection) -> None:
        super().__init__(wrapped, system)
        object.__setattr__(self, "_connection", connection)

    @property
    def connection(self) -> Any:
        """The connection, which measures, too."""
        return self._connection

    def execute(self, operation: Any, *args: Any, **options: Any) -> Any:
        """Execute a statement."""
        return self._statement(_operation(operation), self.__wrapped__.execute, (operation, *args), options)

    def executemany(self, operation: Any, *args: Any, **options: Any) -> Any:
        """Execute a statement for several sets of parameters, as one operation."""
        return self._statement(_operation(operation), self.__wrapped__.executemany, (operation, *args), options)

    def executescript(self, script: Any, *args: Any, **options: Any) -> Any:
        """Execute several statements, as one operation with the name of the first one (`sqlite3`)."""
        return self._statement(_operation(script), self.__wrapped__.executescript, (script, *args), options)

    def callproc(self, *args: Any, **options: Any) -> Any:
        """Call a stored procedure."""
        return self._statement("CALL", self.__wrapped__.callproc, args, options)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__wrapped__)

    def __next__(self) -> Any:
        return next(self.__wrapped__)

    def __enter__(self) -> Self:
        self.__wrapped__.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        return self.__wrapped__.__exit__(kind, error, trace)

    def _statement(
        self, operation: str, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        found = self._run(operation, function, args, options)
        return self if found is self.__wrapped__ else found


class MeasuredConnection(_Proxy):
    """A connection that measures statements, commits and rollbacks.

    Args:
        wrapped: the connection.
        system: name of the resource.
        is_committing: whether it commits or rolls back at the end of `with`.
    """

    __slots__ = ("_is_committing",)

    def __init__(self, wrapped: Any, system: str, is_committing: bool) -> None:
        super().__init__(wrapped, system)
        object.__setattr__(self, "_is_committing", is_committing)

    def cursor(self, *args: Any, **options: Any) -> Any:
        """Return a new cursor."""
        return self._measured(self.__wrapped__.cursor(*args, **options))

    def commit(self, *args: Any, **options: Any) -> Any:
        """Commit the transaction."""
        return self._run("COMMIT", self.__wrapped__.commit, args, options)

    def rollback(self, *args: Any, **options: Any) -> Any:
        """Roll the transaction back."""
        return self._run("ROLLBACK", self.__wrapped__.rollback, args, options)

    # Shortcuts of some modules, which return a cursor.

    def execute(self, operation: Any, *args: Any, **options: Any) -> Any:
        """Execute a statement (`sqlite3`, `psycopg`)."""
        return self._statement(operation, self.__wrapped__.execute, args, options)

    def executemany(self, operation: Any, *args: Any, **options: Any) -> Any:
        """Execute a statement for several sets of parameters (`sqlite3`)."""
        return self._statement(operation, self.__wrapped__.executemany, args, options)

    def executescript(self, script: Any, *args: Any, **options: Any) -> Any:
        """Execute several statements (`sqlite3`)."""
        return self._statement(script, self.__wrapped__.executescript, args, options)

    def __enter__(self) -> Self:
        self.__wrapped__.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        leave = self.__wrapped__.__exit__
        if not self._is_committing:
            return leave(kind, error, trace)
        return self._run("COMMIT" if kind is None else "ROLLBACK", leave, (kind, error, trace), {})

    def _statement(
        self, operation: Any, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        return self._measured(self._run(_operation(operation), function, (operation, *args), options))

    def _measured(self, cursor: Any) -> Any:
        return MeasuredCursor(cursor, self._system, self) if callable(getattr(cursor, "execute", None)) else cursor
