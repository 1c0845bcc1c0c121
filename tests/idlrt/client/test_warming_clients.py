"""Instances that warm up, as a cluster weighs them: now and then, not for each call."""

from __future__ import annotations

from functools import partial
from typing import Any

from idlrt.client.call_planner import CallPlanner
from idlrt.client.cluster import Cluster
from idlrt.client.local_subscription import LocalSubscription
from idlrt.client.stats import PoolStats
from idlrt.config import Layer
from idlrt.core import Call, ClockAndRandom, Deadline, Instance, ServiceKey, Snapshot
from idlrt.route import CallerInfo
from idlrt.spec import Method
from idlrt.spec.types import STRING
from idlrt.testing import FakeDriver

KEY = ServiceKey("Simple")
GET: Method[..., Any] = Method("get", result=STRING)
STARTED = 1_000_000.0
WARM_UP = 10.0


class FakeTransport:
    """Answers at once."""

    carries_metadata = True

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    async def send(self, call: Call) -> str:
        return self.instance.address

    def reset_backoff(self) -> None:
        pass

    def connections(self) -> int:
        return 1

    def stats(self) -> PoolStats:
        return PoolStats(connections=1)


async def never(subscription: Any, call: Call) -> Any:
    raise AssertionError("the snapshot is there")


def test_warming_instances_are_reweighed_periodically() -> None:
    driver = FakeDriver(start=100.0)
    weighed: list[float] = []

    def wall() -> float:
        weighed.append(driver.now())
        return STARTED + driver.now() - 100.0

    make_planner = partial(CallPlanner, (Layer("test", {"warm_up": WARM_UP}),), ClockAndRandom(driver.now, lambda: 0.5))
    new = Instance(service="Simple", host="10.0.0.1", port=1, started_at=STARTED)
    old = Instance(service="Simple", host="10.0.0.2", port=1, started_at=STARTED - 1000)
    subscription = LocalSubscription(Snapshot(key=KEY, instances=(new, old)))
    cluster = Cluster(
        subscription,
        FakeTransport,
        lambda transport: None,
        never,
        "Simple",
        make_planner,
        CallerInfo(id="me"),
        wall=wall,
    )
    plan = cluster.planner.plan(GET)
    weights: list[int] = []

    async def main() -> None:
        for _ in range(240):
            deadline = Deadline(driver.now() + 1.0, 1.0)
            await cluster.call(Call(GET, (), "", deadline, driver, {}, {}, plan.policy, (), plan))
            weights.append(next(endpoint.weight for endpoint in cluster.endpoints if endpoint.instance is new))
            await driver.sleep(0.05)

    driver.run(main())
    assert len(weighed) <= WARM_UP / 0.5 + 3
    assert weights == sorted(weights)
    assert weights[0] == 10
    assert 45 <= weights[100] <= 50
    assert weights[-1] == 100
