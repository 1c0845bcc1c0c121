"""Unused registry entries expire: names of services, and patches for missing instances."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from command_line import run_idlrt
from etcd_server import etcd_cluster
from eventually import TIMEOUT, eventually
from registry_process import registry_process
from zookeeper_server import running_zookeeper

from idlrt.core import Instance
from idlrt.embedded import Limits, RegistryServer
from idlrt.embedded.api import Correction, RegistryClient
from idlrt.errors import RegistryRefused
from idlrt.registry import Registry


def instance(service: str, number: int = 1) -> Instance:
    return Instance(service=service, host="10.0.0.1", port=9090, id=f"i{number}")


def connect(url: str) -> Registry:
    return Registry.connect(url, cache=False, timeout=TIMEOUT)


def rows(data: Path, table: str) -> list[tuple[str, ...]]:
    database = sqlite3.connect(data)
    try:
        return database.execute(f"SELECT name FROM {table} ORDER BY name").fetchall()
    finally:
        database.close()


def remove(url: str, *arguments: str, code: int = 0) -> str:
    done = run_idlrt(["registry", "remove", url, *arguments, "--timeout", f"{TIMEOUT:g}"], code=code)
    return done.stdout + done.stderr


def test_services_that_have_gone_do_not_count(tmp_path: Path) -> None:
    data = tmp_path / "registry.db"
    with RegistryServer(data=data, limits=Limits(services=3)) as server, connect(server.url) as owner:
        owner.configure("Kept", {"timeout": "0.5"})
        for number in range(20):
            registration = owner.register(instance(f"job{number}"))
            registration.wait()
            registration.deregister(TIMEOUT)
        assert owner.services() == ["Kept", "job18", "job19"]
        owner.register(instance("Users")).wait()
        owner.register(instance("Orders")).wait()
        with pytest.raises(RegistryRefused, match=r"the registry has 3 services; the limit is 3 \(services\)"):
            owner.register(instance("Carts")).wait()
        with connect(server.url) as reader:
            assert reader.subscribe("Nobody").wait().instances == (), "who only waits for a service needs no place"


def test_services_that_have_gone_leave_the_disk(tmp_path: Path) -> None:
    data = tmp_path / "registry.db"
    with RegistryServer(data=data, limits=Limits(unused_service=0.0)) as server, connect(server.url) as owner:
        owner.register(instance("Users")).wait()
        gone = owner.register(instance("Orders"))
        gone.wait()
        gone.deregister(TIMEOUT)
        eventually(lambda: owner.services() == ["Users"], "its name is given back")
    assert rows(data, "service") == [("Users",)]
    # Also what went when the registry ended.
    with RegistryServer(data=data, limits=Limits(unused_service=0.0)) as server, connect(server.url) as owner:
        eventually(lambda: owner.services() == [], "the last one went with its owner")
    assert rows(data, "service") == []


def test_patches_for_missing_instances_leave_the_disk(tmp_path: Path) -> None:
    data = tmp_path / "registry.db"
    with RegistryServer(data=data, limits=Limits(unused_patch=0.0)) as server, connect(server.url) as owner:
        owner.register(instance("Users")).wait()
        with RegistryClient.connect(server.address, framing="header", timeout=TIMEOUT) as operator:
            for id in ("i1", "never"):
                operator.correct("default", "Users", id, Correction(weight=7))
            eventually(
                lambda: list(operator.changes("default", "Users", 0, 0, 0).corrections or {}) == ["i1"],
                "the other one is forgotten",
            )
        assert owner.instances("Users").instances[0].weight == 7
    assert len(rows(data, "correction")) == 1


def test_a_service_is_removed_by_command(tmp_path: Path) -> None:
    data = tmp_path / "registry.db"
    with registry_process(data) as process, connect(process.url) as owner:
        registration = owner.register(instance("Users"))
        registration.wait()
        owner.modify("Users", "i1", weight=7)
        owner.configure("Users", {"timeout": "0.5"})
        assert "cannot remove Users: it has 1 instance; stop the servers first" in remove(process.url, "Users", code=2)
        assert "cannot remove 'i1' of Users: it is registered" in remove(process.url, "Users", "i1", code=2)
        registration.deregister(TIMEOUT)
        assert "it has no patch at embedded://" in remove(process.url, "Users", "i2", code=2)
        assert remove(process.url, "Users", "i1") == "removed overrides of i1 of Users\n"
        assert remove(process.url, "Users") == "removed Users\n"
        assert "cannot remove Users: there is no such service" in remove(process.url, "Users", code=2)
        assert owner.services() == []
        process.kill()
    assert rows(data, "service") == rows(data, "correction") == []


@pytest.mark.long
def test_a_service_is_removed_from_etcd(tmp_path: Path) -> None:
    with etcd_cluster(tmp_path) as etcd:
        check_removal(etcd.url)


@pytest.mark.long
def test_a_service_is_removed_from_zookeeper(tmp_path: Path) -> None:
    with running_zookeeper(tmp_path) as zookeeper:
        check_removal(f"zookeeper://{zookeeper.address}")


def check_removal(url: str) -> None:
    with connect(url) as owner:
        registration = owner.register(instance("Users"))
        registration.wait()
        owner.register(instance("Orders")).wait()
        owner.modify("Users", "i1", weight=7)
        owner.configure("Users", {"timeout": "0.5"})
        assert "cannot remove Users: it has 1 instance; stop the servers first" in remove(url, "Users", code=2)
        registration.deregister(TIMEOUT)
        assert owner.services() == ["Orders", "Users"]
        assert remove(url, "Users") == "removed Users\n"
        assert owner.services() == ["Orders"]
        owner.register(instance("Users")).wait()
        assert owner.instances("Users").instances[0].weight == 100
