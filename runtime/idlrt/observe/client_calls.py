"""Metrics of the calls of clients: whole calls, their attempts, and decisions about them.

All clients of a process record here, so that counters outlive clients which are closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from idlrt.core import (
    AttemptKind,
    BreakerChanged,
    Call,
    Decision,
    Ejected,
    FallbackUsed,
    Instance,
    NotRetried,
    Rejected,
    Restored,
    Retrying,
    RetryScheduled,
    outcome_of,
)
from idlrt.observe.breakers import BreakerStates
from idlrt.observe.catalogue import (
    CLIENT_ATTEMPTS,
    CLIENT_CALLS,
    CLIENT_CONNECTS,
    CLIENT_EJECTIONS,
    CLIENT_FALLBACKS,
    CLIENT_NOT_RETRIED,
    CLIENT_PAUSES,
    CLIENT_REJECTED,
    CLIENT_RESTORED,
    CLIENT_RETRIES,
    CLIENT_SCHEDULED,
    DROPPED,
)
from idlrt.observe.cells import Counts, Histograms
from idlrt.observe.metric import Labels, Series
from idlrt.observe.sources import PROCESS

__all__ = ["CLIENTS", "ClientCalls", "MethodRecorder"]

_OK: Final = "ok"
_NANO: Final = 1e9


class ClientCalls:
    """Recorder of all clients of this process; a `Source`. Threads may share it."""

    def __init__(self) -> None:
        self.calls = Histograms(CLIENT_CALLS)
        self.attempts = Histograms(CLIENT_ATTEMPTS)
        self._connects = Histograms(CLIENT_CONNECTS)
        self._retries = Counts(CLIENT_RETRIES)
        self._pauses = Histograms(CLIENT_PAUSES)
        self._scheduled = Counts(CLIENT_SCHEDULED)
        self._not_retried = Counts(CLIENT_NOT_RETRIED)
        self._fallbacks = Counts(CLIENT_FALLBACKS)
        self._rejected = Counts(CLIENT_REJECTED)
        self._ejections = Counts(CLIENT_EJECTIONS)
        self._restored = Counts(CLIENT_RESTORED)
        self._breakers = BreakerStates()

    def connected(self, service: str, seconds: float, error: BaseException | None = None) -> None:
        """Record an attempt to connect.

        Args:
            service: service whose call needs the connection.
            seconds: time that it took.
            error: why it failed; `None` if it succeeded.
        """
        outcome = _OK if error is None else type(error).__name__
        self._connects.record((service, outcome), int(seconds * _NANO))

    def decided(self, decision: Decision) -> None:
        """Record a decision. A `Listener`."""
        subject = decision.subject
        match decision:
            case Retrying():
                self._retries.add((subject, decision.mode))
                self._pauses.record((subject, decision.mode), int(decision.pause * _NANO))
            case NotRetried():
                self._not_retried.add((subject, decision.mode, decision.reason))
            case RetryScheduled():
                self._scheduled.add((subject, decision.mode))
            case FallbackUsed():
                self._fallbacks.add((subject, decision.by))
            case Rejected():
                self._rejected.add((subject, decision.guard, decision.reason))
            case Ejected():
                self._ejections.add((decision.reason,))
            case Restored():
                self._restored.add(())
            case BreakerChanged():
                self._breakers.changed(decision)
            case _:
                pass  # attempts are recorded where they end

    def read(self) -> Iterator[Series]:
        """Return the metrics. Called on any thread."""
        found: list[Histograms | Counts] = [
            *(self.calls, self.attempts, self._connects, self._retries, self._pauses, self._scheduled),
            *(self._not_retried, self._fallbacks, self._rejected, self._ejections, self._restored),
        ]
        for each in found:
            if len(each):
                yield each.series()
        yield from self._breakers.read()
        yield Series(DROPPED, {("series",): sum(each.dropped for each in found)})


CLIENTS: Final = ClientCalls()
"""Recorder of the clients of this process."""

PROCESS.add(CLIENTS)


class MethodRecorder:
    """Recorder of the calls of one method of one client; a `CallRecorder`.

    Args:
        method: `Service.method`.
        target: name of what the client calls.
        has_instances: whether attempts are recorded by instance.
    """

    __slots__ = ("_answered", "_attempts", "_calls", "_has_instances", "_method", "_target")

    def __init__(self, method: str, target: str, *, has_instances: bool = False) -> None:
        self._method = method
        self._target = target
        self._has_instances = has_instances
        self._answered: Labels = method, target, _OK, ""
        self._calls = CLIENTS.calls
        self._attempts = CLIENTS.attempts

    def answered(self, call: Call, began: float, ended: float) -> None:
        """Record a call that returned a result."""
        self._calls.record_call(self._answered, ended - began, call.received, call.sent)

    def failed(self, call: Call, began: float, ended: float, error: BaseException) -> None:
        """Record a call that raised an exception."""
        labels = self._method, self._target, outcome_of(error).value, type(error).__name__
        self._calls.record_call(labels, ended - began, call.received, call.sent)

    def attempted(
        self, sent: Call, kind: AttemptKind, instance: Instance, seconds: float, error: BaseException | None
    ) -> None:
        """Record an attempt; see `CallRecorder`."""
        status, name = (_OK, "") if error is None else (outcome_of(error).value, type(error).__name__)
        address = instance.address if self._has_instances else ""
        labels = self._method, self._target, status, name, instance.zone, kind, address
        self._attempts.record_call(labels, seconds, sent.received, sent.sent)
