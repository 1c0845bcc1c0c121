"""Faults of ZooKeeper servers, sessions and networks: live instances are never lost, and crashed ones are removed when
their session expires. Measurements are printed (`pytest -rP`).
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
# Timeout of sessions that must not expire during a test, even on a busy machine.
LONG = 60.0
# Timeout of sessions that expire in a test; they may expire at any time.
SHORT = 1.5
# Timeout of a session that expires during a partition; the next one must not expire right afterwards.
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
    """Return the session of a registration."""
    with plain_client(address) as client:
        session: int = client.exists(path_of(chroot, instance(number))).ephemeralOwner
        return session


def versions(*wanted: str) -> Callable[[Snapshot], bool]:
    return lambda each: [one.version for one in each.instances] == list(wanted)


# Server failures.


@contextmanager
def restarted(zookeeper: ZooKeeper, proxy: FaultProxy) -> Iterator[None]:
    """Kill a server, run the body, and start the server again.

    A starting server may accept a connection and never respond, and clients would wait for their usual timeout. So the
    proxy refuses connections until the server is ready.
    """
    proxy.is_refusing = True
    zookeeper.kill()
    yield
    zookeeper.start()
    zookeeper.wait()
    proxy.is_refusing = False


def test_a_server_is_restarted_within_the_session_timeout(tmp_path: Path, chroot: str) -> None:
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


def test_a_server_is_down_for_longer_than_the_session_timeout(tmp_path: Path, chroot: str) -> None:
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
        # The server restarts the timeout of the old session: its node still exists, and is replaced.
        assert heard.removed == [], "it was alive all the time"
        assert session_of(zookeeper.address, chroot, 1) != session


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running_ensemble(tmp_path_factory.mktemp("ensemble")) as found:
        yield found


def test_conformance_with_three_servers(ensemble: Ensemble, chroot: str) -> None:
    for check in REGISTRY_CHECKS.values():
        check(lambda: connect(ensemble.hosts, chroot))


def test_the_leader_of_three_servers_is_killed(ensemble: Ensemble, chroot: str) -> None:
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


# Expired sessions.


def test_instances_are_registered_again_after_an_expired_session(tmp_path: Path, chroot: str) -> None:
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
            # The server's timeout starts earlier than the client's, so the server reports the expiry.
            proxy.is_silent = True
            heard.until_ports()
            proxy.is_silent = False
            back = heard.until_ports(20001)
            assert session_of(zookeeper.address, chroot, 1) != session
            observer.register(instance(2)).wait()
            follows = own.until_ports(20001, 20002)
            say(f"session ended by the server: back after {back:.2f} s, follows after {follows:.2f} s")
        # kazoo opens another session after that, which must be closed.
        eventually(lambda: zookeeper.sessions() == [])


def test_a_deleted_instance_is_registered_again(zookeeper: ZooKeeper, chroot: str) -> None:
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
def test_of_two_registrations_of_one_id_the_other_takes_over(zookeeper: ZooKeeper, chroot: str, layout: str) -> None:
    """Like processes that share a port: the last one to register is visible; when it ends, the other one is."""

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
            with pytest.raises(AlreadyRegistered, match="in use by another process with the same address"):
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


def test_closing_removes_instances_immediately(zookeeper: ZooKeeper, chroot: str) -> None:
    with connect(zookeeper.address, chroot) as observer:
        heard = Heard(observer.subscribe(SERVICE))
        # The test does not wait for its expiry.
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


def test_a_killed_process_is_removed_when_its_session_expires(zookeeper: ZooKeeper, chroot: str) -> None:
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


def test_a_replaced_instance_survives_the_expiry_of_the_old_session(zookeeper: ZooKeeper, chroot: str) -> None:
    """A process restarts with the same address before its old session has expired: the node is replaced."""
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
            # The reads below happen after its expiry.
            server.register(instance(3)).wait()
            heard.until_ports(20001, 20003)
            assert heard.removed == []
            assert [each.version for each in observer.instances(SERVICE).instances] == ["2", ""]


# Network failures.


@pytest.fixture
def proxy(zookeeper: ZooKeeper) -> Iterator[FaultProxy]:
    with proxied(zookeeper.port) as found:
        yield found


def test_a_partition_longer_than_the_session_timeout(zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str) -> None:
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
def test_a_partition_shorter_than_the_session_timeout(
    zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str, how: str
) -> None:
    """The session continues; changes during the partition are seen although no watch has fired."""
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
        # The watches are set again.
        observer.register(instance(5)).wait()
        own.until_ports(20001, 20003, 20004, 20005)
        heard.until_ports(20001, 20003, 20004, 20005)
        assert heard.removed == [id(2)]
        assert session_of(zookeeper.address, chroot, 1) == session
        say(f"{how}: all changes seen {caught_up:.2f} s after it was healed")


def test_no_change_is_lost_with_frequent_disconnections(zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str) -> None:
    """The final state is always seen, although connections are cut repeatedly during the changes."""
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


def test_a_slow_network_does_not_lose_the_session(zookeeper: ZooKeeper, proxy: FaultProxy, chroot: str) -> None:
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
