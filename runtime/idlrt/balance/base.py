"""Choosing one of several instances: what a balancer is, and what it may look at.

A balancer is made for a set of instances and chooses from it until the set changes; then another one is made. So it may
prepare whatever it likes, and need not notice changes. What is measured belongs to the instances (`Load`) and outlives
it. Instances that are not to be called are not in the set: balancers know nothing of health.

`pick` is called by many threads at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from idlrt.balance.load import Load
from idlrt.core import Call, Chance, Instance
from idlrt.plugins import Plugins

__all__ = ["BALANCERS", "Balancer", "C", "Candidate", "Chance", "key_of", "left"]


class Candidate(Protocol):
    """What is chosen from."""

    instance: Instance
    load: Load


C = TypeVar("C", bound=Candidate)


class Balancer(Protocol[C]):
    """Chooses from the candidates that it was made with: `BALANCERS.make(name, candidates, chance)`."""

    def __init__(self, candidates: Sequence[C], chance: Chance) -> None: ...

    def pick(self, call: Call, tried: Collection[C]) -> C | None:
        """The one for `call` that is not among those that were `tried` for it already; `None` if all were."""
        ...


BALANCERS: Final[Plugins[Any]] = Plugins("idlrt.balancers")
"""Balancers by name."""


def left(candidates: Sequence[C], tried: Collection[C]) -> Sequence[C]:
    """Those that were not tried."""
    return [each for each in candidates if each not in tried] if tried else candidates


def key_of(call: Call) -> bytes:
    """What calls are kept together by: the option `hash_key`, else the first argument (as Dubbo has it)."""
    options: Mapping[str, object] = call.options
    key = options.get("hash_key", call.arguments[0] if call.arguments else "")
    if isinstance(key, bytes):
        return key
    return str(key).encode(errors="surrogatepass")


class Prepared(Generic[C]):
    """The base of balancers that keep their candidates as they were given."""

    def __init__(self, candidates: Sequence[C], chance: Chance) -> None:
        self._candidates = candidates
        self._chance = chance
