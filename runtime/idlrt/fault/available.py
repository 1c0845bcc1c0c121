"""Fault mode `available`: call the first reachable instance, in the order of their ids; the others are standbys.

Source: Dubbo's `AvailableClusterInvoker`
"""

from __future__ import annotations

from typing import Any

from idlrt.core import Call
from idlrt.errors import NoInstance, NotSent, RpcError
from idlrt.fault.base import Dispatcher
from idlrt.fault.failfast import Failfast

__all__ = ["Available"]


class Available(Failfast):
    """First reachable instance. Implements `FaultMode`."""

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call` on the first instance that it can be sent to."""
        last: RpcError | None = None
        for endpoint in dispatcher.all_endpoints(call):
            try:
                return await dispatcher.send(endpoint, call)
            except NotSent as error:
                last = error
                if call.deadline.at <= call.driver.now():
                    break
        raise last if last is not None else NoInstance(f"no instance for {call.method.full_name}")
