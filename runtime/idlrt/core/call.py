"""A client call and its deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from idlrt.core.decisions import Listener
from idlrt.core.driver import Driver
from idlrt.core.policy import CallPolicy
from idlrt.spec import Method, shown_values

__all__ = ["Call", "Deadline"]

_POLICY: Final = CallPolicy()


class Deadline(msgspec.Struct, frozen=True):
    """Point in time by which a call must be complete.

    Attributes:
        at: seconds on the clock of the call's driver.
        timeout: timeout of the whole call in seconds, for messages.
    """

    at: float
    timeout: float

    def remaining(self, now: float) -> float:
        """Return the remaining seconds; zero or less if the deadline has passed."""
        return self.at - now


class Call(msgspec.Struct):
    """A call on its way through a client's filters. A filter may modify it before it calls `next`.

    Attributes:
        method: the method that is called.
        arguments: one value per argument of the method, in order.
        target: target of the call, as it was passed to `connect`.
        deadline: point in time by which the call must be complete.
        driver: clock of the deadline; filters sleep and race through it.
        metadata: text that is sent with the call. If the framing cannot carry metadata, the call is rejected; ambient
            metadata (`idlrt.core.AMBIENT`) is dropped instead.
        options: options of the client that makes the call, by name.
        policy: effective settings of the call.
        listeners: listeners for decisions about the call (`idlrt.core.decisions`). Filters may add some.
        plan: the client's precomputed data for calls of this method; not for filters.
        attempt: number of previous attempts, including those of the caller on whose behalf the call is made.
        tag: routing tag that selects instances; empty for none. Propagated with the call.
        caller: name of the calling application; empty for none.
        sent: bytes of its requests on the wire so far, of all attempts.
        received: bytes of its responses on the wire.
        in_attempts: number of attempts in flight.
        trace: trace of the call, or of the attempt (`idlrt.observe.tracing`); `None` if tracing is off.
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
    sent: int = 0
    received: int = 0
    in_attempts: int = 0
    trace: Any = None

    def __repr__(self) -> str:
        shown = shown_values(self.method.arguments, self.arguments)
        return f"Call({self.method.full_name}{shown}, target={self.target!r}, metadata={sorted(self.metadata)})"
