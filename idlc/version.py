"""Version of idlc and of the runtime that its stubs need."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
