"""Reading binary with every step checked: what explains the failures of the fast reader must agree with it."""

from __future__ import annotations

from typing import Any

from idlrt.serialization import DEFAULT_LIMITS, Limits
from idlrt.serialization._binary_input import BinaryInput
from idlrt.serialization._walk_reader import WalkReader

_WALKS: dict[Limits, WalkReader] = {}


def walked(cls: Any, data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Any, int]:
    """The value that `data` starts with, and the offset after it.

    Raises:
        RemoteProtocolError: there is none.
    """
    walk = _WALKS.setdefault(limits, WalkReader(BinaryInput, limits))
    return walk.read(walk.struct(cls), cls.__name__, data, 0)[:2]
