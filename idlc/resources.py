"""Where the files that are not Python live: `grammars/` and `templates/`.

In a wheel they are folders inside the package; in a checkout they stand next to it. This is the only
module that knows.
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
    """The folder that holds all resources of one kind.

    Raises:
        FileNotFoundError: neither the package nor a checkout around it has the folder.
    """
    package = Path(str(files("idlc")))
    for candidate in (package / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"no {kind}/ inside or next to {package}; the installation is incomplete")


def read_text(kind: Literal["grammars", "templates"], name: str) -> str:
    """The text of one resource, for example `read_text("grammars", "thrift.lark")`."""
    return (resource_dir(kind) / name).read_text(encoding="utf-8")


def cache_dir() -> Path:
    """The folder for what can be made again: `$IDLC_CACHE_DIR`, else `idlc` in the user's cache folder.

    It need not exist.
    """
    if folder := os.environ.get("IDLC_CACHE_DIR"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".cache") / "idlc"
