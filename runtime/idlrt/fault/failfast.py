"""Fault mode `failfast`: call one instance once and raise whatever error occurs.

Source: Dubbo's `FailfastClusterInvoker`
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from idlrt.core import Call, Chance
from idlrt.fault.base import NoSettings, Reach

__all__ = ["Failfast"]


class Failfast:
    """A single attempt. Implements `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings

    def __init__(self, settings: Any, chance: Chance) -> None:
        pass

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """Make `call` once."""
        return await reach.send(reach.pick(call, ()), call)

    def close(self) -> None:
        """Do nothing: no background work."""
