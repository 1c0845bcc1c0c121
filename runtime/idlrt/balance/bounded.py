"""By key, but to nobody who has too much: what balancers by key share.

A key has a place, and the place an owner. With `bound`, no instance has more calls under way than so many times the
average, in proportion to its weight and rounded up; calls beyond that jump to places that the key alone says, so those
of one hot key always overflow to the same few, and a hot instance does not weigh on its neighbour.

Sources: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (arXiv 1608.01350); Chen, Coleman,
Shrivastava, "Revisiting Consistent Hashing with Bounded Loads" (arXiv 1908.08762), as Envoy's `hash_balance_factor`.
"""

from __future__ import annotations

import math
import struct
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Final, Generic

import msgspec
from msgspec import Meta

from idlrt.balance.base import C, Chance
from idlrt.balance.digests import new_md5
from idlrt.balance.keys import key_of
from idlrt.core import Call
from idlrt.errors import ConfigurationError

__all__ = ["BoundSettings", "Bounded"]

# A key's place is the number in the first four bytes of its digest; a tuple with nothing else.
_place_in: Final = struct.Struct("<I").unpack_from
# After these an instance that has room is looked for in turn.
_JUMPS: Final = 16
# From so many candidates on, the calls under way are not added up for each call, but once while that part of them is
# called.
_COUNTED_EACH_TIME: Final = 16


class BoundSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of balancers by key.

    Raises:
        ConfigurationError: `bound` is neither 0 nor a finite number of 1 or more.
    """

    bound: Annotated[
        float,
        Meta(
            description="maximum load of an instance as a multiple of the average load, 1 or more (1.25 is "
            "usual): lower values balance better, higher values move fewer keys; 0 disables."
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        if self.bound != 0 and not 1 <= self.bound < math.inf:
            raise ConfigurationError(f"the bound of a balancer must be 1.0 or more, or 0 for none, not {self.bound!r}")


class Bounded(Generic[C]):
    """The base of balancers by key that go by weights: they say who owns a place.

    Args:
        settings: a `BoundSettings`.
    """

    Settings: ClassVar[type[msgspec.Struct]] = BoundSettings
    covers_all: ClassVar[bool] = True

    def __init__(self, candidates: Sequence[C], chance: Chance, settings: Any = None) -> None:
        # In an order of their own: it is the same in every process.
        self._ordered = sorted(candidates, key=lambda candidate: candidate.instance.address)
        bound: float = settings.bound if settings is not None else 0.0
        self._average = _Average(self._ordered, bound) if bound else None

    @abstractmethod
    def owner(self, place: int, tried: Collection[C]) -> C | None:
        """Whose place it is; the one that follows if that one was tried, and so on.

        Args:
            place: from 0 to below 2^32.
        """

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return the owner of the key's place, or with a bound the next candidate that has room."""
        digest = new_md5(key_of(call)).digest()
        found = self.owner(_place_in(digest)[0], tried)
        # An idle candidate has room.
        if self._average is None or found is None or not found.load.calls:
            return found
        return self._with_room(found, digest, tried, *self._average.of_all_but(tried))

    def _with_room(self, first: C, digest: bytes, tried: Collection[C], allowed: float, weight: int) -> C:
        """The first one that has room, from `first` on. One has if one call more is no more than its part, rounded up:
        `under_way + 1 <= ceil(allowed * own / weight)`.
        """
        found: C | None = first
        for _ in range(_JUMPS):
            if found is not None and len(found.load.calls) * weight < allowed * found.instance.weight:
                return found
            digest = new_md5(digest).digest()
            found = self.owner(_place_in(digest)[0], tried)
        ordered = self._ordered
        start = int.from_bytes(digest[4:8], "little")
        for step in range(len(ordered)):
            found = ordered[(start + step) % len(ordered)]
            if found not in tried and len(found.load.calls) * weight < allowed * found.instance.weight:
                return found
        return first  # others have called meanwhile


class _Average(Generic[C]):
    """Adds up what candidates have under way. That takes long for a thousand, so there it serves for some calls: from
    `_COUNTED_EACH_TIME` candidates on the average may be off by that part of a call.
    """

    def __init__(self, candidates: Sequence[C], bound: float) -> None:
        self._bound = bound
        self._weights = {each: each.instance.weight for each in candidates}
        self._weight = sum(self._weights.values())
        self._uses = len(candidates) // _COUNTED_EACH_TIME
        self._kept = _Sum((), 0.0, 0, 0)

    def of_all_but(self, tried: Collection[C]) -> tuple[float, int]:
        """What those that were not tried may have together, with the call that is to be placed; and their weight."""
        known = self._kept
        # Only what cannot change is known again. Threads lose a use or two to each other.
        if known.uses > 0 and (tried is known.tried or not (tried or known.tried)):
            known.uses -= 1
            return known.allowed, known.weight
        weights, weight = self._weights, self._weight
        found: Collection[C] = weights
        if tried:
            found = [each for each in weights if each not in tried]
            weight = sum([weights[each] for each in found])
        allowed = self._bound * (sum([len(each.load.calls) for each in found]) + 1)
        if self._uses and (not tried or isinstance(tried, frozenset)):
            self._kept = _Sum(tried if tried else (), allowed, weight, self._uses)
        return allowed, weight


class _Sum:
    """What was added up last: of all but `tried`, good for `uses` more calls."""

    __slots__ = ("allowed", "tried", "uses", "weight")

    def __init__(self, tried: Collection[Any], allowed: float, weight: int, uses: int) -> None:
        self.tried = tried
        self.allowed = allowed
        self.weight = weight
        self.uses = uses
