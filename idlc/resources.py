"""Locations of resource files (`grammars/`, `templates/`) and of the cache.

In a wheel, resources are folders inside the package; in a checkout, next to it. Only this module depends on that.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

__all__ = ["cache_dir", "read_text", "resource_dir"]


@cache
def resource_dir(kind: Literal["grammars", "templates"]) -> Path:
    """Return the folder of all resources of one kind.

    Raises:
        FileNotFoundError: the folder is neither in the package nor next to it.
    """
    package = Path(str(files("idlc")))
    for candidate in (package / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"cannot find {kind}/ in {package} or next to it: the installation is incomplete; reinstall idlc"
    )


def read_text(kind: Literal["grammars", "templates"], name: str) -> str:
    """Return the text of a resource, for example `read_text("grammars", "thrift.lark")`."""
    return (resource_dir(kind) / name).read_text(encoding="utf-8")


def cache_dir() -> Path:
    """Return the cache folder: `$IDLC_CACHE_DIR`, else `idlc` in the user's cache folder. It may not exist yet."""
    if folder := os.environ.get("IDLC_CACHE_DIR"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".cache") / "idlc"
