"""Who else may read the registry's file, and who may reach its port.

The file holds tokens and metadata of all services, so it is its owner's alone: 0600, in folders of 0700 where they are
created here. Folders that exist stay as they are: they may belong to others.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from idlrt.core.logs import get_logger
from idlrt.net import Address, Tls

__all__ = ["make_private", "warn_if_exposed"]

_log = get_logger("idlrt.registry")

_FILE: Final = 0o600
_FOLDER: Final = 0o700
_OTHERS: Final = 0o077
# What SQLite puts beside its file, with the permissions that the file had then.
_COMPANIONS: Final[Sequence[str]] = ("", "-wal", "-shm", "-journal")


def make_private(path: Path) -> None:
    """Create the file at `path`, and the folders above it, for their owner alone. Restrict a file that exists and is
    open to others; log a warning about what cannot be restricted. Does nothing where permissions are not POSIX's.

    Raises:
        OSError: the file or a folder cannot be created.
    """
    if os.name != "posix":
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    # A link's target is what has permissions.
    path = path.resolve()
    _make_folders(path.parent)
    _check_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        # Never opened if it exists: closing any descriptor of a file gives up the locks that this process has on it.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE))
    for suffix in _COMPANIONS:
        _restrict(path.with_name(path.name + suffix))


def _make_folders(folder: Path) -> None:
    if not folder.exists():
        _make_folders(folder.parent)
        folder.mkdir(_FOLDER, exist_ok=True)


def _check_folder(folder: Path) -> None:
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        _log.warning(
            "the folder %s has permissions %s: any user may replace the registry's file in it",
            folder,
            _octal(mode),
        )


def _restrict(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode) or not mode & _OTHERS:
        return
    try:
        path.chmod(_FILE)
    except OSError as error:
        _log.warning(
            "%s has permissions %s, so that other users may use it, and cannot be restricted: %s",
            path,
            _octal(mode),
            error.strerror or error,
        )
    else:
        _log.warning("restricting %s to its owner: permissions were %s, are %s", path, _octal(mode), _octal(_FILE))


def _octal(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"


def warn_if_exposed(where: str, unrestricted: Sequence[str], tls: Tls | None) -> None:
    """Log a warning if a registry listens for other machines and has no access list for what changes it.

    Args:
        where: it listens.
        unrestricted: what everybody may do who reaches it.
        tls: that it speaks. With `authorities` its clients are known.
    """
    if unrestricted and not (tls is not None and tls.authorities) and _is_exposed(Address.parse(where)):
        _log.warning(
            "listening on %s without an access list: every host that reaches it may %s; restrict that "
            "(`--access FILE`, `access=Access(...)`), or listen on 127.0.0.1",
            where,
            " and ".join(unrestricted),
        )


def _is_exposed(address: Address) -> bool:
    """Whether other machines may connect to a server at `address`. A name other than `localhost` counts as such."""
    if address.path:
        return False
    try:
        return not ipaddress.ip_address(address.host.partition("%")[0]).is_loopback
    except ValueError:
        return address.host != "localhost"
