"""Faults of an embedded registry in its own process. Measurements are printed (`pytest -s`)."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from eventually import TIMEOUT, eventually
from fault_proxy import proxied
from registry_heard import Heard, say
from registry_process import registry_process

from idlrt.core import Freshness, Instance, Status
from idlrt.embedded import RegistryServer
from idlrt.errors import ConfigurationError
from idlrt.registry import Registry

# Real servers and processes.
pytestmark = pytest.mark.slow

# Timeout of sessions that must not expire during a test, even on a busy machine.
LONG = 60
# Timeout of sessions that expire in a test.
SHORT = 1


def instance(number: int) -> Instance:
    return Instance(service="Users", host="127.0.0.1", port=20000 + number)


def connect(url: str, session: float = LONG) -> Registry:
    return Registry.connect(f"{url}?timeout={session}", cache=False, timeout=TIMEOUT)


def test_a_killed_registry_loses_no_acknowledged_registration(tmp_path: Path) -> None:
    with registry_process(tmp_path / "registry.db") as process, connect(process.url) as client:
        with connect(process.url) as server:
            for number in range(20):
                server.register(instance(number)).wait()
            client.modify("Users", "127.0.0.1:20003", status=Status.DISABLED)
            client.configure("Users", {"balancer": "p2c"})
            before = client.instances("Users")
            process.kill()
            process.start()
            # A new client sees all registrations at once: they were on disk.
            with connect(process.url) as stranger:
                after = stranger.instances("Users")
            assert after.instances == before.instances
            assert after.settings == {"balancer": "p2c"}
            assert after.revision == before.revision
            # Sessions from before the restart continue.
            server.register(instance(99)).wait()
            server.close(TIMEOUT)
        assert client.instances("Users").instances == ()


def test_all_servers_register_again_after_a_restart_without_a_file() -> None:
    # A short session, because the next heartbeat finds out that the registry has lost it.
    with registry_process() as process, connect(process.url, 3) as server, connect(process.url) as client:
        for number in range(20):
            server.register(instance(number)).wait()
        heard = Heard(client.subscribe("Users"))
        heard.until_ports(*range(20000, 20020))
        process.kill()
        heard.until_fresh(Freshness.STALE)
        process.start()
        took = heard.until_ports(*range(20000, 20020))
        say(f"20 instances are back {took:.2f} s after the registry was")
        assert heard.never_empty(), "nobody has seen an empty service"


def test_updates_continue_after_a_graceful_restart(tmp_path: Path) -> None:
    with (
        registry_process(tmp_path / "registry.db") as process,
        connect(process.url) as server,
        connect(process.url) as client,
    ):
        heard = Heard(client.subscribe("Users"))
        server.register(instance(1)).wait()
        heard.until_ports(20001)
        assert process.stop() == 0
        process.start()
        server.register(instance(2)).wait()
        heard.until_ports(20001, 20002)


def test_a_crashed_server_is_removed_when_its_session_expires() -> None:
    with (
        registry_process() as process,
        connect(process.url) as client,
        connect(process.url) as stays,
        proxied(process.port) as proxy,
        connect(f"embedded://127.0.0.1:{proxy.port}", SHORT) as dies,
    ):
        heard = Heard(client.subscribe("Users"))
        stays.register(instance(1)).wait()
        dies.register(instance(2)).wait()
        heard.until_ports(20001, 20002)
        # Like a power failure: the connection is not even closed.
        proxy.is_silent = True
        took = heard.until_ports(20001)
        say(f"removed {took:.2f} s after its last word, with a session of {SHORT} s")
        proxy.is_silent = False
        heard.until_ports(20001, 20002)


def test_a_session_survives_a_network_partition() -> None:
    with (
        registry_process() as process,
        connect(process.url) as observer,
        proxied(process.port) as proxy,
        connect(f"embedded://127.0.0.1:{proxy.port}") as server,
    ):
        server.register(instance(1)).wait()
        heard = Heard(observer.subscribe("Users"))
        heard.until_ports(20001)
        proxy.is_refusing = True
        proxy.cut()
        second = server.register(instance(2))
        # A heartbeat was sent and failed.
        eventually(lambda: second.error is not None)
        proxy.is_refusing = False
        second.wait()
        heard.until_ports(20001, 20002)
        assert heard.removed == [], "the session is the same"


def test_a_subscriber_misses_no_change_during_a_partition() -> None:
    with (
        registry_process() as process,
        connect(process.url) as server,
        proxied(process.port) as proxy,
        connect(f"embedded://127.0.0.1:{proxy.port}") as client,
    ):
        heard = Heard(client.subscribe("Users"))
        first = server.register(instance(1))
        heard.until_ports(20001)
        took = 0.0
        for number in range(2, 8):
            proxy.is_refusing = True
            proxy.cut()
            server.register(instance(number)).wait()
            first.update(weight=number)
            first.wait()
            proxy.is_refusing = False
            took = heard.until_ports(*range(20001, 20001 + number))
        heard.until(lambda each: each.instances[0].weight == 7, "also what was changed")
        say(f"known {took:.2f} s after the network was back")


def test_an_unresponsive_registry_is_detected() -> None:
    with (
        registry_process() as process,
        connect(process.url) as server,
        proxied(process.port) as proxy,
        connect(f"embedded://127.0.0.1:{proxy.port}", 2) as client,
    ):
        server.register(instance(1)).wait()
        heard = Heard(client.subscribe("Users"))
        heard.until_ports(20001)
        proxy.is_silent = True
        took = heard.until_fresh(Freshness.STALE)
        say(f"noticed {took:.2f} s after the network had fallen silent")
        assert [each.port for each in heard.last.instances] == [20001], "what was known is kept"
        proxy.is_silent = False
        server.register(instance(2)).wait()
        heard.until_ports(20001, 20002)


def test_shutdown_does_not_wait_for_disconnected_clients(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), RegistryServer() as server:
        with connect(server.url) as client:
            client.subscribe("Users").wait()
            eventually(lambda: server.in_flight, "a poll waits there")
        eventually(lambda: server.sessions == 0, "the client has left")
    # A long poll that is not completed would exceed the grace period, which is logged.
    assert [each.getMessage() for each in caplog.records] == []


def test_two_registries_cannot_share_a_file(tmp_path: Path) -> None:
    with (
        registry_process(tmp_path / "registry.db"),
        pytest.raises(ConfigurationError, match=r"cannot use .*registry\.db.*another registry is using it"),
        RegistryServer(data=tmp_path / "registry.db"),
    ):
        pass


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigurationError, match=r"cannot use .*other\.db for a registry"):
        RegistryServer(data=tmp_path / "other.db").start()
