"""What a call goes through on a server: its filters, the outermost first, then its handler.

A filter has the shape that it has on clients, `async (call, next) -> result`, of a `ServerCall`. It may look at the
call and change its arguments, refuse it (`ApplicationError`, or `Overloaded`: see `idlrt.server.answers`), answer it
itself, and look at the result. In front of a
plain handler a filter must not suspend: it sleeps with the call's driver. In front of an `async` one it awaits
whatever it likes. `assemble` is the order, in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from idlrt.core import Handler, Served, ServerCall, drive
from idlrt.core.request import enter_call
from idlrt.server.signals import entry
from idlrt.spec import Method

__all__ = ["Route", "ServerEndpoint", "ServerFilter", "assemble", "routes"]

ServerEndpoint = Callable[[ServerCall], Coroutine[Any, Any, Any]]
"""Answers a call: its result, or an exception."""

ServerFilter = Callable[[ServerCall, ServerEndpoint], Coroutine[Any, Any, Any]]
"""Stands in a call's way: `async (call, next) -> result`."""


def _none(method: Method[..., Any]) -> Sequence[ServerFilter]:
    return ()


class Route(msgspec.Struct, frozen=True, eq=False):
    """How calls of one method get done.

    Attributes:
        handler: who does it.
        run: does it, in the context of the call: the result, or a coroutine of the result.
    """

    handler: Handler
    run: Callable[[ServerCall], Any]


def routes(
    served: Served,
    filters: Sequence[ServerFilter] = (),
    guards: Callable[[Method[..., Any]], Sequence[ServerFilter]] = _none,
) -> Mapping[str, Route]:
    """The routes of everything that is served, by the names on the wire.

    Args:
        filters: that the server was given.
        guards: that stand before a method.
    """
    made: dict[int, Route] = {}
    for handler in served.table.values():
        if id(handler) not in made:
            made[id(handler)] = Route(handler, assemble(handler, filters, guards(handler.method)))
    return {name: made[id(handler)] for name, handler in served.table.items()}


def assemble(
    handler: Handler, filters: Sequence[ServerFilter], guards: Sequence[ServerFilter] = ()
) -> Callable[[ServerCall], Any]:
    """`Route.run` of a handler: the filters that the server was given, in their order, the guards of its configuration,
    then the handler.
    """
    function = handler.function
    order: list[ServerFilter] = [
        *filters,
        *guards,
    ]
    if not order:
        set_current = enter_call

        @entry
        def straight(call: ServerCall) -> Any:
            set_current(call)
            call.is_begun = True
            return function(*call.arguments)

        return straight

    async def leaf(call: ServerCall) -> Any:
        call.is_begun = True
        result = function(*call.arguments)
        return await result if handler.is_coroutine else result

    endpoint: ServerEndpoint = leaf
    for each in reversed(order):
        endpoint = _behind(each, endpoint)

    @entry
    def filtered(call: ServerCall) -> Any:
        enter_call(call)
        return endpoint(call) if handler.is_coroutine else drive(endpoint(call))

    return filtered


def _behind(filter: ServerFilter, next: ServerEndpoint) -> ServerEndpoint:
    def call_filter(call: ServerCall) -> Coroutine[Any, Any, Any]:
        return filter(call, next)

    return call_filter
