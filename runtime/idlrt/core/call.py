"""One use of a method, on its way through the filters to the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from idlrt.core.decisions import Listener
from idlrt.core.driver import Driver
from idlrt.core.policy import CallPolicy
from idlrt.spec import Method

__all__ = ["Call", "Deadline"]

_POLICY: Final = CallPolicy()


class Deadline(msgspec.Struct, frozen=True):
    """When a call must be over.

    Attributes:
        at: seconds on the clock of the call's driver.
        timeout: seconds that were given to the call as a whole, for messages.
    """

    at: float
    timeout: float

    def remaining(self, now: float) -> float:
        """Seconds that are left; zero or less when it is over."""
        return self.at - now


class Call(msgspec.Struct):
    """One use of a method. A filter may change it before it calls `next`.

    Attributes:
        method: what is called.
        arguments: one for each of the method's, in their order.
        target: whom the call is for, as it was given to `connect`.
        deadline: when it must be over.
        driver: the clock of the deadline, and what a filter sleeps and races with.
        metadata: text that travels with the call. Where the framing carries none the call is refused, unless it is
            ambient (`idlrt.core.AMBIENT`): then it is left out.
        options: the options of the client that makes it, by name.
        policy: what holds for it.
        listeners: who is told what is decided about it (`idlrt.core.decisions`). A filter may add to them.
        plan: what the client has prepared for calls of this kind: nothing for filters.
        attempt: how often it was sent before, on this side or by the caller on whose behalf it is made.
        tag: routing tag: the instances that it is for; empty for none. Travels along.
        caller: name of the calling application; empty for none.
    """

    method: Method[..., Any]
    arguments: tuple[Any, ...]
    target: str
    deadline: Deadline
    driver: Driver
    metadata: dict[str, str] = {}
    options: Mapping[str, Any] = {}
    policy: CallPolicy = _POLICY
    listeners: tuple[Listener, ...] = ()
    plan: Any = None
    attempt: int = 0
    tag: str = ""
    caller: str = ""
