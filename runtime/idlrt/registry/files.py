"""Atomic replacement of small files, and cleanup of temporary files that killed programs left behind.

A file is written under a temporary name in the same folder and renamed over its target, so readers never see partial
content. If a program is killed in between, its temporary file stays until the next program that uses the folder removes
it: the writer holds a lock on the file, and the kernel releases the locks of a process however it ends. The compiler
does the same with its output; the runtime does not depend on the compiler.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["replace_file", "sweep"]

_PREFIX: Final = ".idlrt-"
_SUFFIX: Final = ".tmp"


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically, readable by the user only.

    Raises:
        OSError: the file cannot be written. No temporary file is left.
    """
    while not _try_replace(path, data):
        pass


def sweep(folder: Path) -> None:
    """Remove the temporary files of killed programs. Those of running programs stay."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX):
                _remove_stale(entry.path)


def _try_replace(path: Path, data: bytes) -> bool:
    temporary = path.parent / f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            if not _claim(handle):
                return False
            stream.write(data)
            stream.flush()
            if fcntl is not None:
                temporary.replace(path)  # while the lock is held
        if fcntl is None:
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return True


def _claim(handle: int) -> bool:
    """Lock a newly created file; return false if a concurrent sweep locked it first and is removing it."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks, where sweeps remove nothing
            return True
    return os.fstat(handle).st_nlink > 0


def _remove_stale(path: str) -> None:
    with suppress(OSError):
        if fcntl is None:
            Path(path).unlink()
            return
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(path).unlink()
        finally:
            os.close(handle)
