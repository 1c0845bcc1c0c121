"""What the registry in etcd makes of servers that die and networks that break. Each test prints how long it took."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from etcd_server import Cluster, Etcd, FaultProxy, etcd_cluster, proxied
from registry_heard import Heard, say

from idlrt.core import Freshness, Instance, ServiceKey
from idlrt.errors import RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl
from idlrt.registry.etcd import EtcdBackend

pytestmark = pytest.mark.slow


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


def connect(hosts: str, ttl: int = 2) -> Registry:
    return Registry.connect(f"etcd://{hosts}?ttl={ttl}", cache=False, empty_protection=False)


def near(one: Etcd | FaultProxy, ttl: int = 2) -> Registry:
    return connect(f"127.0.0.1:{one.port}", ttl)


def instance(port: int = 1001, **more: Any) -> Instance:
    return Instance(service="demo", host="127.0.0.1", port=port, **more)


def test_killed_and_restarted(one: Etcd) -> None:
    with near(one) as server, near(one) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        one.kill()
        stale = heard.until_fresh(Freshness.STALE)
        registration.update(weight=7)
        assert isinstance(client.trouble or heard.subscription.trouble, RegistryUnavailable)
        time.sleep(2.5)  # longer than the lease: etcd gives leases their time anew when it comes back
        one.start()
        live = heard.until_fresh(Freshness.LIVE)
        changed = heard.until(lambda each: each.instances[0].weight == 7, "what was changed meanwhile")
        assert heard.never_empty(1)
        say(
            f"etcd killed: stale after {stale:.2f} s; restarted: live after {live:.2f} s, a change {changed:.2f} s more"
        )


def test_came_back_with_nothing(one: Etcd) -> None:
    with near(one) as server, near(one) as client:
        server.register(instance()).wait()
        for number in range(20):
            one.put(f"/other/{number}", "x")
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        client.configure("demo", {"a": "1"})
        heard.until(lambda each: bool(each.settings), "a setting")
        one.kill()
        one.wipe()
        one.restart()
        back = heard.until(lambda each: bool(each.instances) and not each.settings, "the instance, registered anew")
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
        seen = heard.until(lambda each: each.instances[0].weight == 7, "a change")
        heard.until_fresh(Freshness.LIVE)
        leader.restart()
        registration.update(weight=8)
        again = heard.until(lambda each: each.instances[0].weight == 8, "a change")
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
def test_a_member_that_stands_still(three: Cluster, which: int) -> None:
    with connect(three.hosts) as server, connect(three.hosts) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        three.members[which].pause()
        try:
            registration.update(weight=7)
            seen = heard.until(lambda each: each.instances[0].weight == 7, "a change")
            assert heard.never_empty(1)
        finally:
            three.members[which].resume()
        say(f"member {which} stands still: a change seen after {seen:.2f} s")


def test_lease_revoked_by_somebody(one: Etcd) -> None:
    with near(one) as server, near(one) as client:
        server.register(instance()).wait()
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        assert one.revoke_all() == 2
        gone = heard.until_ports()
        back = heard.until_ports(1001)
        say(f"lease revoked: gone after {gone:.2f} s, back {back:.2f} s later (heartbeats every 0.67 s)")


def test_a_change_finds_the_lease_dead(one: Etcd) -> None:
    # With heartbeats far apart it is the write that notices.
    with near(one, 60) as server, near(one) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        one.revoke_all()
        heard.until_ports()
        registration.update(weight=7)
        back = heard.until_ports(1001)
        assert heard.snapshots[-1].instances[0].weight == 7
        say(f"lease found dead by a write: back after {back:.2f} s (heartbeats every 20 s)")


def test_cut_off_for_less_than_the_lease(one: Etcd, proxy: FaultProxy) -> None:
    with near(proxy, 10) as server, near(one) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        leases = one.leases()
        proxy.is_silent = True
        registration.update(weight=7)
        time.sleep(3)
        assert len(heard.changes[-1][1].snapshot.instances) == 1
        proxy.is_silent = False
        seen = heard.until(lambda each: each.instances[0].weight == 7, "what was changed meanwhile")
        assert set(leases) <= set(one.leases()), "the session is the same"
        assert heard.never_empty(1)
        say(f"cut for 3 s of 10: never gone, a change seen {seen:.2f} s after")


def test_cut_off_for_longer_than_the_lease(one: Etcd, proxy: FaultProxy) -> None:
    with near(proxy) as server, near(one) as client:
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
            f"cut for longer than the lease of 2 s: who is cut off knows after {stale:.2f} s, "
            f"others do {gone:.2f} s later; back {back:.2f} s after the network"
        )


@pytest.mark.parametrize("is_compacted", [False, True])
def test_changes_while_cut_off_are_seen(
    one: Etcd, proxy: FaultProxy, is_compacted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "idlrt.registry")
    with near(one, 10) as server, near(proxy, 10) as client:
        registrations = [server.register(instance(port)) for port in (1001, 1002)]
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001, 1002)
        time.sleep(1.1)  # a watch that has lasted is begun again where it was
        proxy.is_silent = True
        registrations[0].deregister()
        server.register(instance(1003)).wait()
        registrations[1].update(weight=7)
        registrations[1].wait()
        if is_compacted:
            one.compact()
        proxy.cut()
        proxy.is_silent = False
        seen = heard.until_ports(1002, 1003)
        heard.until(lambda each: each.get("127.0.0.1:1002").weight == 7, "a weight")  # type: ignore[union-attr]
        revisions = [each.revision for each in heard.snapshots]
        assert revisions == sorted(revisions)
        assert all(each.freshness is Freshness.LIVE for each in heard.snapshots)
        assert ("listing demo anew" in caplog.text) == is_compacted
        say(f"cut off{', compacted' if is_compacted else ''}: what had changed was seen {seen:.2f} s after")


def test_no_change_is_lost_between_cuts(one: Etcd, proxy: FaultProxy) -> None:
    with near(one, 10) as server, near(proxy, 10) as client:
        registration = server.register(instance())
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1001)
        late = []
        for number in range(1, 31):
            if number % 3 == 0:
                proxy.cut()
            registration.update(weight=number)
            late.append(heard.until(lambda each, number=number: each.instances[0].weight == number, "a weight"))
        revisions = [each.revision for each in heard.snapshots]
        assert revisions == sorted(revisions)
        assert heard.never_empty(1)
        late.sort()
        say(f"30 changes between 10 cuts: seen after {late[15]:.3f} s (median), {late[-1]:.2f} s (worst)")


def test_a_watch_that_nobody_answers_is_noticed_without_heartbeats(proxy: FaultProxy) -> None:
    """A connection that is dead on the other side only: heartbeats go another way, so nothing else tells."""

    async def main() -> float:
        backend = EtcdBackend(RegistryUrl.parse(f"etcd://127.0.0.1:{proxy.port}?ttl=1"))
        await backend.open(lambda: None)
        watching = backend.watch(ServiceKey("demo"))
        assert not (await anext(watching)).instances
        waiting = asyncio.ensure_future(anext(watching))  # type: ignore[arg-type, var-annotated]
        await asyncio.sleep(3)  # longer than a watch may be silent: it was begun again meanwhile
        assert not waiting.done()
        proxy.is_silent = True
        start = time.monotonic()
        with pytest.raises(RegistryUnavailable, match=f"cannot watch at http://127.0.0.1:{proxy.port}: no answer"):
            await asyncio.wait_for(waiting, 30)
        took = time.monotonic() - start
        proxy.is_silent = False
        await backend.close()
        return took

    say(f"a silent watch is given up after {asyncio.run(main()):.2f} s, with a lease of 1 s")


def test_a_member_without_a_leader_says_so(three: Cluster) -> None:
    """It is there and answers; what it does not hear of any more it cannot tell."""

    async def main() -> float:
        backend = EtcdBackend(RegistryUrl.parse(f"etcd://127.0.0.1:{three.members[2].port}?ttl=60"))
        await backend.open(lambda: None)
        watching = backend.watch(ServiceKey("demo"))
        await anext(watching)
        waiting = asyncio.ensure_future(anext(watching))  # type: ignore[arg-type, var-annotated]
        await asyncio.sleep(1.2)
        for each in three.members[:2]:
            each.pause()
        start = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="no leader"):
            await asyncio.wait_for(waiting, 30)
        took = time.monotonic() - start
        for each in three.members[:2]:
            each.resume()
        await backend.close()
        return took

    say(f"a watch at a member that lost the others ends after {asyncio.run(main()):.2f} s")


def test_programs_start_with_what_was_saved(one: Etcd, tmp_path: Path) -> None:
    def near_with_cache() -> Registry:
        return Registry.connect(f"etcd://127.0.0.1:{one.port}?ttl=2", cache=tmp_path / "cache")

    with near_with_cache() as server, near_with_cache() as client:
        server.register(instance()).wait()
        Heard(client.subscribe("demo")).until_ports(1001)
    one.kill()
    with near_with_cache() as client:
        start = time.monotonic()
        snapshot = client.subscribe("demo").wait(20)
        took = time.monotonic() - start
        assert [each.port for each in snapshot.instances] == [1001]
        assert snapshot.freshness is not Freshness.LIVE
        one.restart()
        with near(one) as server:
            server.register(instance(1002)).wait()
            Heard(client.subscribe("demo")).until_ports(1002)
    say(f"etcd is down at the start: saved instances after {took:.2f} s")


def test_goodbyes_are_short(one: Etcd, proxy: FaultProxy) -> None:
    times = []
    for is_silent in (False, True):
        with contextlib.closing(near(proxy)) as server:
            server.register(instance()).wait()
            proxy.is_silent = is_silent
            start = time.monotonic()
        times.append(time.monotonic() - start)
        if not is_silent:
            assert one.keys("/idlrt/") == []
            assert one.leases() == []
    proxy.is_silent = False
    assert times[1] < 10
    say(f"closing takes {times[0]:.3f} s, and {times[1]:.2f} s where nobody answers")
