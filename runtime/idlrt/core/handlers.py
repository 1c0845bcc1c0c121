"""A service bound to the object that does its work.

Any object fits that has the methods, plain or `async`, with parameters for their arguments; there is no base class
to inherit. What is missing is said when it is bound, not when it is first called.

A server looks a method up by its name on the wire; `idlrt.core.served` puts several services together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from idlrt.core.signatures import complete, mismatch, substitutes
from idlrt.errors import ConfigurationError
from idlrt.spec import Method, Service

__all__ = ["Handler", "Handlers", "bind"]


class Handler(msgspec.Struct, frozen=True):
    """What does the work of one method.

    Attributes:
        function: takes the method's arguments in their order.
        is_coroutine: whether `function` is `async`.
        substitutes: for each argument what `function` gets where a caller left it out; empty if that is `None` for
            all of them. See `idlrt.core.signatures`.
    """

    method: Method[..., Any]
    function: Callable[..., Any]
    is_coroutine: bool
    substitutes: tuple[Any, ...] = ()

    def complete(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """`arguments` as `function` takes them. Needed only where there are `substitutes` and one of them is `None`.

        Raises:
            RemoteProtocolError: a caller left out what `function` cannot be called without.
        """
        return complete(self.method, arguments, self.substitutes)


class Handlers(msgspec.Struct, frozen=True):
    """A service and what does its work: the argument of `Server`.

    Attributes:
        table: by the method's name on the wire.
    """

    service: Service
    table: Mapping[str, Handler]


def bind(service: Service, handler: object) -> Handlers:
    """Make `handler` ready to be served.

    Raises:
        ConfigurationError: it lacks methods of the service, or they do not take their arguments; the message names
            them all.
    """
    if isinstance(handler, type):
        name = handler.__qualname__
        raise ConfigurationError(f"cannot serve {service.name} with the class {name}: give an object, {name}()")
    table: dict[str, Handler] = {}
    missing: list[str] = []
    unfit: list[str] = []
    # A client as the handler relays calls.
    is_relay = isinstance(getattr(handler, "__thrift_service__", None), Service)
    for name, method in service.methods.items():
        function = getattr(handler, method.attribute, None)
        if not callable(function):
            missing.append(method.attribute if function is None else f"{method.attribute} (is not callable)")
            continue
        reason = mismatch(method, function)
        if reason is not None:
            unfit.append(reason)
            continue
        instead = substitutes(method, function, is_relay=is_relay)
        table[name] = Handler(method, function, _is_coroutine_function(function), instead)
    cannot = f"cannot serve {service.name} with {type(handler).__qualname__}"
    if missing:
        raise ConfigurationError(f"{cannot}: it has no {', '.join(missing)}; add what is missing")
    if unfit:
        raise ConfigurationError(f"{cannot}: {'; '.join(unfit)}")
    return Handlers(service, table)


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    # An object with an `async def __call__` counts too.
    call = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
