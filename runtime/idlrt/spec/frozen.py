"""Hashable containers, for values in key position.

Thrift allows any type as the key of a map and as the element of a set; Python requires keys to be hashable. Structs
hash by value (a struct must not be modified while it is a key), and containers in key position are frozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

__all__ = ["FrozenMap", "value_hash"]

K = TypeVar("K")
V = TypeVar("V")


# Typed as `Any`, so that type checkers do not infer unknown element types.
_SEQUENCES: tuple[type[Any], ...] = (list, tuple)
_SETS: tuple[type[Any], ...] = (set,)
_MAPS: tuple[type[Any], ...] = (dict,)


class FrozenMap(Mapping[K, V]):
    """Immutable, hashable mapping. Equal to a `dict` with the same items."""

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._items: dict[K, V] = dict(items)
        self._hash: int | None = None

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = _hash_of_items(self._items)
        return self._hash

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenMap, (self._items,)


def value_hash(value: Any) -> int:
    """Return a hash by content, also for lists, sets and dicts: equal values have equal hashes."""
    if isinstance(value, _SEQUENCES):
        return hash(tuple([value_hash(item) for item in value]))
    if isinstance(value, _SETS):
        return hash(frozenset(value))
    if isinstance(value, _MAPS):
        return _hash_of_items(value)
    return hash(value)


def _hash_of_items(items: Mapping[Any, Any]) -> int:
    # Independent of the order, and without building a set of the pairs: an attacker could choose colliding values.
    return hash(sum([hash((key, value_hash(value))) for key, value in items.items()]))
