"""Fault mode `forking`: call several instances in parallel and return the first response.

It costs as many calls as there are forks and has the latency of the fastest one.

Source: Dubbo's `ForkingClusterInvoker`
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from idlrt.core import Call, ClockAndRandom
from idlrt.fault.base import Dispatcher, is_final, may_repeat

__all__ = ["Forking"]


class ForkingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `forking`."""

    forks: Annotated[int, Meta(ge=1, le=100, description="number of instances that are called in parallel.")] = 2


class Forking:
    """Parallel calls, first response wins. Implements `FaultMode`.

    Non-idempotent methods are called on one instance only.
    """

    Settings: ClassVar[type[msgspec.Struct]] = ForkingSettings

    def __init__(self, settings: ForkingSettings, sources: ClockAndRandom) -> None:
        self._forks = settings.forks

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call`; if all forks fail, raise the error of the last to fail."""
        endpoints: list[Any] = []
        for _ in range(self._forks if may_repeat(call) else 1):
            endpoint = dispatcher.pick(call, endpoints)
            if endpoint is None:
                break
            endpoints.append(endpoint)
        if len(endpoints) == 1:
            return await dispatcher.send(endpoints[0], call)
        starts = [partial(dispatcher.send, endpoint, call) for endpoint in endpoints]
        return await call.driver.race(starts, is_final=is_final)

    def close(self) -> None:
        """Do nothing: no background work."""
