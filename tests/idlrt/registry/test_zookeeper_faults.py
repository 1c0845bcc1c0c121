"""What a registry in ZooKeeper does when servers die, sessions end and networks break: nothing that is alive is lost,
and what is dead goes within its time. Each says how long things took.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy, proxied
from kazoo.client import KazooClient
from zookeeper_server import Ensemble, ZooKeeper, running_ensemble, running_zookeeper, tell

from idlrt.core import Change, Freshness, Instance, Snapshot, Status
from idlrt.registry import Registry, Subscription
from idlrt.testing.registry import REGISTRY_CHECKS

# Real servers and processes.
pytestmark = pytest.mark.slow

SERVICE = "demo.Users"
# Of sessions, in seconds.
TIMEOUT = 1.5
# For anything: a busy machine is no fault.
PATIENCE = 30.0


def instance(number: int, **more: Any) -> Instance:
    return Instance(service=SERVICE, host="127.0.0.1", port=20000 + number, **more)


def connect(hosts: str, chroot: str, timeout: float = TIMEOUT, layout: str = "idlrt") -> Registry:
    url = f"zookeeper://{hosts}/{chroot}?timeout={timeout}&layout={layout}"
    return Registry.connect(url, cache=False, empty_protection=False)


@pytest.fixture
def chroot() -> str:
    return uuid.uuid4().hex


class Seen:
    """All that a subscription has told, and when."""

    def __init__(self, subscription: Subscription) -> None:
        self.told: list[tuple[float, Snapshot]] = []
        self.removed: list[str] = []
        self._condition = threading.Condition()
        subscription.listen(self._heard)

    def _heard(self, change: Change) -> None:
        with self._condition:
            self.told.append((time.monotonic(), change.snapshot))
            self.removed += [each.id for each in change.removed]
            self._condition.notify_all()

    @property
    def last(self) -> Snapshot:
        return self.told[-1][1]

    def until(self, is_so: Callable[[Snapshot], bool], what: str) -> float:
        """When it was so."""
        with self._condition:
            done = self._condition.wait_for(lambda: bool(self.told) and is_so(self.last), PATIENCE)
            assert done, f"{what}: not within {PATIENCE:.0f} s; told: {self.told}"
            return self.told[-1][0]

    def until_ports(self, *ports: int) -> float:
        return self.until(
            lambda each: (
                [one.port - 20000 for one in each.instances] == list(ports) and each.freshness is Freshness.LIVE
            ),
            f"instances {ports}, live",
        )

    def until_fresh(self, freshness: Freshness) -> float:
        return self.until(lambda each: each.freshness is freshness, freshness)


def session_of(registry: Registry) -> Any:
    engine: Any = registry._engine
    return engine.backend._current


# Servers die.


@pytest.mark.slow
@pytest.mark.parametrize("down", [0.0, 2 * TIMEOUT], ids=["at once", "after the session's time"])
def test_a_server_is_killed_and_started_again(tmp_path: Path, chroot: str, down: float) -> None:
    with (
        running_zookeeper(tmp_path / "server") as zookeeper,
        connect(zookeeper.address, chroot) as server,
        connect(zookeeper.address, chroot) as client,
    ):
        seen = Seen(client.subscribe(SERVICE))
        server.register(instance(1)).wait(PATIENCE)
        seen.until_ports(1)
        zookeeper.kill()
        killed = time.monotonic()
        if down:
            stale = seen.until_fresh(Freshness.STALE) - killed
            time.sleep(max(down - stale, 0))
            assert [each.port for each in seen.last.instances] == [20001], "what was known last is still used"
            tell(f"killed: stale after {stale:.2f} s")
        zookeeper.start()
        zookeeper.wait()
        serving = time.monotonic()
        server.register(instance(2)).wait(PATIENCE)
        written = time.monotonic()
        both = seen.until_ports(1, 2)
        assert seen.removed == [], "it was alive all the time"
        tell(
            f"server down for {serving - killed:.2f} s: written {written - serving:.2f} s after it serves, "
            f"seen {both - serving:.2f} s after"
        )
        # What was registered before is this session's, and stays when an old one ends.
        time.sleep(2 * TIMEOUT)
        assert seen.removed == []
        assert len(client.instances(SERVICE, timeout=PATIENCE).instances) == 2


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running_ensemble(tmp_path_factory.mktemp("ensemble")) as found:
        yield found


@pytest.mark.slow
def test_conformance_with_three_servers(ensemble: Ensemble, chroot: str) -> None:
    for check in REGISTRY_CHECKS.values():
        check(lambda: connect(ensemble.hosts, chroot))


@pytest.mark.slow
def test_the_leader_of_three_is_killed(ensemble: Ensemble, chroot: str) -> None:
    with connect(ensemble.hosts, chroot, 4) as server, connect(ensemble.hosts, chroot, 4) as client:
        seen = Seen(client.subscribe(SERVICE))
        server.register(instance(1)).wait(PATIENCE)
        seen.until_ports(1)
        leader = ensemble.leader
        leader.kill()
        try:
            killed = time.monotonic()
            server.register(instance(2)).wait(PATIENCE)
            written = time.monotonic()
            both = seen.until_ports(1, 2)
            assert seen.removed == []
            tell(f"leader killed: written after {written - killed:.2f} s, seen after {both - killed:.2f} s")
        finally:
            leader.start()
            leader.wait()


@pytest.mark.slow
def test_the_quorum_is_lost_for_longer_than_a_session(ensemble: Ensemble, chroot: str) -> None:
    with connect(ensemble.hosts, chroot) as server, connect(ensemble.hosts, chroot) as client:
        seen = Seen(client.subscribe(SERVICE))
        server.register(instance(1)).wait(PATIENCE)
        seen.until_ports(1)
        first = session_of(server).id
        victims = [each for each in ensemble.servers if each is not ensemble.leader]
        killed = time.monotonic()
        for each in victims:
            each.kill()
        stale = seen.until_fresh(Freshness.STALE)
        time.sleep(2 * TIMEOUT)
        for each in victims:
            each.start()
        for each in ensemble.servers:
            each.wait()
        serving = time.monotonic()
        server.register(instance(2)).wait(PATIENCE)
        both = seen.until_ports(1, 2)
        assert session_of(server).id != first
        # The ensemble has let nobody's session end: the node that the first one left was there, and was replaced.
        time.sleep(2 * TIMEOUT)
        assert seen.removed == []
        assert len(client.instances(SERVICE, timeout=PATIENCE).instances) == 2
        tell(f"quorum lost: stale after {stale - killed:.2f} s; there again: seen after {both - serving:.2f} s")


# Sessions end.


def test_a_session_that_the_server_ended_comes_back(zookeeper: ZooKeeper, chroot: str) -> None:
    with connect(zookeeper.address, chroot) as server, connect(zookeeper.address, chroot) as observer:
        server.register(instance(1)).wait(PATIENCE)
        own = Seen(server.subscribe(SERVICE))
        own.until_ports(1)
        seen = Seen(observer.subscribe(SERVICE))
        seen.until_ports(1)
        first = session_of(server)
        # Who has a session's number and password can end it.
        thief: Any = KazooClient(zookeeper.address, client_id=first._client.client_id)
        thief.start()
        thief.stop()
        thief.close()
        ended = time.monotonic()
        gone = seen.until(lambda _: seen.removed == ["127.0.0.1:20001"], "gone")
        back = seen.until_ports(1)
        assert session_of(server).id != first.id
        # kazoo has begun a session of its own after that; it is not left behind.
        while len([each for each in threading.enumerate() if "zk_loop" in each.name]) > 2:
            assert time.monotonic() < ended + PATIENCE
            time.sleep(0.01)
        observer.register(instance(2)).wait(PATIENCE)
        follows = own.until_ports(1, 2)
        tell(
            f"session ended by the server: gone {gone - ended:+.2f} s, registered again after {back - ended:.2f} s, "
            f"subscription goes on after {follows - ended:.2f} s"
        )


def test_an_instance_that_somebody_took_away_comes_back(zookeeper: ZooKeeper, chroot: str) -> None:
    with connect(zookeeper.address, chroot) as server, connect(zookeeper.address, chroot) as observer:
        seen = Seen(observer.subscribe(SERVICE))
        registration = server.register(instance(1))
        seen.until_ports(1)
        hand: Any = KazooClient(zookeeper.address)
        hand.start()
        hand.delete(f"/{chroot}/idlrt/default/{SERVICE}/instances/127.0.0.1:20001")
        hand.stop()
        hand.close()
        taken = seen.until(lambda _: len(seen.removed) == 1, "taken away")
        back = seen.until_ports(1)
        tell(f"taken away by somebody: there again after {back - taken:.2f} s")
        registration.deregister(PATIENCE)
        seen.until_ports()
        time.sleep(TIMEOUT)
        assert seen.last.instances == ()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["idlrt", "motan", "dubbo"])
def test_of_two_under_one_id_one_goes_on(zookeeper: ZooKeeper, chroot: str, layout: str) -> None:
    """As of processes that share a port: the last one to register is seen, and when it ends the other is."""

    def versions(*wanted: str) -> Callable[[Snapshot], bool]:
        return lambda each: [one.version for one in each.instances] == list(wanted)

    def another() -> Registry:
        return connect(zookeeper.address, chroot, layout=layout)

    with another() as first, another() as observer:
        seen = Seen(observer.subscribe(SERVICE))
        first.register(instance(1, version="1")).wait(PATIENCE)
        seen.until(versions("1"), "the first")
        with another() as second:
            second.register(instance(1, version="2", status=Status.DISABLED)).wait(PATIENCE)
            seen.until(versions("2"), "the second")
            told = len(seen.told)
            time.sleep(2 * TIMEOUT)
            assert len(seen.told) == told, "they fight"
        seen.until(versions("1"), "the first again")


def test_closing_takes_instances_away_at_once(zookeeper: ZooKeeper, chroot: str) -> None:
    with connect(zookeeper.address, chroot) as observer:
        seen = Seen(observer.subscribe(SERVICE))
        with connect(zookeeper.address, chroot, timeout=60) as server:
            server.register(instance(1)).wait(PATIENCE)
            seen.until_ports(1)
            closing = time.monotonic()
        closed = time.monotonic()
        gone = seen.until_ports()
        tell(f"closed in {closed - closing:.3f} s, gone after {gone - closing:.3f} s")
        assert gone - closing < 10


DYING = """
import sys
from idlrt.core import Instance
from idlrt.registry import Registry
registry = Registry.connect(sys.argv[1], cache=False)
registry.register(Instance(service="demo.Users", host="127.0.0.1", port=20001)).wait(20)
print("registered", flush=True)
sys.stdin.read()
"""


def test_a_process_that_dies_is_gone_when_its_session_ends(zookeeper: ZooKeeper, chroot: str) -> None:
    url = f"zookeeper://{zookeeper.address}/{chroot}?timeout={TIMEOUT}"
    with connect(zookeeper.address, chroot) as observer:
        seen = Seen(observer.subscribe(SERVICE))
        observer.register(instance(2)).wait(PATIENCE)
        with subprocess.Popen(
            [sys.executable, "-c", DYING, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"registered\n"
            seen.until_ports(1, 2)
            process.kill()
            killed = time.monotonic()
            process.wait(20)
        gone = seen.until_ports(2) - killed
        assert seen.removed == ["127.0.0.1:20001"]
        tell(f"process killed: gone after {gone:.2f} s of a session of {TIMEOUT} s")
        assert gone < TIMEOUT + 10


@pytest.mark.slow
def test_a_process_that_comes_back_before_its_session_ends_stays(zookeeper: ZooKeeper, chroot: str) -> None:
    """Under the same address: the node that its dead session left is replaced, and does not go when that ends."""
    url = f"zookeeper://{zookeeper.address}/{chroot}?timeout={TIMEOUT}"
    with connect(zookeeper.address, chroot) as observer:
        seen = Seen(observer.subscribe(SERVICE))
        with subprocess.Popen(
            [sys.executable, "-c", DYING, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"registered\n"
            seen.until_ports(1)
            process.kill()
            process.wait(20)
        with connect(zookeeper.address, chroot) as server:
            server.register(instance(1, version="2")).wait(PATIENCE)
            seen.until(lambda each: [one.version for one in each.instances] == ["2"], "the new one")
            time.sleep(3 * TIMEOUT)
            assert seen.removed == []
            assert [each.version for each in observer.instances(SERVICE).instances] == ["2"]


# Networks break.


@pytest.fixture
def proxy(zookeeper: ZooKeeper) -> Iterator[FaultProxy]:
    with proxied(zookeeper.port) as found:
        yield found


@pytest.mark.slow
def test_a_network_that_is_cut_for_longer_than_the_session(
    zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str
) -> None:
    cut_off = f"127.0.0.1:{proxy.port}"
    with connect(cut_off, chroot) as server, connect(zookeeper.address, chroot) as observer:
        seen = Seen(observer.subscribe(SERVICE))
        own = Seen(server.subscribe(SERVICE))
        server.register(instance(1)).wait(PATIENCE)
        observer.register(instance(2)).wait(PATIENCE)
        seen.until_ports(1, 2)
        own.until_ports(1, 2)
        proxy.is_silent = True
        cut = time.monotonic()
        gone = seen.until_ports(2) - cut
        stale = own.until_fresh(Freshness.STALE) - cut
        session = session_of(server)
        while not session.is_lost:
            assert time.monotonic() < cut + PATIENCE, "the session is not thought lost"
            time.sleep(0.02)
        lost = time.monotonic() - cut
        assert len(own.last.instances) == 2, "what was known last is still used"
        observer.register(instance(3)).wait(PATIENCE)
        time.sleep(TIMEOUT)
        proxy.is_silent = False
        healed = time.monotonic()
        back = seen.until_ports(1, 2, 3) - healed
        follows = own.until_ports(1, 2, 3) - healed
        assert seen.removed == ["127.0.0.1:20001"]
        time.sleep(2 * TIMEOUT)
        assert seen.removed == ["127.0.0.1:20001"], "it does not go again when the old session ends"
        tell(
            f"cut off, session {TIMEOUT} s: gone for others after {gone:.2f} s; stale here after {stale:.2f} s, "
            f"session thought lost after {lost:.2f} s; healed: registered again after {back:.2f} s, "
            f"subscription live after {follows:.2f} s"
        )
        assert gone < TIMEOUT + 10


@pytest.mark.parametrize("how", ["silent", "reset"])
def test_a_network_that_is_cut_for_shorter_than_the_session(
    zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str, how: str
) -> None:
    """The session goes on; what changed meanwhile is seen, though no watch could tell."""
    cut_off = f"127.0.0.1:{proxy.port}"
    with connect(cut_off, chroot, timeout=6) as server, connect(zookeeper.address, chroot, timeout=6) as observer:
        seen = Seen(observer.subscribe(SERVICE))
        own = Seen(server.subscribe(SERVICE))
        server.register(instance(1)).wait(PATIENCE)
        second, third = (observer.register(instance(each)) for each in (2, 3))
        own.until_ports(1, 2, 3)
        session = session_of(server)
        number = session.id
        if how == "silent":
            proxy.is_silent = True
        else:
            proxy.is_refusing = True
            proxy.cut()
        cut = time.monotonic()
        second.deregister(PATIENCE)
        third.update(weight=7)
        third.wait(PATIENCE)
        observer.register(instance(4)).wait(PATIENCE)
        observer.configure(SERVICE, {"balancer": "p2c"}, timeout=PATIENCE)
        observer.modify(SERVICE, "127.0.0.1:20001", weight=9, timeout=PATIENCE)
        time.sleep(1.0)
        assert [each.port for each in own.last.instances] == [20001, 20002, 20003]
        proxy.is_silent = proxy.is_refusing = False
        healed = time.monotonic()
        own.until_ports(1, 3, 4)
        caught_up = own.until(
            lambda each: [one.weight for one in each.instances] == [9, 7, 100] and each.settings == {"balancer": "p2c"},
            "all that has changed",
        )
        # And the watches are there again.
        observer.register(instance(5)).wait(PATIENCE)
        own.until_ports(1, 3, 4, 5)
        seen.until_ports(1, 3, 4, 5)
        assert seen.removed == ["127.0.0.1:20002"]
        assert session_of(server) is session
        assert session.id == number
        tell(f"{how} for {healed - cut:.2f} s: all changes seen {caught_up - healed:.2f} s after it was healed")


def test_connections_that_break_all_the_time_hide_nothing(zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str) -> None:
    """Changes come while connections are cut again and again: the last state is always seen."""
    cut_off = f"127.0.0.1:{proxy.port}"
    with connect(cut_off, chroot, timeout=10) as client, connect(zookeeper.address, chroot, timeout=10) as server:
        seen = Seen(client.subscribe(SERVICE))
        registration = server.register(instance(1))
        seen.until_ports(1)
        slowest = 0.0
        for weight in range(1, 16):
            proxy.cut()
            registration.update(weight=weight)
            written = time.monotonic()
            told = seen.until(
                lambda each, weight=weight: bool(each.instances) and each.instances[0].weight == weight,  # type: ignore[misc]
                f"weight {weight}",
            )
            slowest = max(slowest, told - written)
        assert seen.removed == []
        revisions = [each.revision for _, each in seen.told]
        assert revisions == sorted(revisions)
        tell(f"15 changes beside 15 broken connections: all seen, the slowest after {slowest:.2f} s")


@pytest.mark.slow
def test_a_slow_network_is_no_lost_session(zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str) -> None:
    proxy.latency = 0.2
    with (
        connect(f"127.0.0.1:{proxy.port}", chroot) as server,
        connect(zookeeper.address, chroot) as observer,
    ):
        seen = Seen(observer.subscribe(SERVICE))
        server.register(instance(1)).wait(PATIENCE)
        seen.until_ports(1)
        number = session_of(server).id
        time.sleep(2 * TIMEOUT)
        assert seen.removed == []
        assert session_of(server).id == number
