"""The embedded registry as a process, with everything that may happen to it: figures are printed (`pytest -s`)."""

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

# Of sessions that are not to end while a test runs, however busy the machine is.
LONG = 60
# Of sessions that are to end.
SHORT = 1


def instance(number: int) -> Instance:
    return Instance(service="Users", host="127.0.0.1", port=20000 + number)


def connect(url: str, session: float = LONG) -> Registry:
    return Registry.connect(f"{url}?timeout={session}", cache=False, timeout=TIMEOUT)


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
            server.close(TIMEOUT)
        assert client.instances("Users").instances == ()


def test_killed_and_started_again_without_a_file_all_come_back() -> None:
    # The session is short, as a heartbeat has to find out that the registry has forgotten it.
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


def test_changes_come_again_after_a_stop_in_good_order(tmp_path: Path) -> None:
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


def test_a_provider_that_dies_is_removed_when_its_session_ends() -> None:
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
        # What a machine without power does: no word, not even that it closes.
        proxy.is_silent = True
        took = heard.until_ports(20001)
        say(f"removed {took:.2f} s after its last word, with a session of {SHORT} s")
        proxy.is_silent = False
        heard.until_ports(20001, 20002)


def test_a_session_outlives_a_network_that_is_cut() -> None:
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
        # It was tried, and failed.
        eventually(lambda: second.error is not None)
        proxy.is_refusing = False
        second.wait()
        heard.until_ports(20001, 20002)
        assert heard.removed == [], "the session is the same"


def test_a_subscriber_that_was_cut_off_misses_nothing() -> None:
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


def test_a_registry_that_is_silent_is_noticed() -> None:
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


def test_a_registry_does_not_wait_for_who_has_left(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), RegistryServer() as server:
        with connect(server.url) as client:
            client.subscribe("Users").wait()
            eventually(lambda: server.in_flight, "a poll waits there")
        eventually(lambda: server.sessions == 0, "the client has left")
    # A poll that nobody ends outlasts the grace time, which is logged.
    assert [each.getMessage() for each in caplog.records] == []


def test_two_registries_cannot_share_a_file(tmp_path: Path) -> None:
    with (
        registry_process(tmp_path / "registry.db"),
        pytest.raises(ConfigurationError, match=r"cannot use .*registry\.db.*another registry is using it"),
        RegistryServer(data=tmp_path / "registry.db"),
    ):
        pass


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigurationError, match=r"cannot use .*other\.db for a registry"):
        RegistryServer(data=tmp_path / "other.db").start()
