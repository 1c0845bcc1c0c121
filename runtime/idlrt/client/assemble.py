"""The order of what stands between a caller and the wire, in one place.

From the caller to the wire: filters that the caller gave to `connect`, in their order; the guards of the configuration,
in the order of `idlrt.config.guards`; the fault mode, which asks for an instance as often as it wants one; routers,
which narrow the instances; the balancer, which picks one; the instance's breaker; the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from idlrt.core import Call, Filter, stack

__all__ = ["assemble"]


def assemble(
    filters: Sequence[Filter], leaf: Callable[[Call], Coroutine[Any, Any, Any]]
) -> Callable[[Call], Coroutine[Any, Any, Any]]:
    """What a client's call goes through."""
    return stack(filters, leaf)
