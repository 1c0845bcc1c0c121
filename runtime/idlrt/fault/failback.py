"""`failback`: the caller is told what happened, and decides what follows.

Nothing is made again by itself. What the server has answered, as far as it has, goes to the callback of the caller
(`using(fault="failback", on_failure=...)`), which returns `Retry`, `Use`, or `None` to let the error be raised. (Dubbo
calls `failback` what is `failcache` here.)
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from idlrt.core import Call, Chance, GaveUp, Replaced, Retrying
from idlrt.core.logs import get_logger
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConfigurationError,
    LocalProtocolError,
    NotSent,
    PushBack,
    RpcError,
)
from idlrt.fault.base import Reach, may_repeat
from idlrt.spec import DeclaredError

__all__ = ["Failback", "Failure", "OnFailure", "Retry", "Use"]

_log: Final = get_logger("idlrt.client")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What a call has come to.

    Attributes:
        call: which.
        error: what would be raised.
        instance: whom it was sent to, as `host:port`; empty if there was nobody.
        attempt: 0 for the first time, then counting up.
        code: that the server answered with (`ApplicationCode`, or its own number); `None` if it did not.
        retry_after: seconds for which the server wants it not to be made again, `inf` for ever; `None` if it did not
            say.
        was_worked_on: whether a server has worked on it, now or when it was made before; `None` if nobody knows.
        is_repeatable: whether it may be made again without more ado: nobody has worked on it, or it is idempotent.
        remaining: seconds that are left for the call.
    """

    call: Call
    error: RpcError
    instance: str
    attempt: int
    code: int | None
    retry_after: float | None
    was_worked_on: bool | None
    is_repeatable: bool
    remaining: float


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Make the call again.

    Attributes:
        after: seconds from now.
        elsewhere: whether to prefer instances that were not tried yet.
        even_if_done: whether that is all right although a server may have worked on it and the method is not
            idempotent.
    """

    after: float = 0.0
    elsewhere: bool = True
    even_if_done: bool = False


class Use(msgspec.Struct, frozen=True):
    """Return `value` instead of an answer."""

    value: Any


OnFailure = Callable[[Failure], Retry | Use | Awaitable[Retry | Use | None] | None]
"""Decides what follows. An asyncio client's may be `async`."""


class FailbackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `failback`."""

    attempts: Annotated[
        int, Meta(ge=1, le=1000, description="maximum number of attempts, whatever the callback decides.")
    ] = 10


class Failback:
    """See the module. A `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = FailbackSettings

    def __init__(self, settings: FailbackSettings, chance: Chance) -> None:
        self._attempts = settings.attempts
        self._has_complained = False

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`."""
        tried: list[Any] = []
        attempt = 0
        was_worked_on: bool | None = False
        while True:
            node: Any = None
            try:
                node = reach.pick(call, tried) or reach.pick(call, ())
                return await reach.send(node, call, attempt)
            except DeclaredError:
                raise  # an answer
            except RpcError as error:
                if isinstance(error, ConfigurationError):
                    raise
                was_worked_on = _was_worked_on(error, was_worked_on)
                failure = _failure(call, error, node, attempt, was_worked_on)
                decision = await self._ask(failure)
                if isinstance(decision, Use):
                    if reach.is_heard(call):
                        reach.tell(call, Replaced(subject=call.method.full_name, why=str(error), by="failback"))
                    return decision.value
                if decision is None:
                    raise
                why = self._against(failure, decision)
                if why:
                    if reach.is_heard(call):
                        reach.tell(call, GaveUp(subject=call.method.full_name, why=why, mode="failback"))
                    error.add_note(f"not made again, as the callback has it: {why}")
                    raise
                if reach.is_heard(call):
                    what, pause = call.method.full_name, decision.after
                    reach.tell(call, Retrying(subject=what, why="the callback says so", mode="failback", pause=pause))
                if decision.after > 0:
                    await call.driver.sleep(decision.after)
                attempt += 1
                tried = [*tried, node] if decision.elsewhere and node is not None else []

    async def _ask(self, failure: Failure) -> Retry | Use | None:
        callback: OnFailure | None = failure.call.options.get("on_failure")
        if callback is None:
            if not self._has_complained:
                self._has_complained = True
                _log.warning(
                    "%s failed with fault=failback, and nobody is told: give the client one with using(on_failure=...)",
                    failure.call.method.full_name,
                )
            return None
        try:
            decision = callback(failure)
            if inspect.isawaitable(decision):
                decision = await decision
        except Exception as error:  # noqa: BLE001
            # The failure itself must not be lost behind it.
            _log.exception("the callback for failures of %s failed", failure.call.method.full_name)
            failure.error.add_note(f"the callback on_failure failed: {error!r}")
            return None
        if not isinstance(decision, Retry | Use | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"on_failure must return Retry, Use or None, not {decision!r}") from failure.error
        return decision

    def _against(self, failure: Failure, decision: Retry) -> str:
        """What stands against making a call again."""
        call = failure.call
        if failure.attempt + 1 >= self._attempts:
            return f"it was made {failure.attempt + 1} times"
        if not (failure.is_repeatable or decision.even_if_done):
            return f"{call.method.full_name} is not idempotent; say Retry(even_if_done=True)"
        left = call.deadline.at - call.driver.now()
        return "no time is left" if decision.after >= left else ""

    def close(self) -> None:
        """See `FaultMode.close`."""


# Refusals of what a server did not understand, or did not want.
_NEVER_BEGUN: Final = (
    ApplicationCode.UNKNOWN_METHOD,
    ApplicationCode.INVALID_MESSAGE_TYPE,
    ApplicationCode.INVALID_PROTOCOL,
    ApplicationCode.INVALID_TRANSFORM,
    ApplicationCode.UNSUPPORTED_CLIENT_TYPE,
    ApplicationCode.PERMISSION_DENIED,
    ApplicationCode.UNAUTHENTICATED,
)


def _was_worked_on(error: RpcError, before: bool | None) -> bool | None:
    """Whether a server has worked on a call that has come to `error`, and to other errors before."""
    if isinstance(error, NotSent | LocalProtocolError) or before:
        return before
    if isinstance(error, ApplicationError) and error.code in _NEVER_BEGUN:
        return before
    return True if isinstance(error, ApplicationError) else None


def _failure(call: Call, error: RpcError, node: Any, attempt: int, was_worked_on: bool | None) -> Failure:
    return Failure(
        call=call,
        error=error,
        instance=node.instance.address if node is not None else "",
        attempt=attempt,
        code=error.code if isinstance(error, ApplicationError) else None,
        retry_after=error.retry_after if isinstance(error, PushBack) else None,
        was_worked_on=was_worked_on,
        is_repeatable=was_worked_on is False or may_repeat(call),
        remaining=call.deadline.at - call.driver.now(),
    )
