"""Guard interface: a filter that rejects calls, or replaces their results.

A guard depends on nothing but `next`, so most guards serve clients and servers alike: a client's `Call` and a server's
`ServerCall` both have a method, a deadline and a driver. The decision logic of each guard is a separate class with an
injected clock and without `async`: the guard consults it before a call and reports the outcome afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar

import msgspec

from idlrt.core import Call, ClockAndRandom, Listener, ServerCall
from idlrt.core.forks import forks
from idlrt.plugins import Plugins
from idlrt.spec import Method

__all__ = ["GUARDS", "AnyCall", "Guard", "Next", "PerMethod", "Scope", "listeners_of", "no_listener"]

T = TypeVar("T")

AnyCall = Call | ServerCall
"""A call on a client or on a server."""

Next = Callable[[Any], Coroutine[Any, Any, Any]]
"""Next step of the call stack: an `CallNext` on clients, a `ServerCallNext` on servers."""

Scope = Literal["service", "method"]
"""Scope of statistics and limits."""


def no_listener(decision: object) -> None:
    """Ignore a decision. The default listener."""


class Guard(Protocol):
    """A guard, created by `GUARDS.make(name, settings, chance, listener)`. Threads and tasks may share it.

    Optional class variables `before` and `after` define its place among other guards (`idlrt.guard.order`). By default
    calls pass it after all built-in guards.

    Args:
        settings: instance of `Settings`.
        sources: clock and random numbers.
        listener: receives the guard's decisions.
    """

    Settings: ClassVar[type[msgspec.Struct]]

    def __init__(self, settings: Any, sources: ClockAndRandom, listener: Listener = no_listener) -> None: ...

    async def __call__(self, call: Any, next: Next) -> Any:
        """Return the result of `next`, or that of the guard.

        Raises:
            NotSent: the guard rejects the call, usually as `Overloaded` or `CircuitOpen`. A server responds to the
                former with "load shedding", so that clients know that no handler has run.
        """
        ...


GUARDS: Final[Plugins[Any]] = Plugins("idlrt.guards")
"""Guards by name."""


def listeners_of(call: AnyCall, listener: Listener) -> tuple[Listener, ...]:
    """Return the listeners of decisions about `call`. If there are none, the caller need not build a decision."""
    own: tuple[Listener, ...] = getattr(call, "listeners", ())
    if call.trace is not None and call.trace.is_recorded:
        own = (*own, call.trace.decided)
    return own if listener is no_listener else (listener, *own)


class PerMethod(Generic[T]):
    """Objects by service or by method, created on first access.

    Args:
        per: scope of one object.
        make: creates one, from its name in messages: `Service` or `Service.method`.
    """

    __slots__ = ("__weakref__", "_by_method", "_by_name", "_lock", "_make", "_per")

    def __init__(self, per: Scope, make: Callable[[str], T]) -> None:
        self._per = per
        self._make = make
        self.after_fork()
        forks.register(self)
        self._by_name: dict[str, T] = {}
        self._by_method: dict[Method[..., Any], T] = {}

    def after_fork(self) -> None:
        """Replace the lock after a fork: another thread of the parent may hold it."""
        self._lock = threading.Lock()

    def __getitem__(self, method: Method[..., Any]) -> T:
        found = self._by_method.get(method)
        return found if found is not None else self._found(method)

    def _found(self, method: Method[..., Any]) -> T:
        with self._lock:
            name = method.full_name if self._per == "method" else method.service or method.full_name
            found = self._by_name.get(name)
            if found is None:
                found = self._by_name[name] = self._make(name)
            self._by_method[method] = found
            return found
