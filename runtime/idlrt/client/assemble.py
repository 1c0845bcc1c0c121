"""The order of what stands between a caller and the wire, in one place.

From the caller to the wire: filters that the caller gave to `connect`, in their order; the guards of the configuration,
in the order of `idlrt.guard.order`; the fault mode, which asks for an instance as often as it wants one; routers,
which narrow the instances; the balancer, which picks one; the instance's breaker; the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from idlrt.core import Call, Filter, stack
from idlrt.errors import ConfigurationError

__all__ = ["assemble"]


def assemble(
    filters: Sequence[Filter], leaf: Callable[[Call], Coroutine[Any, Any, Any]]
) -> Callable[[Call], Coroutine[Any, Any, Any]]:
    """What a client's call goes through.

    Raises:
        ConfigurationError: something among the filters is none.
    """
    given: object = filters
    if not isinstance(given, list | tuple):
        raise ConfigurationError(f"filters of a client must be a list, not {given!r}")
    for each in filters:
        if not callable(each):
            raise ConfigurationError(f"a filter is an `async (call, next) -> result`, not {each!r}")
    return stack(filters, leaf)
