"""Internal spans, business tags and baggage, as programs set them; and the context for other threads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import Token, copy_context
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from idlrt.core import current_call
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.lost import CARRIED
from idlrt.observe.tracing.span import Attribute, Link, Span
from idlrt.observe.tracing.switch import TRACING
from idlrt.observe.tracing.trace import CURRENT, JOINED, JoinedContext, SuppressedTrace, Trace, current_trace

__all__ = ["CarryingExecutor", "carry", "put", "put_once", "span", "suppressed", "tags", "trace_headers", "trace_id"]

P = ParamSpec("P")
R = TypeVar("R")

_MAX_TAGS = 16
_MAX_KEY, _MAX_VALUE = 64, 256


class span:
    """Internal span around a part of the program: `with span("price"):`, `async with`, or a decorator.

    Without tracing, and in traces that are not sampled, it records nothing. Client calls within continue it.

    Args:
        name: name, without values that vary with users or input.
        attributes: attributes.
    """

    __slots__ = ("_attributes", "_joined", "_name", "_token", "_trace")

    def __init__(self, name: str, attributes: Mapping[str, Attribute] | None = None) -> None:
        self._name = name
        self._attributes = attributes
        self._trace: Trace | None = None
        self._token: Token[Trace | None] | None = None
        self._joined: tuple[JoinedContext, Token[Any]] | None = None

    def __enter__(self) -> Self:
        tracer = TRACING.tracer
        if tracer is not None:
            self._trace = trace = tracer.begin_internal(self._name)
            self._token = CURRENT.set(trace)
            if JOINED.context is not None:
                self._joined = JOINED.context, JOINED.context.enter(trace)
            if trace.span is not None and self._attributes:
                for name, value in self._attributes.items():
                    trace.span.set(name, value)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        trace, token, self._token = self._trace, self._token, None
        if trace is None or token is None:
            return
        # A generator that another task closes: the current span of that task stays.
        with suppress(ValueError):
            CURRENT.reset(token)
            if self._joined is not None:
                # Also if tracing has been turned off meanwhile.
                joined, entered = self._joined
                joined.leave(entered)
        tracer = TRACING.tracer
        if tracer is not None:
            tracer.end_internal(trace, error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a plain or `async` function.

        Raises:
            ConfigurationError: it is a generator function, a call of which returns before its body runs.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"span: cannot decorate the generator {function!r}; use `with span(...)` inside of it"
            )
        name, attributes = self._name, self._attributes
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def traced_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with span(name, attributes):
                    return await function(*args, **kwargs)

            return traced_coroutine  # type: ignore[return-value]

        @functools.wraps(function)
        def traced(*args: P.args, **kwargs: P.kwargs) -> R:
            with span(name, attributes):
                return function(*args, **kwargs)

        return traced

    @property
    def recorded(self) -> Span | None:
        """The span; `None` if it is not recorded."""
        return self._trace.span if self._trace is not None else None

    def set(self, name: str, value: Attribute) -> None:
        """Set an attribute."""
        if self.recorded is not None:
            self.recorded.set(name, value)

    def add_event(self, name: str, attributes: Mapping[str, Attribute] | None = None) -> None:
        """Add an event."""
        if self.recorded is not None:
            self.recorded.add_event(name, attributes)

    def add_link(self, link: Link) -> None:
        """Add a link."""
        if self.recorded is not None:
            self.recorded.add_link(link)


@contextmanager
def suppressed() -> Generator[None]:
    """Record nothing of the calls inside, such as those that send spans."""
    tracer = TRACING.tracer
    if tracer is None:
        yield
        return
    token = CURRENT.set(SuppressedTrace(tracer, 0))
    try:
        yield
    finally:
        CURRENT.reset(token)


def trace_id() -> str:
    """Return the id of the current trace; empty without one."""
    found = current_trace()
    return found.context.trace_id if found is not None else ""


def trace_headers(target: str = "", method: str = "") -> dict[str, str]:
    """Return the headers that carry the current trace, for clients of other libraries; empty without a trace.

    Args:
        target: `host:port` that the request goes to.
        method: what is called.
    """
    found = current_trace()
    return found.onward().headers(method, target) if found is not None else {}


def tags() -> Mapping[str, str]:
    """Return the business tags of the current trace: those of the whole chain, and those of this hop."""
    found = current_trace()
    return {**found.tags, **found.once} if found is not None else {}


def put(name: str, value: str) -> None:
    """Set a business tag, such as `user` or `order`, for the current call and all calls that it causes.

    It is visible in spans and logs, and for routing. If a sampling rule forces calls with such a tag, the current call
    is recorded, and so are the calls that it makes from now on. Without a current trace it does nothing.

    Raises:
        ConfigurationError: the name or the value is invalid, or there are too many tags.
    """
    found = current_trace()
    if found is not None:
        _check(name, value, found.tags)
        for each in found.lineage():
            each.tags = {**each.tags, name: value}
            if each.span is not None:
                each.span.set(f"tag.{name}", value)
        if found.span is None and TRACING.tracer is not None:
            TRACING.tracer.tagged(found, current_call())


def put_once(name: str, value: str) -> None:
    """Set a business tag for the next hop only: servers that this call calls directly have it, and no further ones.

    Raises:
        ConfigurationError: the name or the value is invalid, or there are too many tags.
    """
    found = current_trace()
    if found is not None:
        _check(name, value, found.next_once)
        for each in found.lineage():
            each.next_once = {**each.next_once, name: value}


def _check(name: str, value: str, known: Mapping[str, str]) -> None:
    is_name = 0 < len(name) <= _MAX_KEY and name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
    if not is_name:
        raise ConfigurationError(
            f"tag: names must consist of letters, digits, '_' and '-', and have at most {_MAX_KEY} characters; got "
            f"{name!r}"
        )
    if len(value) > _MAX_VALUE or not value.isprintable():
        raise ConfigurationError(
            f"tag {name}: must be printable, and have at most {_MAX_VALUE} characters; got {value!r}"
        )
    if name not in known and len(known) >= _MAX_TAGS:
        raise ConfigurationError(f"tag {name}: there are {_MAX_TAGS} tags already")


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that runs in a copy of the current context, on any thread: with the current call and trace.

    Threads and executors begin with an empty context; `asyncio.to_thread` and tasks do not.
    """
    context = copy_context()
    context.run(CARRIED.set, True)

    @functools.wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        # A context can be entered once at a time, and a function may be called by several threads.
        return context.copy().run(function, *args, **kwargs)

    return carried


class CarryingExecutor(ThreadPoolExecutor):
    """`ThreadPoolExecutor` whose functions run in the context of `submit`: with the current call and trace."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Schedule a function, which runs in a copy of the current context."""
        return super().submit(carry(fn), *args, **kwargs)
