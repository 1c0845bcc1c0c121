"""Atomic replacement of small files, and removal of what killed programs leave behind.

A file is written under a temporary name beside its place and moved over it, so readers never see half of it. A program
that is killed in between leaves the temporary file. The next program that uses the folder removes it: the file is
locked while its writer lives, and the kernel releases the locks of a process however it ends. The compiler does the
same with its output; the runtime does not depend on the compiler.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["replace_file", "sweep"]

_PREFIX: Final = ".idlrt-"
_SUFFIX: Final = ".tmp"


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically, readable by the user only.

    Raises:
        OSError: it cannot be written. No temporary file is left.
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
                temporary.replace(path)  # while it is locked
        if fcntl is None:
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return True


def _claim(handle: int) -> bool:
    """Lock a file that was just created; return false if a sweep was faster and is removing it."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks, where no sweep removes anything
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
