"""Parts that tests get once for all runs: folders in `idlc-tests` in the user's cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["cached_part"]


def cached_part(name: str, build: Callable[[Path], None]) -> Path:
    """Return a folder, which one of the processes that test builds. It is complete, or is not there.

    Args:
        name: name of the folder.
        build: builds the folder at a path, from which it is moved.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    root = (Path(base) if base else Path.home() / ".cache") / "idlc-tests"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = root / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            build(unfinished)
            unfinished.replace(folder)
    return folder
