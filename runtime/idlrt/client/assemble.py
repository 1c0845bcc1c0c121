"""The order of what stands between a caller and the wire, in one place.

From the caller to the wire: filters that the caller gave to `connect`, in their order; the guards of the configuration,
as below; the fault mode, which asks for an instance as often as it wants one; routers, which narrow the instances; the
balancer, which picks one; the instance's breaker; the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from idlrt.core import Call, Filter, stack

__all__ = ["assemble", "ordered"]

# Outermost first. Who stands in for answers sees all failures; who refuses comes before who waits; the breaker counts
# what calls have come to in the end. Guards of others stand behind these, in the order of their names.
GUARDS: Final = (
    "fallback",
    "timeout",
    "shedder",
    "admission",
    "limiter",
    "breaker",
    "concurrency",
    "bulkhead",
)


def assemble(
    filters: Sequence[Filter], leaf: Callable[[Call], Coroutine[Any, Any, Any]]
) -> Callable[[Call], Coroutine[Any, Any, Any]]:
    """What a client's call goes through."""
    return stack(filters, leaf)


def ordered(guards: Iterable[str]) -> list[str]:
    """Names of guards, the outermost first."""
    return sorted(guards, key=lambda name: (GUARDS.index(name) if name in GUARDS else len(GUARDS), name))
