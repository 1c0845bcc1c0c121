"""Binding of services to handler objects.

A handler is any object that has the methods of the service, plain or `async`, with parameters for their arguments;
there is no base class. Missing or mismatched methods are reported when the handler is bound, not on the first call.

A server looks up methods by their wire name; `idlrt.core.served` combines several services.
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
    """Implementation of one method.

    Attributes:
        function: takes the method's arguments by position.
        is_coroutine: whether `function` is `async`.
        substitutes: for each argument, the value that `function` receives if the caller omits it; empty if that is
            `None` for all of them. See `idlrt.core.signatures`.
    """

    method: Method[..., Any]
    function: Callable[..., Any]
    is_coroutine: bool
    substitutes: tuple[Any, ...] = ()

    def complete(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments for `function`. Required only if there are `substitutes` and an argument is `None`.

        Raises:
            RemoteProtocolError: the caller omitted an argument that `function` requires.
        """
        return complete(self.method, arguments, self.substitutes)


class Handlers(msgspec.Struct, frozen=True):
    """A service bound to its handler: the argument of `Server`.

    Attributes:
        table: handlers by wire name of the method.
    """

    service: Service
    table: Mapping[str, Handler]


def bind(service: Service, handler: object) -> Handlers:
    """Bind `handler` to `service`.

    Raises:
        ConfigurationError: methods are missing or do not accept their arguments; the message lists all of them.
    """
    if isinstance(handler, type):
        name = handler.__qualname__
        raise ConfigurationError(f"cannot serve {service.name} with {name}: it is a class; pass an object, {name}()")
    table: dict[str, Handler] = {}
    missing: list[str] = []
    unfit: list[str] = []
    # A client as the handler relays calls.
    is_relay = isinstance(getattr(handler, "__thrift_service__", None), Service)
    for name, method in service.methods.items():
        function = getattr(handler, method.attribute, None)
        if not callable(function):
            missing.append(_described(method, name) if function is None else f"{method.attribute} (not callable)")
            continue
        reason = mismatch(method, function)
        if reason is not None:
            unfit.append(reason)
            continue
        instead = substitutes(method, function, is_relay=is_relay)
        table[name] = Handler(method, function, _is_coroutine_function(function), instead)
    cannot = f"cannot serve {service.name} with {type(handler).__qualname__}"
    if missing:
        noun = "method" if len(missing) == 1 else "methods"
        raise ConfigurationError(f"{cannot}: missing {noun} {', '.join(missing)}")
    if unfit:
        raise ConfigurationError(f"{cannot}: {'; '.join(unfit)}")
    return Handlers(service, table)


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    # An object with an `async def __call__` counts too.
    call = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _described(method: Method[..., Any], name: str) -> str:
    """Return the attribute of a missing method, with its name in the IDL if that differs."""
    return method.attribute if method.attribute == name else f"{method.attribute} (`{name}` in the IDL)"
