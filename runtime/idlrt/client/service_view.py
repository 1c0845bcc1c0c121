"""Publisher of a service's state, from snapshots, settings, health and warm-up.

`idlrt.client.service_state` describes the published state, and when it is replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic

from idlrt.client.call_planner import CallPlanner
from idlrt.client.endpoint import Endpoint, S
from idlrt.client.endpoint_set import EndpointSet
from idlrt.client.health_tracker import HealthTracker
from idlrt.client.instance_pool import InstancePool
from idlrt.client.local_subscription import LocalSubscription
from idlrt.client.service_state import ServiceState
from idlrt.core import Change, Instance
from idlrt.core.forks import forks
from idlrt.core.logs import cleaned, get_logger
from idlrt.errors import ConfigurationError
from idlrt.guard.retry_budget import RetryBudget
from idlrt.route import CallerInfo
from idlrt.route.chain import Chain, make_chain

if TYPE_CHECKING:
    from idlrt.registry import Subscription

__all__ = ["ServiceView"]

_log: Final = get_logger("idlrt.client")


class ServiceView(Generic[S]):
    """Publisher of the state of one service. Threads may share it.

    Args:
        subscription: to the service; closed with this object.
        make: creates the transport to an instance.
        retire: closes the transport to a removed instance.
        name: of the target, for messages.
        planner: of the client; receives the settings of the registry.
        caller: the caller, for routing rules.
        other: subscribes to another group of the service, for rules that mix groups.
        wall: wall-clock time, in seconds since 1970.
        is_watched: whether unhealthy endpoints are pinged.

    Attributes:
        state: the published state, which calls read.
        endpoints: the endpoints.
        tracker: their health.
        budget: the retry budget.
        is_closed: whether `close` was called.
    """

    def __init__(
        self,
        subscription: Subscription | LocalSubscription,
        make: Callable[[Instance], S],
        retire: Callable[[S], object],
        name: str,
        planner: CallPlanner,
        caller: CallerInfo,
        other: Callable[[str], Subscription] | None,
        wall: Callable[[], float],
        *,
        is_watched: bool,
    ) -> None:
        self._planner = planner
        self._sources = planner.sources
        self._now = planner.sources.now
        self._make = make
        self._name = name
        self._caller = caller
        # Balancers that do not depend on health, kept when the pool is replaced.
        self._shared_balancers: dict[Hashable, Any] = {}
        self._version = -1
        self._routes: Sequence[object] | None = None
        self._chain: Chain = make_chain((), caller, self._sources)
        self._settling = threading.RLock()
        self._is_behind = self._is_unfinished = False
        self.is_closed = False
        self.budget = RetryBudget(planner.service.section("budget"))
        self.tracker = HealthTracker(name, self._rebuild, lambda: planner.observers, is_watched)
        self.endpoints: EndpointSet[S] = EndpointSet(subscription, other, self._endpoint, retire, name, self._changed)
        self._pool: InstancePool[S] = InstancePool(self._now, wall, self._callables)
        self.state: ServiceState[S] = ServiceState(
            -1, self._chain, self._pool.pool, self._sources, self._shared_balancers
        )
        with self._settling:
            self._apply_settings()
            self._version = planner.version
            self._publish()
        self.endpoints.listen()
        subscription.listen(self._changed)
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the locks in a child of the process. Its first call starts the registry's thread again."""
        self._settling = threading.RLock()
        self._pool.after_fork()
        self.endpoints.after_fork()
        self.tracker.after_fork()
        self._publish(is_ready=False)

    @property
    def next_run_at(self) -> float:
        """When weights of warm-up change next, or a delayed rebuild of the pool is due; `inf` if never."""
        return self._pool.next_run_at

    def _callables(self) -> list[Endpoint[S]]:
        return [endpoint for endpoint in self.endpoints.endpoints if endpoint.instance.is_callable]

    def _endpoint(self, instance: Instance) -> Endpoint[S]:
        health, breaker = self.tracker.initial_state()
        return Endpoint(instance, self._make(instance), health, breaker)

    def _changed(self, change: Change) -> None:
        """Apply a newer snapshot, on the registry's thread or on the subscribing one."""
        self._is_behind = True
        self._catch_up()
        # Maintenance that the change makes due is done here, not by the next call.
        now = self._now()
        if now >= self.tracker.next_run_at:
            self.maintain(now)

    def _catch_up(self) -> None:
        """Apply pending changes. Returns when there are none left, also if another thread has applied them."""
        while self._is_behind:
            # No `acquire` and `try`: a signal handler that raises in between would leave the lock taken for ever.
            with self._settling:
                if self._is_behind:
                    self._take_over()
            # Without the lock: the registry's thread may be about to call `_changed`, which needs it.
            self.endpoints.listen()

    def follow(self) -> None:
        """Apply the newest snapshots, or wait until another thread has done so."""
        with self._settling:
            self._take_over()
        self.endpoints.listen()
        self._catch_up()

    def _take_over(self) -> None:
        """Build the state from the newest snapshots. Needs `_settling`."""
        self._is_behind = False
        endpoints = self.endpoints
        # The newest snapshot, whichever was announced: older settings must not replace newer ones. `_is_unfinished`: an
        # exception of a signal handler has interrupted the previous update.
        is_new = endpoints.follow() or self._is_unfinished
        self._is_unfinished = True
        snapshot = endpoints.snapshot
        if snapshot is not None:
            self._planner.on_first_snapshot()
            self._planner.apply_service_config(snapshot.settings, f"settings of {self._name}")
        if endpoints.snapshot is not snapshot:
            self._is_behind = True  # a signal handler has made a call in between
        if self._planner.version != self._version:
            is_new = True
            self._apply_settings()
            self._version = self._planner.version
            endpoints.follow()  # the settings may name other groups
        if is_new:
            self.tracker.watch(self._pool.update_weights())
        if is_new or not self.state.is_ready:
            self._publish()
        self._is_unfinished = False

    def _apply_settings(self) -> None:
        """Apply the settings of the service. Needs `_settling`."""
        service = self._planner.service
        policy = service.service
        self._pool.apply_settings(policy.panic_threshold, policy.warm_up)
        settings = service.section("budget")
        if settings != self.budget.settings:
            self.budget = RetryBudget(settings)
        self.tracker.apply_settings(
            policy.failure_threshold,
            service.section("instance_breaker"),
            service.section("ejection"),
            self.endpoints.endpoints,
        )
        if policy.routes != self._routes:
            # The routers are kept while the rules are the same, with what they have cached per pool.
            home = self.endpoints.subscription.key.group
            try:
                self._chain = make_chain(policy.routes, self._caller, self._sources, home=home)
            except ConfigurationError as error:
                # The rules were validated when they were set, but perhaps where other plugins are installed.
                fields = {"service": self._name, "reason": cleaned(str(error))}
                _log.error("ignoring invalid routing rules of %s: %s", self._name, error, extra=fields)
                self._chain = make_chain((), self._caller, self._sources, home=home)
            self.endpoints.follow_groups(self._chain.groups)
            self._routes = policy.routes

    def _publish(self, *, is_ready: bool = True) -> None:
        """Replace the published state. Needs `_settling`.

        Args:
            is_ready: `False` makes calls wait for the next state even if there is a snapshot.
        """
        endpoints, pool, old = self.endpoints, self._pool, self.state
        state = ServiceState(
            self._version,
            self._chain,
            pool.pool,
            self._sources,
            self._shared_balancers,
            panic=pool.panic,
            is_panic=pool.is_panic,
            is_ready=is_ready and endpoints.snapshot is not None and not endpoints.awaited and not self.is_closed,
        )
        state.prepare(old, self._planner.balancers)
        self.state = state

    def _rebuild(self) -> None:
        """Rebuild the pool after an endpoint has become unhealthy or healthy."""
        with self._settling:
            self._pool.rebuild()
            if self._pool.pool is not self.state.pool:
                self._publish()
        self._catch_up()

    def maintain(self, now: float) -> None:
        """Do periodic maintenance: update warm-up weights, compare endpoints, let breakers probe."""
        with self._settling:
            if self._pool.maintain(now):
                self.tracker.watch(self._pool.update_weights())
            if self._pool.pool is not self.state.pool:
                self._publish()
        self._catch_up()
        self.tracker.maintain(self._pool.pool.endpoints, now)

    def close(self) -> list[S]:
        """Close the subscriptions. Return the transports, which the caller must close."""
        self.is_closed = True
        self._planner.close()
        transports = self.endpoints.close()
        self._pool.clear()
        with self._settling:
            self._publish()
        return transports
