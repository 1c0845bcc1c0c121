"""The embedded registry as a process, with everything that may happen to it: figures are printed (`pytest -s`)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fault_proxy import proxied
from registry_process import ports, registry_process, snapshot_of, until

from idlrt.core import Freshness, Instance, Status
from idlrt.registry import Registry

# Real servers and processes.
pytestmark = pytest.mark.slow


def instance(number: int) -> Instance:
    return Instance(service="Users", host="127.0.0.1", port=20000 + number)


def connect(url: str, **options: float) -> Registry:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return Registry.connect(f"{url}?{query}" if query else url, cache=False)


def test_killed_and_started_again_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    with registry_process(tmp_path / "registry.db") as process, connect(process.url) as client:
        with connect(process.url) as server:
            for number in range(20):
                server.register(instance(number)).wait()
            client.modify("Users", "127.0.0.1:20003", status=Status.DISABLED)
            client.configure("Users", {"balancer": "p2c"})
            before = client.instances("Users")
            process.kill()
            process.start()
            # A stranger sees all of it at once: the registry had it on disk.
            with connect(process.url) as stranger:
                after = stranger.instances("Users")
            assert after.instances == before.instances
            assert after.settings == {"balancer": "p2c"}
            assert after.revision == before.revision
            # And goes on: sessions of before are good.
            server.register(instance(99)).wait()
        took = until(lambda: not client.instances("Users").instances, "who left after the restart is gone")
        print(f"all gone {took:.2f} s after their owner had left")


def test_killed_and_started_again_without_a_file_all_come_back(tmp_path: Path) -> None:
    with (
        registry_process() as process,
        connect(process.url) as server,
        connect(process.url) as client,
    ):
        subscription = client.subscribe("Users")
        for number in range(20):
            server.register(instance(number)).wait()
        until(lambda: len(ports(subscription)) == 20, "all are known")
        seen: list[int] = []
        subscription.listen(lambda change: seen.append(len(change.snapshot.instances)))
        process.kill()
        until(lambda: snapshot_of(subscription).freshness is Freshness.STALE, "the client knows that it knows no more")
        process.start()
        took = until(
            lambda: (
                len(snapshot_of(subscription).instances) == 20 and snapshot_of(subscription).freshness is Freshness.LIVE
            ),
            "all have registered again",
        )
        print(f"20 instances are back {took:.2f} s after the registry was")
        assert min(seen) > 0, "nobody has seen an empty service"


def test_the_same_after_a_stop_in_good_order(tmp_path: Path) -> None:
    with (
        registry_process(tmp_path / "registry.db") as process,
        connect(process.url) as server,
        connect(process.url) as client,
    ):
        subscription = client.subscribe("Users")
        server.register(instance(1)).wait()
        until(lambda: ports(subscription) == [20001], "known")
        assert process.stop() == 0
        process.start()
        server.register(instance(2)).wait(20)
        until(lambda: ports(subscription) == [20001, 20002], "changes come again")


def test_a_provider_that_dies_is_removed_within_its_session(tmp_path: Path) -> None:
    with (
        registry_process() as process,
        connect(process.url) as client,
        connect(process.url) as stays,
        proxied(process.port) as proxy,
    ):
        subscription = client.subscribe("Users")
        stays.register(instance(1)).wait()
        dies = Registry.connect(f"embedded://127.0.0.1:{proxy.port}?timeout=1", cache=False)
        dies.register(instance(2)).wait()
        until(lambda: ports(subscription) == [20001, 20002], "both are there")
        # What a machine without power does: no word, not even that it closes.
        proxy.is_silent = True
        took = until(lambda: ports(subscription) == [20001], "the dead one is removed")
        print(f"removed {took:.2f} s after its last word, with a session of 1 s")
        assert took < 10
        proxy.is_silent = False
        until(lambda: ports(subscription) == [20001, 20002], "it was alive after all, and is there again")
        dies.close()


def test_a_network_that_is_cut_for_less_than_a_session(tmp_path: Path) -> None:
    with (
        registry_process() as process,
        connect(process.url) as observer,
        proxied(process.port) as proxy,
        Registry.connect(f"embedded://127.0.0.1:{proxy.port}?timeout=6", cache=False) as server,
    ):
        server.register(instance(1)).wait()
        subscription = observer.subscribe("Users")
        until(lambda: ports(subscription) == [20001], "known")
        seen: list[int] = []
        subscription.listen(lambda change: seen.append(len(change.snapshot.instances)))
        proxy.is_refusing = True
        proxy.cut()
        time.sleep(1.0)
        proxy.is_refusing = False
        server.register(instance(2)).wait(20)
        until(lambda: ports(subscription) == [20001, 20002], "it goes on in the same session")
        assert min(seen) >= 1


def test_a_subscriber_that_was_cut_off_misses_nothing(tmp_path: Path) -> None:
    with (
        registry_process() as process,
        connect(process.url) as server,
        proxied(process.port) as proxy,
        Registry.connect(f"embedded://127.0.0.1:{proxy.port}", cache=False) as client,
    ):
        subscription = client.subscribe("Users")
        first = server.register(instance(1))
        until(lambda: ports(subscription) == [20001], "known")
        for number in range(2, 12):
            proxy.is_refusing = True
            proxy.cut()
            server.register(instance(number)).wait()
            first.update(weight=number)
            first.wait()
            proxy.is_refusing = False
            wanted = list(range(20001, 20001 + number))
            took = until(lambda wanted=wanted: ports(subscription) == wanted, f"change {number} is known")  # type: ignore[misc]
        until(lambda: any(each.weight == 11 for each in snapshot_of(subscription).instances), "also what was changed")
        print(f"known {took:.2f} s after the network was back")


def test_a_registry_that_is_silent_is_noticed(tmp_path: Path) -> None:
    with (
        registry_process() as process,
        connect(process.url) as server,
        proxied(process.port) as proxy,
        Registry.connect(f"embedded://127.0.0.1:{proxy.port}?timeout=2", cache=False) as client,
    ):
        server.register(instance(1)).wait()
        subscription = client.subscribe("Users")
        until(lambda: ports(subscription) == [20001], "known")
        proxy.is_silent = True
        took = until(lambda: snapshot_of(subscription).freshness is Freshness.STALE, "it knows that it knows no more")
        print(f"noticed {took:.2f} s after the network had fallen silent")
        assert ports(subscription) == [20001], "what was known is kept"
        proxy.is_silent = False
        server.register(instance(2)).wait()
        until(lambda: ports(subscription) == [20001, 20002], "it follows again")


def test_a_registry_does_not_wait_for_who_has_left() -> None:
    from idlrt.embedded import RegistryServer

    server = RegistryServer().start()
    with connect(server.url) as client:
        client.subscribe("Users").wait()
        time.sleep(0.1)  # a poll waits there now
    time.sleep(0.1)  # what answers it comes to nobody
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 2


@pytest.mark.slow
def test_two_registries_cannot_share_a_file(tmp_path: Path) -> None:
    from idlrt.embedded import RegistryServer
    from idlrt.errors import ConfigurationError

    with (
        registry_process(tmp_path / "registry.db"),
        pytest.raises(ConfigurationError, match=r"cannot use .*registry\.db.*does another registry use it"),
        RegistryServer(data=tmp_path / "registry.db"),
    ):
        pass


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    from idlrt.embedded import RegistryServer
    from idlrt.errors import ConfigurationError

    (tmp_path / "other.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigurationError, match=r"cannot use .*other\.db for a registry"):
        RegistryServer(data=tmp_path / "other.db").start()
