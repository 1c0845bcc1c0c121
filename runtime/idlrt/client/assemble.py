"""Order of the call stack of a client.

From the caller to the network: the filters of `connect`, in their order; the guards of the configuration, in the order
of `idlrt.guard.order`; the fault mode, which may make several attempts; per attempt the routers, which narrow the
endpoints, the balancer, which picks one, and the circuit breaker of that endpoint; the transport.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from idlrt.core import Call, Filter, stack
from idlrt.errors import ConfigurationError

__all__ = ["assemble"]


def assemble(
    filters: Sequence[Filter], transport: Callable[[Call], Coroutine[Any, Any, Any]]
) -> Callable[[Call], Coroutine[Any, Any, Any]]:
    """Wrap the filters of a client around `transport`, the rest of the call stack.

    Raises:
        ConfigurationError: `filters` is not a list, or a filter is not callable.
    """
    given: object = filters
    if not isinstance(given, list | tuple):
        raise ConfigurationError(f"filters must be a list, got {given!r}")
    for each in filters:
        if not callable(each):
            raise ConfigurationError(f"a filter must be callable, `async (call, next) -> result`, got {each!r}")
    return stack(filters, transport)
