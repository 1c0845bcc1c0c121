"""Serializations by name; instances of equal limits are shared."""

from __future__ import annotations

import functools
from typing import Final

from idlrt.plugins import Plugins
from idlrt.serialization.base import DEFAULT_LIMITS, Limits, Serialization
from idlrt.serialization.binary import BinarySerialization

__all__ = ["SERIALIZATIONS", "serialization"]

SERIALIZATIONS: Final[Plugins[Serialization]] = Plugins("idlrt.serializations")


def serialization(name: str = "binary", limits: Limits = DEFAULT_LIMITS) -> Serialization:
    """Return the serialization of this name and these limits.

    Raises:
        UnknownPlugin: the name is not known.
    """
    return _serialization(name, limits)


@functools.lru_cache(maxsize=64)
def _serialization(name: str, limits: Limits) -> Serialization:
    # The usual ones are linked: looking at all installed packages costs milliseconds.
    if name == "binary":
        return BinarySerialization(limits)
    if name == "compact":
        from idlrt.serialization.compact import CompactSerialization

        return CompactSerialization(limits)
    return SERIALIZATIONS.make(name, limits)
