"""Which instances can be called at the moment, and how much each is to get: the pool that calls are routed from.

It begins anew with every change: of the instances, of who is out, of weights that grow while an instance warms up. What
was made for the old one is gone with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic

from idlrt.balance.warm_up import warm_weight
from idlrt.client.node import Node, S
from idlrt.route import Pool

__all__ = ["InstancePool"]

# Of so many instances no pool is made anew more often than in such a time, in seconds: when many come and go at once,
# as in a bad moment of a large service, a few at a time are enough.
_MANY: Final = 50
_PAUSE: Final = 0.01
# Seconds between two looks at how far instances have warmed up.
_WARMING_STEP: Final = 0.5
_NEVER: Final = float("inf")


class InstancePool(Generic[S]):
    """See the module. Threads may share it.

    Args:
        now: the client's clock.
        wall: the time of day, in seconds since 1970.
        callables: gives all instances that may be called.

    Attributes:
        pool: of all of them, those that are out too.
        panic: if fewer than this part are good, all are called.
        is_panic: whether too many are out for that to be believed. Breakers have no say then either: after a bad moment
            those of all instances may be open, and all of them well.
        due: when `keep` has something to do; `inf`: never.
    """

    def __init__(
        self, now: Callable[[], float], wall: Callable[[], float], callables: Callable[[], Sequence[Node[S]]]
    ) -> None:
        self.pool: Pool[Node[S]] = Pool(())
        self.is_panic = False
        self.due = _NEVER
        self._now = now
        self._wall = wall
        self._callables = callables
        self.panic = 0.5
        self._warm_up = 0.0
        self._recount_at = 0.0
        self._is_recount_due = False
        self._weigh_at = _NEVER
        self.renew()

    def renew(self) -> None:
        """In a child of the process."""
        self._lock = threading.RLock()

    def adopt(self, panic: float, warm_up: float) -> None:
        """Go by these from now on, when instances are weighed next.

        Args:
            panic: if fewer than this part are good, all are called.
            warm_up: seconds that instances take to warm up; 0: they are warm at once.
        """
        self.panic = panic
        self._warm_up = warm_up

    def weigh(self) -> Sequence[Node[S]]:
        """Take the instances as they are now, and weigh them. All that may be called."""
        with self._lock:
            nodes = self._callables()
            seconds = self._warm_up
            today = self._wall() if seconds else 0.0
            is_warming = False
            for node in nodes:
                instance = node.instance
                node.weight = instance.weight
                if seconds and instance.started_at:
                    node.weight = warm_weight(instance.weight, today - instance.started_at, seconds)
                    is_warming = is_warming or today - instance.started_at < seconds
            self._weigh_at = self._now() + _WARMING_STEP if is_warming else _NEVER
            self._begin(nodes)
            return nodes

    def recount(self) -> None:
        """Somebody is out that was not, or the other way round: the same instances, and all else anew, now or soon."""
        with self._lock:
            now, nodes = self._now(), self.pool.nodes
            if len(nodes) > _MANY and now < self._recount_at:
                self._is_recount_due = True
                self.due = min(self.due, self._recount_at)
                return
            self._recount_at = now + _PAUSE
            self._begin(nodes)

    def keep(self, now: float) -> bool:
        """What has to be done from time to time. Whether instances are to be weighed again."""
        if now < self.due:
            return False
        with self._lock:
            if self._is_recount_due and now >= self._recount_at:
                self.recount()
        return now >= self._weigh_at

    def clear(self) -> None:
        """Nobody can be called any more."""
        with self._lock:
            self._begin(())

    def _begin(self, nodes: Sequence[Node[S]]) -> None:
        self._is_recount_due = False
        self.due = self._weigh_at
        self.is_panic = sum(not node.is_out for node in nodes) < len(nodes) * self.panic
        self.pool = Pool(nodes)
