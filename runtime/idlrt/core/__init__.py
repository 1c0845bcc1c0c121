"""A call and what may stand in its way, without any network."""

from idlrt.core.call import Call, Deadline
from idlrt.core.driver import AsyncioDriver, BlockingDriver, Driver, drive
from idlrt.core.endpoint import Endpoint, Filter, stack
from idlrt.core.handlers import Handler, Handlers, bind
from idlrt.core.headers import CLIENT_TIMEOUT, DRAIN, TRUE, is_draining, milliseconds, told_timeout
from idlrt.core.request import Peer, ServerCall, current_call, handler_context, request_metadata
from idlrt.core.served import Served, serve
from idlrt.wire.framing import NO_METADATA, Metadata

__all__ = [
    "CLIENT_TIMEOUT",
    "DRAIN",
    "NO_METADATA",
    "TRUE",
    "AsyncioDriver",
    "BlockingDriver",
    "Call",
    "Deadline",
    "Driver",
    "Endpoint",
    "Filter",
    "Handler",
    "Handlers",
    "Metadata",
    "Peer",
    "Served",
    "ServerCall",
    "bind",
    "current_call",
    "drive",
    "handler_context",
    "is_draining",
    "milliseconds",
    "request_metadata",
    "serve",
    "stack",
    "told_timeout",
]
