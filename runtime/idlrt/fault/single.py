"""Modes that ask one instance, once: `failfast`, `failsafe` and `available`.

Sources: Dubbo's `FailfastClusterInvoker`, `FailsafeClusterInvoker`, `AvailableClusterInvoker`
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from idlrt.core import Call, Chance, Replaced
from idlrt.core.logs import get_logger
from idlrt.errors import ApplicationError, NoInstance, NotSent, RpcError, Unknown
from idlrt.fault.base import Reach
from idlrt.fault.failover import NoSettings

__all__ = ["Available", "Failfast", "Failsafe"]

_log: Final = get_logger("idlrt.client")


class Failfast:
    """`failfast`: what it comes to, it comes to. A `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings

    def __init__(self, settings: Any, chance: Chance) -> None:
        pass

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`."""
        return await reach.send(reach.pick(call, ()), call)

    def close(self) -> None:
        """See `FaultMode.close`."""


class Failsafe(Failfast):
    """`failsafe`: a failure is logged, and `None` returned. For what may be left undone: counting, notes for later. A
    `FaultMode`.

    Methods that return something return `None` too, whatever their type says; a guard `fallback` gives other values.
    """

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`. Exceptions that the IDL declares are answers, and raised."""
        try:
            return await super().call(call, reach)
        except (NotSent, Unknown, ApplicationError) as error:
            _log.warning("%s failed, and is left undone: %s", call.method.full_name, error)
            if reach.is_heard(call):
                reach.tell(call, Replaced(subject=call.method.full_name, why=str(error), by="failsafe"))
            return None


class Available(Failfast):
    """`available`: the first instance that can be reached, in the order of their ids; the others are in reserve. A
    `FaultMode`.
    """

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`."""
        last: RpcError | None = None
        for node in reach.everyone(call):
            try:
                return await reach.send(node, call)
            except NotSent as error:
                last = error
                if call.deadline.at <= call.driver.now():
                    break
        raise last if last is not None else NoInstance(f"no instance for {call.method.full_name}")
