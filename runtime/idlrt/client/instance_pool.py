"""Pool of the endpoints in rotation, with their effective weights: the input of routing.

Every change replaces the pool: of instances, of health, of weights during warm-up. Everything that was cached for the
old pool is discarded with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic

from idlrt.balance.warm_up import warm_weight
from idlrt.client.endpoint import Endpoint, S
from idlrt.route import Pool

__all__ = ["InstancePool"]

# With more endpoints than this the pool is rebuilt at most once in `_PAUSE` seconds, because the health of many may
# change at once when a large service fails.
_MANY: Final = 50
_PAUSE: Final = 0.01
# Seconds between updates of weights during warm-up.
_WARMING_STEP: Final = 0.5
_NEVER: Final = float("inf")


class InstancePool(Generic[S]):
    """Owner of the current pool. Threads may share it.

    Args:
        now: the client's clock, in seconds.
        wall: wall-clock time, in seconds since 1970.
        callables: returns all endpoints in rotation.

    Attributes:
        pool: the current pool, including unhealthy endpoints.
        panic: panic threshold: if the share of healthy endpoints is lower, all receive calls.
        is_panic: whether that is so. Circuit breakers are ignored then, too: after a network failure those of all
            endpoints may be open although all are healthy again.
        next_run_at: when `maintain` has something to do next; `inf` if never.
    """

    def __init__(
        self, now: Callable[[], float], wall: Callable[[], float], callables: Callable[[], Sequence[Endpoint[S]]]
    ) -> None:
        self.pool: Pool[Endpoint[S]] = Pool(())
        self.is_panic = False
        self.next_run_at = _NEVER
        self._now = now
        self._wall = wall
        self._callables = callables
        self.panic = 0.5
        self._warm_up = 0.0
        self._recount_at = 0.0
        self._is_recount_due = False
        self._weigh_at = _NEVER
        self.after_fork()

    def after_fork(self) -> None:
        """Replace the lock in a child of the process: another thread of the parent may hold it."""
        self._lock = threading.RLock()

    def apply_settings(self, panic: float, warm_up: float) -> None:
        """Set the settings, which apply when the pool is built next.

        Args:
            panic: panic threshold, between 0 and 1.
            warm_up: warm-up time of new instances in seconds; 0 disables it.
        """
        self.panic = panic
        self._warm_up = warm_up

    def update_weights(self) -> Sequence[Endpoint[S]]:
        """Update the weights of all endpoints in rotation, and rebuild the pool. Return these endpoints."""
        with self._lock:
            endpoints = self._callables()
            seconds = self._warm_up
            today = self._wall() if seconds else 0.0
            is_warming = False
            for endpoint in endpoints:
                instance = endpoint.instance
                endpoint.weight = instance.weight
                if seconds and instance.started_at:
                    endpoint.weight = warm_weight(instance.weight, today - instance.started_at, seconds)
                    is_warming = is_warming or today - instance.started_at < seconds
            self._weigh_at = self._now() + _WARMING_STEP if is_warming else _NEVER
            self._begin(endpoints)
            return endpoints

    def rebuild(self) -> None:
        """Rebuild the pool with the same endpoints after their health has changed, now or soon."""
        with self._lock:
            now, endpoints = self._now(), self.pool.endpoints
            if len(endpoints) > _MANY and now < self._recount_at:
                self._is_recount_due = True
                self.next_run_at = min(self.next_run_at, self._recount_at)
                return
            self._recount_at = now + _PAUSE
            self._begin(endpoints)

    def maintain(self, now: float) -> bool:
        """Do periodic maintenance. Return whether weights must be updated."""
        if now < self.next_run_at:
            return False
        with self._lock:
            if self._is_recount_due and now >= self._recount_at:
                self.rebuild()
        return now >= self._weigh_at

    def clear(self) -> None:
        """Empty the pool."""
        with self._lock:
            self._begin(())

    def _begin(self, endpoints: Sequence[Endpoint[S]]) -> None:
        self._is_recount_due = False
        self.next_run_at = self._weigh_at
        self.is_panic = sum(not endpoint.is_unhealthy for endpoint in endpoints) < len(endpoints) * self.panic
        self.pool = Pool(endpoints)
