"""A server at an address, as a fault mode reaches it: there is no other one, but it can be asked once more.

Only calls for which somebody has chosen a fault mode go through here; all others go straight to the leaf.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from idlrt.client.attempts import Heard, attempt_of
from idlrt.client.governance import Governance, Plan
from idlrt.client.sender import AsyncSender, BlockingSender
from idlrt.core import Attempted, Call, Endpoint, Instance
from idlrt.guard.retry_budget import RetryBudget
from idlrt.net.address import Address

__all__ = ["Alone"]


class _Server(Instance, frozen=True, kw_only=True):
    """A server that no registry knows: it may be called what no instance of one may, or have a path only."""

    def __post_init__(self) -> None:
        pass

    @property
    def address(self) -> str:
        """See `Instance.address`; `unix:/path` for a socket of this machine."""
        return self.id


class _Only(msgspec.Struct, frozen=True, eq=False):
    instance: Instance


class Alone(Heard):
    """See the module. A `Reach`.

    Args:
        sender: the leaf.
        governance: what holds for calls. Its plans end here.
        address: of the server.
    """

    def __init__(self, sender: BlockingSender | AsyncSender, governance: Governance, address: Address) -> None:
        self.chance = governance.chance
        self._sender = sender
        self.governance = governance
        server = _Server(service="direct", host=address.host, port=address.port, id=str(address).removeprefix("tcp://"))
        self._node = _Only(server)
        self._nodes = (self._node,)
        self._budget = RetryBudget(governance.service.section("budget"))
        governance.base = self._base

    def _base(self, plan: Plan) -> Endpoint:
        if "fault" not in plan.effective.origins and "attempt_timeout" not in plan.effective.origins:
            return self._sender.send
        mode = plan.mode

        async def call(call: Call) -> Any:
            self._budget.deposit(call.driver.now())
            return await mode.call(call, self)

        return call

    def pick(self, call: Call, tried: Collection[_Only]) -> _Only | None:
        """See `Reach.pick`."""
        return None if tried else self._node

    def everyone(self, call: Call) -> Sequence[_Only]:
        """See `Reach.everyone`."""
        return self._nodes

    async def send(self, node: _Only, call: Call, attempt: int = 0) -> Any:
        """See `Reach.send`."""
        start = call.driver.now()
        sent = attempt_of(call, call.target, start, attempt)
        if not self.is_heard(call):
            return await self._sender.send(sent)
        error: BaseException | None = None
        try:
            return await self._sender.send(sent)
        except BaseException as failure:
            error = failure
            raise
        finally:
            seconds = call.driver.now() - start
            decision = Attempted.of(call.method.full_name, call.target, attempt, seconds, error)
            error = None
            self.tell(call, decision)

    def spend(self) -> bool:
        """See `Reach.spend`."""
        return self._budget.spend(self.chance.now())
