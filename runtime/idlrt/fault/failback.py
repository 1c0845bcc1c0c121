"""Fault mode `failback`: on failure, a callback of the caller decides what to do.

There are no automatic retries. The callback (`using(fault="failback", on_failure=...)`) receives a `Failure` with the
server's response, if any, and returns `Retry`, `Use`, or `None` to raise the error. (Dubbo's `failback` corresponds to
`failcache` here.)
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from idlrt.core import Call, ClockAndRandom, FallbackUsed, NotRetried, Retrying
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
from idlrt.fault.base import Dispatcher, NoRetry, may_repeat
from idlrt.spec import DeclaredError

__all__ = ["Failback", "Failure", "OnFailure", "Retry", "Use"]

_log: Final = get_logger("idlrt.client")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt, as the callback receives it.

    Attributes:
        call: the call.
        error: the error that is raised unless the callback decides otherwise.
        instance: the instance that the call was sent to, as `host:port`; empty if there was none.
        attempt: number of the attempt, starting at 0.
        code: error code in the server's response (an `ApplicationCode`, or a code of the application); `None` without a
            response.
        retry_after: pushback of the server in seconds, `inf` for "never"; `None` without pushback.
        was_worked_on: whether a server has executed the call, in this or an earlier attempt; `None` if unknown.
        is_repeatable: whether a retry is safe: no server has executed the call, or it is idempotent.
        remaining: seconds until the deadline.
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
    """Retry the call.

    Attributes:
        after: pause before the retry in seconds.
        elsewhere: whether to prefer instances that were not tried yet.
        even_if_done: whether to retry even if a server may have executed the call and the method is not idempotent.
    """

    after: float = 0.0
    elsewhere: bool = True
    even_if_done: bool = False


class Use(msgspec.Struct, frozen=True):
    """Return `value` as the result of the call."""

    value: Any


OnFailure = Callable[[Failure], Retry | Use | Awaitable[Retry | Use | None] | None]
"""Callback that decides what to do about a failure; may be `async` in an asyncio client."""


class FailbackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `failback`."""

    max_attempts: Annotated[
        int, Meta(ge=1, le=1000, description="maximum number of attempts, whatever the callback decides.")
    ] = 10


class Failback:
    """Failure handling by callback. Implements `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = FailbackSettings

    def __init__(self, settings: FailbackSettings, sources: ClockAndRandom) -> None:
        self._attempts = settings.max_attempts
        self._has_complained = False

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call` until it succeeds or the callback stops it."""
        tried: list[Any] = []
        attempt = 0
        was_worked_on: bool | None = False
        while True:
            endpoint: Any = None
            try:
                endpoint = dispatcher.pick(call, tried) or dispatcher.pick(call, ())
                return await dispatcher.send(endpoint, call, attempt)
            except DeclaredError:
                raise  # a response, not a failure
            except RpcError as error:
                if isinstance(error, ConfigurationError):
                    raise
                was_worked_on = _was_worked_on(error, was_worked_on)
                failure = _failure(call, error, endpoint, attempt, was_worked_on)
                decision = await self._ask(failure)
                if isinstance(decision, Use):
                    if dispatcher.has_listeners(call):
                        dispatcher.notify(
                            call, FallbackUsed(subject=call.method.full_name, why=str(error), by="failback")
                        )
                    return decision.value
                if decision is None:
                    raise
                against = self._against(failure, decision)
                if against is not None:
                    reason, why = against
                    if dispatcher.has_listeners(call):
                        name = call.method.full_name
                        dispatcher.notify(call, NotRetried(subject=name, why=why, reason=reason, mode="failback"))
                    error.add_note(f"not retried, although on_failure requested it: {why}")
                    raise
                if dispatcher.has_listeners(call):
                    what, pause = call.method.full_name, decision.after
                    why = f"requested by on_failure: {error}"
                    dispatcher.notify(call, Retrying(subject=what, why=why, mode="failback", pause=pause))
                if decision.after > 0:
                    await call.driver.sleep(decision.after)
                attempt += 1
                tried = [*tried, endpoint] if decision.elsewhere and endpoint is not None else []

    async def _ask(self, failure: Failure) -> Retry | Use | None:
        callback: OnFailure | None = failure.call.options.get("on_failure")
        if callback is None:
            if not self._has_complained:
                self._has_complained = True
                name = failure.call.method.full_name
                _log.warning(
                    "no failure callback for %s with fault=failback; pass using(on_failure=...)",
                    name,
                    extra={"method": name, "mode": "failback"},
                )
            return None
        try:
            decision = callback(failure)
            if inspect.isawaitable(decision):
                decision = await decision
        except Exception as error:  # noqa: BLE001
            # An error of the callback must not hide the failure of the call.
            name = failure.call.method.full_name
            _log.exception("on_failure callback of %s failed", name, extra={"method": name, "mode": "failback"})
            failure.error.add_note(f"on_failure callback failed: {error!r}")
            return None
        if not isinstance(decision, Retry | Use | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"on_failure must return Retry, Use or None, got {decision!r}") from failure.error
        return decision

    def _against(self, failure: Failure, decision: Retry) -> NoRetry | None:
        """Return why the retry must not happen, if it must not."""
        call = failure.call
        if failure.attempt + 1 >= self._attempts:
            return NoRetry("retries_used", f"all attempts used ({failure.attempt + 1} of {self._attempts})")
        if not (failure.is_repeatable or decision.even_if_done):
            why = f"{call.method.full_name} is not idempotent; use Retry(even_if_done=True) to retry anyway"
            return NoRetry("not_idempotent", why)
        left = call.deadline.at - call.driver.now()
        if decision.after < left:
            return None
        why = "deadline exceeded" if left <= 0 else f"deadline too close for a pause of {decision.after:.3g} s"
        return NoRetry("deadline", why)

    def close(self) -> None:
        """Do nothing: no background work."""


# Error codes with which a server rejects a call before executing it.
_NOT_EXECUTED: Final = (
    ApplicationCode.UNKNOWN_METHOD,
    ApplicationCode.INVALID_MESSAGE_TYPE,
    ApplicationCode.INVALID_PROTOCOL,
    ApplicationCode.INVALID_TRANSFORM,
    ApplicationCode.UNSUPPORTED_CLIENT_TYPE,
    ApplicationCode.PERMISSION_DENIED,
    ApplicationCode.UNAUTHENTICATED,
)


def _was_worked_on(error: RpcError, before: bool | None) -> bool | None:
    """Whether a server has executed the call, given its latest error and the answer before it; `None` if unknown."""
    if isinstance(error, NotSent | LocalProtocolError) or before:
        return before
    if isinstance(error, ApplicationError) and error.code in _NOT_EXECUTED:
        return before
    return True if isinstance(error, ApplicationError) else None


def _failure(call: Call, error: RpcError, endpoint: Any, attempt: int, was_worked_on: bool | None) -> Failure:
    return Failure(
        call=call,
        error=error,
        instance=endpoint.instance.address if endpoint is not None else "",
        attempt=attempt,
        code=error.code if isinstance(error, ApplicationError) else None,
        retry_after=error.retry_after if isinstance(error, PushBack) else None,
        was_worked_on=was_worked_on,
        is_repeatable=was_worked_on is False or may_repeat(call),
        remaining=call.deadline.at - call.driver.now(),
    )
