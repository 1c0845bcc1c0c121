"""Method table of a server: for each method the chain of filters, the outermost first, and the handler.

A filter has the same signature as on clients, `async (call, next) -> result`, with a `ServerCall`. It may inspect the
call and change its arguments, reject it (`ApplicationError`, or `Overloaded`: see `idlrt.server.responder`), respond to
it itself, and inspect the result.

A filter may await anything, in front of plain handlers too: then it runs on the server's event loop, together with all
other filters of that handler, and the handler runs where plain handlers run. Filters that never suspend
(`idlrt.server.suspending`) run on the thread of the handler. `assemble` defines the order.
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
from idlrt.server.signals import interruptible
from idlrt.server.suspending import may_suspend
from idlrt.spec import Method

__all__ = [
    "MethodEntry",
    "NotStarted",
    "RunPlain",
    "ServerCallNext",
    "ServerFilter",
    "assemble",
    "entering",
    "method_table",
    "run_unless_expired",
]

_NOTHING: Final = object()

ServerCallNext = Callable[[ServerCall], Coroutine[Any, Any, Any]]
"""Next step of the filter chain: takes a call and returns its result, or raises."""

ServerFilter = Callable[[ServerCall, ServerCallNext], Coroutine[Any, Any, Any]]
"""A filter, which intercepts calls: `async (call, next) -> result`.

A filter may have an attribute `applies_to(method) -> bool`, which is called for each method when the server is created:
the filter costs nothing for methods for which it returns `False`, and a `ConfigurationError` that it raises reaches the
program instead of its clients.
"""


RunPlain = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function on the thread of plain handlers; awaited on the server's event loop."""


async def _run_directly(work: Callable[[], Any]) -> Any:
    return work()


def _no_guards(method: Method[..., Any]) -> Sequence[ServerFilter]:
    return ()


class MethodEntry(msgspec.Struct, frozen=True, eq=False):
    """Entry of one method in the method table.

    Attributes:
        handler: handler of the method.
        run: runs filters and handler, in the context of the call; returns the result or a coroutine of it.
        is_awaited: whether `run` always returns a coroutine, which needs an event loop: because the handler is `async`,
            or because a filter in front of it may suspend.
    """

    handler: Handler
    run: Callable[[ServerCall], Any]
    is_awaited: bool


def method_table(
    served: Served,
    filters: Sequence[ServerFilter] = (),
    guards: Callable[[Method[..., Any]], Sequence[ServerFilter]] = _no_guards,
    run_plain: RunPlain = _run_directly,
) -> Mapping[str, MethodEntry]:
    """Build the method table of all services, by method name on the wire.

    Args:
        served: services and handlers.
        filters: filters of the server, the outermost first.
        guards: returns the guards of a method.
        run_plain: runs plain handlers behind filters that may suspend.
    """
    is_suspending = any(may_suspend(each) for each in filters)
    made: dict[int, MethodEntry] = {}
    for handler in served.table.values():
        if id(handler) not in made:
            is_awaited = handler.is_coroutine or is_suspending
            applied = [each for each in filters if _applies(each, handler.method)]
            run = assemble(handler, applied, guards(handler.method), run_plain if is_awaited else None)
            made[id(handler)] = MethodEntry(handler, run, is_awaited)
    return {name: made[id(handler)] for name, handler in served.table.items()}


def _applies(filter: ServerFilter, method: Method[..., Any]) -> bool:
    applies_to: Callable[[Method[..., Any]], bool] | None = getattr(filter, "applies_to", None)
    return applies_to is None or applies_to(method)


def assemble(
    handler: Handler,
    filters: Sequence[ServerFilter],
    guards: Sequence[ServerFilter] = (),
    run_plain: RunPlain | None = None,
) -> Callable[[ServerCall], Any]:
    """Return `MethodEntry.run` of a handler: filters of the server in their order, then guards, then the handler.

    Args:
        handler: handler at the end of the chain.
        filters: filters of the server, the outermost first.
        guards: guards of the method, the outermost first.
        run_plain: runs a plain handler. `None`: the whole chain runs on the thread of the handler and never suspends.
    """
    function = handler.function
    order: list[ServerFilter] = [
        *filters,
        *guards,
    ]
    if not order:
        set_current = enter_call

        @interruptible
        def call_handler(call: ServerCall) -> Any:
            set_current(call)
            call.is_begun = True
            return function(*call.arguments)

        return call_handler

    async def run_handler(call: ServerCall) -> Any:
        call.is_begun = True
        result = function(*call.arguments)
        return await result if handler.is_coroutine else result

    async def run_plain_handler(call: ServerCall) -> Any:
        assert run_plain is not None
        context = copy_context()

        def begin() -> Any:
            if call.remaining() <= 0:
                what = f"deadline exceeded before {handler.method.full_name} started"
                raise ApplicationError(what, ApplicationCode.TIMEOUT)
            call.is_begun = True
            return context.run(function, *call.arguments)

        try:
            result = await run_plain(begin)
        finally:
            _copy_context_back(context)
        return await cast("Coroutine[Any, Any, Any]", result) if type(result) is CoroutineType else result

    endpoint: ServerCallNext = run_handler if run_plain is None or handler.is_coroutine else run_plain_handler
    for each in reversed(order):
        endpoint = _with_filter(each, endpoint)

    @interruptible
    def filtered(call: ServerCall) -> Any:
        enter_call(call)
        return drive(endpoint(call)) if run_plain is None else endpoint(call)

    return filtered


class NotStarted(Exception):
    """The handler was not called: a limit is exceeded (`why` names it), or, with an empty `why`, the deadline."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


def run_unless_expired(entry: MethodEntry, call: ServerCall) -> Any:
    """Run a call unless its deadline has passed.

    Raises:
        NotStarted: the deadline has passed.
    """
    now = call.driver.now()
    if call.deadline.at <= now:
        raise NotStarted
    call.begun_at = now
    return entry.run(call)


def entering(entry: MethodEntry, enter: Callable[[ServerCall], object]) -> MethodEntry:
    """Return an entry that calls `enter` first, on the thread and in the task of the handler."""

    def run(call: ServerCall) -> Any:
        enter(call)
        return entry.run(call)

    async def run_in_task(call: ServerCall) -> Any:
        enter(call)
        return await entry.run(call)

    return MethodEntry(entry.handler, run_in_task if entry.is_awaited else run, entry.is_awaited)


def _copy_context_back(context: Context) -> None:
    """Copy context variables that the handler has set to the filter in front of it, as if both shared a context."""
    for variable, value in context.items():
        if variable.get(_NOTHING) is not value:
            variable.set(value)


def _with_filter(filter: ServerFilter, next: ServerCallNext) -> ServerCallNext:
    def call_filter(call: ServerCall) -> Coroutine[Any, Any, Any]:
        return filter(call, next)

    return call_filter
