"""Protection of the registry's file and port against other users.

The file holds tokens and metadata of all services, so only its owner may access it: mode 0600, in folders of mode 0700
where they are created here. Existing folders stay unchanged: they may be shared.
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
# Suffixes of SQLite's companion files, which get the permissions that the database has when they are created.
_COMPANIONS: Final[Sequence[str]] = ("", "-wal", "-shm", "-journal")


def make_private(path: Path) -> None:
    """Create the file at `path`, and its parent folders, accessible to their owner only. Restrict an existing file that
    others can access; log a warning if that fails. No effect on systems without POSIX permissions.

    Raises:
        OSError: the file or a folder cannot be created.
    """
    if os.name != "posix":
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    # Permissions are those of a symbolic link's target.
    path = path.resolve()
    _make_folders(path.parent)
    _check_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        # Do not open an existing file: closing any descriptor of a file releases this process's locks on it.
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
            "folder %s has mode %s: any user may replace the registry's file in it",
            folder,
            _octal(mode),
            extra={"path": str(folder)},
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
            "cannot restrict %s (mode %s), which other users can access: %s",
            path,
            _octal(mode),
            error.strerror or error,
            extra={"path": str(path)},
        )
    else:
        _log.warning(
            "restricting %s to its owner: mode was %s, now %s",
            path,
            _octal(mode),
            _octal(_FILE),
            extra={"path": str(path)},
        )


def _octal(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"


def warn_if_exposed(where: str, unrestricted: Sequence[str], tls: Tls | None) -> None:
    """Log a warning if other machines can connect to a registry and change it without an access list.

    Args:
        where: address that the registry listens on.
        unrestricted: permissions granted to all clients.
        tls: TLS settings. With `authorities` its clients are authenticated.
    """
    if unrestricted and not (tls is not None and tls.authorities) and _is_exposed(Address.parse(where)):
        _log.warning(
            "listening on %s without an access list: any host that can connect may %s; restrict access "
            "(`--access FILE`, `access=Access(...)`), or listen on 127.0.0.1",
            where,
            " and ".join(unrestricted),
            extra={"address": where},
        )


def _is_exposed(address: Address) -> bool:
    """Whether other machines may connect to a server at `address`. Names other than `localhost` count as exposed."""
    if address.path:
        return False
    try:
        return not ipaddress.ip_address(address.host.partition("%")[0]).is_loopback
    except ValueError:
        return address.host != "localhost"
