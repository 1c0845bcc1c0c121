"""What follows when a call fails: what a fault mode is, and what it may do.

A mode decides how many instances see a call, and when. It does so through `Reach`, which the cluster offers: to pick an
instance, to ask it, to spend of the budget for retries. It sleeps and races with the call's driver, so one coroutine
serves blocking and asyncio clients, and tests run it in virtual time.

Idempotency is respected always: a call that an instance may have worked on is made again only if `may_repeat` says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Final, Protocol, TypeVar

import msgspec

from idlrt.core import Call, Chance, Decision, Instance
from idlrt.plugins import Plugins

__all__ = ["FAULT_MODES", "FaultMode", "Reach", "Reachable", "may_repeat"]


class Reachable(Protocol):
    """An instance, as modes see it."""

    instance: Instance


N = TypeVar("N", bound=Reachable)


class Reach(Protocol[N]):
    """What a mode may do."""

    chance: Chance

    def pick(self, call: Call, tried: Collection[N]) -> N | None:
        """The instance for `call` that routing, health and the balancer leave, not among `tried`; `None` if there is no
        other.

        Raises:
            NoInstance: there is none at all, tried or not; the message says why.
        """
        ...

    def everyone(self, call: Call) -> Sequence[N]:
        """All instances that routing leaves for `call`, good ones first.

        Raises:
            NoInstance: as `pick`.
        """
        ...

    async def send(self, node: N, call: Call, attempt: int = 0) -> Any:
        """Ask one instance. It takes no more than `call.policy.attempt_timeout`, and what it comes to is counted.

        Args:
            attempt: how often the call was sent before; the server is told, so that nobody retries on behalf of a
                retry.

        Raises:
            RpcError: see `idlrt.errors`.
        """
        ...

    def spend(self) -> bool:
        """Take one retry out of the service's budget. `False`: there is none left, so do not retry."""
        ...

    def tell(self, call: Call, decision: Decision) -> None:
        """Let listeners know. Ask `is_heard` first where making the decision costs something."""
        ...

    def is_heard(self, call: Call) -> bool:
        """Whether anybody listens."""
        ...


class FaultMode(Protocol):
    """`FAULT_MODES.make(name, settings, chance)`: one for a service and its settings, shared by threads and tasks."""

    Settings: ClassVar[type[msgspec.Struct]]

    def __init__(self, settings: Any, chance: Chance) -> None: ...

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """Make `call`.

        Raises:
            RpcError: it came to nothing.
        """
        ...

    def close(self) -> None:
        """The client is closed: end what goes on in the background."""
        ...


FAULT_MODES: Final[Plugins[Any]] = Plugins("idlrt.fault_modes")
"""Fault modes by name."""


def may_repeat(call: Call) -> bool:
    """Whether doing `call` twice is the same as doing it once: what its policy says, else the IDL."""
    said = call.policy.idempotent
    return call.method.is_idempotent if said is None else said
