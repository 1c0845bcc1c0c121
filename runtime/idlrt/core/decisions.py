"""Decision events: routing, load balancing, retries and health changes, with their reasons; for logs, metrics, traces.

A filter subscribes to the decisions about a call by adding a listener before it passes the call on:

    async def log_decisions(call: Call, next: CallNext) -> Any:
        call.listeners += (print,)
        return await next(call)

The listener also receives changes of an instance that this call causes (`Ejected`, `BreakerChanged`). Changes that
happen outside of calls (an instance responds to pings again) go only to the listeners of the client, which receive all
other events as well: `connect(..., listeners=[...])`. Listeners run synchronously where the decision is made, so they
must be fast; exceptions that they raise are logged and otherwise ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.core.logs import get_logger

__all__ = [
    "AttemptKind",
    "Attempted",
    "BreakerChanged",
    "Decision",
    "Ejected",
    "FallbackUsed",
    "Listener",
    "NotRetried",
    "Picked",
    "Reason",
    "Rejected",
    "Restored",
    "RetryScheduled",
    "Retrying",
    "Routed",
    "notify",
]

_log: Final = get_logger("idlrt.client")


Reason: TypeAlias = Literal[
    "",
    # Rejected
    "rate", "concurrency", "queue_full", "queue_timeout", "throttled", "circuit_open", "cpu", "overloaded", "expired",
    # NotRetried
    "disabled", "deadline", "no_instance", "not_idempotent", "retries_used", "chain_stop", "pushback", "budget",
    "max_age", "closed",
    # Ejected
    "unreachable", "timeouts", "internal_errors", "outlier",
]  # fmt: skip
"""Reason of a decision, as a code for metrics and rules."""


AttemptKind: TypeAlias = Literal["first", "retry", "hedge"]
"""Kind of an attempt."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all decision events.

    Attributes:
        subject: the method as `Service.method`, or the address of an instance.
        why: the reason, as text.
        reason: the reason, as a code; empty for events that need none.
    """

    subject: str
    why: str = ""
    reason: Reason = ""


class Routed(Decision, frozen=True, kw_only=True, tag=True):
    """A router was applied to the eligible instances of a call.

    Attributes:
        router: name of the router.
        rule: name of its rule.
        before: number of instances before it.
        after: number of instances after it.
    """

    router: str
    rule: str
    before: int
    after: int


class Picked(Decision, frozen=True, kw_only=True, tag=True):
    """A balancer picked an instance.

    Attributes:
        balancer: name of the balancer.
        instance: the instance as `host:port`.
        among: number of candidates.
    """

    balancer: str
    instance: str
    among: int


class Attempted(Decision, frozen=True, kw_only=True, tag=True):
    """An attempt of a call ended, with a response or an error.

    Attributes:
        instance: the instance as `host:port`.
        attempt: number of the attempt, starting at 0.
        seconds: its duration.
        error: name of the exception's class; empty for success.
        target: name of the service or server that the client calls.
        zone: zone of the instance; empty if it has none.
        kind: `first`, `retry`, or `hedge` for an attempt that runs beside another one.
        sent: bytes of its request on the wire.
        received: bytes of its response on the wire.
    """

    instance: str
    attempt: int
    seconds: float
    error: str = ""
    target: str = ""
    zone: str = ""
    kind: AttemptKind = "first"
    sent: int = 0
    received: int = 0


class Retrying(Decision, frozen=True, kw_only=True, tag=True):
    """A call is retried.

    Attributes:
        mode: the fault mode that retries it.
        pause: seconds until the retry.
    """

    mode: str
    pause: float = 0.0


class NotRetried(Decision, frozen=True, kw_only=True, tag=True):
    """A failed call is not retried, or not any more; `why` has the reason.

    Attributes:
        mode: the fault mode that decided it.
    """

    mode: str


class RetryScheduled(Decision, frozen=True, kw_only=True, tag=True):
    """A failed call was queued for a retry in the background.

    Attributes:
        mode: the fault mode that queued it.
        pause: seconds until the retry.
    """

    mode: str
    pause: float


class FallbackUsed(Decision, frozen=True, kw_only=True, tag=True):
    """A call failed and a fallback value was returned instead.

    Attributes:
        by: the fault mode or guard that returned it.
    """

    by: str


class Rejected(Decision, frozen=True, kw_only=True, tag=True):
    """A guard rejected a call, or a limit of the server did.

    Attributes:
        guard: name of the guard; `server` for limits and expired deadlines.
    """

    guard: str


class BreakerChanged(Decision, frozen=True, kw_only=True, tag=True):
    """A circuit breaker changed its state.

    Attributes:
        before: the old state: `closed`, `open` or `half-open`.
        after: the new state.
    """

    before: str
    after: str


class Ejected(Decision, frozen=True, kw_only=True, tag=True):
    """An instance was taken out of rotation by this client.

    Attributes:
        seconds: duration of the ejection; `None` for until it responds again.
    """

    seconds: float | None = None


class Restored(Decision, frozen=True, kw_only=True, tag=True):
    """An instance is back in rotation."""


Listener = Callable[[Decision], object]
"""Callback for decision events."""


def notify(listeners: Iterable[Listener], decision: Decision) -> None:
    """Pass `decision` to all listeners; exceptions are logged, so that they affect neither the call nor the others."""
    for listener in listeners:
        try:
            listener(decision)
        except Exception:  # noqa: BLE001
            fields = {"decision": type(decision).__name__, "subject": decision.subject}
            _log.exception("decision listener failed on %s", decision, extra=fields)
