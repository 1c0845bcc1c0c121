"""Cluster in virtual time: real decisions, transports whose outcomes a test scripts, no sockets."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from idlrt.client.call_planner import CallPlanner
from idlrt.client.cluster import Cluster
from idlrt.client.local_subscription import LocalSubscription
from idlrt.client.stats import PoolStats
from idlrt.config import Layer, flatten
from idlrt.core import Call, ClockAndRandom, Deadline, Decision, Instance, Listener, ServiceKey, Snapshot
from idlrt.route import CallerInfo
from idlrt.spec import STRING, VOID, Service, method, optional
from idlrt.testing import FakeDriver


class _Service:
    def get(self, key: str) -> None:
        """Idempotent."""

    def put(self, key: str) -> None:
        """Not idempotent."""


GET = method(_Service.get, optional(1, "key", STRING), result=VOID, idempotent=True)
PUT = method(_Service.put, optional(1, "key", STRING), result=VOID)
Service("Things", GET, PUT)

Behaviour = Callable[[Call], Any]


class Subscription(LocalSubscription):
    """Subscription whose snapshots the test publishes."""

    def __init__(self, instances: Sequence[Instance], settings: Mapping[str, str]) -> None:
        super().__init__(Snapshot(key=ServiceKey("Things"), instances=tuple(instances), settings=settings))

    def tell(self, instances: Sequence[Instance], settings: Mapping[str, str] | None = None) -> None:
        last = self.snapshot
        said = settings if settings is not None else last.settings if last is not None else {}
        self.publish(Snapshot(key=self.key, instances=tuple(instances), settings=said))


class FakeTransport:
    """Transport to one instance: the outcome of a call is what `behave` returns or raises, after `seconds`."""

    carries_metadata = True

    def __init__(self, driver: FakeDriver, instance: Instance) -> None:
        self._driver = driver
        self.instance = instance
        self.seconds = 0.001
        self.error: Callable[[], Exception] | None = None
        self.calls: list[Call] = []

    async def send(self, call: Call) -> Any:
        self.calls.append(call)
        await self._driver.sleep(self.seconds)
        if self.error is not None:
            raise self.error()

    def reset_backoff(self) -> None:
        pass

    def connections(self) -> int:
        return 1

    def stats(self) -> PoolStats:
        return PoolStats(connections=1)


class VirtualCluster:
    """See the module."""

    def __init__(
        self,
        *instances: Instance,
        policy: Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
        caller: CallerInfo | None = None,
        seed: int = 1,
        start: float = 1000.0,
    ) -> None:
        self.driver = FakeDriver(start)
        self.heard: list[Decision] = []
        self.wall = 1_700_000_000.0
        sources = ClockAndRandom(now=self.driver.now, rng=random.Random(seed).random)
        self.subscription = Subscription(instances, settings or {})
        self.transports: dict[str, FakeTransport] = {}
        self.retired: list[FakeTransport] = []
        self.cluster: Cluster[Any] = Cluster(
            self.subscription,
            self._make,
            self.retired.append,
            self._first,
            "Things",
            partial(CallPlanner, [Layer("test", flatten(policy or {}))], sources, [self.heard.append]),
            caller if caller is not None else CallerInfo(id="test"),
            wall=lambda: self.wall + self.driver.now() - start,
        )
        self.planner = self.cluster.planner

    def _make(self, instance: Instance) -> FakeTransport:
        transport = self.transports[instance.id] = FakeTransport(self.driver, instance)
        return transport

    async def _first(self, subscription: Any, call: Call) -> Snapshot:
        raise AssertionError("it is known from the beginning")

    def call(self, of: Any = GET, *listeners: Listener, **metadata: str) -> Call:
        """Create a call."""
        plan = self.planner.plan(of)
        timeout = plan.policy.timeout
        deadline = Deadline(self.driver.now() + timeout, timeout)
        return Call(of, ("key",), "Things", deadline, self.driver, dict(metadata), {}, plan.policy, listeners, plan)

    def make(self, of: Any = GET, *listeners: Listener, **metadata: str) -> Any:
        """Make a call."""
        call = self.call(of, *listeners, **metadata)
        return self.driver.run(self.planner.make_call(call))

    @property
    def unavailable(self) -> set[str]:
        """Ids of the instances that get no calls."""
        return {each.id for each in self.cluster.stats().endpoints if not each.is_available}

    def counts(self) -> list[int]:
        """Calls that each instance has seen."""
        return [len(transport.calls) for transport in self.transports.values()]


def instances(count: int, **said: Any) -> list[Instance]:
    """Some, all alike."""
    return [Instance(service="Things", host=f"10.0.0.{number}", port=9090, **said) for number in range(count)]
