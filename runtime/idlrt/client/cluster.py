"""The instances of a service, as a fault mode reaches them: routed, balanced, watched.

Which there are follows the registry (`idlrt.client.members`), which of them a call may go to the routers, which one it
goes to the balancer, and what follows when it fails the fault mode. Here these meet, and here it is seen what calls
come to: whether an instance can be reached (`idlrt.client.health`), whether it does worse than the others
(`idlrt.guard.outlier`), whether too much of what it does fails (its breaker). Whoever is out for one of these reasons
is not in the choice.

Beside the calls a *watch* on the registry's thread asks instances that have been silent for a while whether they are
there, and those that are out whether they are back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from typing import Any, Final, Generic

from idlrt.client.absence import no_instance
from idlrt.client.attempts import Heard, attempt_of
from idlrt.client.choice import Choice, past_breakers
from idlrt.client.governance import Governance, Plan
from idlrt.client.members import Members
from idlrt.client.node import Node, S
from idlrt.client.peer_state import has_explicit_metadata, metadata_refused
from idlrt.client.standing import Standing
from idlrt.client.stats import ClientStats, endpoint_stats, total
from idlrt.client.verdicts import Verdicts
from idlrt.core import (
    Attempted,
    Call,
    Endpoint,
    Instance,
    Picked,
    Routed,
    Snapshot,
)
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConfigurationError,
    LocalProtocolError,
    NoInstance,
    NotSent,
    RemoteProtocolError,
    RpcError,
    Unknown,
)
from idlrt.guard.breaker import CLOSED
from idlrt.guard.retry_budget import RetryBudget
from idlrt.registry import Subscription
from idlrt.route import Here, Step
from idlrt.route.chain import make_chain

__all__ = ["Cluster"]

_log: Final = get_logger("idlrt.client")


class Cluster(Heard, Generic[S]):
    """See the module. A `Reach`. Threads may share it.

    Args:
        subscription: of the service; becomes the cluster's.
        make: makes the leaf for an instance.
        retire: closes one for an instance that is there no more; calls under way on it go on.
        first: waits for the first snapshot, for a call, at most until its deadline.
        name: of the target, for messages.
        governance: what holds for calls. Its plans end here.
        here: the caller, for rules.
        other: subscribes to another group of the service, for rules that mix groups.
        wall: the time of day, in seconds since 1970: what instances say of when they started is of that.
        is_watched: whether somebody pings instances that are out; else calls find out whether they are back.
        metadata_advice: what a user may change to send metadata, see `ClientProtocol.metadata_advice`.
    """

    def __init__(
        self,
        subscription: Subscription,
        make: Callable[[Instance], S],
        retire: Callable[[S], object],
        first: Callable[[Subscription, Call], Awaitable[Snapshot]],
        name: str,
        governance: Governance,
        here: Here,
        other: Callable[[str], Subscription] | None = None,
        wall: Callable[[], float] = time.time,
        is_watched: bool = True,
        metadata_advice: str = "",
    ) -> None:
        self.governance = governance
        self.chance = governance.chance
        governance.base, governance.look = self._base, self.look
        self._make_leaf = make
        self._first = first
        self._name = name
        self._here = here
        self._metadata_advice = metadata_advice or "set no metadata"
        self._lasting: dict[Hashable, Any] = {}
        self._is_closed = False
        self._version = -1
        self._budget = RetryBudget(governance.service.section("budget"))
        self._settling = threading.RLock()
        self._verdicts = Verdicts(name, self._recount, lambda: governance.listeners, is_watched)
        self._members: Members[S] = Members(subscription, other, self._node, retire, name)
        self._standing: Standing[S] = Standing(self.chance.now, wall, self._callables)
        self._adopt()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process that made it."""
        self._settling = threading.RLock()
        self._standing.renew()
        self._members.renew()
        self._verdicts.renew()

    @property
    def nodes(self) -> list[Node[S]]:
        """All that are known, for whoever watches them."""
        return self._members.nodes

    def stats(self) -> ClientStats:
        """Return the statistics of all instances that are known."""
        found = (
            endpoint_stats(node.instance.id, node.instance.address, node.sender.stats(), is_available=not node.is_out)
            for node in sorted(self.nodes, key=lambda node: node.instance.id)
        )
        return total(tuple(found), self._members.subscription.snapshot)

    def _base(self, plan: Plan) -> Endpoint:
        return self.call

    async def call(self, call: Call) -> Any:
        """What a call goes through behind the guards; `call.target` is the service, and errors name the instance.

        Raises:
            RpcError: it came to nothing.
        """
        members = self._members
        if members.subscription.snapshot is None:
            await self._wait_for_first(call)
        if members.is_behind:
            self._follow()
        if members.awaited:
            await members.wait_for_groups(call, self._first)
            self._follow()
        if self._is_closed:
            raise self._closed(call)
        plan: Plan = call.plan
        if plan.version != self._version:
            was_guarded, plan = plan.is_guarded, self.governance.renew_plan(call, plan)
            if plan.is_guarded and not was_guarded:
                return await plan.behind(call)
        self._budget.deposit(call.driver.now())
        return await plan.mode.call(call, self)

    async def look(self, call: Call) -> None:
        """Take over what is new. Guards have this done first: who refuses all calls must hear that it is not to."""
        if self._members.subscription.snapshot is None:
            await self._wait_for_first(call)
        if self._members.is_behind:
            self._follow()

    async def _wait_for_first(self, call: Call) -> None:
        try:
            await self._first(self._members.subscription, call)
        except NoInstance:
            if self._is_closed:
                raise self._closed(call) from None
            raise

    def pick(self, call: Call, tried: Collection[Node[S]]) -> Node[S] | None:
        """See `Reach.pick`."""
        if self._members.is_behind:
            self._follow()
        choice = self._choice(call)
        if call.metadata and has_explicit_metadata(call):
            tried = self._or_unable(call, choice, tried)
        plan: Plan = call.plan
        node = choice.pick(call, tried, plan.balancer)
        if node is not None and node.breaker.state != CLOSED and not self._standing.is_panic:
            node = past_breakers(choice, call, tried, plan.balancer, node)
        if node is not None and (call.listeners or self.governance.listeners):
            name, address = plan.balancer.name, node.instance.address
            picked = Picked(subject=call.method.full_name, balancer=name, instance=address, among=len(choice.ready))
            self.tell(call, picked)
        return node

    def everyone(self, call: Call) -> Sequence[Node[S]]:
        """See `Reach.everyone`."""
        if self._members.is_behind:
            self._follow()
        choice = self._choice(call)
        found = [*choice.ready, *(node for node in choice.nodes if node in choice.out)]
        if call.metadata and has_explicit_metadata(call):
            unable = self._or_unable(call, choice, ())
            found.sort(key=lambda node: node in unable)
        return found

    def _or_unable(self, call: Call, choice: Choice[Node[S]], tried: Collection[Node[S]]) -> Collection[Node[S]]:
        """Return `tried` and the instances that the explicit metadata of `call` cannot travel to.

        Raises:
            ConfigurationError: it cannot travel to any.
        """
        # Not cached: it may be found out instance by instance.
        unable = frozenset(node for node in choice.nodes if not node.sender.carries_metadata)
        if len(unable) == len(choice.nodes):
            why = "no instance is spoken to in a protocol that carries any"
            raise metadata_refused(call, f"{why}: {self._metadata_advice}")
        return unable.union(tried) if unable else tried

    def _choice(self, call: Call) -> Choice[Node[S]]:
        pool = self._standing.pool
        steps: list[Step] | None = [] if call.listeners or self.governance.listeners else None
        routed = self._chain.route(call, pool, steps)
        if steps:
            for each in steps:
                name, rule = call.method.full_name, each.rule
                decision = Routed(
                    subject=name, why=each.why, router=each.router, rule=rule, before=each.before, after=each.after
                )
                self.tell(call, decision)
        if not routed.nodes:
            raise no_instance(call, self._name, self._members, pool, self._chain)
        choice: Choice[Node[S]] | None = routed.kept.get(Choice)
        if choice is None:
            choice = Choice(routed, self.chance, self._standing.panic, self._lasting)
            routed.kept[Choice] = choice
        return choice

    async def send(self, node: Node[S], call: Call, attempt: int = 0) -> Any:
        """See `Reach.send`."""
        now = call.driver.now
        start = now()
        verdicts = self._verdicts
        if start >= verdicts.due or start >= self._standing.due:
            self._keep_house(start)
        permit = node.breaker.allows(start)
        if not permit and not self._standing.is_panic:
            raise verdicts.refused(node, start)
        if node.breaker.state != CLOSED:
            verdicts.probing(node, call)
        sent = attempt_of(call, node.target, start, attempt)
        load = node.load
        node.is_used = True
        load.under_way += 1
        try:
            result = await node.sender.send(sent)
        except BaseException as error:
            load.under_way -= 1
            self._went_wrong(call, node, attempt, error, start, permit, sent.deadline.timeout)
            raise
        load.under_way -= 1
        end = now()
        load.answered(end - start, end)
        verdicts.answered(node, end, permit, call=call)
        if call.listeners or self.governance.listeners:
            self._attempted(call, node, attempt, end - start, None)
        return result

    def _went_wrong(
        self,
        call: Call,
        node: Node[S],
        attempt: int,
        error: BaseException,
        start: float,
        permit: int,
        timeout: float,
    ) -> None:
        end = call.driver.now()
        seconds = end - start
        if call.listeners or self.governance.listeners:
            self._attempted(call, node, attempt, seconds, error)
        if isinstance(error, NotSent | Unknown):
            node.load.failed(seconds, timeout, end)
            self._verdicts.failed(node, error, end, permit, call=call)
        elif isinstance(error, RpcError) and not isinstance(error, LocalProtocolError | ConfigurationError):
            is_broken = isinstance(error, RemoteProtocolError) or (
                isinstance(error, ApplicationError) and error.code == ApplicationCode.INTERNAL_ERROR
            )
            node.load.answered(seconds, end)
            self._verdicts.answered(node, end, permit, is_broken=is_broken, call=call)
        else:
            # Somebody else was quicker, the caller has gone, or what is wrong is on this side: what is known is that it
            # took so long, or more.
            if seconds > node.load.latency(end):
                node.load.answered(seconds, end)
            self._verdicts.abandoned(node, end, permit)

    def _attempted(self, call: Call, node: Node[S], attempt: int, seconds: float, error: BaseException | None) -> None:
        self.tell(call, Attempted.of(call.method.full_name, node.instance.address, attempt, seconds, error))

    def spend(self) -> bool:
        """See `Reach.spend`."""
        return self._budget.spend(self.chance.now())

    def answered(self, node: Node[S], now: float) -> None:
        """An instance has answered a ping."""
        self._verdicts.pinged(node, now)

    def failed(self, node: Node[S], error: Exception, now: float) -> None:
        """A ping of an instance has come to nothing."""
        self._verdicts.failed(node, error, now)

    def _callables(self) -> list[Node[S]]:
        return [node for node in self.nodes if node.instance.is_callable]

    def _node(self, instance: Instance) -> Node[S]:
        health, breaker = self._verdicts.fresh()
        return Node(instance, self._make_leaf(instance), health, breaker)

    def _follow(self) -> None:
        """Choose from what the newest snapshots say, by what holds now."""
        members = self._members
        with self._settling:
            # The newest snapshot there is, whoever has followed it: older settings must not come after newer ones.
            members.follow()
            snapshot = members.snapshot
            if snapshot is not None:
                self.governance.advise(snapshot.settings, f"settings of {self._name}")
            if self.governance.version != self._version:
                self._adopt()
                members.follow()  # the groups may be others now
            self._weigh()

    def _adopt(self) -> None:
        """Go by what holds for the service now."""
        self._version = self.governance.version
        service = self.governance.service
        policy = service.service
        self._standing.adopt(policy.panic, policy.warm_up)
        settings = service.section("budget")
        if settings != self._budget.settings:
            self._budget = RetryBudget(settings)
        self._verdicts.adopt(
            policy.tolerated, service.section("instance_breaker"), service.section("ejection"), self.nodes
        )
        try:
            self._chain = make_chain(policy.routes, self._here, self.chance, home=self._members.subscription.key.group)
        except ConfigurationError as error:
            # It was looked at before; but plugins may not be the same everywhere.
            _log.error("the routing rules of %s are wrong, and left aside: %s", self._name, error)
            self._chain = make_chain((), self._here, self.chance, home=self._members.subscription.key.group)
        self._members.mix(self._chain.groups)

    def _weigh(self) -> None:
        """Weigh instances, and begin anew with what is made for them."""
        self._verdicts.watch(self._standing.weigh())

    def _recount(self) -> None:
        """Somebody is out that was not, or the other way round."""
        self._standing.recount()

    def _keep_house(self, now: float) -> None:
        if self._standing.keep(now):
            self._weigh()
        self._verdicts.keep_house(self._standing.pool.nodes, now)

    def _closed(self, call: Call) -> NotSent:
        return NotSent(f"cannot call {call.method.full_name} of {self._name}: the client is closed")

    def close(self) -> list[S]:
        """Call nobody any more. What is left to be closed."""
        self._is_closed = True
        self.governance.close()
        senders = self._members.close()
        self._standing.clear()
        return senders
