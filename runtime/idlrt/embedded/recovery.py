"""What to do about the file of an embedded registry that cannot be used: the errors, and reading it nevertheless."""

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

__all__ = ["check_rows", "recover_rows", "report", "unusable"]

_log = get_logger("idlrt.registry")

_RECOVER: Final = "start with `--recover` to serve, read-only, what can be read"
_ANEW: Final = f"{_RECOVER}, or move the file away to begin anew: servers register again, settings and patches are lost"
# Words of SQLite's errors, and what can be done.
_ADVICE: Final = {
    "locked": "is another registry using it? Stop that one, or choose another file",
    "not a database": "it is something else, or its beginning is damaged; name another file",
    "malformed": _ANEW,
    "full": f"make room on the disk, or {_RECOVER}",
    "readonly": f"make it writable, or {_RECOVER}",
    "unable to open": "is it a file, and are its folder and it readable and writable?",
    "disk I/O error": f"the disk is full or broken, or the file may not grow; mend that, or {_RECOVER}",
}
_OS_ADVICE: Final = {
    errno.EROFS: f"make it writable, or {_RECOVER}",
    errno.EACCES: "give this user the right to read and write it and its folder",
    errno.EPERM: "give this user the right to read and write it and its folder",
    errno.ENOSPC: f"make room on the disk, or {_RECOVER}",
}
# Bytes of a file that is lengthened. What is added takes no room on most disks.
_LONGEST: Final = 1 << 36
# Damages that are told one by one.
_TOLD: Final = 20


def unusable(path: Path | None, error: BaseException) -> ConfigurationError:
    """The error for a file that cannot be opened, or not be written to."""
    if isinstance(error, OSError):
        why, advice = error.strerror or str(error), _OS_ADVICE.get(error.errno or 0, "")
    else:
        why = str(error)
        if path is not None and path.is_file() and not os.access(path, os.W_OK):
            why = "readonly file"  # SQLite says many things of that
        advice = next((do for words, do in _ADVICE.items() if words in why), "")
    if path is None or not path.exists():
        advice = advice.replace(f", or {_RECOVER}", "")
    return ConfigurationError(f"cannot use {path} for a registry: {why}{f'; {advice}' if advice else ''}")


def check_rows(path: Path | None, rows: Rows) -> None:
    """See that everything in a file was read.

    Raises:
        ConfigurationError: the file is of a later version, or damaged.
    """
    if rows.format > FORMAT:
        raise ConfigurationError(
            f"cannot use {path} for a registry: its format is {rows.format}, of a later version, and this one knows "
            f"{FORMAT}; run that version, or {_RECOVER}"
        )
    if rows.format and rows.format != FORMAT:
        rows.damage.insert(0, f"table registry: there is no format {rows.format}")
    if rows.damage:
        more = f", and {len(rows.damage) - 1} more" if len(rows.damage) > 1 else ""
        raise ConfigurationError(f"cannot use {path} for a registry: damaged: {rows.damage[0]}{more}; {_ANEW}")


def recover_rows(path: Path | None, connect: Callable[..., sqlite3.Connection]) -> Rows:
    """Read what can be read of a file, which stays as it is: a copy is opened.

    Raises:
        ConfigurationError: nothing can be, or another registry uses the file.
    """
    if path is None:
        raise ConfigurationError("there is nothing to recover without a file: give one (`--data FILE`)")
    if not path.is_file():
        raise ConfigurationError(f"cannot recover {path}: there is no such file")
    _check_unused(path, connect)
    try:
        with tempfile.TemporaryDirectory(prefix="idlrt-registry-") as folder:
            copy = Path(folder) / "registry.db"
            shutil.copyfile(path, copy)
            _lengthen(copy)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{path}-wal", f"{copy}-wal")
            with contextlib.closing(connect(copy, isolation_level=None)) as database:
                rows = read_rows(database)
    except (sqlite3.Error, OSError) as error:
        raise ConfigurationError(f"cannot recover {path}: {error}") from error
    if not (rows.services or rows.records or rows.corrections or rows.sessions) and rows.damage:
        raise ConfigurationError(f"cannot recover {path}: nothing in it can be read: {rows.damage[0]}")
    return rows


def _lengthen(copy: Path) -> None:
    """Give a file that was cut off the length that its head speaks of: SQLite would read nothing of it otherwise.

    Source: https://www.sqlite.org/fileformat.html, 1.3.
    """
    with copy.open("r+b") as file:
        head = file.read(32)
        page = int.from_bytes(head[16:18], "big")
        length = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
        if copy.stat().st_size < length <= _LONGEST:
            file.truncate(length)


def _check_unused(path: Path, connect: Callable[..., sqlite3.Connection]) -> None:
    """A copy of a file that is being written to would be of no moment."""
    try:
        with contextlib.closing(connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise unusable(path, error) from error


def report(path: Path | None, damage: Sequence[str], services: int, instances: int) -> None:
    """Log what was recovered, and what was not."""
    for each in damage[:_TOLD]:
        _log.warning("not recovered: %s", each)
    if len(damage) > _TOLD:
        _log.warning("not recovered: %d more", len(damage) - _TOLD)
    _log.warning(
        "serving %s read-only: recovered services: %d, instances: %d, not recovered: %d; save what you need with "
        "`idlrt registry export`, move the file away and start again without --recover",
        path,
        services,
        instances,
        len(damage),
    )
