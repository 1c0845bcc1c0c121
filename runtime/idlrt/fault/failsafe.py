"""Fault mode `failsafe`: log failures and return `None`. For calls whose loss is tolerable, such as metrics and audits.

Source: Dubbo's `FailsafeClusterInvoker`
"""

from __future__ import annotations

from typing import Any, Final

from idlrt.core import Call, FallbackUsed
from idlrt.core.logs import get_logger
from idlrt.errors import ApplicationError, NotSent, Unknown
from idlrt.fault.base import Dispatcher
from idlrt.fault.failfast import Failfast

__all__ = ["Failsafe"]

_log: Final = get_logger("idlrt.client")


class Failsafe(Failfast):
    """A single attempt whose failure is ignored. Implements `FaultMode`.

    Methods that return something return `None` too, whatever their type; the guard `fallback` returns other values.
    """

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call` once. Exceptions that the IDL declares are responses, and raised."""
        try:
            return await super().call(call, dispatcher)
        except (NotSent, Unknown, ApplicationError) as error:
            name = call.method.full_name
            _log.warning("ignoring failure of %s: %s", name, error, extra={"method": name, "mode": "failsafe"})
            if dispatcher.has_listeners(call):
                dispatcher.notify(call, FallbackUsed(subject=name, why=str(error), by="failsafe"))
            return None
