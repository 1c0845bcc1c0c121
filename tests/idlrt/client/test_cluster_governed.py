"""Clusters whose settings and instances change, in virtual time: what holds for whom is out, warm, grouped or kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from idlrt.client.base import AsyncClient
from idlrt.client.cluster import Cluster
from idlrt.client.governance import Governance
from idlrt.client.health import Health
from idlrt.config import Layer
from idlrt.core import Call, Chance, Instance, ServiceKey, Snapshot
from idlrt.errors import ConnectFailed, ConnectionLost, LocalProtocolError
from idlrt.route import Here
from idlrt.spec import STRING, VOID, Method, required
from idlrt.testing import FakeDriver

SERVICE = "Governed"
GET = Method("get", required(1, "key", STRING), result=STRING, is_idempotent=True)
GET.service = SERVICE
NOTE = Method("note", result=VOID, is_idempotent=True)
NOTE.service = SERVICE
EPOCH = 1_700_000_000.0
START = 100.0


class View:
    """A `Subscription`, as far as clusters need one."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.key = snapshot.key
        self.snapshot: Snapshot | None = snapshot

    def close(self) -> None:
        pass


class Leaf:
    """Answers with its address, or fails as `errors` has it."""

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

    def found_again(self) -> None:
        pass

    def connections(self) -> int:
        return 1


class _NoSender:
    async def send(self, call: Call) -> Any:
        raise AssertionError("calls go through the governance")

    async def close(self) -> None:
        pass


class Governed(AsyncClient):
    def get(self, key: str = "") -> Any:
        return self._start(GET, (key,), {})

    def note(self) -> Any:
        return self._start(NOTE, (), {})


class World:
    """A client, the instances that it knows, and what they do."""

    def __init__(
        self, count: int = 2, settings: Mapping[str, str] | None = None, *, is_watched: bool = True, **policy: Any
    ) -> None:
        self.driver = FakeDriver(START)
        self.sent: list[str] = []
        self.errors: dict[str, type[Exception]] = {}
        self.seconds = 0.0
        self.views: dict[str, View] = {}
        self.publish([instance(number) for number in range(count)], settings)
        self.governance = Governance(
            (Layer("test", {"balancer": "round_robin", **policy}),), Chance(self.driver.now, lambda: 0.5)
        )
        self.cluster: Cluster[Any] = Cluster(
            self.views["default"],  # type: ignore[arg-type]
            lambda instance: Leaf(instance, self),
            lambda leaf: None,
            None,  # type: ignore[arg-type]
            SERVICE,
            self.governance,
            Here(id="test", host=""),
            self.view,  # type: ignore[arg-type]
            wall=lambda: EPOCH + self.driver.now(),
            is_watched=is_watched,
        )
        self.client = Governed(
            _NoSender(),  # type: ignore[arg-type]
            target=SERVICE,
            options={},
            driver=self.driver,
            governance=self.governance,
        )

    def view(self, group: str) -> View:
        return self.views.setdefault(group, View(Snapshot(key=ServiceKey(SERVICE, group))))

    def publish(
        self, instances: list[Instance], settings: Mapping[str, str] | None = None, group: str = "default"
    ) -> None:
        self.view(group).snapshot = Snapshot(
            key=ServiceKey(SERVICE, group), instances=tuple(instances), settings=settings or {}
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
        """Who is asked by so many calls."""
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
    pool = world.cluster._standing.pool
    assert world.asked(5) == {ONE, TWO, THREE}
    assert world.cluster._standing.pool is pool
    world.driver.advance(1.0)
    world.get()
    assert world.cluster._standing.pool is not pool


def test_who_was_out_by_a_breaker_of_other_settings_is_called_again() -> None:
    world = World(3, {"instance_breaker.consecutive": "2", "tolerated": "100", "ejection.consecutive": "0"})
    world.errors = {ONE: ConnectionLost}
    for _ in range(12):
        world.get()
    assert world.asked() == {TWO, THREE}
    world.errors.clear()
    world.settle({"instance_breaker.consecutive": "3", "tolerated": "100", "ejection.consecutive": "0"})
    assert world.asked() == {ONE, TWO, THREE}


def test_a_group_that_no_rule_mixes_in_any_more_gets_no_calls() -> None:
    world = World(1)
    blue = instance(5, "blue")
    world.publish([blue], group="blue")
    world.settle({"routes": '[{"router": "group", "mix": {"default": 50, "blue": 50}}]'})
    world.get()
    assert world.asked(1) <= {ONE, blue.address}
    assert len(world.cluster.nodes) == 2
    world.settle({})
    assert world.asked() == {ONE}


def test_a_breaker_that_waits_for_its_probe_costs_other_calls_nothing() -> None:
    world = World(3, {"instance_breaker.consecutive": "2", "tolerated": "2", "ejection.consecutive": "0"})
    world.errors = {ONE: ConnectionLost}
    for _ in range(12):
        world.get()
    assert world.asked() == {TWO, THREE}
    world.driver.advance(5.5)
    world.get()
    assert world.cluster._verdicts.due > world.driver.now()


def test_who_is_found_again_after_the_pause_of_its_breaker_is_probed() -> None:
    world = World(3, {"instance_breaker.consecutive": "2", "tolerated": "2", "ejection.consecutive": "0"})
    world.errors = {ONE: ConnectionLost}
    for _ in range(12):
        world.get()
    world.driver.advance(5.5)
    world.get()
    world.errors.clear()
    (node,) = (node for node in world.cluster.nodes if node.health.is_out)
    world.cluster.answered(node, world.driver.now())
    assert world.asked() == {ONE, TWO, THREE}


def test_two_verdicts_at_once_leave_nobody_out_for_ever() -> None:
    """While one thread judges an instance that has failed, another one hears that it answers again."""
    world = World(2)
    world.errors = {ONE: ConnectFailed}
    world.asked(2)
    node = next(node for node in world.cluster.nodes if node.is_out)
    verdicts = world.cluster._verdicts

    def answer() -> None:
        verdicts.pinged(node, START)

    other = threading.Thread(target=answer)

    class Looked(Health):
        @property
        def is_out(self) -> bool:
            found = self._is_out
            if found and other.ident is None:
                other.start()
                other.join(0.1)
            return found

        @is_out.setter
        def is_out(self, value: bool) -> None:
            self._is_out = value

    node.health = Looked(1)
    node.health.failed(ConnectFailed(), START)
    other_started = verdicts._judge(node, None)
    other.join(20)
    assert not other_started
    assert not node.is_out


def test_a_recount_brings_no_older_instances_back() -> None:
    """While the pool is made anew because somebody is out, the registry says that there are others."""
    world = World(2)
    world.asked(2)
    cluster = world.cluster
    world.publish([instance(2)])
    other = threading.Thread(target=cluster._follow)

    class Looked:
        def __init__(self, pool: Any) -> None:
            self.pool = pool

        @property
        def nodes(self) -> Any:
            nodes = self.pool.nodes
            if other.ident is None:
                other.start()
                other.join(0.1)
            return nodes

    cluster._standing.pool = Looked(cluster._standing.pool)  # type: ignore[assignment]
    cluster._recount()
    other.join(20)
    assert world.asked() == {THREE}


def test_older_settings_do_not_come_after_newer_ones() -> None:
    """Two threads follow, the one an older snapshot; it is slow."""
    world = World(1, {"timeout": "1"})
    world.get()
    governance = world.governance
    advise = governance.advise
    other = threading.Thread(target=world.cluster._follow)

    def slow(settings: Mapping[str, str], origin: str) -> bool:
        if other.ident is None:
            world.settle({"timeout": "3"})
            other.start()
            other.join(0.1)
        return advise(settings, origin)

    governance.advise = slow  # type: ignore[method-assign]
    world.settle({"timeout": "2"})
    world.cluster._follow()
    other.join(20)
    assert governance.plan(GET).policy.timeout == 3


def test_a_call_that_was_never_sent_says_nothing_of_its_instance() -> None:
    world = World(2)
    world.errors = {ONE: ConnectFailed, TWO: ConnectFailed}
    world.get()
    assert all(node.is_out for node in world.cluster.nodes)
    world.errors = {ONE: LocalProtocolError, TWO: LocalProtocolError}
    world.get()
    assert all(node.is_out for node in world.cluster.nodes)


def test_a_closed_client_keeps_nothing_whatever_it_is_told_then() -> None:
    world = World(1)
    world.errors = {ONE: ConnectFailed}
    world.governance.close()
    with pytest.raises(ConnectFailed):
        world.driver.run(world.client.using(fault="failcache").note())


def test_where_nobody_pings_calls_find_out_who_is_back() -> None:
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
    assert not any(node.is_out for node in world.cluster.nodes)


def test_a_breaker_that_lets_probes_through_refuses_no_other_call() -> None:
    world = World(3, {"instance_breaker.consecutive": "2", "tolerated": "100", "ejection.consecutive": "0"})
    world.errors = {ONE: ConnectionLost}
    world.asked(12)
    assert world.asked() == {TWO, THREE}
    world.errors.clear()
    world.driver.advance(5.5)
    world.seconds = 0.01
    answers = [world.get(fault="failfast") for _ in range(60)]
    assert set(answers) == {ONE, TWO, THREE}
    assert {node.breaker.state for node in world.cluster.nodes} == {"closed"}


def test_a_slow_probe_holds_nobody_up() -> None:
    world = World(3, {"instance_breaker.consecutive": "2", "tolerated": "100", "ejection.consecutive": "0"})
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
    assert {node.breaker.state for node in world.cluster.nodes} == {"closed"}
