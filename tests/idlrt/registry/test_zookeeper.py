"""ZooKeeper backend with a real server: conformance suite for each layout, permissions, and URLs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
import sys
import uuid
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from free_ports import free_port, free_ports
from zookeeper_server import ZooKeeper, plain_client

from idlrt.core import Instance
from idlrt.errors import ConfigurationError, RegistryRefused, RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl
from idlrt.registry.zookeeper.backend import ZooKeeperBackend
from idlrt.testing.registry import HEARTBEAT_CHECKS, REGISTRY_CHECKS

# Real servers and processes.
pytestmark = pytest.mark.long


@pytest.fixture
def chroot(zookeeper: ZooKeeper) -> str:
    """A unique chroot that does not exist yet."""
    return f"zookeeper://{zookeeper.address}/{uuid.uuid4().hex}"


def connect(url: str, timeout: int = 60) -> Registry:
    """URL with a session that does not expire during a test, even on a busy machine."""
    long = f"{url}{'&' if '?' in url else '?'}timeout={timeout}"
    return Registry.connect(long, cache=False, empty_protection=False, timeout=TIMEOUT)


@pytest.mark.parametrize("layout", ["idlrt", "motan", "dubbo"])
@pytest.mark.parametrize("name", REGISTRY_CHECKS)
def test_conformance(chroot: str, name: str, layout: str) -> None:
    timeout = 3 if name in HEARTBEAT_CHECKS else 60
    REGISTRY_CHECKS[name](lambda: connect(f"{chroot}?layout={layout}", timeout))


def test_conformance_without_a_chroot(zookeeper: ZooKeeper) -> None:
    for name, check in REGISTRY_CHECKS.items():
        if name not in HEARTBEAT_CHECKS:
            check(lambda: connect(f"zookeeper://{zookeeper.address}"))


def test_hundreds_of_instances_are_seen(chroot: str) -> None:
    service = "demo.Many"
    with connect(chroot) as server, connect(chroot) as client:
        registrations = [
            server.register(Instance(service=service, host="127.0.0.1", port=20000 + each)) for each in range(300)
        ]
        for each in registrations:
            each.wait()
        assert len(client.subscribe(service).wait().instances) == 300
        registrations[0].update(weight=7)
        registrations[0].wait()
        assert client.instances(service).instances[0].weight == 7


def test_queries_leave_no_watches_behind(zookeeper: ZooKeeper, chroot: str) -> None:
    with connect(chroot) as registry:
        registry.register(Instance(service="demo.Looked", host="127.0.0.1", port=20001)).wait()
        path = f"{chroot.partition(zookeeper.address)[2]}/idlrt/default/demo.Looked/instances/127.0.0.1:20001"
        with plain_client(zookeeper.address) as hand:
            session: int = hand.exists(path).ephemeralOwner
        for _ in range(20):
            registry.instances("demo.Looked")
        assert zookeeper.watches(session) == []
        # A subscription has watches, so leftover ones would be visible.
        registry.subscribe("demo.Looked").wait()
        assert zookeeper.watches(session)


@pytest.mark.parametrize(("asked", "given"), [(0.05, 0.4), (5, 5), (10_000, 600)])
def test_the_server_bounds_the_session_timeout(chroot: str, asked: float, given: float) -> None:
    async def main() -> float:
        while True:
            backend = ZooKeeperBackend(RegistryUrl.parse(f"{chroot}?timeout={asked}"))
            try:
                await backend.open(lambda: None)
                return backend.heartbeat
            except RegistryUnavailable:
                pass  # such a short session may have expired already
            finally:
                await backend.close()

    # There are three heartbeats per session timeout.
    assert asyncio.run(main()) == pytest.approx(given / 3)


# Permissions.


def test_changes_require_the_password(chroot: str) -> None:
    login = chroot.replace("://", "://server:s%20cret@")
    service, instance = "demo.Guarded", Instance(service="demo.Guarded", host="127.0.0.1", port=20001)
    with connect(login) as server, connect(login) as operator, connect(chroot) as stranger:
        server.register(instance).wait()
        assert stranger.instances(service).instances == (instance,), "all may read"
        operator.modify(service, instance.id, weight=5)
        operator.configure(service, {"timeout": "1"})
        with pytest.raises(RegistryRefused, match="permission denied; give a user with the permission"):
            stranger.modify(service, instance.id, weight=6)
        with pytest.raises(RegistryRefused, match="permission denied"):
            stranger.configure(service, {"timeout": "2"})
        registration = stranger.register(Instance(service=service, host="127.0.0.1", port=20002))
        eventually(lambda: isinstance(registration.error, RegistryRefused))
        with pytest.raises(RegistryRefused, match="permission denied"):
            registration.wait(0)
        assert [each.id for each in operator.instances(service).instances] == [instance.id]


def test_acl_open(chroot: str) -> None:
    login = chroot.replace("://", "://server:secret@")
    with connect(f"{login}?acl=open") as server, connect(chroot) as operator:
        server.register(Instance(service="demo.Open", host="127.0.0.1", port=20001)).wait()
        assert operator.modify("demo.Open", "127.0.0.1:20001", weight=6).weight == 6


def test_acl_ip_restricts_other_networks_to_reading(chroot: str) -> None:
    service = "demo.Networks"
    with connect(f"{chroot}?acl=ip:127.0.0.0/8") as near, connect(chroot) as client:
        near.register(Instance(service=service, host="127.0.0.1", port=20001)).wait()
        assert client.modify(service, "127.0.0.1:20001", weight=6).weight == 6, "this one comes from there too"
    with connect(f"{chroot}?acl=ip:10.99.0.0/16") as far, connect(chroot) as client:
        registration = far.register(Instance(service="demo.Far", host="127.0.0.1", port=20001))
        # Any client may create the first node; its children are restricted to the network.
        eventually(lambda: isinstance(registration.error, RegistryRefused))
        with pytest.raises(RegistryRefused, match="permission denied"):
            registration.wait(0)
        far.close(0)
        assert client.instances("demo.Far").instances == ()


# URLs.


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("zookeeper://h?layout=eureka", "unknown layout 'eureka' (known: dubbo, idlrt, motan)"),
        ("zookeeper://h?acl=list", "unknown acl 'list' (known: digest, ip, open)"),
        ("zookeeper://h?acl=ip", "networks are required for acl=ip"),
        ("zookeeper://h?acl=open:10.0.0.0/8", "networks are required for acl=ip"),
        ("zookeeper://h?acl=ip:nowhere", "invalid network in acl=ip: 'nowhere'"),
        ("zookeeper://h?acl=digest", "acl=digest requires a user and a password"),
        ("zookeeper://h?timeout=soon", "timeout must be between 1e-09 and 2000000 seconds, got 'soon'"),
        ("zookeeper://h?session=6", "unknown option 'session' (known: acl, layout, timeout)"),
        ("zookeeper:///chroot", "missing host"),
    ],
)
def test_invalid_urls(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registry.connect(url)
    assert why in str(caught.value)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect("zookeeper://me:secret@h?layout=none")
    assert "secret" not in str(caught.value)


def test_a_missing_kazoo_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kazoo", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'idlc\[zookeeper\]'"):
        connect("zookeeper://127.0.0.1:2181")


def test_no_server() -> None:
    port = free_port()
    with connect(f"zookeeper://127.0.0.1:{port}") as registry:
        with pytest.raises(RegistryUnavailable, match=f"127.0.0.1:{port}"):
            registry.instances("demo.Users", timeout=0.1)
        eventually(lambda: registry.last_error)
        with pytest.raises(RegistryUnavailable, match=rf"cannot connect to ZooKeeper at 127.0.0.1:{port} within 3 s"):
            registry.instances("demo.Users", timeout=0.1)


def test_an_unresponsive_server_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake takes at most a third of the session timeout. kazoo's waits return at once here."""
    handler = importlib.import_module("kazoo.handlers.threading").SequentialThreadingHandler
    select = handler.select
    waits: list[float] = []

    def select_soon(self: Any, *arguments: Any) -> Any:
        *sockets, timeout = arguments
        waits.append(timeout)
        return select(self, *sockets, 0.01)

    monkeypatch.setattr(handler, "select", select_soon)
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:
        listening.settimeout(TIMEOUT)
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        registry = stack.enter_context(connect(f"zookeeper://{address}", timeout=60))
        with pytest.raises(RegistryUnavailable, match=address):
            registry.instances("demo.Users", timeout=0.1)
        for _ in range(3):  # it accepts, as a server that is starting may do, and never responds
            stack.enter_context(listening.accept()[0])
        assert waits
        assert max(waits) == 20


def test_one_of_several_hosts_suffices(zookeeper: ZooKeeper) -> None:
    dead = ",".join(f"127.0.0.1:{each}" for each in free_ports(2))
    with connect(f"zookeeper://{dead},{zookeeper.address}/{uuid.uuid4().hex}") as registry:
        registry.register(Instance(service="demo.Hosts", host="127.0.0.1", port=20001)).wait()
