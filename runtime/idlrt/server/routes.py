"""What a call goes through on a server: its filters, the outermost first, then its handler.

A filter has the shape that it has on clients, `async (call, next) -> result`, of a `ServerCall`. It may look at the
call and change its arguments, refuse it (`ApplicationError`, or `Overloaded`: see `idlrt.server.answers`), answer it
itself, and look at the result. In front of a
plain handler as in front of an `async` one it awaits whatever it likes: then it runs on the server's event loop, with
all that are in front of that handler, and the handler where plain handlers run. Filters that never suspend (see
`idlrt.server.suspending`) run where the handler runs. `assemble` is the order, in one place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Any, Final, cast

import msgspec

from idlrt.core import Handler, Served, ServerCall, drive
from idlrt.core.request import enter_call
from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.server.signals import entry
from idlrt.server.suspending import may_suspend
from idlrt.spec import Method

__all__ = ["NotStarted", "Route", "RunPlain", "ServerEndpoint", "ServerFilter", "assemble", "routes", "unless_expired"]

_NOTHING: Final = object()

ServerEndpoint = Callable[[ServerCall], Coroutine[Any, Any, Any]]
"""Answers a call: its result, or an exception."""

ServerFilter = Callable[[ServerCall, ServerEndpoint], Coroutine[Any, Any, Any]]
"""Stands in a call's way: `async (call, next) -> result`."""


RunPlain = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does something where plain handlers run, at the request of the server's event loop."""


async def _here(work: Callable[[], Any]) -> Any:
    return work()


def _none(method: Method[..., Any]) -> Sequence[ServerFilter]:
    return ()


class Route(msgspec.Struct, frozen=True, eq=False):
    """How calls of one method get done.

    Attributes:
        handler: who does it.
        run: does it, in the context of the call: the result, or a coroutine of the result.
        is_awaited: whether it is always a coroutine, which needs an event loop: because the handler is `async`, or
            because a filter in front of it may suspend.
    """

    handler: Handler
    run: Callable[[ServerCall], Any]
    is_awaited: bool


def routes(
    served: Served,
    filters: Sequence[ServerFilter] = (),
    guards: Callable[[Method[..., Any]], Sequence[ServerFilter]] = _none,
    run_plain: RunPlain = _here,
) -> Mapping[str, Route]:
    """The routes of everything that is served, by the names on the wire.

    Args:
        filters: that the server was given.
        guards: that stand before a method.
        run_plain: for plain handlers behind filters that may suspend.
    """
    is_suspending = any(may_suspend(each) for each in filters)
    made: dict[int, Route] = {}
    for handler in served.table.values():
        if id(handler) not in made:
            is_awaited = handler.is_coroutine or is_suspending
            run = assemble(handler, filters, guards(handler.method), run_plain if is_awaited else None)
            made[id(handler)] = Route(handler, run, is_awaited)
    return {name: made[id(handler)] for name, handler in served.table.items()}


def assemble(
    handler: Handler,
    filters: Sequence[ServerFilter],
    guards: Sequence[ServerFilter] = (),
    run_plain: RunPlain | None = None,
) -> Callable[[ServerCall], Any]:
    """`Route.run` of a handler: the filters that the server was given, in their order, the guards of its configuration,
    then the handler.

    Args:
        run_plain: lets a plain handler run. `None`: all of this runs where that does, and never suspends.
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

    async def plain_leaf(call: ServerCall) -> Any:
        assert run_plain is not None
        context = copy_context()

        def begin() -> Any:
            if call.remaining() <= 0:
                what = f"its caller had stopped waiting before {handler.method.full_name} could begin"
                raise ApplicationError(what, ApplicationCode.TIMEOUT)
            call.is_begun = True
            return context.run(function, *call.arguments)

        try:
            result = await run_plain(begin)
        finally:
            _carry_back(context)
        return await cast("Coroutine[Any, Any, Any]", result) if type(result) is CoroutineType else result

    endpoint: ServerEndpoint = leaf if run_plain is None or handler.is_coroutine else plain_leaf
    for each in reversed(order):
        endpoint = _behind(each, endpoint)

    @entry
    def filtered(call: ServerCall) -> Any:
        enter_call(call)
        return drive(endpoint(call)) if run_plain is None else endpoint(call)

    return filtered


class NotStarted(Exception):
    """No handler has seen the call: there is no room (`why` says which), or, without a reason, it is too late."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


def unless_expired(route: Route, call: ServerCall) -> Any:
    """Run a call, unless its caller has stopped waiting.

    Raises:
        NotStarted: it has.
    """
    if call.remaining() <= 0:
        raise NotStarted
    return route.run(call)


def _carry_back(context: Context) -> None:
    """Let a filter see what the handler behind it has set, as if it ran in the filter's own context."""
    for variable, value in context.items():
        if variable.get(_NOTHING) is not value:
            variable.set(value)


def _behind(filter: ServerFilter, next: ServerEndpoint) -> ServerEndpoint:
    def call_filter(call: ServerCall) -> Coroutine[Any, Any, Any]:
        return filter(call, next)

    return call_filter
