"""What was decided about a call, or about an instance, and why: events for filters, metrics, traces and people.

A filter hears of its call's decisions by adding a listener to the call before it goes on:

    async def note(call: Call, next: Endpoint) -> Any:
        call.listeners += (print,)
        return await next(call)

It hears of what follows from its call for an instance, too (`Ejected`, `BreakerChanged`). What happens outside of calls
(an instance that answers pings again) only the listeners of the client hear: `connect(..., listeners=[...])`. They hear
everything else too. A listener is called where the decision is made, so it
must be quick; what it raises is logged and left aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Self

import msgspec

from idlrt.core.logs import get_logger

__all__ = [
    "Attempted",
    "BreakerChanged",
    "Decision",
    "Ejected",
    "GaveUp",
    "Kept",
    "Listener",
    "Picked",
    "Refused",
    "Replaced",
    "Restored",
    "Retrying",
    "Routed",
    "tell",
]

_log: Final = get_logger("idlrt.client")


class Decision(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The base of all.

    Attributes:
        subject: what it is about: `Service.method`, or the address of an instance.
        why: in words.
    """

    subject: str
    why: str = ""


class Routed(Decision, frozen=True, kw_only=True, tag=True):
    """A router has narrowed the instances for a call, or left them as they are.

    Attributes:
        router: which.
        rule: the name of its rule.
        before: instances before.
        after: instances after.
    """

    router: str
    rule: str
    before: int
    after: int


class Picked(Decision, frozen=True, kw_only=True, tag=True):
    """A balancer has chosen.

    Attributes:
        balancer: which.
        instance: whom, as `host:port`.
        among: how many there were to choose from.
    """

    balancer: str
    instance: str
    among: int


class Attempted(Decision, frozen=True, kw_only=True, tag=True):
    """An instance was asked and has answered, or not.

    Attributes:
        instance: which, as `host:port`.
        attempt: 0 for the first, then counting up.
        seconds: that it took.
        error: the class of what was raised; empty if nothing was.
    """

    instance: str
    attempt: int
    seconds: float
    error: str = ""

    @classmethod
    def of(cls, subject: str, instance: str, attempt: int, seconds: float, error: BaseException | None) -> Self:
        """What came of an attempt, by what was raised."""
        name, why = (type(error).__name__, str(error)) if error is not None else ("", "")
        return cls(subject=subject, instance=instance, attempt=attempt, seconds=seconds, error=name, why=why)


class Retrying(Decision, frozen=True, kw_only=True, tag=True):
    """The call is made once more.

    Attributes:
        mode: the fault mode that does it.
        pause: seconds before that.
    """

    mode: str
    pause: float = 0.0


class GaveUp(Decision, frozen=True, kw_only=True, tag=True):
    """The call is not made once more, although it failed; `why` says what stood against it.

    Attributes:
        mode: the fault mode that decided so.
    """

    mode: str


class Kept(Decision, frozen=True, kw_only=True, tag=True):
    """The call failed and was put aside, to be made later.

    Attributes:
        mode: the fault mode that keeps it.
        pause: seconds until then.
    """

    mode: str
    pause: float


class Replaced(Decision, frozen=True, kw_only=True, tag=True):
    """The call failed, and something else was returned instead of its answer.

    Attributes:
        by: what did that: a fault mode or a guard.
    """

    by: str


class Refused(Decision, frozen=True, kw_only=True, tag=True):
    """A guard has refused a call.

    Attributes:
        guard: which.
    """

    guard: str


class BreakerChanged(Decision, frozen=True, kw_only=True, tag=True):
    """A circuit breaker has another state.

    Attributes:
        before: `closed`, `open` or `half-open`.
        after: likewise.
    """

    before: str
    after: str


class Ejected(Decision, frozen=True, kw_only=True, tag=True):
    """An instance gets no calls of this client for the moment.

    Attributes:
        seconds: for how long; `None` until it answers again.
    """

    seconds: float | None = None


class Restored(Decision, frozen=True, kw_only=True, tag=True):
    """An instance gets calls again."""


Listener = Callable[[Decision], object]
"""Is told of decisions."""


def tell(listeners: Iterable[Listener], decision: Decision) -> None:
    """Tell `listeners`; what one of them raises is no trouble of the call, nor of the others."""
    for listener in listeners:
        try:
            listener(decision)
        except Exception:  # noqa: BLE001
            _log.exception("a listener failed when it was told: %s", decision)
