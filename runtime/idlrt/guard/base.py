"""Refusing calls, or standing in for their answers: what a guard is.

A guard needs nothing but `next`, so it is a filter, and most of them serve clients and servers alike: a client's `Call`
and a server's `ServerCall` have method, deadline and driver in common. Its decisions know no clock but the one they are
given, and no `async`: they are classes of their own, which the guard asks before and tells after.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar

import msgspec

from idlrt.core import Call, Chance, Listener, ServerCall
from idlrt.core.forks import forks
from idlrt.plugins import Plugins
from idlrt.spec import Method

__all__ = ["GUARDS", "AnyCall", "Guard", "Next", "Per", "PerMethod", "heard_by", "nobody"]

T = TypeVar("T")

AnyCall = Call | ServerCall
"""What a guard is given: a call on a client, or on a server."""

Next = Callable[[Any], Coroutine[Any, Any, Any]]
"""What stands behind a guard: an `Endpoint`, or a `ServerEndpoint`."""

Per = Literal["service", "method"]
"""What calls are counted together."""


def nobody(decision: object) -> None:
    """A listener that does not listen."""


class Guard(Protocol):
    """Stands in a call's way: `GUARDS.make(name, settings, chance, listener)`. Threads and tasks may share it.

    A class may say where it stands, with `before` and `after`: see `idlrt.guard.order`. By default it stands behind all
    built-in guards.
    """

    Settings: ClassVar[type[msgspec.Struct]]

    def __init__(self, settings: Any, chance: Chance, listener: Listener = nobody) -> None: ...

    async def __call__(self, call: Any, next: Next) -> Any:
        """The answer of `next`, or of the guard.

        Raises:
            NotSent: it refuses; `Overloaded` and `CircuitOpen` are the usual ways. A server answers with the former as
                "load shedding", so clients know that nobody has worked on the call.
        """
        ...


GUARDS: Final[Plugins[Any]] = Plugins("idlrt.guards")
"""Guards by name."""


def heard_by(call: AnyCall, listener: Listener) -> tuple[Listener, ...]:
    """Who is to be told of what is decided about `call`. Mostly nobody: then there is nothing to make for them."""
    own: tuple[Listener, ...] = getattr(call, "listeners", ())
    return own if listener is nobody else (listener, *own)


class PerMethod(Generic[T]):
    """One of a kind for each service, or for each of its methods. They are made when they are first asked for.

    Args:
        make: makes one, of the name that it has in messages: `Service`, or `Service.method`.
    """

    __slots__ = ("__weakref__", "_by_method", "_by_name", "_lock", "_make", "_per")

    def __init__(self, per: Per, make: Callable[[str], T]) -> None:
        self._per = per
        self._make = make
        self.renew()
        forks.renew(self)
        self._by_name: dict[str, T] = {}
        self._by_method: dict[Method[..., Any], T] = {}

    def renew(self) -> None:
        """In a child of the process: nobody holds its lock there."""
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
