"""Calls, filters, handlers, instances and drivers: the call stack without the network."""

from typing import TYPE_CHECKING

from idlrt.core.call import Call, Deadline
from idlrt.core.clock import ClockAndRandom
from idlrt.core.context import NO_CONTEXT, RequestContext
from idlrt.core.decisions import (
    Attempted,
    AttemptKind,
    BreakerChanged,
    Decision,
    Ejected,
    FallbackUsed,
    Listener,
    NotRetried,
    Picked,
    Reason,
    Rejected,
    Restored,
    Retrying,
    RetryScheduled,
    Routed,
    notify,
)
from idlrt.core.driver import AsyncioDriver, BlockingDriver, Driver, Event, drive
from idlrt.core.filters import CallNext, Filter, stack
from idlrt.core.handlers import Handler, Handlers, bind
from idlrt.core.instance import (
    DEFAULT_GROUP,
    Change,
    Freshness,
    Instance,
    Patch,
    ServiceKey,
    Snapshot,
    Status,
    difference,
)
from idlrt.core.logs import ALWAYS
from idlrt.core.metadata import AMBIENT, NO_METADATA, Metadata
from idlrt.core.outcome import Evidence, Outcome, evidence_of, outcome_of
from idlrt.core.policy import (
    CONFIG_VARIABLE,
    LONGEST,
    SHORTEST,
    Backoff,
    CallPolicy,
    Fraction,
    Positive,
    Seconds,
    is_duration,
)
from idlrt.core.request import CURRENT_TRACE, Peer, ServerCall, current_call, handler_context, request_metadata
from idlrt.core.rpc_protocols import ANY_PROTOCOL, THRIFT, RpcProtocols, check_rpc_protocols, format_rpc_protocols
from idlrt.core.served import Served, serve
from idlrt.exports import deprecated_names

__all__ = [
    "ALWAYS",
    "AMBIENT",
    "ANY_PROTOCOL",
    "CONFIG_VARIABLE",
    "CURRENT_TRACE",
    "DEFAULT_GROUP",
    "LONGEST",
    "NO_CONTEXT",
    "NO_METADATA",
    "SHORTEST",
    "THRIFT",
    "AsyncioDriver",
    "AttemptKind",
    "Attempted",
    "Backoff",
    "BlockingDriver",
    "BreakerChanged",
    "Call",
    "CallNext",
    "CallPolicy",
    "Change",
    "ClockAndRandom",
    "Deadline",
    "Decision",
    "Driver",
    "Ejected",
    "Event",
    "Evidence",
    "FallbackUsed",
    "Filter",
    "Fraction",
    "Freshness",
    "Handler",
    "Handlers",
    "Instance",
    "Listener",
    "Metadata",
    "NotRetried",
    "Outcome",
    "Patch",
    "Peer",
    "Picked",
    "Positive",
    "Reason",
    "Rejected",
    "RequestContext",
    "Restored",
    "RetryScheduled",
    "Retrying",
    "Routed",
    "RpcProtocols",
    "Seconds",
    "Served",
    "ServerCall",
    "ServiceKey",
    "Snapshot",
    "Status",
    "bind",
    "check_rpc_protocols",
    "current_call",
    "difference",
    "drive",
    "evidence_of",
    "format_rpc_protocols",
    "handler_context",
    "is_duration",
    "notify",
    "outcome_of",
    "request_metadata",
    "serve",
    "stack",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__)
