"""Attempts of a call, and the decision events that they emit."""

from __future__ import annotations

from idlrt.client.call_planner import CallPlanner
from idlrt.core import Call, Deadline, Decision, notify

__all__ = ["EventEmitter", "attempt_of"]


def attempt_of(call: Call, target: str, now: float, attempt: int) -> Call:
    """Return the copy of `call` that is sent to one instance, with the deadline of the attempt.

    Args:
        target: URL of the instance, for error messages.
        now: time on the clock of the call's driver.
        attempt: number of previous attempts.
    """
    deadline = call.deadline
    limit = call.policy.attempt_timeout
    if limit is not None and now + limit < deadline.at:
        deadline = Deadline(now + limit, limit)
    return Call(
        call.method, call.arguments, target, deadline, call.driver, call.metadata, call.options, call.policy,
        attempt=attempt or call.attempt, tag=call.tag, caller=call.caller,
    )  # fmt: skip


class EventEmitter:
    """Part of `Dispatcher` that emits decision events to the listeners of the call and of the client."""

    planner: CallPlanner

    def notify(self, call: Call, decision: Decision) -> None:
        """Emit a decision event."""
        notify(call.listeners, decision)
        self.planner.notify(decision)
        if call.trace is not None:
            call.trace.decided(decision)

    def has_listeners(self, call: Call) -> bool:
        """Return whether there are listeners."""
        return bool(call.listeners or self.planner.observers or (call.trace is not None and call.trace.is_recorded))
