"""Admin ports in registries: which servers announce theirs, and as what."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hand_written import AsyncUsers, Users, user_service

from idlrt import Admin
from idlrt.core import serve
from idlrt.embedded import RegistryServer
from idlrt.net import Address
from idlrt.registry import Registry, RegistryUrl
from idlrt.registry.backend import make_backend
from idlrt.server import AsyncServer, ProcessServer, Server
from idlrt.server.registration import ADMIN_KEY, InstanceOptions, ServiceRegistrar


class Port:
    """An admin port that is not opened."""

    def __init__(self, url: str, *, is_local: bool) -> None:
        self._url = url
        self.is_local = is_local

    def url_at(self, host: str) -> str:
        return self._url.replace("*", host)


def announced(url: str, at: str, *, is_local: bool, metadata: dict[str, str] | None = None) -> str | None:
    """The admin URL that is announced in a registry with the name `url`, which is one in memory."""
    with Registry(lambda: make_backend(RegistryUrl.parse("memory://announcements")), url) as registry:
        registrar = ServiceRegistrar(
            registry,
            {"advertise": "10.0.0.7:9090", "metadata": metadata or {}},
            serve(user_service(Users())),
            Address("", 9090),
            rpc_protocols={},
            is_encrypted=False,
        )
        registrar.register(Address("", 9090), Port(at, is_local=is_local))
        (registration,) = registrar.registrations
        found = registration.instance.metadata.get(ADMIN_KEY)
        registrar.deregister()
    return found


@pytest.mark.parametrize(
    ("registry", "url", "is_local", "found"),
    [
        ("memory://a", "http://127.0.0.1:9901", True, "http://127.0.0.1:9901"),
        ("embedded://127.0.0.1:1", "unix:/run/admin.sock", True, "unix:/run/admin.sock"),
        ("embedded://[::1]:1", "http://127.0.0.1:9901", True, "http://127.0.0.1:9901"),
        ("embedded://192.0.2.1:1", "http://127.0.0.1:9901", True, None),
        ("zookeeper://localhost:1,192.0.2.1:1", "http://127.0.0.1:9901", True, None),
        ("embedded://192.0.2.1:1", "http://*:9901", False, "http://10.0.0.7:9901"),
        ("embedded://127.0.0.1:1", "http://*:9901", False, "http://10.0.0.7:9901"),
        ("my own", "http://127.0.0.1:9901", True, None),
    ],
)
def test_an_admin_port_is_announced_if_readers_of_the_registry_reach_it(
    registry: str, url: str, is_local: bool, found: str | None
) -> None:
    assert announced(registry, url, is_local=is_local) == found


def test_metadata_take_precedence() -> None:
    given = {"admin": "https://edge.example.com:9901"}
    assert announced("memory://a", "http://x:1", is_local=False, metadata=given) == given["admin"]
    assert announced("memory://a", "http://x:1", is_local=False, metadata={"admin": ""}) is None


@pytest.mark.parametrize(
    ("admin", "url"),
    [
        ("127.0.0.1:0", "http://127.0.0.1:{}"),
        ("127.0.0.2:0", "http://127.0.0.2:{}"),
        (Admin(":0", token="t"), "http://example.com:{}"),
        (Admin("0.0.0.0:0", allow=["127.0.0.1"]), "http://example.com:{}"),
    ],
)
def test_a_port_on_all_interfaces_is_announced_with_the_advertised_host(admin: str | Admin, url: str) -> None:
    options: InstanceOptions = {"advertise": "example.com"}
    with Server(user_service(Users()), registry="memory://announcements", instance=options, admin=admin) as server:
        server.start()
        (registration,) = server.registrations
        assert registration.instance.metadata[ADMIN_KEY] == url.format(server.admin_address.rpartition(":")[2])


def test_a_unix_socket_is_announced_as_it_is(tmp_path: Path) -> None:
    path = f"unix:{tmp_path}/admin.sock"
    with Server(user_service(Users()), registry="memory://announcements", admin=path).start() as server:
        assert server.registrations[0].instance.metadata[ADMIN_KEY] == path


def test_every_kind_of_server_announces_its_port() -> None:
    with RegistryServer() as at, Registry.connect(at.url, cache=False) as registry:

        def found() -> str:
            (instance,) = registry.instances("UserService").instances
            return instance.metadata[ADMIN_KEY]

        with Server(user_service(Users()), registry=at.url, admin=0).start() as server:
            assert found() == server.admin_address
        with ProcessServer(user_service(Users()), processes=1, registry=at.url, admin=0) as processes:
            processes.start()
            assert found() == processes.admin_address

        async def serve_async() -> None:
            async with AsyncServer(user_service(AsyncUsers()), registry=at.url, admin=0) as server:
                assert await asyncio.to_thread(found) == server.admin_address

        asyncio.run(serve_async())
        with Server(user_service(Users()), registry=at.url).start():
            (instance,) = registry.instances("UserService").instances
            assert ADMIN_KEY not in instance.metadata
