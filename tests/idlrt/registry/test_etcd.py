"""Conformance suite for etcd, with a real cluster of one member and of three, and etcd's own behavior."""

from __future__ import annotations

import asyncio
import http.server
import re
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from etcd_server import Cluster, etcd_cluster, quoted
from eventually import TIMEOUT
from registry_heard import Heard, say, why_not

from idlrt.core import Instance, Status
from idlrt.errors import ConfigurationError, RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl
from idlrt.registry.etcd import EtcdBackend
from idlrt.testing.registry import HEARTBEAT_CHECKS, REGISTRY_CHECKS

# Real servers and processes.
pytestmark = pytest.mark.long

# Checks whose result may depend on the member that responds, for three members.
KEY_CHECKS = [
    "registered_instances_are_found",
    "subscribers_receive_changes",
    "closing_deregisters",
    "operators_change_instances",
    "changes_since_a_revision",
    "many_at_once",
]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd"), 3) as cluster:
        yield cluster


def connect(cluster: Cluster, prefix: str = "", ttl: int = 60) -> Registry:
    return Registry.connect(f"{cluster.url}/{prefix}?ttl={ttl}", cache=False, empty_protection=False, timeout=TIMEOUT)


@pytest.mark.parametrize("name", REGISTRY_CHECKS)
def test_conformance(one: Cluster, name: str) -> None:
    prefix, ttl = uuid.uuid4().hex, 3 if name in HEARTBEAT_CHECKS else 60
    REGISTRY_CHECKS[name](lambda: connect(one, prefix, ttl))


@pytest.mark.parametrize("name", KEY_CHECKS)
def test_conformance_of_three_members(three: Cluster, name: str) -> None:
    prefix = f"a/{uuid.uuid4().hex}"
    REGISTRY_CHECKS[name](lambda: connect(three, prefix))


def instance(port: int = 1001, service: str = "demo", **more: Any) -> Instance:
    return Instance(service=service, host="127.0.0.1", port=port, **more)


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


def test_storage_layout(one: Cluster, prefix: str) -> None:
    etcd = one.members[0]
    with connect(one, prefix) as registry:
        registry.register(instance(group="blue")).wait()
        registry.modify("demo", "127.0.0.1:1001", "blue", weight=3)
        registry.configure("demo", {"a": "1"}, "blue")
        start = f"/{prefix}/blue/demo"
        assert etcd.keys(f"/{prefix}/") == [
            f"{start}/instances/127.0.0.1:1001",
            f"{start}/patches/127.0.0.1:1001",
            f"{start}/settings",
        ]
        assert registry.configure("demo", {"a": None}, "blue") == {}
    assert etcd.keys(f"/{prefix}/") == [f"{start}/patches/127.0.0.1:1001"]


def test_deregistering_keeps_the_next_owner(one: Cluster, prefix: str) -> None:
    with connect(one, prefix) as client:
        with connect(one, prefix) as old, connect(one, prefix) as new:
            first = old.register(instance(version="1"))
            first.wait()
            new.register(instance(version="2")).wait()
            first.deregister(TIMEOUT)
            old.close()
            assert [each.version for each in client.instances("demo").instances] == ["2"]
        assert client.instances("demo").instances == ()


def test_invalid_values_are_ignored(one: Cluster, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    etcd = one.members[0]
    start = f"/{prefix}/default/demo"
    etcd.put(f"{start}/instances/bad", "{")
    etcd.put(f"{start}/instances/other:1", '{"service": "other", "host": "other", "port": 1}')
    etcd.put(f"{start}/instances/high:1", '{"service": "demo", "host": "high", "port": 100000}')
    etcd.put(f"{start}/instances/good:1", '{"service": "demo", "host": "good", "port": 1, "later": [1]}')
    etcd.put(f"{start}/patches/good:1", '{"weight": -1}')
    etcd.put(f"{start}/settings", '"x"')
    etcd.put(f"{start}/what", "x")
    with connect(one, prefix) as client:
        assert [each.id for each in client.instances("demo").instances] == ["good:1"]
        for name in ("bad", "other:1", "high:1", "patches/good:1", "settings"):
            assert f"{name}: " in caplog.text
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1)
        etcd.put(f"{start}/instances/good:1", "]")
        heard.until_ports()
        etcd.put(f"{start}/instances/good:1", '{"service": "demo", "host": "good", "port": 1}')
        heard.until_ports(1)


def test_the_revision_is_stable_without_changes(one: Cluster, prefix: str) -> None:
    with connect(one, prefix) as server, connect(one, prefix) as client:
        registrations = [server.register(instance(port)) for port in (1001, 1002)]
        for each in registrations:
            each.wait()
        registrations[0].deregister(TIMEOUT)
        known = client.instances("demo").revision
        heard = Heard(client.subscribe("demo"))
        heard.until_ports(1002)
        server.register(instance(service="other")).wait()
        assert client.instances("demo").revision == known
        assert [each.revision for each in heard.snapshots] == [known]
        update = client.changes("demo", known)
        assert (update.revision, update.is_whole, update.instances, update.removed) == (known, False, (), ())
        # Another client may have another revision for the same state; `changes` accepts it.
        assert server.changes("demo", known).instances == ()


def test_changes_are_exact(one: Cluster, prefix: str) -> None:
    etcd = one.members[0]
    with connect(one, prefix) as server:
        registrations = {port: server.register(instance(port)) for port in (1001, 1002, 1003, 1004)}
        for each in registrations.values():
            each.wait()
        known = server.instances("demo").revision
        registrations[1001].deregister(TIMEOUT)
        server.modify("demo", "127.0.0.1:1002", status=Status.DISABLED)
        server.register(instance(1005)).wait()
        server.configure("demo", {"a": "1"})
        update = server.changes("demo", known)
        assert not update.is_whole
        assert [(each.port, each.status) for each in update.instances] == [(1002, "disabled"), (1005, "up")]
        assert update.removed == ("127.0.0.1:1001",)
        assert update.settings == {"a": "1"}
        etcd.compact()
        for revision in (known, 0, 10**9):
            update = server.changes("demo", revision)
            assert update.is_whole
            assert [each.port for each in update.instances] == [1002, 1003, 1004, 1005]


def test_concurrent_changes_are_batched(one: Cluster, prefix: str) -> None:
    etcd = one.members[0]
    with connect(one, prefix) as client:
        heard = Heard(client.subscribe("demo"))
        heard.until_ports()
        for first in range(1, 1001, 100):
            puts = [
                {
                    "request_put": {
                        "key": quoted(f"/{prefix}/default/demo/instances/h:{number}"),
                        "value": quoted(f'{{"service": "demo", "host": "h", "port": {number}}}'),
                    }
                }
                for number in range(first, first + 100)
            ]
            etcd.ask("kv/txn", success=puts)
        took = heard.until_ports(*range(1, 1001))
        assert len(heard.changes) <= 11
        say(f"1000 instances in 10 writes: {len(heard.changes) - 1} snapshots, the last {took:.2f} s after")


def test_services_are_read_in_pages(one: Cluster, prefix: str) -> None:
    """The size of a single response would be unbounded."""
    url = RegistryUrl.parse(f"{one.url}/{prefix}?ttl=60")
    with (
        Registry(lambda: EtcdBackend(url, page_size=1), str(url), timeout=TIMEOUT) as registry,
        Registry(lambda: EtcdBackend(url, page_size=3), str(url), timeout=TIMEOUT) as other,
    ):
        for each in [registry.register(instance(port)) for port in range(1001, 1008)]:
            each.wait()
        registry.configure("demo", {"timeout": "0.5"})
        before = registry.instances("demo")
        assert [each.port for each in before.instances] == list(range(1001, 1008))
        assert before.settings == {"timeout": "0.5"}
        registry.register(instance(1008)).wait()
        assert [each.port for each in registry.changes("demo", before.revision).instances] == [1008]
        assert [each.port for each in other.instances("demo").instances] == list(range(1001, 1009))


def test_names_are_read_in_pages(one: Cluster, prefix: str) -> None:
    url = RegistryUrl.parse(f"{one.url}/{prefix}?ttl=60")
    with Registry(lambda: EtcdBackend(url, page_size=2), str(url), timeout=TIMEOUT) as registry:
        assert registry.groups() == []
        waiting = [
            registry.register(instance(port, service=service, group=group))
            for group in ("a", "a.b", "b")
            for service in ("x", "x.y", "x0", "z")
            for port in (1001, 1002, 1003)
        ]
        for each in waiting:
            each.wait()
        assert registry.groups() == ["a", "a.b", "b"]
        assert registry.services("a") == ["x", "x.y", "x0", "z"]
        assert registry.services("c") == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("etcd://", "missing host"),
        ("etcd://h?ttl=0", "must be between 1e-09 and 2000000 seconds"),
        ("etcd://h?ttl=1.5", "a whole number"),
        ("etcd://h?tls=maybe", "true or false"),
        ("etcd://h?tls=false&ca=x", "ca requires TLS, but tls=false"),
        ("etcd://h?ca=/nowhere.pem", "cannot load /nowhere.pem for TLS"),
        ("etcd://h?key=x", "key requires cert"),
        ("etcd://:secret@h", "password without a user"),
        ("etcd://h?timeout=3", "unknown option 'timeout' (known: ca, cert, key, tls, ttl)"),
    ],
)
def test_invalid_urls(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registry.connect(url)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_httpx_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'idlc\[etcd\]'"):
        EtcdBackend(RegistryUrl.parse("etcd://h"))


def test_no_server(tmp_path: Path) -> None:
    with etcd_cluster(tmp_path) as cluster:
        url = cluster.url
    with Registry.connect(url, cache=False) as registry:
        error = why_not(registry)
        assert isinstance(error, RegistryUnavailable)
        assert re.search(r"cannot connect to http://127.0.0.1:.*check that etcd is running there", str(error))
        waiting = registry.register(instance())
        with pytest.raises(RegistryUnavailable, match="no acknowledgement within"):
            waiting.wait(0.1)


class Other(http.server.ThreadingHTTPServer):
    """Responds to all requests with `status` and an invalid body."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(("127.0.0.1", 0), OtherHandler)


class OtherHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Other)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"<>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "why"),
    [(200, "check that this is an etcd server"), (404, "no /v3 JSON gateway"), (403, "denies access"), (502, "502")],
)
def test_another_kind_of_server(status: int, why: str) -> None:
    with Other(status) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        with Registry.connect(f"etcd://127.0.0.1:{server.server_port}", cache=False) as registry:
            assert why in str(why_not(registry))
        server.shutdown()
        thread.join()


class Refusing(OtherHandler):
    """Responses of an etcd that denies the user read access to the prefix. etcd 3.4.23 does not check that here."""

    ANSWERS: ClassVar = {
        "/v3/lease/grant": (200, b'{"ID": "7", "TTL": "60"}'),
        "/v3/lease/keepalive": (200, b'{"result": {"ID": "7", "TTL": "60"}}'),
        "/v3/lease/timetolive": (403, b'{"code": 7, "message": "etcdserver: permission denied"}'),
        "/v3/lease/revoke": (200, b"{}"),
    }

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_user_without_read_permission_keeps_its_session() -> None:
    """Registrations that cannot be checked count as present."""

    async def keep(port: int) -> Sequence[Instance]:
        backend = EtcdBackend(RegistryUrl.parse(f"etcd://127.0.0.1:{port}"))
        await backend.open(lambda: None)
        missing = await backend.keep([instance()])
        await backend.close()
        return missing

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        assert asyncio.run(keep(server.server_port)) == ()
        server.shutdown()
        thread.join()
