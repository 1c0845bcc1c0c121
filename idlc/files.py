"""Replacing files whole, whenever the process may be killed, and saying what files are called.

A file is written under a temporary name beside its place and moved over it, so that nobody ever reads half of it. A
process that is killed in between leaves the temporary file behind. The next compile that writes into the folder removes
it: the file is locked as long as its writer lives, and the kernel releases the locks of a process however it ends.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]

__all__ = ["readable", "replace_file", "sweep"]

_PREFIX, _SUFFIX = ".idlc-", ".tmp"


def replace_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write `data` to `path`, all at once; folders are made as needed.

    Args:
        mode: permissions of the file, less those that the process' umask takes away.

    Raises:
        OSError: it cannot be written. There is no temporary file then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while not _try_replace(path, data, mode):
        pass


def sweep(folder: Path) -> None:
    """Remove temporary files whose writers were killed. Those of writers that are at work are left alone."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX):
                _remove_stale(entry.path)


def readable(path: Path | str) -> str:
    """What messages call a file: bytes that are not UTF-8, and characters that cannot be printed, are escaped."""
    return "".join(map(_readable, str(path)))


def _readable(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte, as PEP 383 has it
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
                os.replace(temporary, path)  # while it is locked
        if fcntl is None:
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return True


def _claim(handle: int) -> bool:
    """Lock a file that was just created; false if somebody who sweeps was faster and is removing it."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks, where nobody sweeps
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
