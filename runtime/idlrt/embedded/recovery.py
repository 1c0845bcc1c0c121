"""Errors of unusable registry files, and recovery of their readable data."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from idlrt.core.logs import get_logger
from idlrt.embedded.rows import FORMAT, Rows, read_rows
from idlrt.errors import ConfigurationError
from idlrt.printable import plural

__all__ = ["check_rows", "recover_rows", "report", "unusable_file"]

_log = get_logger("idlrt.registry")

_RECOVER: Final = "start with --recover to serve its readable data read-only"
_RECOVER_OR_START_EMPTY: Final = (
    f"{_RECOVER}, or move the file away to start with an empty registry: servers register again, settings and patches "
    "are lost"
)
# Parts of SQLite's error messages, and hints.
_ADVICE: Final = {
    "locked": "another registry is using it; stop that one, or choose another file",
    "not a database": "it is of another kind, or its header is damaged; choose another file",
    "malformed": _RECOVER_OR_START_EMPTY,
    "full": f"free disk space, or {_RECOVER}",
    "readonly": f"make it writable, or {_RECOVER}",
    "unable to open": "check that it is a regular file, and that it and its folder are readable and writable",
    "disk I/O error": f"the disk is full or failing, or the file size is limited; fix that, or {_RECOVER}",
}
_OS_ADVICE: Final = {
    errno.EROFS: f"make it writable, or {_RECOVER}",
    errno.EACCES: "grant this user read and write permission for it and its folder",
    errno.EPERM: "grant this user read and write permission for it and its folder",
    errno.ENOSPC: f"free disk space, or {_RECOVER}",
}
# Maximum length in bytes to which a truncated file is extended. The extension is sparse on most file systems.
_MAX_LENGTH: Final = 1 << 36
# Maximum number of damaged rows that are logged individually.
_MAX_LOGGED: Final = 20


def unusable_file(path: Path | None, error: BaseException) -> ConfigurationError:
    """Build the error for a file that cannot be opened or written."""
    if isinstance(error, OSError):
        why, advice = error.strerror or str(error), _OS_ADVICE.get(error.errno or 0, "")
    else:
        why = str(error)
        if path is not None and path.is_file() and not os.access(path, os.W_OK):
            why = "readonly file"  # SQLite has many different messages for that
        advice = next((do for words, do in _ADVICE.items() if words in why), "")
    if path is None or not path.exists():
        advice = advice.replace(f", or {_RECOVER}", "")
    return ConfigurationError(f"cannot use {path} for a registry: {why}{f'; {advice}' if advice else ''}")


def check_rows(path: Path | None, rows: Rows) -> None:
    """Check that a file was read completely.

    Raises:
        ConfigurationError: the file is of a later version, or damaged.
    """
    if rows.format > FORMAT:
        raise ConfigurationError(
            f"cannot use {path} for a registry: file format {rows.format} is newer than the supported format "
            f"{FORMAT}; run the version that has written it, or {_RECOVER}"
        )
    if rows.format and rows.format != FORMAT:
        rows.damage.insert(0, f"table registry: unknown format {rows.format}")
    if rows.damage:
        more = f", and {len(rows.damage) - 1} more" if len(rows.damage) > 1 else ""
        raise ConfigurationError(
            f"cannot use {path} for a registry: damaged: {rows.damage[0]}{more}; {_RECOVER_OR_START_EMPTY}"
        )


def recover_rows(path: Path | None, connect: Callable[..., sqlite3.Connection]) -> Rows:
    """Read all readable data of a file. The file stays unchanged: a copy is opened.

    Raises:
        ConfigurationError: no data is readable, or another registry uses the file.
    """
    if path is None:
        raise ConfigurationError("cannot recover a registry without a file; give one with --data FILE")
    if not path.is_file():
        raise ConfigurationError(f"cannot recover {path}: no such file")
    _check_unused(path, connect)
    try:
        with tempfile.TemporaryDirectory(prefix="idlrt-registry-") as folder:
            copy = Path(folder) / "registry.db"
            shutil.copyfile(path, copy)
            _extend(copy)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{path}-wal", f"{copy}-wal")
            with contextlib.closing(connect(copy, isolation_level=None)) as database:
                rows = read_rows(database)
    except (sqlite3.Error, OSError) as error:
        raise ConfigurationError(f"cannot recover {path}: {error}") from error
    if not (rows.services or rows.records or rows.corrections or rows.sessions) and rows.damage:
        raise ConfigurationError(f"cannot recover {path}: no readable data: {rows.damage[0]}")
    return rows


def _extend(copy: Path) -> None:
    """Extend a truncated file to the length recorded in its header: otherwise SQLite would not read it at all.

    Source: https://www.sqlite.org/fileformat.html, 1.3.
    """
    with copy.open("r+b") as file:
        head = file.read(32)
        page = int.from_bytes(head[16:18], "big")
        length = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
        if copy.stat().st_size < length <= _MAX_LENGTH:
            file.truncate(length)


def _check_unused(path: Path, connect: Callable[..., sqlite3.Connection]) -> None:
    """Raise if another process has locked the file: a copy taken during writes would be inconsistent."""
    try:
        with contextlib.closing(connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise unusable_file(path, error) from error


def report(path: Path | None, damage: Sequence[str], services: int, instances: int) -> None:
    """Log the damage, and how much was recovered."""
    for each in damage[:_MAX_LOGGED]:
        _log.warning("skipping damaged data: %s", each, extra={"path": str(path)})
    if len(damage) > _MAX_LOGGED:
        _log.warning("skipping damaged data: %d more", len(damage) - _MAX_LOGGED, extra={"path": str(path)})
    _log.warning(
        "serving %s read-only: recovered %s with %s, skipped %s; export what you need with `idlrt registry export`, "
        "move the file away and start again without --recover",
        path,
        plural(services, "service"),
        plural(instances, "instance"),
        plural(len(damage), "damaged part"),
        extra={"path": str(path), "services": services, "instances": instances, "damaged": len(damage)},
    )
