"""MD5, which gives keys and instances their places: the same in every process, and in clients of Dubbo and Tars. Not
used for security.
"""

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
    """Return CPython's built-in MD5 if there is one. OpenSSL's, which `hashlib` prefers, takes two to three times as
    long for a key: nearly all of that is looking up the algorithm.
    """
    try:
        builtin: Callable[[bytes], _Digest] = importlib.import_module("_md5").md5
    except ImportError:
        return partial(hashlib.md5, usedforsecurity=False)
    return builtin


new_md5: Final = _constructor()
"""The MD5 of a few bytes: `new_md5(data).digest()`, 16 bytes."""
