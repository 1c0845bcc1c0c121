"""DNS as a registry: names that change, TTLs, and servers that fail."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dns_server import DnsServer, dns_server
from eventually import TIMEOUT, eventually
from registry_heard import Heard

from idlrt.core import Freshness, Instance, ServiceKey
from idlrt.errors import ConfigurationError, RegistryRefused, RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl
from idlrt.registry.dns import DnsBackend
from idlrt.registry.dns.names import Settings

pytestmark = pytest.mark.slow

# Short refresh intervals, and a timeout that a busy resolver does not exceed.
QUICK = "min_refresh=0.02&max_refresh=0.05&timeout=30"


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with dns_server() as made:
        yield made


def connect(server: DnsServer, options: str = "", **more: Any) -> Registry:
    url = f"dns://127.0.0.1:{server.port}/?{QUICK}&{options}"
    return Registry.connect(url, **{"cache": False, "timeout": TIMEOUT, **more})


def seen(registry: Registry, service: str, group: str = "default") -> list[tuple[str, int]]:
    return [(each.address, each.weight) for each in registry.instances(service, group).instances]


def test_addresses_with_a_port(server: DnsServer) -> None:
    server.set("users.example.com", "A", "10.0.0.2", "10.0.0.1")
    server.set("users.example.com", "AAAA", "fd00::1")
    with connect(server, "port=9090") as registry:
        snapshot = registry.instances("users.example.com")
        assert [each.address for each in snapshot.instances] == ["10.0.0.1:9090", "10.0.0.2:9090", "[fd00::1]:9090"]
        assert {each.key for each in snapshot.instances} == {ServiceKey("users.example.com")}
        assert snapshot.revision > 0
        assert snapshot.freshness is Freshness.LIVE


def test_only_srv_records_with_the_best_priority_are_used(server: DnsServer) -> None:
    server.set(
        "_users._tcp.example.com",
        "SRV",
        "10 60 9001 a.example.com.",
        "10 0 9002 b.example.com.",
        "20 100 9003 c.example.com.",
    )
    with connect(server, "domain=example.com&resolve=false") as registry:
        assert seen(registry, "users") == [("a.example.com:9001", 60), ("b.example.com:9002", 1)]
        server.set("_users._tcp.example.com", "SRV", "0 0 9001 a.example.com.", "0 0 9002 b.example.com.")
        assert seen(registry, "users") == [("a.example.com:9001", 100), ("b.example.com:9002", 100)]
        server.set("_users._tcp.example.com", "SRV", "0 0 0 .")
        assert seen(registry, "users") == []


def test_hosts_of_srv_records_are_resolved_by_a_given_resolver(server: DnsServer) -> None:
    server.set("_users._tcp.example.com", "SRV", "1 5 9001 a.example.com.", "1 7 9002 b.example.com.", "1 1 9 gone.")
    server.set("a.example.com", "A", "10.0.0.1", "10.0.0.2")
    server.set("b.example.com", "CNAME", "a.example.com.")
    with connect(server, "domain=example.com") as registry:
        assert seen(registry, "users") == [
            ("10.0.0.1:9001", 5),
            ("10.0.0.1:9002", 7),
            ("10.0.0.2:9001", 5),
            ("10.0.0.2:9002", 7),
        ]
        found = registry.instances("users").instances
        assert [each.metadata["target"] for each in found[:2]] == ["a.example.com", "b.example.com"]


def test_names_of_services(server: DnsServer) -> None:
    def name(options: str, service: str = "demo.Users", group: str = "default") -> str:
        return Settings.of(RegistryUrl.parse(f"dns:///?{options}")).name(ServiceKey(service, group))

    assert name("port=1") == "demo.Users"
    assert name("", "_users._tcp.example.com") == "_users._tcp.example.com"
    assert name("port=1&domain=example.com.") == "demo.Users.example.com."
    assert name("port=1&domain=example.com", group="blue") == "demo.Users.blue.example.com."
    assert name("domain=example.com") == "_demo.Users._tcp.example.com."
    assert name("domain=example.com", group="blue") == "_demo.Users._tcp.blue.example.com."
    assert name("name=_rpc._tcp.{service}.{group}.svc") == "_rpc._tcp.demo.Users.default.svc"
    assert name("name=here.example.com") == "here.example.com"
    for options in ("port=1", "name={service}.example.com"):
        with pytest.raises(
            RegistryRefused, match=r"cannot look up blue/demo.Users: no place for its group; set domain="
        ):
            name(options, group="blue")


def test_changes_are_seen(server: DnsServer) -> None:
    server.set("users.example.com", "A", "10.0.0.1")
    with connect(server, "port=1001") as registry:
        heard = Heard(registry.subscribe("users.example.com"))
        heard.until_hosts("10.0.0.1")
        server.set("users.example.com", "A", "10.0.0.1", "10.0.0.2")
        heard.until_hosts("10.0.0.1", "10.0.0.2")
        server.set("users.example.com", "A", "10.0.0.2")
        heard.until_hosts("10.0.0.2")
        # Another order, or the same records again, are not a change.
        server.set("users.example.com", "A", "10.0.0.2", "10.0.0.2")
        asked = server.asked["users.example.com", "A"]
        eventually(lambda: server.asked["users.example.com", "A"] > asked + 3)
        assert len(heard.changes) == 3
        revisions = [each.revision for each in heard.snapshots]
        assert revisions == sorted(set(revisions))
        update = registry.changes("users.example.com", revisions[-1])
        assert (update.is_whole, update.instances) == (False, ())
        assert registry.changes("users.example.com", revisions[0]).is_whole


def test_names_are_looked_up_again_after_their_ttl(server: DnsServer) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def main() -> list[int]:
        url = f"dns://127.0.0.1:{server.port}/?port=9090&min_refresh=5&max_refresh=60&timeout=30"
        backend = DnsBackend(RegistryUrl.parse(url), clock=lambda: 1000.0, sleep=sleep)
        await backend.open(lambda: None)
        revisions = []
        watching = backend.watch(ServiceKey("users"))
        for number, ttl in enumerate((30, 2, 3600, 17)):
            server.set("users", "A", f"10.0.0.{number}", ttl=ttl)
            server.set("users", "AAAA", "fd00::1", ttl=ttl + 1)
            revisions.append((await anext(watching)).revision)
        server.forget("users")
        revisions.append((await anext(watching)).revision)
        server.set("users", "A", "10.0.0.1", ttl=20)
        revisions.append((await anext(watching)).revision)
        await backend.close()
        return revisions

    assert asyncio.run(main()) == [1_000_000 + number for number in range(6)]
    assert pauses == [30, 5, 60, 17, 5]


def test_a_name_that_does_not_exist_has_no_instances(server: DnsServer, caplog: pytest.LogCaptureFixture) -> None:
    server.set("users.example.com", "TXT", '"no addresses"')
    for empty_protection in (False, True):
        with connect(server, "port=9090", empty_protection=empty_protection) as registry:
            assert seen(registry, "nobody.example.com") == []
            assert seen(registry, "users.example.com") == []
            server.set("some.example.com", "A", "10.0.0.1")
            heard = Heard(registry.subscribe("some.example.com"))
            heard.until_hosts("10.0.0.1")
            server.forget("some.example.com")
            if empty_protection:
                heard.until(lambda each: each.freshness is Freshness.PROTECTED, "protected")
                assert [each.host for each in heard.snapshots[-1].instances] == ["10.0.0.1"]
                server.set("some.example.com", "A", "10.0.0.3")
                heard.until_hosts("10.0.0.3")
            else:
                heard.until_hosts()


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("servfail", "answered SERVFAIL"),
        pytest.param("refused", "answered REFUSED", marks=pytest.mark.slow),
        pytest.param("silent", "no response within 0.5 s", marks=pytest.mark.slow),
        pytest.param("garbage", "cannot look up A", marks=pytest.mark.slow),
    ],
)
def test_the_last_instances_are_kept_while_the_server_fails(server: DnsServer, trouble: str, why: str) -> None:
    server.set("users.example.com", "A", "10.0.0.1")
    # Time to wait for a response that is missing or invalid.
    seconds = 0.5 if trouble in ("silent", "garbage") else 30
    url = f"dns://127.0.0.1:{server.port}/?min_refresh=0.02&max_refresh=0.05&port=9090&timeout={seconds}"
    with Registry.connect(url, cache=False, timeout=TIMEOUT) as registry:
        heard = Heard(registry.subscribe("users.example.com"))
        heard.until_hosts("10.0.0.1")
        server.trouble[""] = trouble
        heard.until(lambda each: each.freshness is Freshness.STALE, "stale")
        assert [each.host for each in heard.snapshots[-1].instances] == ["10.0.0.1"]
        error = heard.subscription.last_error
        assert isinstance(error, RegistryUnavailable)
        assert why in str(error)
        assert f"127.0.0.1:{server.port}" in str(error) or f"127.0.0.1@{server.port}" in str(error)
        with pytest.raises(RegistryUnavailable):
            registry.instances("users.example.com")
        server.set("users.example.com", "A", "10.0.0.2")
        server.trouble.clear()
        heard.until_hosts("10.0.0.2")


def test_lookups_fail_over_to_the_next_resolver(server: DnsServer) -> None:
    server.set("users", "A", "10.0.0.1")
    with dns_server() as other:
        other.trouble[""] = "servfail"
        url = f"dns://127.0.0.1:{other.port},127.0.0.1:{server.port}/?port=9090&timeout=30"
        with Registry.connect(url, cache=False, timeout=TIMEOUT) as registry:
            assert seen(registry, "users") == [("10.0.0.1:9090", 100)]
        assert other.asked


def test_long_responses_use_tcp(server: DnsServer) -> None:
    hosts = [f"10.0.{number // 200}.{number % 200}" for number in range(400)]
    server.set("users", "A", *hosts)
    with connect(server, "port=9090") as registry:
        assert len(seen(registry, "users")) == 400
    assert server.by_tcp > 0


def test_a_program_starts_with_the_saved_snapshot_while_the_server_fails(server: DnsServer, tmp_path: Path) -> None:
    server.set("users", "A", "10.0.0.1")
    with connect(server, "port=9090", cache=tmp_path) as registry:
        registry.subscribe("users").wait()
    server.trouble[""] = "servfail"
    with connect(server, "port=9090", cache=tmp_path) as registry:
        snapshot = registry.subscribe("users").wait()
        assert snapshot.freshness in (Freshness.SAVED, Freshness.STALE)
        assert [each.host for each in snapshot.instances] == ["10.0.0.1"]


def test_dns_is_read_only(server: DnsServer) -> None:
    server.set("users", "A", "10.0.0.1")
    with connect(server, "port=9090") as registry:
        with pytest.raises(ConfigurationError, match="the registry is read-only"):
            registry.register(Instance(service="users", host="127.0.0.1", port=1))
        for ask in (
            registry.groups,
            registry.services,
            lambda: registry.modify("users", "10.0.0.1:9090", weight=1),
            lambda: registry.configure("users", {"a": "1"}),
        ):
            with pytest.raises(RegistryRefused, match="a DNS registry only supports looking up instances"):
                ask()


def test_an_invalid_name_is_refused(server: DnsServer) -> None:
    with connect(server, "port=9090") as registry, pytest.raises(RegistryRefused, match="is not a valid DNS name"):
        registry.instances("x" * 64)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("dns://ns.example.com/?port=1", "a resolver must be an IP address"),
        ("dns:///?port=0", "port must be between 1 and 65535"),
        ("dns:///?port=thrift", "omit it to look up SRV records"),
        ("dns:///?domain=a&name=b", "domain and name exclude each other"),
        ("dns:///?name={zone}.b", "unknown placeholder {zone} in name"),
        ("dns:///example.com", "write domain=example.com for a domain"),
        ("dns:///?min_refresh=61", "min_refresh must be at most max_refresh"),
        ("dns:///?resolve=maybe", "resolve must be true or false"),
        (
            "dns:///?ttl=1",
            "unknown option 'ttl' (known: domain, max_refresh, min_refresh, name, port, resolve, timeout)",
        ),
    ],
)
def test_invalid_urls(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registry.connect(url)
    assert why in str(caught.value)


def test_a_missing_dnspython_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.asyncresolver", None)
    monkeypatch.delattr("dns.asyncresolver", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'idlc\[dns\]'"):
        DnsBackend(RegistryUrl.parse("dns:///?port=1"))
