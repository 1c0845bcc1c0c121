"""Recorder of the calls of a client that ends their traces, and records their metrics."""

from __future__ import annotations

from idlrt.core import AttemptKind, Call, Instance
from idlrt.observe.recording import CallRecorder
from idlrt.observe.tracing.trace import Trace
from idlrt.observe.tracing.tracer import Tracer

__all__ = ["TracedRecorder"]


class TracedRecorder:
    """Recorder of traces; a `CallRecorder`.

    Args:
        tracer: the tracer.
        target: name of the target.
        measured: recorder of metrics; `None` if they are off.
    """

    __slots__ = ("_measured", "_target", "_tracer")

    def __init__(self, tracer: Tracer, target: str, measured: CallRecorder | None) -> None:
        self._tracer = tracer
        self._target = target
        self._measured = measured

    def answered(self, call: Call, began: float, ended: float) -> None:
        """Record a call that returned a result."""
        if self._measured is not None:
            self._measured.answered(call, began, ended)
        trace = call.trace
        # Most calls are neither sampled nor slow.
        if trace is not None and (trace.span is not None or ended - began > self._tracer.slow_s):
            self._tracer.end_client(call, self._target, None, began, ended)

    def failed(self, call: Call, began: float, ended: float, error: BaseException) -> None:
        """Record a call that raised an exception."""
        if self._measured is not None:
            self._measured.failed(call, began, ended, error)
        self._tracer.end_client(call, self._target, error, began, ended)
        _note(error, call.trace)

    def attempted(
        self, sent: Call, kind: AttemptKind, instance: Instance, seconds: float, error: BaseException | None
    ) -> None:
        """Record an attempt; see `CallRecorder`."""
        if self._measured is not None:
            self._measured.attempted(sent, kind, instance, seconds, error)
        self._tracer.end_attempt(sent, kind, error, sent.driver.now())


def _note(error: BaseException, trace: Trace | None) -> None:
    """Add the id of a recorded trace to the text of a traceback. One exception may end several calls."""
    if trace is None or not trace.is_recorded:
        return
    text = f"trace: {trace.context.trace_id}"
    if text not in getattr(error, "__notes__", ()):
        error.add_note(text)
