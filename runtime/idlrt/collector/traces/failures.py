"""Errors of the trace store: exceptions of SQLite and the operating system as those of the runtime."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Final

import msgspec

from idlrt.errors import ConfigurationError, RpcError

__all__ = ["TraceStorageError", "damaged", "reading", "writing"]

# Tables are there if a file is opened, so an error in a statement is one of its schema.
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
# Exceptions of code that uses damaged rows: SQLite does not check the types of values, and we need not either.
_BAD_ROWS: Final = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    OverflowError,
    zlib.error,
    msgspec.MsgspecError,
)


class TraceStorageError(RpcError):
    """Traces cannot be written, such as because the disk is full. Nothing may be acknowledged; retry later."""


def damaged(path: Path, why: object) -> ConfigurationError:
    """Return the error for a file that cannot be read."""
    return ConfigurationError(f"cannot read traces from {path}: {why}; move the file away: its traces are lost")


def _translated(error: sqlite3.DatabaseError, path: Path, what: str, advice: str) -> RpcError:
    """Return the error for an exception of SQLite."""
    return damaged(path, error) if _is_damage(error) else TraceStorageError(f"{what}: {error}; {advice}")


@contextlib.contextmanager
def writing(path: Path) -> Generator[None, None, None]:
    """Translate the exceptions of writing a file.

    Raises:
        TraceStorageError: it cannot be written now.
        ConfigurationError: it is damaged.
    """
    what = f"cannot write traces to {path}"
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _translated(error, path, what, "check space and permissions") from error
    except OSError as error:
        raise TraceStorageError(f"{what}: {error.strerror}; check space and permissions") from error


@contextlib.contextmanager
def reading(path: Path) -> Generator[None, None, None]:
    """Translate the exceptions of reading a file, and of using its rows.

    Raises:
        TraceStorageError: it cannot be read now.
        ConfigurationError: it is damaged.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _translated(error, path, f"cannot read traces from {path}", "retry") from error
    except RpcError:
        raise
    except _BAD_ROWS as error:
        raise damaged(path, f"damaged row ({type(error).__name__}: {error})") from error


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)  # absent if the module itself has raised it
    return isinstance(code, int) and code & 0xFF in _DAMAGE
