"""Interface of what records the calls of a client."""

from __future__ import annotations

from typing import Protocol

from idlrt.core import AttemptKind, Call, Instance

__all__ = ["CallRecorder"]


class CallRecorder(Protocol):
    """Records the end of calls of one method, and of their attempts. Called on the thread of the call."""

    def answered(self, call: Call, began: float, ended: float) -> None:
        """Record a call that returned a result.

        Args:
            call: the call.
            began: when it began, on its clock, in seconds.
            ended: when it ended.
        """
        ...

    def failed(self, call: Call, began: float, ended: float, error: BaseException) -> None:
        """Record a call that raised an exception."""
        ...

    def attempted(
        self, sent: Call, kind: AttemptKind, instance: Instance, seconds: float, error: BaseException | None
    ) -> None:
        """Record an attempt.

        Args:
            sent: call of the attempt.
            kind: its kind.
            instance: the instance that it was sent to.
            seconds: its duration.
            error: the exception that it raised; `None` for a result.
        """
        ...
