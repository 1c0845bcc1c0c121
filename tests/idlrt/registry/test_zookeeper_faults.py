"""What a registry in ZooKeeper does when servers die, sessions end and networks break: nothing that is alive is lost,
and what is dead goes when its session ends. Figures are printed (`pytest -rP`).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from fault_proxy import FaultProxy, proxied
from registry_heard import Heard, say
from zookeeper_server import Ensemble, ZooKeeper, plain_client, running_ensemble, running_zookeeper

from idlrt.core import Freshness, Instance, Snapshot, Status
from idlrt.registry import AlreadyRegistered, Registry, RegistryUrl
from idlrt.registry.zookeeper.backend import ZooKeeperBackend
from idlrt.registry.zookeeper.dubbo import DubboLayout
from idlrt.registry.zookeeper.layouts import IdlrtLayout, Layout
from idlrt.registry.zookeeper.motan import MotanLayout
from idlrt.testing.registry import REGISTRY_CHECKS

# Real servers and processes.
pytestmark = pytest.mark.long

SERVICE = "demo.Users"
LAYOUTS: dict[str, Layout] = {"dubbo": DubboLayout(), "idlrt": IdlrtLayout(), "motan": MotanLayout()}
# Of sessions that are not to end while a test runs, however busy the machine is.
LONG = 60.0
# Of sessions that are to end, and may do so at any time.
SHORT = 1.5
# Of a session that is to end while nobody can be reached, and not again in the moment after that.
BETWEEN = 9.0


def instance(number: int, **more: Any) -> Instance:
    return Instance(service=SERVICE, host="127.0.0.1", port=20000 + number, **more)


def id(number: int) -> str:
    return f"127.0.0.1:{20000 + number}"


def url(hosts: str, chroot: str, session: float = LONG, layout: str = "idlrt") -> str:
    return f"zookeeper://{hosts}/{chroot}?timeout={session}&layout={layout}"


def connect(hosts: str, chroot: str, session: float = LONG) -> Registry:
    return Registry.connect(url(hosts, chroot, session), cache=False, empty_protection=False, timeout=TIMEOUT)


@pytest.fixture
def chroot() -> str:
    return uuid.uuid4().hex


def path_of(chroot: str, instance: Instance, layout: str = "idlrt") -> str:
    node = LAYOUTS[layout].write(instance)
    return f"/{chroot}{node.folder}/{node.name}"


def session_of(address: str, chroot: str, number: int) -> int:
    """The session that an instance is registered in."""
    with plain_client(address) as client:
        session: int = client.exists(path_of(chroot, instance(number))).ephemeralOwner
        return session


def versions(*wanted: str) -> Callable[[Snapshot], bool]:
    return lambda each: [one.version for one in each.instances] == list(wanted)


# Servers die.


@contextmanager
def restarted(zookeeper: ZooKeeper, proxy: FaultProxy) -> Iterator[None]:
    """Kill a server, do something, and start it again.

    A server that is starting may take a connection and never answer, which clients wait for as long as for any answer.
    So none gets through to it before it serves.
    """
    proxy.is_refusing = True
    zookeeper.kill()
    yield
    zookeeper.start()
    zookeeper.wait()
    proxy.is_refusing = False


def test_a_server_is_killed_and_started_again_within_the_session(tmp_path: Path, chroot: str) -> None:
    with (
        running_zookeeper(tmp_path / "server") as zookeeper,
        proxied(zookeeper.port) as proxy,
        connect(f"127.0.0.1:{proxy.port}", chroot) as server,
        connect(f"127.0.0.1:{proxy.port}", chroot) as client,
    ):
        heard = Heard(client.subscribe(SERVICE))
        server.register(instance(1)).wait()
        heard.until_ports(20001)
        session = session_of(zookeeper.address, chroot, 1)
        with restarted(zookeeper, proxy):
            second = server.register(instance(2))
            eventually(lambda: second.error, "nothing can be written")
        second.wait()
        both = heard.until_ports(20001, 20002)
        assert heard.removed == [], "it was alive all the time"
        assert session_of(zookeeper.address, chroot, 1) == session
        say(f"server killed and started again: a change seen {both:.2f} s after it was written")


def test_a_server_is_down_for_longer_than_the_session(tmp_path: Path, chroot: str) -> None:
    with (
        running_zookeeper(tmp_path / "server") as zookeeper,
        proxied(zookeeper.port) as proxy,
        connect(f"127.0.0.1:{proxy.port}", chroot, BETWEEN) as server,
        connect(f"127.0.0.1:{proxy.port}", chroot, BETWEEN) as client,
    ):
        heard = Heard(client.subscribe(SERVICE))
        server.register(instance(1)).wait()
        heard.until_ports(20001)
        session = session_of(zookeeper.address, chroot, 1)
        with restarted(zookeeper, proxy):
            stale = heard.until_fresh(Freshness.STALE)
            say(f"killed: stale after {stale:.2f} s")
            eventually(lambda: not server.is_connected, "the session is thought lost")
            assert [each.port for each in heard.last.instances] == [20001], "what was known last is still used"
        server.register(instance(2)).wait()
        heard.until_ports(20001, 20002)
        # The server gives the old session its whole time again: its node is still there, and is replaced.
        assert heard.removed == [], "it was alive all the time"
        assert session_of(zookeeper.address, chroot, 1) != session


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running_ensemble(tmp_path_factory.mktemp("ensemble")) as found:
        yield found


def test_conformance_with_three_servers(ensemble: Ensemble, chroot: str) -> None:
    for check in REGISTRY_CHECKS.values():
        check(lambda: connect(ensemble.hosts, chroot))


def test_the_leader_of_three_is_killed(ensemble: Ensemble, chroot: str) -> None:
    with connect(ensemble.hosts, chroot) as server, connect(ensemble.hosts, chroot) as client:
        heard = Heard(client.subscribe(SERVICE))
        server.register(instance(1)).wait()
        heard.until_ports(20001)
        leader = ensemble.leader
        leader.kill()
        try:
            server.register(instance(2)).wait()
            both = heard.until_ports(20001, 20002)
            assert heard.removed == []
            say(f"leader killed: a change seen {both:.2f} s after it was written")
        finally:
            leader.start()
            leader.wait()


def test_the_quorum_is_lost_for_a_while(ensemble: Ensemble, chroot: str) -> None:
    with connect(ensemble.hosts, chroot) as server, connect(ensemble.hosts, chroot) as client:
        heard = Heard(client.subscribe(SERVICE))
        server.register(instance(1)).wait()
        heard.until_ports(20001)
        session = session_of(ensemble.hosts, chroot, 1)
        victims = [each for each in ensemble.servers if each is not ensemble.leader]
        for each in victims:
            each.kill()
        second = server.register(instance(2))
        eventually(lambda: second.error, "nothing can be written")
        for each in victims:
            each.start()
        for each in ensemble.servers:
            each.wait()
        second.wait()
        both = heard.until_ports(20001, 20002)
        assert heard.removed == []
        assert session_of(ensemble.hosts, chroot, 1) == session
        say(f"quorum lost: a change seen {both:.2f} s after it could be written")


# Sessions end.


def test_a_session_that_the_server_ended_comes_back(tmp_path: Path, chroot: str) -> None:
    with running_zookeeper(tmp_path / "server") as zookeeper, proxied(zookeeper.port) as proxy:
        with (
            connect(f"127.0.0.1:{proxy.port}", chroot, 2 * SHORT) as server,
            connect(zookeeper.address, chroot) as observer,
        ):
            server.register(instance(1)).wait()
            own = Heard(server.subscribe(SERVICE))
            own.until_ports(20001)
            heard = Heard(observer.subscribe(SERVICE))
            heard.until_ports(20001)
            session = session_of(zookeeper.address, chroot, 1)
            # The server ends it after its time; the client counts from when it has noticed, so it is told so.
            proxy.is_silent = True
            heard.until_ports()
            proxy.is_silent = False
            back = heard.until_ports(20001)
            assert session_of(zookeeper.address, chroot, 1) != session
            observer.register(instance(2)).wait()
            follows = own.until_ports(20001, 20002)
            say(f"session ended by the server: back after {back:.2f} s, follows after {follows:.2f} s")
        # kazoo begins a session of its own after that; it is not left behind.
        eventually(lambda: zookeeper.sessions() == [])


def test_an_instance_that_somebody_took_away_is_missed(zookeeper: ZooKeeper, chroot: str) -> None:
    async def main(hand: Any) -> None:
        backend = ZooKeeperBackend(RegistryUrl.parse(url(zookeeper.address, chroot)))
        await backend.open(lambda: None)
        await backend.register(instance(1))
        await backend.register(instance(2))
        both = [instance(1), instance(2)]
        assert await backend.keep(both) == []
        hand.delete(path_of(chroot, instance(1)))
        assert await backend.keep(both) == [instance(1)]
        await backend.reclaim(instance(1))
        assert await backend.keep(both) == []
        assert (await backend.find(instance(1).key)).instances == both
        await backend.close()

    with plain_client(zookeeper.address) as hand:
        asyncio.run(main(hand))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_two_under_one_id_one_goes_on(zookeeper: ZooKeeper, chroot: str, layout: str) -> None:
    """As of processes that share a port: the last one to register is seen, and when it ends the other is."""

    async def main() -> None:
        target = RegistryUrl.parse(url(zookeeper.address, chroot, layout=layout))
        first, second, observer = (ZooKeeperBackend(target) for _ in range(3))
        for each in (first, second, observer):
            await each.open(lambda: None)

        async def seen() -> list[str]:
            return [each.version for each in (await observer.find(instance(1).key)).instances]

        await first.register(instance(1, version="1"))
        assert await seen() == ["1"]
        await second.register(instance(1, version="2", status=Status.DISABLED))
        assert await seen() == ["2"]
        old, new = instance(1, version="1"), instance(1, version="2", status=Status.DISABLED)
        for _ in range(2):
            assert await second.keep([new]) == []
            assert await first.keep([old]) == [old]
            with pytest.raises(AlreadyRegistered, match="by another process now"):
                await first.reclaim(old)
            assert await seen() == ["2"], "they fight"
        await first.deregister(old)
        assert await seen() == ["2"]
        await second.close()
        await first.reclaim(old)
        assert await seen() == ["1"]
        for each in (first, observer):
            await each.close()

    asyncio.run(main())


def test_closing_takes_instances_away_at_once(zookeeper: ZooKeeper, chroot: str) -> None:
    with connect(zookeeper.address, chroot) as observer:
        heard = Heard(observer.subscribe(SERVICE))
        # Nobody waits for its end.
        with connect(zookeeper.address, chroot, 600) as server:
            server.register(instance(1)).wait()
            heard.until_ports(20001)
        gone = heard.until_ports()
        say(f"gone {gone:.3f} s after closing")


DYING = """
import sys
from idlrt.core import Instance
from idlrt.registry import Registry
registry = Registry.connect(sys.argv[1], cache=False)
registry.register(Instance(service="demo.Users", host="127.0.0.1", port=20001)).wait(60)
print("registered", flush=True)
sys.stdin.read()
"""


def test_a_process_that_dies_is_gone_when_its_session_ends(zookeeper: ZooKeeper, chroot: str) -> None:
    with connect(zookeeper.address, chroot) as observer:
        heard = Heard(observer.subscribe(SERVICE))
        observer.register(instance(2)).wait()
        with subprocess.Popen(
            [sys.executable, "-c", DYING, url(zookeeper.address, chroot, SHORT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"registered\n"
            heard.until_ports(20001, 20002)
            process.kill()
            process.wait()
        gone = heard.until_ports(20002)
        assert set(heard.removed) == {id(1)}
        say(f"process killed: gone after {gone:.2f} s of a session of {SHORT} s")


def test_an_instance_stays_when_the_dead_session_that_it_was_left_by_ends(zookeeper: ZooKeeper, chroot: str) -> None:
    """A process comes back under its address before its old session has ended: the node is replaced."""
    with connect(zookeeper.address, chroot) as observer:
        heard = Heard(observer.subscribe(SERVICE))
        with plain_client(zookeeper.address) as dead, connect(zookeeper.address, chroot) as server:
            old = instance(1, version="1")
            data = LAYOUTS["idlrt"].write(old).data
            dead.create(path_of(chroot, old), data, ephemeral=True, makepath=True)
            heard.until(versions("1"), "the old one")
            server.register(instance(1, version="2")).wait()
            heard.until(versions("2"), "the new one")
            dead.stop()
            # What is seen after that is seen after its end.
            server.register(instance(3)).wait()
            heard.until_ports(20001, 20003)
            assert heard.removed == []
            assert [each.version for each in observer.instances(SERVICE).instances] == ["2", ""]


# Networks break.


@pytest.fixture
def proxy(zookeeper: ZooKeeper) -> Iterator[FaultProxy]:
    with proxied(zookeeper.port) as found:
        yield found


def test_a_network_that_is_cut_for_longer_than_the_session(
    zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str
) -> None:
    with (
        connect(f"127.0.0.1:{proxy.port}", chroot, SHORT) as server,
        connect(zookeeper.address, chroot) as observer,
    ):
        heard = Heard(observer.subscribe(SERVICE))
        own = Heard(server.subscribe(SERVICE))
        server.register(instance(1)).wait()
        observer.register(instance(2)).wait()
        heard.until_ports(20001, 20002)
        own.until_ports(20001, 20002)
        proxy.is_silent = True
        gone = heard.until_ports(20002)
        own.until_fresh(Freshness.STALE)
        eventually(lambda: not server.is_connected, "the session is thought lost")
        assert len(own.last.instances) == 2, "what was known last is still used"
        observer.register(instance(3)).wait()
        proxy.is_silent = False
        back = heard.until_ports(20001, 20002, 20003)
        follows = own.until_ports(20001, 20002, 20003)
        assert set(heard.removed) == {id(1)}
        say(
            f"cut off, session {SHORT} s: gone for others after {gone:.2f} s; healed: registered again after "
            f"{back:.2f} s, subscription live {follows:.2f} s later"
        )


@pytest.mark.parametrize("how", ["silent", "reset"])
def test_a_network_that_is_cut_for_shorter_than_the_session(
    zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str, how: str
) -> None:
    """The session goes on; what changed meanwhile is seen, though no watch could tell."""
    with connect(f"127.0.0.1:{proxy.port}", chroot) as server, connect(zookeeper.address, chroot) as observer:
        heard = Heard(observer.subscribe(SERVICE))
        own = Heard(server.subscribe(SERVICE))
        server.register(instance(1)).wait()
        second, third = (observer.register(instance(each)) for each in (2, 3))
        own.until_ports(20001, 20002, 20003)
        session = session_of(zookeeper.address, chroot, 1)
        if how == "silent":
            proxy.is_silent = True
        else:
            proxy.is_refusing = True
            proxy.cut()
        second.deregister(TIMEOUT)
        third.update(weight=7)
        third.wait()
        observer.register(instance(4)).wait()
        observer.configure(SERVICE, {"balancer": "p2c"})
        observer.modify(SERVICE, id(1), weight=9)
        assert [each.port for each in own.last.instances] == [20001, 20002, 20003]
        proxy.is_silent = proxy.is_refusing = False
        own.until_ports(20001, 20003, 20004)
        own.until_weights(9, 7, 100)
        caught_up = own.until(lambda each: each.settings == {"balancer": "p2c"}, "all that has changed")
        # And the watches are there again.
        observer.register(instance(5)).wait()
        own.until_ports(20001, 20003, 20004, 20005)
        heard.until_ports(20001, 20003, 20004, 20005)
        assert heard.removed == [id(2)]
        assert session_of(zookeeper.address, chroot, 1) == session
        say(f"{how}: all changes seen {caught_up:.2f} s after it was healed")


def test_connections_that_break_all_the_time_hide_nothing(zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str) -> None:
    """Changes come while connections are cut again and again: the last state is always seen."""
    with connect(f"127.0.0.1:{proxy.port}", chroot) as client, connect(zookeeper.address, chroot) as server:
        heard = Heard(client.subscribe(SERVICE))
        registration = server.register(instance(1))
        heard.until_ports(20001)
        late = []
        for weight in range(1, 11):
            proxy.cut()
            registration.update(weight=weight)
            late.append(heard.until_weights(weight))
        assert heard.removed == []
        revisions = [each.revision for each in heard.snapshots]
        assert revisions == sorted(revisions)
        say(f"10 changes beside 10 broken connections: all seen, the slowest after {max(late):.2f} s")


def test_a_slow_network_is_no_lost_session(zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str) -> None:
    lost: list[bool] = []

    async def main() -> None:
        backend = ZooKeeperBackend(RegistryUrl.parse(url(f"127.0.0.1:{proxy.port}", chroot)))
        proxy.latency = 0.1
        await backend.open(lambda: lost.append(True))
        await backend.register(instance(1))
        for _ in range(3):
            await backend.keep()
        assert (await backend.find(instance(1).key)).instances == [instance(1)]
        proxy.latency = 0.0
        await backend.close()

    asyncio.run(main())
    assert not lost
