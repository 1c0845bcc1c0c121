"""Interface of fault modes: strategies for failed and slow calls.

A fault mode decides which instances receive a call, how many, and when. It acts through `Dispatcher`, the interface
that the cluster implements: pick an instance, send the call to it, take a retry from the retry budget. It sleeps and
races through the call's driver, so one coroutine serves blocking and asyncio clients, and tests run it in virtual time.

Idempotency is always respected: a call that an instance may have executed is repeated only if `may_repeat` allows it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

import msgspec

from idlrt.core import Call, ClockAndRandom, Decision, Instance, Reason
from idlrt.errors import NotSent, Unknown
from idlrt.plugins import Plugins

__all__ = ["FAULT_MODES", "Dispatcher", "Endpoint", "FaultMode", "NoRetry", "NoSettings", "is_final", "may_repeat"]


class Endpoint(Protocol):
    """An endpoint as fault modes see it."""

    instance: Instance


N = TypeVar("N", bound=Endpoint)


class Dispatcher(Protocol[N]):
    """Sends calls on behalf of a fault mode; implemented by the cluster."""

    sources: ClockAndRandom

    def pick(self, call: Call, tried: Collection[N]) -> N | None:
        """Return the endpoint that routing, health and the balancer select and that is not in `tried`.

        Returns:
            `None` if all eligible endpoints were tried.

        Raises:
            NoInstance: there is no eligible endpoint at all, tried or not; the message has the reason.
        """
        ...

    def all_endpoints(self, call: Call) -> Sequence[N]:
        """Return all endpoints that routing leaves for `call`, healthy ones first.

        Raises:
            NoInstance: there is none; the message has the reason.
        """
        ...

    async def send(self, endpoint: N, call: Call, attempt: int = 0) -> Any:
        """Send `call` to one endpoint, for at most `call.policy.attempt_timeout`, and record the outcome.

        Args:
            attempt: number of previous attempts; sent to the server, so that it does not retry on behalf of a retry.

        Raises:
            RpcError: see `idlrt.errors`.
        """
        ...

    def take_retry(self) -> bool:
        """Take one retry from the service's retry budget; return `False` if it is exhausted: do not retry then."""
        ...

    def notify(self, call: Call, decision: Decision) -> None:
        """Emit a decision event. Check `has_listeners` first where constructing the event is expensive."""
        ...

    def has_listeners(self, call: Call) -> bool:
        """Whether there are listeners for decisions about `call`."""
        ...


class NoRetry(NamedTuple):
    """Why a call must not be retried.

    Attributes:
        reason: code.
        why: text.
    """

    reason: Reason
    why: str


class NoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of fault modes that have none."""


class FaultMode(Protocol):
    """Strategy for failed calls, constructed by `FAULT_MODES.make(name, settings, chance)`.

    There is one for each service and its settings; threads and tasks share it.
    """

    Settings: ClassVar[type[msgspec.Struct]]

    def __init__(self, settings: Any, sources: ClockAndRandom) -> None: ...

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call` and return its result.

        Raises:
            RpcError: the call failed.
        """
        ...

    def close(self) -> None:
        """Stop background work: the client is being closed."""
        ...


FAULT_MODES: Final[Plugins[Any]] = Plugins("idlrt.fault_modes")
"""Registered fault modes by name."""


def may_repeat(call: Call) -> bool:
    """Whether `call` is idempotent: as its policy declares, else as the IDL does."""
    declared = call.policy.idempotent
    return call.method.is_idempotent if declared is None else declared


def is_final(error: BaseException) -> bool:
    """Whether other instances would fail in the same way: the error is a server's response or a local error."""
    return not isinstance(error, NotSent | Unknown)
