"""Clusters whose settings and instances change, in virtual time: health, warm-up, groups, cached objects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from idlrt.client.base import AsyncClient
from idlrt.client.call_planner import CallPlanner
from idlrt.client.cluster import Cluster
from idlrt.client.endpoint import Endpoint
from idlrt.client.endpoint_set import EndpointSet
from idlrt.client.health import Health
from idlrt.client.health_tracker import HealthTracker
from idlrt.client.instance_pool import InstancePool
from idlrt.client.local_subscription import LocalSubscription
from idlrt.client.stats import PoolStats
from idlrt.config import Layer
from idlrt.core import Call, ClockAndRandom, Deadline, Decision, Instance, Restored, ServiceKey, Snapshot, drive
from idlrt.errors import ConnectFailed, ConnectionLost, LocalProtocolError, NoInstance
from idlrt.guard.breaker import BreakerSettings
from idlrt.guard.outlier import OutlierSettings
from idlrt.route import CallerInfo, Pool
from idlrt.spec import STRING, VOID, Method, required
from idlrt.testing import FakeDriver

SERVICE = "Governed"
GET: Method[..., Any] = Method("get", required(1, "key", STRING), result=STRING, is_idempotent=True)
GET.service = SERVICE
NOTE: Method[..., Any] = Method("note", result=VOID, is_idempotent=True)
NOTE.service = SERVICE
EPOCH = 1_700_000_000.0
START = 100.0


class FakeTransport:
    """Answers with its address, or fails as `errors` has it."""

    carries_metadata = True

    def __init__(self, instance: Instance, world: World) -> None:
        self.address = instance.address
        self.world = world

    async def send(self, call: Call) -> Any:
        self.world.sent.append(self.address)
        if self.world.seconds:
            await call.driver.sleep(self.world.seconds)
        error = self.world.errors.get(self.address)
        if error is not None:
            raise error("as it is written")
        return self.address

    def reset_backoff(self) -> None:
        pass

    def connections(self) -> int:
        return 1

    def stats(self) -> PoolStats:
        return PoolStats(connections=1)


class NoSender:
    async def send(self, call: Call) -> Any:
        raise AssertionError("calls go through the call planner")

    async def close(self) -> None:
        pass


class Governed(AsyncClient):
    def get(self, key: str = "") -> Any:
        return self._call(GET, key)

    def note(self) -> Any:
        return self._call(NOTE)


class World:
    """A client, the instances that it knows, and what they do."""

    def __init__(
        self,
        count: int = 2,
        settings: Mapping[str, str] | None = None,
        *,
        is_watched: bool = True,
        governed_by: type[CallPlanner] = CallPlanner,
        first: Any = None,
        **policy: Any,
    ) -> None:
        self.driver = FakeDriver(START)
        self.sent: list[str] = []
        self.errors: dict[str, type[Exception]] = {}
        self.seconds = 0.0
        self.weighed_at: list[float] = []
        self.views: dict[str, LocalSubscription] = {}
        self.publish([instance(number) for number in range(count)], settings)
        layers = (Layer("test", {"balancer": "round_robin", **policy}),)
        self.cluster: Cluster[Any] = Cluster(
            self.views["default"],
            lambda instance: FakeTransport(instance, self),
            lambda transport: None,
            first,
            SERVICE,
            partial(governed_by, layers, ClockAndRandom(self.driver.now, lambda: 0.5)),
            CallerInfo(id="test", host=""),
            self.view,  # type: ignore[arg-type]
            wall=self.wall,
            is_watched=is_watched,
        )
        self.planner = self.cluster.planner
        self.client = Governed(
            NoSender(),  # type: ignore[arg-type]
            target=SERVICE,
            options={},
            driver=self.driver,
            planner=self.planner,
        )

    def wall(self) -> float:
        """The time of day: asked for whenever instances are weighed."""
        self.weighed_at.append(self.driver.now())
        return EPOCH + self.driver.now()

    @property
    def unavailable(self) -> set[str]:
        """Addresses of the instances that get no calls."""
        return {each.address for each in self.cluster.stats().endpoints if not each.is_available}

    def await_snapshot(self) -> None:
        """Follow the registry, as a guarded call does first."""
        deadline = Deadline(self.driver.now() + 1.0, 1.0)
        drive(self.cluster.await_snapshot(Call(GET, ("",), SERVICE, deadline, self.driver)))

    def view(self, group: str) -> LocalSubscription:
        return self.views.setdefault(group, LocalSubscription(Snapshot(key=ServiceKey(SERVICE, group))))

    def publish(
        self, instances: list[Instance], settings: Mapping[str, str] | None = None, group: str = "default"
    ) -> None:
        self.view(group).publish(
            Snapshot(key=ServiceKey(SERVICE, group), instances=tuple(instances), settings=settings or {})
        )

    def settle(self, settings: Mapping[str, str]) -> None:
        """The registry has other settings."""
        snapshot = self.views["default"].snapshot
        assert snapshot is not None
        self.publish(list(snapshot.instances), settings)

    def get(self, **options: Any) -> Any:
        client = self.client.using(**options) if options else self.client
        try:
            return self.driver.run(client.get())
        except Exception as error:  # noqa: BLE001  # what it came to
            return error

    def asked(self, calls: int = 10) -> set[str]:
        """Return which instances receive this number of calls."""
        self.sent.clear()
        for _ in range(calls):
            self.get(fault="failfast")
        return set(self.sent)


def instance(number: int, group: str = "default", **values: Any) -> Instance:
    return Instance(service=SERVICE, group=group, host=f"10.0.{len(group)}.{number}", port=9090, **values)


ONE, TWO, THREE = (instance(number).address for number in range(3))


def test_a_kept_call_is_made_again_by_the_cluster() -> None:
    world = World(fault="failcache")
    world.errors = {ONE: ConnectFailed, TWO: ConnectFailed}
    assert world.driver.run(world.client.note()) is None
    world.errors.clear()
    world.driver.finish()
    assert len(world.sent) == 2, "once in the background"


def test_warming_instances_are_not_weighed_with_each_call() -> None:
    world = World(warm_up=100.0)
    world.publish([instance(number, started_at=EPOCH + START - 1) for number in range(3)])
    world.get()
    assert world.asked(5) == {ONE, TWO, THREE}
    assert world.weighed_at[-1] == START
    count = len(world.weighed_at)
    assert world.asked(20) == {ONE, TWO, THREE}
    assert len(world.weighed_at) == count
    world.driver.advance(1.0)
    world.get()
    assert world.weighed_at[count:] == [START + 1.0]


def test_changed_breaker_settings_readmit_an_ejected_instance() -> None:
    world = World(
        3,
        {
            "instance_breaker.consecutive_failures": "2",
            "failure_threshold": "100",
            "ejection.consecutive_failures": "0",
        },
    )
    world.errors = {ONE: ConnectionLost}
    for _ in range(12):
        world.get()
    assert world.asked() == {TWO, THREE}
    world.errors.clear()
    world.settle(
        {"instance_breaker.consecutive_failures": "3", "failure_threshold": "100", "ejection.consecutive_failures": "0"}
    )
    assert world.asked() == {ONE, TWO, THREE}


def test_a_group_that_no_rule_mixes_in_any_more_gets_no_calls() -> None:
    world = World(1)
    blue = instance(5, "blue")
    world.publish([blue], group="blue")
    world.settle({"routes": '[{"router": "group", "mix": {"default": 50, "blue": 50}}]'})
    world.get()
    assert world.asked(1) <= {ONE, blue.address}
    assert len(world.cluster.endpoints) == 2
    world.settle({})
    assert world.asked() == {ONE}


def test_the_health_of_instances_is_not_reviewed_with_each_call_while_a_breaker_waits_for_its_probe() -> None:
    """The pause of the breaker is over, but its instance still cannot be reached."""
    tracker = HealthTracker(SERVICE, lambda: None, lambda: ())
    tracker.apply_settings(1, BreakerSettings(consecutive_failures=1), OutlierSettings(consecutive_failures=0), ())
    endpoint = make_node(tracker)
    tracker.watch([endpoint])
    tracker.failed(endpoint, ConnectFailed("gone"), START, call=a_call())
    assert endpoint.is_unhealthy
    assert tracker.next_run_at <= START
    now = START + 5.5
    tracker.maintain([endpoint], now)
    assert endpoint.is_unhealthy
    assert tracker.next_run_at > now


def test_an_instance_that_answers_pings_after_its_break_is_probed() -> None:
    world = World(
        3,
        {"instance_breaker.consecutive_failures": "2", "failure_threshold": "2", "ejection.consecutive_failures": "0"},
    )
    world.errors = {ONE: ConnectionLost}
    for _ in range(12):
        world.get()
    world.driver.advance(5.5)
    world.get()
    world.errors.clear()
    (endpoint,) = (endpoint for endpoint in world.cluster.endpoints if endpoint.instance.address in world.unavailable)
    world.cluster.answered(endpoint, world.driver.now())
    assert world.asked() == {ONE, TWO, THREE}


def a_call() -> Call:
    return Call(GET, ("",), SERVICE, Deadline(START + 1.0, 1.0), FakeDriver(START))


def make_node(tracker: HealthTracker) -> Endpoint[FakeTransport]:
    health, breaker = tracker.initial_state()
    return Endpoint(instance(0), FakeTransport(instance(0), World(0)), health, breaker)


def in_between(work: Callable[[], object]) -> tuple[threading.Thread, Callable[[], None]]:
    """A thread that does `work`, and a function that starts it once, in the middle of what another one does.

    The function gives the thread a moment: it must have to wait for a lock until the other one is done.
    """
    thread = threading.Thread(target=work)

    def interrupt() -> None:
        if thread.ident is None:
            thread.start()
            thread.join(0.1)

    return thread, interrupt


def test_an_instance_that_answers_while_its_failure_is_handled_is_available() -> None:
    """While one thread handles a failure of an instance, another one learns that it answers pings."""
    heard: list[Decision] = []
    tracker = HealthTracker(SERVICE, lambda: None, lambda: (heard.append,))
    endpoint = make_node(tracker)
    other, interrupt = in_between(lambda: tracker.pinged(endpoint, START))

    class Interrupted(Health):
        @property
        def is_unhealthy(self) -> bool:
            found = self.was_out
            if found:
                interrupt()
            return found

        @is_unhealthy.setter
        def is_unhealthy(self, value: bool) -> None:
            self.was_out = value

    endpoint.health = Interrupted(1)
    tracker.failed(endpoint, ConnectFailed(), START, call=a_call())
    other.join()
    assert not endpoint.is_unhealthy
    assert [type(each) for each in heard][-1] is Restored


def test_a_recount_brings_no_older_instances_back() -> None:
    """While the pool is rebuilt because an instance is unhealthy, the registry publishes others."""
    tracker = HealthTracker(SERVICE, lambda: None, lambda: ())
    old, new = make_node(tracker), make_node(tracker)
    endpoints = [old]
    instance_pool = InstancePool[FakeTransport](lambda: START, lambda: EPOCH, lambda: endpoints)
    instance_pool.update_weights()
    endpoints = [new]
    other, interrupt = in_between(instance_pool.update_weights)

    class Interrupted(Pool[Endpoint[FakeTransport]]):
        @property
        def endpoints(self) -> tuple[Endpoint[FakeTransport], ...]:
            interrupt()
            return (old,)

        @endpoints.setter
        def endpoints(self, value: tuple[Endpoint[FakeTransport], ...]) -> None: ...

    instance_pool.pool = Interrupted([old])
    instance_pool.rebuild()
    other.join()
    assert tuple(instance_pool.pool.endpoints) == (new,)


def test_an_older_snapshot_does_not_come_back_after_a_newer_one() -> None:
    """Two threads follow, the one an older snapshot; it is slow."""
    tracker = HealthTracker(SERVICE, lambda: None, lambda: ())

    class Slow(LocalSubscription):
        def __init__(self, *snapshots: Snapshot) -> None:
            super().__init__(snapshots[0])
            self.newest = snapshots[0]

        @property
        def snapshot(self) -> Snapshot | None:
            found = self.newest
            interrupt()
            return found

        @snapshot.setter
        def snapshot(self, value: Snapshot | None) -> None: ...

    def publish_and_follow() -> None:
        subscription.newest = newer
        endpoints.follow()

    def endpoint(instance: Instance) -> Endpoint[FakeTransport]:
        health, breaker = tracker.initial_state()
        return Endpoint(instance, FakeTransport(instance, World(0)), health, breaker)

    other, interrupt = in_between(publish_and_follow)
    older, newer = (Snapshot(key=ServiceKey(SERVICE), instances=(instance(number),)) for number in range(2))
    subscription = Slow(older)
    endpoints = EndpointSet[FakeTransport](
        subscription, None, endpoint, lambda transport: None, SERVICE, lambda change: None
    )
    endpoints.follow()
    other.join()
    assert [each.instance.address for each in endpoints.endpoints] == [TWO]


def test_a_large_pool_is_rebuilt_at_a_limited_rate_and_only_on_changes() -> None:
    now = START
    tracker = HealthTracker(SERVICE, lambda: None, lambda: ())
    endpoints = [make_node(tracker) for _ in range(100)]
    instance_pool = InstancePool[FakeTransport](lambda: now, lambda: EPOCH, lambda: endpoints)
    instance_pool.update_weights()
    instance_pool.rebuild()
    pool = instance_pool.pool
    for _ in range(20):
        instance_pool.rebuild()
        instance_pool.maintain(now)
    assert instance_pool.pool is pool
    now = START + 0.02
    instance_pool.maintain(now)
    newer = instance_pool.pool
    assert newer is not pool
    for _ in range(20):
        instance_pool.maintain(now)
    assert instance_pool.pool is newer


def test_older_settings_do_not_come_after_newer_ones() -> None:
    """Two threads follow, the one an older snapshot; it is slow."""

    class Slow(CallPlanner):
        interrupt: Callable[[], None] | None = None

        def apply_service_config(self, settings: Mapping[str, str], origin: str) -> bool:
            if self.interrupt is not None:
                self.interrupt()
            return super().apply_service_config(settings, origin)

    world = World(1, {"timeout": "1"}, governed_by=Slow)
    world.get()
    planner = world.planner
    assert isinstance(planner, Slow)
    other, interrupt = in_between(lambda: world.settle({"timeout": "3"}))
    planner.interrupt = interrupt
    world.settle({"timeout": "2"})
    other.join()
    assert planner.plan(GET).policy.timeout == 3


def test_a_call_that_was_never_sent_says_nothing_of_its_instance() -> None:
    world = World(2)
    world.errors = {ONE: ConnectFailed, TWO: ConnectFailed}
    world.get()
    assert world.unavailable == {ONE, TWO}
    world.errors = {ONE: LocalProtocolError, TWO: LocalProtocolError}
    world.get()
    assert world.unavailable == {ONE, TWO}


def test_a_closed_client_keeps_nothing_whatever_it_is_told_then() -> None:
    world = World(1)
    world.errors = {ONE: ConnectFailed}
    world.planner.close()
    with pytest.raises(ConnectFailed):
        world.driver.run(world.client.using(fault="failcache").note())


def test_calls_probe_unhealthy_instances_without_active_health_checks() -> None:
    world = World(3, is_watched=False)
    world.errors = {ONE: ConnectFailed}
    assert world.asked() == {ONE, TWO, THREE}
    assert world.asked() == {TWO, THREE}
    pauses = []
    for _ in range(12):
        start = world.driver.now()
        while ONE not in world.asked(3):
            world.driver.advance(0.1)
        pauses.append(world.driver.now() - start)
        assert world.asked() == {TWO, THREE}, "one failure is enough"
    assert pauses == sorted(pauses)
    assert 4.8 < pauses[-1] < 5.3
    world.errors.clear()
    world.driver.advance(6)
    assert world.asked() == {ONE, TWO, THREE}
    assert world.unavailable == set()


def test_a_group_without_instances_is_waited_for_once() -> None:
    waited: list[float] = []

    async def first(subscription: Any, call: Call) -> Snapshot:
        remaining = call.deadline.remaining(call.driver.now())
        waited.append(remaining)
        await call.driver.sleep(remaining)
        raise NoInstance("not known yet")

    world = World(1, {"routes": '[{"router": "group", "mix": {"default": 50, "blue": 50}}]'}, first=first)
    world.view("blue").snapshot = None
    assert world.asked(10) == {ONE}
    assert waited == [0.5]
    assert world.driver.now() == START + 0.5


def test_a_breaker_that_lets_probes_through_refuses_no_other_call() -> None:
    world = World(
        3,
        {
            "instance_breaker.consecutive_failures": "2",
            "failure_threshold": "100",
            "ejection.consecutive_failures": "0",
        },
    )
    world.errors = {ONE: ConnectionLost}
    world.asked(12)
    assert world.asked() == {TWO, THREE}
    world.errors.clear()
    world.driver.advance(5.5)
    world.seconds = 0.01
    answers = [world.get(fault="failfast") for _ in range(60)]
    assert set(answers) == {ONE, TWO, THREE}
    assert {endpoint.breaker.state for endpoint in world.cluster.endpoints} == {"closed"}


def test_a_slow_probe_does_not_delay_other_calls() -> None:
    world = World(
        3,
        {
            "instance_breaker.consecutive_failures": "2",
            "failure_threshold": "100",
            "ejection.consecutive_failures": "0",
        },
    )
    world.errors = {ONE: ConnectionLost}
    world.asked(12)
    world.errors.clear()
    world.driver.advance(5.5)
    world.seconds = 1.0
    quick = world.client.using(fault="failfast")

    async def one_after_the_other() -> set[str]:
        answers: set[str] = set()
        for _ in range(3):
            for outcome in await world.driver.all([quick.get] * 6):
                assert isinstance(outcome, str), outcome
                answers.add(outcome)
        return answers

    assert world.driver.run(one_after_the_other()) == {ONE, TWO, THREE}
    assert {endpoint.breaker.state for endpoint in world.cluster.endpoints} == {"closed"}
