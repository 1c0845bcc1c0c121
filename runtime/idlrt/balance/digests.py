"""MD5 for key-based balancers: the same in every process and in clients of Dubbo and Tars. Not used for security."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

__all__ = ["new_md5"]


class _Digest(Protocol):
    def digest(self) -> bytes: ...


def _constructor() -> Callable[[bytes], _Digest]:
    """Return CPython's built-in MD5 if available, else OpenSSL's.

    `hashlib` prefers OpenSSL's, which takes two to three times as long for a key, mostly for looking up the algorithm.
    """
    try:
        builtin: Callable[[bytes], _Digest] = importlib.import_module("_md5").md5
    except ImportError:
        return partial(hashlib.md5, usedforsecurity=False)
    return builtin


new_md5: Final = _constructor()
"""Constructor of MD5 hashes: `new_md5(data).digest()` is 16 bytes."""
