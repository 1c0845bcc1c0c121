"""Cache of the latest snapshots on disk, for programs that start while the registry is down.

One small JSON file per service and registry, replaced atomically, so readers never see partial content. The first write
of a program removes the temporary files of killed programs. Read and write errors are logged and otherwise ignored: a
full disk must not affect a program whose registry is available.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from idlrt.core import ServiceKey, Snapshot
from idlrt.core.logs import get_logger
from idlrt.registry.files import replace_file, sweep

__all__ = ["SnapshotCache", "default_folder"]

_log = get_logger("idlrt.registry")

_FORMAT: Final = 1


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    registry: str
    saved_at: float
    snapshot: Snapshot


def default_folder() -> Path:
    """Return the default cache folder: `$IDLRT_CACHE_DIR`, else `idlrt` in the user's cache folder."""
    chosen = os.environ.get("IDLRT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "idlrt"


class SnapshotCache:
    """Snapshot files of one registry.

    Args:
        folder: created on the first write.
        registry: the registry's URL, without a password.
    """

    def __init__(self, folder: Path, registry: str) -> None:
        self._folder = folder
        self._registry = registry
        self._is_swept = False

    def path(self, key: ServiceKey) -> Path:
        """Return the file of a service."""
        what = hashlib.sha256(f"{self._registry}\n{key.group}\n{key.service}".encode()).hexdigest()[:16]
        name = "".join(each if each.isalnum() or each in "._-" else "_" for each in key.service)[:80]
        return self._folder / f"{name}-{what}.json"

    def save(self, snapshot: Snapshot) -> None:
        """Write `snapshot` to its file, replacing the previous one."""
        path = self.path(snapshot.key)
        saved = _Saved(format=_FORMAT, registry=self._registry, saved_at=time.time(), snapshot=snapshot)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._is_swept:
                self._is_swept = True
                sweep(self._folder)
            replace_file(path, msgspec.json.encode(saved))
        except OSError as error:
            _log.warning(
                "cannot save the snapshot of %s to %s: %s",
                snapshot.key,
                path,
                error.strerror or error,
                extra={"service": str(snapshot.key), "path": str(path)},
            )

    def load(self, key: ServiceKey) -> Snapshot | None:
        """Read the saved snapshot; `None` if there is none, or it cannot be read."""
        path = self.path(key)
        try:
            saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            _log.warning(
                "cannot read the saved snapshot of %s from %s: %s",
                key,
                path,
                error,
                extra={"service": str(key), "path": str(path)},
            )
            return None
        if saved.format != _FORMAT or saved.registry != self._registry or saved.snapshot.key != key:
            return None
        return saved.snapshot
