"""Fault mode `broadcast`: call all instances, e.g. to invalidate their caches.

Source: Dubbo's `BroadcastClusterInvoker`
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from idlrt.core import Call, ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.fault.base import Dispatcher, may_repeat
from idlrt.printable import plural

__all__ = ["Broadcast"]


class BroadcastSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `broadcast`."""

    fail_percent: Annotated[
        float,
        Meta(ge=0, le=100, description="percentage of failed instances from which the call fails; 0: any failure."),
    ] = 0.0
    max_concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="maximum number of instances that are called in parallel.")
    ] = 16


class Broadcast:
    """One call per instance, once each; returns one of the results. Implements `FaultMode`.

    The call is executed several times, so the method must be idempotent, or the caller must declare it repeatable:
    `using(fault="broadcast", idempotent=True)`.
    """

    Settings: ClassVar[type[msgspec.Struct]] = BroadcastSettings

    def __init__(self, settings: BroadcastSettings, sources: ClockAndRandom) -> None:
        self._settings = settings

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call` on every instance.

        Raises:
            ConfigurationError: the method is not idempotent and the caller did not declare it repeatable.
            RpcError: at least `fail_percent` of the instances failed: the last error, with a note that lists them.
        """
        if not may_repeat(call):
            what = f"cannot broadcast {call.method.full_name}: the method is not idempotent"
            raise ConfigurationError(f"{what}; pass using(idempotent=True) if every instance may execute it")
        endpoints = dispatcher.all_endpoints(call)
        starts: Sequence[Callable[[], Coroutine[Any, Any, Any]]] = [
            partial(dispatcher.send, endpoint, call) for endpoint in endpoints
        ]
        outcomes = await call.driver.all(starts, self._settings.max_concurrency)
        failed = [
            (endpoint, each) for endpoint, each in zip(endpoints, outcomes, strict=True) if isinstance(each, Exception)
        ]
        if failed and len(failed) * 100 >= len(endpoints) * self._settings.fail_percent:
            error: Exception = failed[-1][1]
            names = ", ".join(endpoint.instance.address for endpoint, _ in failed[:10])
            more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
            error.add_note(f"{len(failed)} of {plural(len(endpoints), 'instance')} failed: {names}{more}")
            raise error
        return next(each for each in outcomes if not isinstance(each, Exception))

    def close(self) -> None:
        """Do nothing: no background work."""
