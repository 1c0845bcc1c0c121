"""Cluster: the endpoints of a service behind one client, with routing, load balancing and health checks.

It is the dispatcher through which fault modes make their attempts. A call reads one immutable state of the service
(`idlrt.client.service_state`), which is updated independently of calls (`idlrt.client.service_view`). The outcomes of
calls are recorded here: an endpoint that cannot be reached (`idlrt.client.health`), that does worse than the others
(`idlrt.guard.outlier`), or whose circuit breaker is open, is unhealthy and not picked.

Active health checks (`idlrt.client.watch`) ping endpoints that have been silent for a while, and unhealthy ones.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol

from idlrt.client.attempts import EventEmitter, attempt_of
from idlrt.client.call_planner import CallPlanner, Plan
from idlrt.client.endpoint import Endpoint, S
from idlrt.client.errors import no_instance
from idlrt.client.local_subscription import LocalSubscription
from idlrt.client.measuring import ClusterGauges
from idlrt.client.peer_state import has_explicit_metadata, metadata_refused
from idlrt.client.picker import Picker, skip_open_breakers
from idlrt.client.service_state import ServiceState
from idlrt.client.service_view import ServiceView
from idlrt.client.stats import ClientStats, endpoint_stats, total
from idlrt.core import (
    Attempted,
    AttemptKind,
    Call,
    CallNext,
    Instance,
    Picked,
    Routed,
    Snapshot,
    notify,
)
from idlrt.core.leases import Lease
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
from idlrt.route import CallerInfo, Step

if TYPE_CHECKING:
    from idlrt.registry import Subscription

__all__ = ["Cluster", "PlannerFactory"]

_log: Final = get_logger("idlrt.client")


class PlannerFactory(Protocol):
    """Factory of the call planner of a cluster: `CallPlanner` with its other arguments bound."""

    def __call__(
        self, *, base: Callable[[Plan], CallNext], await_snapshot: Callable[[Call], Coroutine[Any, Any, None]]
    ) -> CallPlanner: ...


class Cluster(EventEmitter, Generic[S]):
    """Cluster of one service; a `Dispatcher`. Threads may share it.

    Args:
        subscription: to the service; closed with the cluster.
        make: creates the transport to an instance.
        retire: closes the transport to a removed instance, without aborting calls in flight. May run on any thread.
        first: waits for the first snapshot of a subscription, on behalf of a call, at most until its deadline.
        name: of the target, for messages.
        make_planner: creates the call planner, whose plans end in this cluster.
        caller: the caller, for routing rules.
        other: subscribes to another group of the service, for rules that mix groups.
        wall: wall-clock time, in seconds since 1970, as instances announce when they started.
        is_watched: whether unhealthy endpoints are pinged; if not, calls probe them.
        is_direct: whether the target is one server at an address: calls go straight to its transport, unless a fault
            mode or an attempt timeout is set.
        metadata_advice: how to enable metadata, see `ClientProtocol.metadata_advice`.
    """

    def __init__(
        self,
        subscription: Subscription | LocalSubscription,
        make: Callable[[Instance], S],
        retire: Callable[[S], object],
        first: Callable[[Any, Call], Awaitable[Snapshot]],
        name: str,
        make_planner: PlannerFactory,
        caller: CallerInfo,
        other: Callable[[str], Subscription] | None = None,
        wall: Callable[[], float] = time.time,
        is_watched: bool = True,
        is_direct: bool = False,
        metadata_advice: str = "",
    ) -> None:
        self.planner = make_planner(base=self._base, await_snapshot=self.await_snapshot)
        self.sources = self.planner.sources
        self._now = self.sources.now
        self._first = first
        self._name = name
        self._is_direct = is_direct
        self._metadata_advice = metadata_advice or "do not set any"
        self._view: ServiceView[S] = ServiceView(
            subscription, make, retire, name, self.planner, caller, other, wall, is_watched=is_watched
        )
        self._tracker = self._view.tracker
        self._gauges = ClusterGauges(self, self.planner.target, self.planner.metrics)

    @property
    def endpoints(self) -> list[Endpoint[S]]:
        """All known endpoints, for health checks."""
        return self._view.endpoints.endpoints

    def stats(self) -> ClientStats:
        """Return the statistics of all known endpoints."""
        found = (
            endpoint_stats(
                endpoint.instance.id,
                endpoint.instance.address,
                endpoint.transport.stats(),
                is_available=not endpoint.is_unhealthy,
            )
            for endpoint in sorted(self.endpoints, key=lambda endpoint: endpoint.instance.id)
        )
        return total(tuple(found), None if self._is_direct else self._view.endpoints.subscription.snapshot)

    def _base(self, plan: Plan) -> CallNext:
        if self._is_direct:
            origins = plan.effective.origins
            if "fault" not in origins and "attempt_timeout" not in origins:
                for endpoint in self.endpoints:  # none once it is closed
                    plan.blocking = getattr(endpoint.transport, "send_blocking", None)
                    return endpoint.transport.send
        return self.call

    async def call(self, call: Call) -> Any:
        """Make a call: the step after the guards. `call.target` is the service; errors name the instance.

        Raises:
            RpcError: it failed.
        """
        state = self._view.state
        if not state.is_ready:
            state = await self._wait_until_ready(call)
        plan: Plan = call.plan
        if plan.version < state.version:
            was_guarded, plan = plan.is_guarded, self.planner.replace_plan(call, plan)
            if plan.is_guarded and not was_guarded:
                return await plan.call_next_when_ready(call)
        self._view.budget.deposit(self._now())
        return await plan.mode.call(call, self)

    async def await_snapshot(self, call: Call) -> None:
        """Wait for the first snapshot. Guarded calls do so first, because its settings apply to guards, too."""
        if self._view.endpoints.subscription.snapshot is None:
            await self._wait_for_first(call)
        self._view.follow()

    async def _wait_until_ready(self, call: Call) -> ServiceState[S]:
        """Wait for the first snapshot of the service, and of other groups that rules mix in.

        Raises:
            NoInstance: there is no snapshot.
            NotSent: the client is closed.
        """
        endpoints = self._view.endpoints
        if endpoints.subscription.snapshot is None:
            await self._wait_for_first(call)
        self._view.follow()
        if endpoints.awaited:
            await endpoints.wait_for_groups(call, self._first)
            self._view.follow()
        if self._view.is_closed:
            raise self._closed(call)
        return self._view.state

    async def _wait_for_first(self, call: Call) -> None:
        try:
            await self._first(self._view.endpoints.subscription, call)
        except NoInstance:
            if self._view.is_closed:
                raise self._closed(call) from None
            raise

    def pick(self, call: Call, tried: Collection[Endpoint[S]]) -> Endpoint[S] | None:
        state = self._view.state
        has_listeners = call.listeners or self.planner.listeners
        picker = state.picker
        if picker is None or has_listeners:
            picker = self._picker_for(call, state)
        if call.metadata and has_explicit_metadata(call):
            tried = self._or_unable(call, picker, tried)
        plan: Plan = call.plan
        endpoint = picker.pick(call, tried, plan.balancer)
        if endpoint is not None and endpoint.breaker.state is not CLOSED and not state.is_panic:
            endpoint = skip_open_breakers(picker, call, tried, plan.balancer, endpoint)
        if has_listeners and endpoint is not None:
            name, address = plan.balancer.name, endpoint.instance.address
            picked = Picked(subject=call.method.full_name, balancer=name, instance=address, among=len(picker.ready))
            self.notify(call, picked)
        return endpoint

    def all_endpoints(self, call: Call) -> Sequence[Endpoint[S]]:
        picker = self._picker_for(call, self._view.state)
        found = [*picker.ready, *(endpoint for endpoint in picker.endpoints if endpoint in picker.unhealthy)]
        if call.metadata and has_explicit_metadata(call):
            unable = self._or_unable(call, picker, ())
            found.sort(key=lambda endpoint: endpoint in unable)
        return found

    def _or_unable(
        self, call: Call, picker: Picker[Endpoint[S]], tried: Collection[Endpoint[S]]
    ) -> Collection[Endpoint[S]]:
        """Return `tried` and the endpoints whose protocol cannot carry the explicit metadata of `call`.

        Raises:
            ConfigurationError: no endpoint supports metadata.
        """
        # Not cached: the protocols of endpoints may be detected one by one.
        unable = frozenset(endpoint for endpoint in picker.endpoints if not endpoint.transport.carries_metadata)
        if len(unable) == len(picker.endpoints):
            why = "no instance supports metadata"
            raise metadata_refused(call, f"{why}: {self._metadata_advice}")
        return unable.union(tried) if unable else tried

    def _picker_for(self, call: Call, state: ServiceState[S]) -> Picker[Endpoint[S]]:
        pool, chain = state.pool, state.chain
        steps: list[Step] | None = [] if call.listeners or self.planner.listeners else None
        routed = chain.route(call, pool, steps)
        if steps:
            for each in steps:
                name, rule = call.method.full_name, each.rule
                decision = Routed(
                    subject=name, why=each.why, router=each.router, rule=rule, before=each.before, after=each.after
                )
                self.notify(call, decision)
        if not routed.endpoints:
            endpoints = self._view.endpoints
            raise no_instance(call, self._name, endpoints.snapshot, endpoints.states(), pool, chain)
        return state.picker_of(routed)

    async def send(self, endpoint: Endpoint[S], call: Call, attempt: int = 0) -> Any:
        now = self._now
        start = now()
        tracker = self._tracker
        if start >= tracker.next_run_at or start >= self._view.next_run_at:
            self._view.maintain(start)
        permit = endpoint.breaker.allows(start)
        if not permit and not self._view.state.is_panic:
            raise tracker.refused(endpoint, start)
        if endpoint.breaker.state is not CLOSED:
            tracker.probing(endpoint, call)
        sent = attempt_of(call, endpoint.target, start, attempt)
        # A plan that was replaced during the call may have none.
        if call.trace is not None and call.plan.tracer is not None:
            call.plan.tracer.begin_attempt(call, sent, endpoint.instance.address, start)
        is_beside = call.in_attempts > 0
        call.in_attempts += 1
        load = endpoint.load
        if not endpoint.is_used:
            # Silence counts from now on: a first call that takes long is no reason for a ping.
            endpoint.health.pinged_at = start
            endpoint.is_used = True
        lease = load.begin()
        try:
            result = await endpoint.transport.send(sent)
        except BaseException as error:
            del lease
            call.in_attempts -= 1
            self._went_wrong(call, endpoint, attempt, error, start, permit, sent, is_beside=is_beside)
            raise
        del lease
        call.in_attempts -= 1
        end = now()
        load.record_success(end - start, end)
        tracker.answered(endpoint, end, permit, call=call)
        self._attempted(call, endpoint, attempt, end - start, None, sent, is_beside=is_beside)
        return result

    def _went_wrong(
        self,
        call: Call,
        endpoint: Endpoint[S],
        attempt: int,
        error: BaseException,
        start: float,
        permit: Lease | None,
        sent: Call,
        *,
        is_beside: bool,
    ) -> None:
        end, timeout = self._now(), sent.deadline.timeout
        seconds = end - start
        self._attempted(call, endpoint, attempt, seconds, error, sent, is_beside=is_beside)
        if isinstance(error, NotSent | Unknown):
            endpoint.load.record_failure(seconds, timeout, end)
            self._tracker.failed(endpoint, error, end, permit, call=call)
        elif isinstance(error, RpcError) and not isinstance(error, LocalProtocolError | ConfigurationError):
            is_broken = isinstance(error, RemoteProtocolError) or (
                isinstance(error, ApplicationError) and error.code == ApplicationCode.INTERNAL_ERROR
            )
            endpoint.load.record_success(seconds, end)
            self._tracker.answered(endpoint, end, permit, is_broken=is_broken, call=call)
        else:
            # The call was cancelled (another attempt won, or the caller gave up), or the error is local: the latency of
            # the endpoint is at least `seconds`.
            if seconds > endpoint.load.latency(end):
                endpoint.load.record_success(seconds, end)
            self._tracker.abandoned(endpoint, end, permit)

    def _attempted(
        self,
        call: Call,
        endpoint: Endpoint[S],
        attempt: int,
        seconds: float,
        error: BaseException | None,
        sent: Call,
        *,
        is_beside: bool,
    ) -> None:
        """Record and report the end of an attempt.

        Args:
            sent: the call of the attempt.
            is_beside: whether another attempt was in flight when it began.
        """
        call.sent += sent.sent
        call.received += sent.received
        recorder = call.plan.recorder
        if recorder is None and not (call.listeners or self.planner.listeners):
            return
        kind: AttemptKind = "hedge" if is_beside else "retry" if attempt else "first"
        instance = endpoint.instance
        if recorder is not None:
            recorder.attempted(sent, kind, instance, seconds, error)
        listeners = (*call.listeners, *self.planner.listeners)
        if listeners:
            decision = Attempted(
                subject=call.method.full_name, instance=instance.address, attempt=attempt, seconds=seconds,
                error="" if error is None else type(error).__name__, why="" if error is None else str(error),
                target=self.planner.target, zone=instance.zone, kind=kind, sent=sent.sent, received=sent.received,
            )  # fmt: skip
            notify(listeners, decision)

    def retry_budget(self) -> float:
        """Return the number of retries that the retry budget allows at present."""
        return self._view.budget.balance(self._now())

    def take_retry(self) -> bool:
        return self._view.budget.spend(self._now())

    def answered(self, endpoint: Endpoint[S], now: float) -> None:
        """Record the response of an endpoint to a ping."""
        self._tracker.pinged(endpoint, now)

    def failed(self, endpoint: Endpoint[S], error: Exception, now: float) -> None:
        """Record a failed ping of an endpoint."""
        self._tracker.failed(endpoint, error, now)

    def _closed(self, call: Call) -> NotSent:
        return NotSent(f"cannot call {call.method.full_name} of {self._name}: the client is closed")

    def close(self) -> list[S]:
        """Reject further calls. Return the transports, which the caller must close."""
        self._gauges.remove()
        return self._view.close()
