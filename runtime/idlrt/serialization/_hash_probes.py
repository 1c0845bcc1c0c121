"""Protection against crafted keys with colliding hashes: a bound on the work that a peer can cause.

Python hashes numbers by their value, without a salt, so a peer can choose keys that all look for a place at the same
places of a hash table: each costs as many steps as there are others. How many steps CPython takes is known before
they are made, so large sets and maps are watched while they are built, and refused when their keys need more than
`PROBES` steps on average. Keys that were not made for that need 2 to 5, multiples of powers of 2 up to 34.
Text and bytes have salted hashes and are not watched, nor are small containers.

The table here is one of bits, with the sizes of CPython's dicts and their order of steps. Sets look at neighbours
first, which only makes them quicker. `native/probes.h` does the same in C: both refuse the same keys.

Source: https://github.com/python/cpython/blob/3.11/Objects/dictobject.c (`lookdict_index`, `GROWTH_RATE`)
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.serialization.errors import colliding
from idlrt.spec import BaseType, EnumType, Type

__all__ = ["PROBES", "HashProbes", "watched_from"]

PROBES: Final = 64
"""Average number of probes per key above which keys are rejected."""

_NUMBERS: Final = 1024
_UUIDS: Final = 64
_COMPOUND: Final = 256
_NEVER: Final = ("bool", "i8", "string", "binary")


def watched_from(key: Type[Any]) -> int:
    """Return the length from which a set or map with keys of a type is checked; 0: never."""
    if isinstance(key, BaseType):
        return 0 if key.name in _NEVER else _UUIDS if key.name == "uuid" else _NUMBERS
    return _NUMBERS if isinstance(key, EnumType) else _COMPOUND


class HashProbes:
    """Counter of the probes of insertions into a hash table.

    Args:
        length: keys at most.
    """

    __slots__ = ("_bits", "_hashes", "_left", "_mask", "_slot", "_usable")

    def __init__(self, length: int) -> None:
        self._left = PROBES * length
        self._hashes: list[int] = []
        self._resize(8)

    def _resize(self, size: int) -> None:
        self._mask = size - 1
        self._usable = size * 2 // 3
        self._bits = bytearray(size)
        for number in self._hashes:
            self._find(number)
            self._bits[self._slot] = 1

    def _find(self, number: int) -> None:
        bits, mask = self._bits, self._mask
        slot = number & mask
        perturb = number & 0xFFFFFFFFFFFFFFFF
        while bits[slot]:
            self._left -= 1
            perturb >>= 5
            slot = (slot * 5 + perturb + 1) & mask
        self._slot = slot

    def look(self, key: Any, offset: int) -> None:
        """Count the probes of the lookup of a key.

        Raises:
            DecodeError: keys collide too much.
        """
        self._find(hash(key))
        if self._left < 0:
            raise colliding(offset)

    def added(self, key: Any) -> None:
        """Record that the key of the last lookup was new."""
        self._bits[self._slot] = 1
        self._hashes.append(hash(key))
        used = len(self._hashes)
        if used >= self._usable:
            self._resize(1 << (used * 3 - 1).bit_length())
