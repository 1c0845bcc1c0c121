"""Guard `deadline`: shortens the deadline of calls. It never extends it.

On a client the call ends at the new deadline. On a server the client is not informed, and the handler is not
interrupted; but nested calls of the handler end at the new deadline.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from idlrt.core import ClockAndRandom, Deadline, Listener
from idlrt.core.policy import Positive
from idlrt.guard.base import AnyCall, Next, PerMethod, no_listener

__all__ = ["Timeout", "TimeoutSettings"]


class TimeoutSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `deadline`."""

    timeout: Annotated[Positive | None, Meta(description="timeout of a call; unset: the timeout of its caller.")] = None
    methods: Annotated[
        dict[str, Positive],
        Meta(description="timeouts by method, `method` or `Service.method`; they override `timeout`."),
    ] = {}


class Timeout:
    """Guard `deadline`: shortens the deadline of calls."""

    Settings: ClassVar[type[msgspec.Struct]] = TimeoutSettings
    # Before guards that wait and guards that count outcomes, so that both see the shorter deadline.
    before: ClassVar[tuple[str, ...]] = ("shedder",)

    def __init__(self, settings: TimeoutSettings, sources: ClockAndRandom, listener: Listener = no_listener) -> None:
        self._settings = settings
        self._seconds: PerMethod[float] = PerMethod("method", self._timeout_of)

    def _timeout_of(self, name: str) -> float:
        settings = self._settings
        plain = name.rpartition(".")[2]
        seconds = settings.methods.get(name, settings.methods.get(plain, settings.timeout))
        return seconds if seconds is not None else float("inf")

    async def __call__(self, call: AnyCall, next: Next) -> Any:
        """Make the call with the shorter deadline, then restore the original one, for retries. Rejects no call."""
        seconds = self._seconds[call.method]
        given = call.deadline
        at = call.driver.now() + seconds
        if at >= given.at:
            return await next(call)
        call.deadline = Deadline(at, seconds)
        try:
            return await next(call)
        finally:
            call.deadline = given
