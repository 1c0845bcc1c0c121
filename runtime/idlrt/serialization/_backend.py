"""Selection of the codec backend: native (C) where it was built, pure Python elsewhere.

Both have the same bytes, values and errors. The environment variable `IDLRT_BACKEND` (`native` or `pure`) decides
where both are there.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

from idlrt.errors import ConfigurationError
from idlrt.serialization.base import Backend

__all__ = ["backend", "choose", "compiled", "native"]

VARIABLE: Final = "IDLRT_BACKEND"

native: Any
"""The module `idlrt.serialization._native`, `None` where it was not built."""

try:
    native = importlib.import_module("idlrt.serialization._native")
except ImportError:
    native = None


def choose(wanted: str | None = None) -> Backend:
    """Return the requested backend, or the best available one.

    Raises:
        ConfigurationError: there is no such backend, or it was not built.
    """
    match wanted:
        case None | "":
            return "pure" if native is None else "native"
        case "pure":
            return "pure"
        case "native" if native is not None:
            return "native"
        case "native":
            raise ConfigurationError(
                "the native codec was not built: install a C compiler and the headers of Python, and install idlc "
                "again with IDLC_NATIVE=require, which prints why it cannot be built"
            )
        case _:
            raise ConfigurationError(f"there is no backend {wanted!r} for wire protocols; known: native, pure")


backend: Final = choose(os.environ.get(VARIABLE))
"""Default backend of all serializations: `native` or `pure`."""


def compiled(name: str) -> Any:
    """Return a class of the compiled module, or `None` with the pure backend."""
    return getattr(native, name) if backend == "native" else None
