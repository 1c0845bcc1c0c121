"""Modes that ask several instances: `forking`, some at the same time, and `broadcast`, all of them.

Sources: Dubbo's `ForkingClusterInvoker` and `BroadcastClusterInvoker`
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from idlrt.core import Call, Chance
from idlrt.errors import ConfigurationError, NotSent, Unknown
from idlrt.fault.base import Reach, may_repeat

__all__ = ["Broadcast", "Forking"]


class ForkingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `forking`."""

    forks: Annotated[int, Meta(ge=1, le=100, description="number of instances that are called in parallel.")] = 2


class Forking:
    """`forking`: some are asked at once, and the first answer counts. Dear, and as quick as the quickest. A
    `FaultMode`.

    Methods that are not idempotent are asked of one instance only.
    """

    Settings: ClassVar[type[msgspec.Struct]] = ForkingSettings

    def __init__(self, settings: ForkingSettings, chance: Chance) -> None:
        self._forks = settings.forks

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`. The error is that of the last to fail."""
        nodes: list[Any] = []
        for _ in range(self._forks if may_repeat(call) else 1):
            node = reach.pick(call, nodes)
            if node is None:
                break
            nodes.append(node)
        if len(nodes) == 1:
            return await reach.send(nodes[0], call)
        starts = [partial(reach.send, node, call) for node in nodes]
        return await call.driver.race(starts, is_final=is_answer)

    def close(self) -> None:
        """See `FaultMode.close`."""


class BroadcastSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `broadcast`."""

    fail_percent: Annotated[
        float,
        Meta(ge=0, le=100, description="percentage of failed instances from which the call fails; 0: any failure."),
    ] = 0.0
    at_once: Annotated[
        int, Meta(ge=1, le=1000, description="maximum number of instances that are called in parallel.")
    ] = 16


class Broadcast:
    """`broadcast`: all instances are asked, once each: to let them forget what they have cached, say. A `FaultMode`.

    Returns one of the answers. Because a call is made several times, the method has to be idempotent, or the caller has
    to say that it may be: `using(fault="broadcast", idempotent=True)`.
    """

    Settings: ClassVar[type[msgspec.Struct]] = BroadcastSettings

    def __init__(self, settings: BroadcastSettings, chance: Chance) -> None:
        self._settings = settings

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`.

        Raises:
            ConfigurationError: the method is not idempotent, and nobody has said that it may be made several times.
        """
        if not may_repeat(call):
            what = f"cannot broadcast {call.method.full_name}: it is not idempotent"
            raise ConfigurationError(f"{what}; say using(idempotent=True) if every instance may do it")
        nodes = reach.everyone(call)
        starts: Sequence[Callable[[], Coroutine[Any, Any, Any]]] = [partial(reach.send, node, call) for node in nodes]
        outcomes = await call.driver.all(starts, self._settings.at_once)
        failed = [(node, each) for node, each in zip(nodes, outcomes, strict=True) if isinstance(each, Exception)]
        if failed and len(failed) * 100 >= len(nodes) * self._settings.fail_percent:
            error: Exception = failed[-1][1]
            names = ", ".join(node.instance.address for node, _ in failed[:10])
            more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
            error.add_note(f"{len(failed)} of {len(nodes)} instances failed: {names}{more}")
            raise error
        return next(each for each in outcomes if not isinstance(each, Exception))

    def close(self) -> None:
        """See `FaultMode.close`."""


def is_answer(error: BaseException) -> bool:
    """Whether another instance would fare no better: it is what a server says, or something is wrong here."""
    return not isinstance(error, NotSent | Unknown)
