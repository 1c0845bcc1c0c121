"""What one attempt of a call is made of, and who hears of it: the same for a cluster and for a server alone."""

from __future__ import annotations

from idlrt.client.governance import Governance
from idlrt.core import Call, Deadline, Decision, tell

__all__ = ["EventEmitter", "attempt_of"]


def attempt_of(call: Call, target: str, now: float, attempt: int) -> Call:
    """`call` as it is sent to one instance.

    Args:
        target: of the instance, for errors.
        now: on the clock of the call's driver.
        attempt: how often the call was sent before.
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
    """The part of `Reach` that lets listeners know: those of the call, and those of the client."""

    governance: Governance

    def tell(self, call: Call, decision: Decision) -> None:
        """See `Reach.tell`."""
        tell(call.listeners, decision)
        self.governance.tell(decision)

    def is_heard(self, call: Call) -> bool:
        """See `Reach.is_heard`."""
        return bool(call.listeners or self.governance.listeners)
