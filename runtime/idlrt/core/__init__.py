"""A call and what may stand in its way, without any network."""

from idlrt.core.call import Call, Deadline
from idlrt.core.driver import AsyncioDriver, BlockingDriver, Driver, drive
from idlrt.core.endpoint import Endpoint, Filter, stack
from idlrt.core.handlers import Handler, Handlers, bind

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
    "bind",
    "drive",
    "stack",
]
