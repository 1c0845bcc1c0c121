"""Fault mode `failfast`: call one instance once and raise whatever error occurs.

Source: Dubbo's `FailfastClusterInvoker`
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from idlrt.core import Call, ClockAndRandom
from idlrt.fault.base import Dispatcher, NoSettings

__all__ = ["Failfast"]


class Failfast:
    """A single attempt. Implements `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings

    def __init__(self, settings: Any, sources: ClockAndRandom) -> None:
        pass

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call` once."""
        return await dispatcher.send(dispatcher.pick(call, ()), call)

    def close(self) -> None:
        """Do nothing: no background work."""
