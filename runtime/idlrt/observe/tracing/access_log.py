"""Access log: one record for each call of a server that is recorded by tracing, on the logger `idlrt.access`.

It is sampled as traces are, so it is no audit log. Arguments and metadata are not in it.
"""

from __future__ import annotations

import logging
from typing import Final

from idlrt.core import ServerCall
from idlrt.core.logs import ALWAYS, get_logger
from idlrt.observe.tracing.context import TraceContext

__all__ = ["LOGGER", "log_call"]

LOGGER: Final = "idlrt.access"
"""Name of the logger."""

_log: Final = get_logger(LOGGER)


def log_call(call: ServerCall, context: TraceContext, ended: float, request_size: int, response_size: int) -> None:
    """Log a call that has ended.

    Args:
        call: the call.
        context: context of its span.
        ended: time on the clock of the server, in seconds.
        request_size: size of the request in bytes.
        response_size: size of the response in bytes.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    status = call.outcome.value if call.outcome is not None else ""
    duration = ended - call.received_at
    method, peer, caller = call.method.full_name, call.peer.address, call.context.caller
    fields = {
        **ALWAYS,
        "trace_id": context.trace_id,
        "span_id": context.span_id,
        "trace_flags": "01",
        "method": method,
        "caller": caller,
        "peer": peer,
        "status": status,
        "duration_s": round(duration, 9),
        "request_bytes": request_size,
        "response_bytes": response_size,
    }
    _log.info("%s from %s: %s in %.3f ms", method, caller or peer, status, duration * 1000, extra=fields)
