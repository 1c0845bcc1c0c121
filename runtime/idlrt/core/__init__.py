"""A call and what may stand in its way, without any network."""

from idlrt.core.call import Call, Deadline
from idlrt.core.chance import Chance
from idlrt.core.decisions import (
    Attempted,
    BreakerChanged,
    Decision,
    Ejected,
    GaveUp,
    Kept,
    Listener,
    Picked,
    Refused,
    Replaced,
    Restored,
    Retrying,
    Routed,
    tell,
)
from idlrt.core.driver import AsyncioDriver, BlockingDriver, Driver, drive
from idlrt.core.endpoint import Endpoint, Filter, stack
from idlrt.core.handlers import Handler, Handlers, bind
from idlrt.core.headers import CLIENT_TIMEOUT, DRAIN, TAG, TRUE, is_draining, milliseconds, told_timeout
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
from idlrt.core.policy import Backoff, CallPolicy
from idlrt.core.request import Peer, ServerCall, current_call, handler_context, request_metadata
from idlrt.core.served import Served, serve
from idlrt.wire.framing import NO_METADATA, Metadata

__all__ = [
    "CLIENT_TIMEOUT",
    "DEFAULT_GROUP",
    "DRAIN",
    "NO_METADATA",
    "TAG",
    "TRUE",
    "AsyncioDriver",
    "Attempted",
    "Backoff",
    "BlockingDriver",
    "BreakerChanged",
    "Call",
    "CallPolicy",
    "Chance",
    "Change",
    "Deadline",
    "Decision",
    "Driver",
    "Ejected",
    "Endpoint",
    "Filter",
    "Freshness",
    "GaveUp",
    "Handler",
    "Handlers",
    "Instance",
    "Kept",
    "Listener",
    "Metadata",
    "Patch",
    "Peer",
    "Picked",
    "Refused",
    "Replaced",
    "Restored",
    "Retrying",
    "Routed",
    "Served",
    "ServerCall",
    "ServiceKey",
    "Snapshot",
    "Status",
    "bind",
    "current_call",
    "difference",
    "drive",
    "handler_context",
    "is_draining",
    "milliseconds",
    "request_metadata",
    "serve",
    "stack",
    "tell",
    "told_timeout",
]
