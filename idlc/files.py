"""Atomic replacement of files, and printable file names.

A file is written under a temporary name in the same folder and then renamed, so that readers never see a partial file.
A process that is killed in between leaves the temporary file behind. The next compile that writes into the folder
removes it: a temporary file is locked while its writer lives, and the kernel releases the locks of a process however it
ends.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where open files cannot be removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["readable", "replace_file", "sweep"]

_PREFIX, _SUFFIX = ".idlc-", ".tmp"


def replace_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write `data` to `path` atomically; create missing folders.

    Args:
        mode: permissions of the file, before the umask of the process is applied.

    Raises:
        OSError: the file cannot be written. No temporary file is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while not _try_replace(path, data, mode):
        pass


def sweep(folder: Path) -> None:
    """Remove temporary files of writers that were killed. Those of running writers are kept."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX):
                _remove_stale(entry.path)


def readable(path: Path | str) -> str:
    """Return a printable file name: bytes that are not UTF-8, and characters that cannot be printed, are escaped."""
    return "".join(map(_readable, str(path)))


def _readable(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _try_replace(path: Path, data: bytes, mode: int) -> bool:
    temporary = path.parent / f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            if not _claim(handle):
                return False
            stream.write(data)
            stream.flush()
            if fcntl is not None:
                os.replace(temporary, path)  # before the lock is released, or `sweep` could remove the file
        if fcntl is None:
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return True


def _claim(handle: int) -> bool:
    """Lock a file that was just created; return false if a concurrent `sweep` has locked it first and removes it."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks, where `sweep` removes nothing
            return True
    return os.fstat(handle).st_nlink > 0


def _remove_stale(path: str) -> None:
    with suppress(OSError):
        if fcntl is None:
            os.unlink(path)
            return
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(handle)
