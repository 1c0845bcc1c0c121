"""Refusing calls, or standing in for their answers: what a guard is.

A guard needs nothing but `next`, so it is a filter, and most of them serve clients and servers alike: a client's `Call`
and a server's `ServerCall` have method, deadline and driver in common. Its decisions know no clock but the one they are
given.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Protocol

import msgspec

from idlrt.core import Call, Chance, Endpoint, Listener
from idlrt.plugins import Plugins

__all__ = ["GUARDS", "Guard", "nobody"]


def nobody(decision: object) -> None:
    """A listener that does not listen."""


class Guard(Protocol):
    """Stands in a call's way: `GUARDS.make(name, settings, chance, listener)`. Threads and tasks may share it."""

    Settings: ClassVar[type[msgspec.Struct]]

    def __init__(self, settings: Any, chance: Chance, listener: Listener = nobody) -> None: ...

    async def __call__(self, call: Call, next: Endpoint) -> Any:
        """The answer of `next`, or of the guard.

        Raises:
            NotSent: it refuses; `Overloaded` and `CircuitOpen` are the usual ways. A server answers with the former as
                "load shedding", so clients know that nobody has worked on the call.
        """
        ...


GUARDS: Final[Plugins[Any]] = Plugins("idlrt.guards")
"""Guards by name."""
