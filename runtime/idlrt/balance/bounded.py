"""Key-based balancing with bounded loads: the base of `consistent_hash` and `maglev`.

A key hashes to a position, and each position has an owner. With `balance_factor`, no instance has more calls in flight
than `balance_factor` times the average, in proportion to its weight and rounded up. Excess calls go to positions that
are rehashes of the key: the calls of one hot key always overflow to the same few instances, and an overloaded instance
does not burden its neighbor on the ring.

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

from idlrt.balance.base import C, ClockAndRandom
from idlrt.balance.digests import new_md5
from idlrt.balance.keys import key_of
from idlrt.core import Call
from idlrt.errors import ConfigurationError

__all__ = ["BoundSettings", "Bounded"]

# A key's position is the number in the first four bytes of its digest; unpacks to a 1-tuple.
_position_in: Final = struct.Struct("<I").unpack_from
# Rehashes before a linear scan for an instance below its bound.
_REHASHES: Final = 16
# With this many candidates or more, the sum of the calls in flight is reused for this fraction (1/16) of their number.
_SUM_REUSE_DIVISOR: Final = 16


class BoundSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of key-based balancers.

    Raises:
        ConfigurationError: `balance_factor` is neither 0 nor a finite number of 1 or more.
    """

    balance_factor: Annotated[
        float,
        Meta(
            description="maximum load of an instance as a multiple of the average load, 1 or more (1.25 is "
            "usual): lower values balance better, higher values move fewer keys; 0 disables."
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        if self.balance_factor != 0 and not 1 <= self.balance_factor < math.inf:
            raise ConfigurationError(f"balance_factor must be 0 (disabled) or at least 1, got {self.balance_factor!r}")


class Bounded(Generic[C]):
    """Base of weighted key-based balancers; subclasses map positions to owners.

    Args:
        settings: a `BoundSettings`.
    """

    Settings: ClassVar[type[msgspec.Struct]] = BoundSettings
    covers_all: ClassVar[bool] = True

    def __init__(self, candidates: Sequence[C], sources: ClockAndRandom, settings: Any = None) -> None:
        # By address, so that the order is the same in every process.
        self._ordered = sorted(candidates, key=lambda candidate: candidate.instance.address)
        bound: float = settings.balance_factor if settings is not None else 0.0
        self._average = _Average(self._ordered, bound) if bound else None

    @abstractmethod
    def owner(self, place: int, tried: Collection[C]) -> C | None:
        """Return the owner of a position; if it was tried, the next owner that was not; `None` if all were.

        Args:
            place: the position, at least 0 and below 2^32.
        """

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """Return the owner of the key's position, or the next candidate below its bound."""
        digest = new_md5(key_of(call)).digest()
        found = self.owner(_position_in(digest)[0], tried)
        # An idle candidate is always below its bound.
        if self._average is None or found is None or not found.load.calls:
            return found
        return self._with_room(found, digest, tried, *self._average.of_all_but(tried))

    def _with_room(self, first: C, digest: bytes, tried: Collection[C], allowed: float, weight: int) -> C:
        """Return the first candidate below its bound, starting with `first`.

        A candidate may take one more call if `in_flight + 1 <= ceil(allowed * own_weight / weight)`.

        Args:
            allowed: calls that all candidates together may have in flight.
            weight: sum of the weights of all candidates.
        """
        found: C | None = first
        for _ in range(_REHASHES):
            if found is not None and len(found.load.calls) * weight < allowed * found.instance.weight:
                return found
            digest = new_md5(digest).digest()
            found = self.owner(_position_in(digest)[0], tried)
        ordered = self._ordered
        start = int.from_bytes(digest[4:8], "little")
        for step in range(len(ordered)):
            found = ordered[(start + step) % len(ordered)]
            if found not in tried and len(found.load.calls) * weight < allowed * found.instance.weight:
                return found
        return first  # other threads have used up the room since the sum was taken


class _Average(Generic[C]):
    """Sum of the calls in flight, cached when there are many candidates.

    Summing up a thousand candidates for each call takes too long, so one sum serves 1/16 of a call per candidate: from
    `_SUM_REUSE_DIVISOR` candidates on, the average may be off by that fraction of a call.
    """

    def __init__(self, candidates: Sequence[C], bound: float) -> None:
        self._bound = bound
        self._weights = {each: each.instance.weight for each in candidates}
        self._weight = sum(self._weights.values())
        self._uses = len(candidates) // _SUM_REUSE_DIVISOR
        self._cached = _Sum((), 0.0, 0, 0)

    def of_all_but(self, tried: Collection[C]) -> tuple[float, int]:
        """Return how many calls the untried candidates together may have, the new one included, and their weight."""
        cached = self._cached
        # Identity of `tried` is a safe key because only immutable sets are cached. A race between threads merely
        # miscounts a use or two.
        if cached.uses > 0 and (tried is cached.tried or not (tried or cached.tried)):
            cached.uses -= 1
            return cached.allowed, cached.weight
        weights, weight = self._weights, self._weight
        found: Collection[C] = weights
        if tried:
            found = [each for each in weights if each not in tried]
            weight = sum([weights[each] for each in found])
        allowed = self._bound * (sum([len(each.load.calls) for each in found]) + 1)
        if self._uses and (not tried or isinstance(tried, frozenset)):
            self._cached = _Sum(tried if tried else (), allowed, weight, self._uses)
        return allowed, weight


class _Sum:
    """A cached sum over all candidates except `tried`, valid for `uses` more calls."""

    __slots__ = ("allowed", "tried", "uses", "weight")

    def __init__(self, tried: Collection[Any], allowed: float, weight: int, uses: int) -> None:
        self.tried = tried
        self.allowed = allowed
        self.weight = weight
        self.uses = uses
