"""Faults of etcd servers and networks. Measurements are printed (`pytest -rP`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from etcd_server import Cluster, Etcd, FaultProxy, etcd_cluster, proxied
from eventually import TIMEOUT, eventually, eventually_async
from registry_heard import Heard, say

from idlrt.core import Freshness, Instance, ServiceKey
from idlrt.errors import RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl, ServiceData
from idlrt.registry.etcd import EtcdBackend

pytestmark = pytest.mark.long

# TTL of leases that must not expire during a test, even on a busy machine.
LONG = 60
# TTL of leases that expire in a test, or whose heartbeats the test waits for; they may expire at any time.
SHORT = 3


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Etcd]:
    with etcd_cluster(tmp_path) as cluster:
        yield cluster.members[0]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    with etcd_cluster(tmp_path, 3) as cluster:
        yield cluster


@pytest.fixture
def proxy(one: Etcd) -> Iterator[FaultProxy]:
    with proxied(one.port) as made:
        yield made


def connect(hosts: str, ttl: int = LONG) -> Registry:
    return Registry.connect(f"etcd://{hosts}?ttl={ttl}", cache=False, empty_protection=False, timeout=TIMEOUT)


def near(one: Etcd | FaultProxy, ttl: int = LONG) -> Registry:
    return connect(f"127.0.0.1:{one.port}", ttl)


def instance(port: int = 1001, **more: Any) -> Instance:
    return Instance(service="demo", host="127.0.0.1", port=port, **more)


def test_killed_and_restarted(one: Etcd) -> None:
    # etcd restarts the TTL of leases after a restart.
    with near(one, 9) as server, near(one) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        one.kill()
        stale = heard.until_fresh(Freshness.STALE)
        registration.update(weight=7)
        assert isinstance(client.last_error or heard.subscription.last_error, RegistryUnavailable)
        eventually(lambda: server.last_error, "a heartbeat has failed")
        one.start()
        live = heard.until_fresh(Freshness.LIVE)
        changed = heard.until_weights(7)
        assert heard.never_empty(1)
        say(
            f"etcd killed: stale after {stale:.2f} s; restarted: live after {live:.2f} s, a change {changed:.2f} s more"
        )


def test_restarted_without_data(one: Etcd) -> None:
    with near(one, SHORT) as server, near(one) as client:
        server.register(instance()).wait()
        for number in range(20):
            one.put(f"/other/{number}", "x")
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        client.configure("demo", {"a": "1"})
        heard.until(lambda each: each.settings, "a setting")
        one.kill()
        one.wipe()
        one.restart()
        back = heard.until(lambda each: each.instances and not each.settings, "the instance, registered anew")
        assert one.revision() < 20, "revisions begin anew"
        server.register(instance(1002))
        seen = heard.until_ports(1001, 1002)
        say(f"etcd lost all: registered again after {back:.2f} s, the next change seen after {seen:.2f} s")


def test_leader_killed(three: Cluster) -> None:
    with connect(three.hosts) as server, connect(three.hosts) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        leases = three.members[0].leases()
        leader = three.leader()
        leader.kill()
        registration.update(weight=7)
        seen = heard.until_weights(7)
        heard.until_fresh(Freshness.LIVE)
        leader.restart()
        registration.update(weight=8)
        again = heard.until_weights(8)
        assert heard.never_empty(1)
        assert sorted(three.leader().leases()) == sorted(leases), "the sessions are the same"
        say(f"leader killed: a change seen after {seen:.2f} s; member back: {again:.2f} s")


def test_quorum_lost(three: Cluster) -> None:
    with connect(three.hosts) as server, connect(three.hosts) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        for each in three.members[:2]:
            each.kill()
        stale = heard.until_fresh(Freshness.STALE)
        registration.update(weight=7)
        for each in three.members[:2]:
            each.start()
        live = heard.until(lambda each: each.freshness is Freshness.LIVE and each.instances[0].weight == 7, "a change")
        assert heard.never_empty(1)
        say(f"quorum lost: stale after {stale:.2f} s; there again: a change seen after {live:.2f} s")


@pytest.mark.parametrize("which", range(3))
def test_a_suspended_member(three: Cluster, which: int) -> None:
    with connect(three.hosts) as server, connect(three.hosts) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        three.members[which].pause()
        try:
            registration.update(weight=7)
            seen = heard.until_weights(7)
            assert heard.never_empty(1)
        finally:
            three.members[which].resume()
        say(f"member {which} stands still: a change seen after {seen:.2f} s")


def test_lease_revoked_by_another_client(one: Etcd) -> None:
    with near(one, SHORT) as server, near(one) as client:
        server.register(instance()).wait()
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        assert one.revoke_all()
        gone = heard.until(lambda _: heard.removed, "gone")
        back = heard.until_ports(1001)
        say(f"lease revoked: gone after {gone:.2f} s, back {back:.2f} s later (heartbeats every {SHORT / 3:.2g} s)")


def test_a_write_detects_the_expired_lease(one: Etcd) -> None:
    # The write detects it before the next heartbeat.
    with near(one, 600) as server, near(one) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        one.revoke_all()
        heard.until_ports()
        registration.update(weight=7)
        back = heard.until_ports(1001)
        assert heard.last.instances[0].weight == 7
        say(f"lease found dead by a write: back after {back:.2f} s")


def test_partition_shorter_than_the_lease(one: Etcd, proxy: FaultProxy) -> None:
    with near(proxy) as server, near(one) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        leases = one.leases()
        proxy.is_silent = True
        registration.update(weight=7)
        with pytest.raises(RegistryUnavailable):
            registration.wait(0.2)
        assert [each.weight for each in heard.last.instances] == [100]
        proxy.is_silent = False
        seen = heard.until_weights(7)
        assert set(leases) <= set(one.leases()), "the session is the same"
        assert heard.never_empty(1)
        say(f"cut off: never gone, a change seen {seen:.2f} s after")


def test_partition_longer_than_the_lease(one: Etcd, proxy: FaultProxy) -> None:
    with near(proxy, SHORT) as server, near(one) as client:
        server.register(instance()).wait()
        heard, own = Heard(client.subscribe("demo")), Heard(server.subscribe("demo"))
        heard.until_ports(1001)
        own.until_ports(1001)
        proxy.is_silent = True
        stale = own.until_fresh(Freshness.STALE)
        gone = heard.until_ports()
        proxy.is_silent = False
        back = heard.until_ports(1001)
        own.until_ports(1001)
        say(
            f"cut for longer than the lease of {SHORT} s: who is cut off knows after {stale:.2f} s, "
            f"others do {gone:.2f} s later; back {back:.2f} s after the network"
        )


@pytest.mark.parametrize("is_compacted", [False, True])
def test_changes_during_a_partition_are_seen(
    one: Etcd, proxy: FaultProxy, is_compacted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "idlrt.registry")
    url = RegistryUrl.parse(f"etcd://127.0.0.1:{proxy.port}?ttl={LONG}")
    # Even a watch that breaks immediately is resumed at its last revision.
    client = Registry(lambda: EtcdBackend(url, min_watch=0.0), str(url), empty_protection=False)
    with near(one) as server, client:
        registrations = [server.register(instance(port)) for port in (1001, 1002)]
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001, 1002)
        proxy.is_silent = True
        registrations[0].deregister(TIMEOUT)
        server.register(instance(1003)).wait()
        registrations[1].update(weight=7)
        registrations[1].wait()
        if is_compacted:
            one.compact()
        proxy.cut()
        proxy.is_silent = False
        seen = heard.until_ports(1002, 1003)
        heard.until_weights(7, 100)
        revisions = [each.revision for each in heard.snapshots]
        assert revisions == sorted(revisions)
        assert all(each.freshness is Freshness.LIVE for each in heard.snapshots)
        assert ("listing demo again" in caplog.text) == is_compacted
        say(f"cut off{', compacted' if is_compacted else ''}: what had changed was seen {seen:.2f} s after")


def test_no_change_is_lost_between_disconnections(one: Etcd, proxy: FaultProxy) -> None:
    with near(one) as server, near(proxy) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        late = []
        for number in range(1, 13):
            if number % 3 == 0:
                proxy.cut()
            registration.update(weight=number)
            late.append(heard.until_weights(number))
        revisions = [each.revision for each in heard.snapshots]
        assert revisions == sorted(revisions)
        assert heard.never_empty(1)
        late.sort()
        say(f"12 changes between 4 cuts: seen after {late[6]:.3f} s (median), {late[-1]:.2f} s (worst)")


async def next_of(watching: AsyncIterator[ServiceData]) -> ServiceData:
    return await anext(watching)


def test_a_dead_watch_connection_is_detected_without_heartbeats(one: Etcd, proxy: FaultProxy) -> None:
    """The connection is dead on the server's side only. Heartbeats use another connection, so they do not detect it."""

    async def main() -> None:
        backend = EtcdBackend(RegistryUrl.parse(f"etcd://127.0.0.1:{proxy.port}?ttl=1"))
        await backend.open(lambda: None)
        watching = backend.watch(ServiceKey("demo"))
        assert not (await anext(watching)).instances
        waiting = asyncio.ensure_future(next_of(watching))
        await eventually_async(lambda: one.watches_begun() >= 2, "one that is silent for too long is begun again")
        assert not waiting.done()
        proxy.is_silent = True
        with pytest.raises(RegistryUnavailable, match=f"cannot watch at http://127.0.0.1:{proxy.port}: no response"):
            await waiting
        proxy.is_silent = False
        await backend.close()

    asyncio.run(main())


def test_a_member_without_a_leader_ends_its_watches(three: Cluster) -> None:
    """The member responds, but no longer receives changes."""

    async def main() -> None:
        member = three.members[2]
        # The idle timeout of the watch would be too late.
        backend = EtcdBackend(RegistryUrl.parse(f"etcd://127.0.0.1:{member.port}?ttl=600"))
        await backend.open(lambda: None)
        watching = backend.watch(ServiceKey("demo"))
        await anext(watching)
        waiting = asyncio.ensure_future(next_of(watching))
        await eventually_async(member.watches_begun)
        for each in three.members[:2]:
            each.pause()
        try:
            with pytest.raises(RegistryUnavailable, match="no leader"):
                await waiting
        finally:
            for each in three.members[:2]:
                each.resume()
        await backend.close()

    asyncio.run(main())


def test_a_program_starts_with_the_saved_snapshot(one: Etcd, tmp_path: Path) -> None:
    def near_with_cache() -> Registry:
        url = f"etcd://127.0.0.1:{one.port}?ttl={LONG}"
        return Registry.connect(url, cache=tmp_path / "cache", timeout=TIMEOUT)

    with near_with_cache() as server, near_with_cache() as client:
        server.register(instance()).wait()
        Heard(client.subscribe("demo")).until_ports(1001)
    one.kill()
    with near_with_cache() as client:
        snapshot = client.subscribe("demo").wait()
        assert [each.port for each in snapshot.instances] == [1001]
        assert snapshot.freshness is not Freshness.LIVE
        one.restart()
        with near(one) as server:
            server.register(instance(1002)).wait()
            Heard(client.subscribe("demo")).until_ports(1002)


def test_closing_revokes_the_lease(one: Etcd) -> None:
    with near(one) as server:
        server.register(instance()).wait()
        server.close(TIMEOUT)
    assert one.keys("/idlrt/") == []
    assert one.leases() == []


def test_closing_does_not_wait_for_an_unresponsive_server(one: Etcd, proxy: FaultProxy) -> None:
    server = near(proxy)
    server.register(instance()).wait()
    proxy.is_silent = True
    server.close(0.2)
    assert len(one.leases()) == 1, "nobody has heard of it"
