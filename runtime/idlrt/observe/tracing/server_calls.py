"""Observer of the calls of a server that ends their traces, and passes them to the recorder of metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from idlrt.core import Outcome, ServerCall
from idlrt.observe.exemplars import SERVER_EXEMPLARS, Exemplar
from idlrt.observe.tracing.access_log import log_call
from idlrt.observe.tracing.context import TraceContext
from idlrt.observe.tracing.switch import TRACING
from idlrt.observe.tracing.tracer import Tracer
from idlrt.protocol.events import RequestReceived

if TYPE_CHECKING:
    from idlrt.observe.server_calls import ServerCalls

__all__ = ["TracedCalls"]


class TracedCalls:
    """Observer of traces; a `CallObserver`.

    Args:
        tracer: the tracer.
        measured: recorder of metrics; `None` if they are off.
    """

    def __init__(self, tracer: Tracer, measured: ServerCalls | None) -> None:
        self._tracer = tracer
        self._measured = measured
        self._has_access_log = TRACING.has_access_log

    def answered(self, call: ServerCall, request_size: int, response_size: int) -> None:
        """End the trace of a call that ended with a result."""
        if self._measured is not None:
            self._measured.answered(call, request_size, response_size)
        trace = call.trace
        if trace is None:
            return
        now = call.driver.now()
        # Most calls are neither sampled nor slow.
        if trace.span is not None or now - call.received_at > self._tracer.slow_s:
            self._end(call, None, now, request_size, response_size)

    def ended(self, call: ServerCall, error: BaseException, request_size: int, response_size: int) -> None:
        """End the trace of a call that ended with an error."""
        if self._measured is not None:
            self._measured.ended(call, error, request_size, response_size)
        if call.trace is not None:
            self._end(call, error, call.driver.now(), request_size, response_size)

    def _end(
        self, call: ServerCall, error: BaseException | None, now: float, request_size: int, response_size: int
    ) -> None:
        self._tracer.end_server(call, error, now)
        if not call.trace.is_recorded:
            return
        context: TraceContext = call.trace.context
        if self._measured is not None:
            status = (call.outcome or Outcome.UNKNOWN).value
            labels = call.method.full_name, status, "" if error is None else type(error).__name__
            duration = now - call.received_at
            SERVER_EXEMPLARS.put(labels, Exemplar(context.trace_id, context.span_id, duration, time.time()))
        if self._has_access_log:
            log_call(call, context, now, request_size, response_size)

    def refused(self, request: RequestReceived, code: int, received_at: float, response_size: int) -> None:
        """Pass on a request that did not become a call."""
        if self._measured is not None:
            self._measured.refused(request, code, received_at, response_size)

    def connected(self, protocol: str) -> None:
        """Pass on a connection."""
        if self._measured is not None:
            self._measured.connected(protocol)

    def connection_failed(self, kind: str) -> None:
        """Pass on a connection that was closed because of an error."""
        if self._measured is not None:
            self._measured.connection_failed(kind)
