"""A call and what may stand in its way, without any network."""

from idlrt.core.call import Call, Deadline
from idlrt.core.driver import AsyncioDriver, BlockingDriver, Driver, drive
from idlrt.core.endpoint import Endpoint, Filter, stack
from idlrt.core.handlers import Handler, Handlers, bind
from idlrt.core.request import enter_request, handler_context, request_metadata
from idlrt.core.served import Served, serve

__all__ = [
    "AsyncioDriver",
    "BlockingDriver",
    "Call",
    "Deadline",
    "Driver",
    "Endpoint",
    "Filter",
    "Handler",
    "Handlers",
    "Served",
    "bind",
    "drive",
    "enter_request",
    "handler_context",
    "request_metadata",
    "serve",
    "stack",
]
