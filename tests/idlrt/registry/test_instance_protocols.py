"""RPC protocols of instances in registries and on disk: records of older, newer and hostile programs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest

from idlrt.core import Instance, ServiceKey, Snapshot
from idlrt.errors import ConfigurationError
from idlrt.registry.cache import SnapshotCache
from idlrt.registry.etcd.layout import Layout as EtcdLayout
from idlrt.registry.etcd.responses import KeyValue
from idlrt.registry.etcd.view import View
from idlrt.registry.zookeeper.dubbo import DubboLayout
from idlrt.registry.zookeeper.layouts import IdlrtLayout
from idlrt.registry.zookeeper.motan import MotanLayout
from idlrt.registry.zookeeper.tree import Node

KEY = ServiceKey("demo.Users")
LISTED = {"thrift": ("binary", "compact", "json"), "jsonrpc": ("json",)}
NEW = Instance(service=KEY.service, host="10.0.0.1", port=1, rpc_protocols=LISTED)
OLD = Instance(service=KEY.service, host="10.0.0.2", port=1)
# Invalid values in place of the list.
HOSTILE: list[Any] = [None, 7, "thrift", ["thrift"], {"thrift": "binary"}, {"thrift": []}, {"thrift": [None]}]
HOSTILE += [
    {"thrift": ["x" * 65]},
    {"thrift": ["a"] * 17},
    {"\x1b[31m": ["a"]},
    {f"p{each}": ["a"] for each in range(17)},
]


def old_json(instance: Instance, **more: Any) -> bytes:
    """An instance as version 0.1 writes it, with additional keys."""
    written = msgspec.to_builtins(instance)
    del written["rpc_protocols"]
    return msgspec.json.encode({**written, **more})


def etcd(*values: bytes) -> View:
    """Read two instances from keys of etcd."""
    layout = EtcdLayout("idlrt")
    kvs = [
        KeyValue(key=layout.instance(KEY, each.id), value=value, mod_revision=number)
        for number, (each, value) in enumerate(zip((NEW, OLD), values, strict=True), 1)
    ]
    return View(layout, KEY, kvs, 2)


def test_etcd_reads_old_and_new_instances() -> None:
    view = etcd(msgspec.json.encode(NEW), old_json(OLD))
    assert view.instances == {NEW.id: NEW, OLD.id: OLD}


def test_etcd_ignores_keys_of_a_newer_program() -> None:
    view = etcd(old_json(NEW, rpc_protocols=LISTED, capabilities={"metadata": True}), old_json(OLD))
    assert view.instances == {NEW.id: NEW, OLD.id: OLD}


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda each: repr(each)[:20])
def test_etcd_ignores_only_the_hostile_instance(hostile: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "idlrt.registry"):
        view = etcd(old_json(NEW, rpc_protocols=hostile), old_json(OLD))
    assert view.instances == {OLD.id: OLD}
    assert "ignoring etcd key" in caplog.text


def test_zookeeper_reads_old_and_new_instances_in_our_layout() -> None:
    layout = IdlrtLayout()
    nodes = [layout.write(NEW), Node(layout.folders(KEY)[0], OLD.id, old_json(OLD, capabilities=["x"]), 0)]
    assert layout.read(KEY, nodes) == [NEW, OLD]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda each: repr(each)[:20])
def test_zookeeper_ignores_only_the_hostile_instance(hostile: Any, caplog: pytest.LogCaptureFixture) -> None:
    data = old_json(NEW, rpc_protocols=hostile)
    own = quote(quote(msgspec.json.encode({"rpc_protocols": hostile}).decode(), safe=""), safe="")
    motan = f"motan2://10.0.0.1:1/demo.Users?idlrt={unquote(own)}"
    for layout, bad in (
        (IdlrtLayout(), Node("/x", NEW.id, data, 0)),
        (DubboLayout(), Node("/x", f"dubbo%3A%2F%2F10.0.0.1%3A1%2Fdemo.Users%3Fidlrt%3D{own}", b"", 0)),
        (MotanLayout(), Node("/x/server", NEW.id, motan.encode(), 0)),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "idlrt.registry"):
            assert layout.read(KEY, [bad, layout.write(OLD)]) == [OLD]


@pytest.mark.parametrize(("layout", "protocol"), [(DubboLayout(), "dubbo"), (MotanLayout(), "motan2")])
def test_java_programs_see_a_protocol_that_they_know(layout: DubboLayout | MotanLayout, protocol: str) -> None:
    listed = {"thrift": ("binary",), protocol: ("hessian2",)}
    node = layout.write(msgspec.structs.replace(NEW, rpc_protocols=listed))
    assert f"{protocol}://" in unquote(node.name) + node.data.decode(errors="replace")
    (found,) = layout.read(KEY, [node])
    assert list(found.rpc_protocols.items()) == list(listed.items())
    # They cannot call an instance that only supports Thrift.
    plain = layout.write(NEW)
    assert "thrift://" in unquote(plain.name) + plain.data.decode(errors="replace")


def test_a_provider_of_another_framework_lists_none() -> None:
    (found,) = DubboLayout().read(KEY, [Node("/x", "dubbo%3A%2F%2Fh%3A1%2Fdemo.Users%3Fserialization%3Dkryo", b"", 0)])
    assert (found.protocols, found.rpc_protocols) == (("dubbo",), {})


def test_snapshots_on_disk_contain_protocols(tmp_path: Path) -> None:
    cache = SnapshotCache(tmp_path, "embedded://h")
    snapshot = Snapshot(key=KEY, instances=(NEW, OLD), revision=7)
    cache.save(snapshot)
    assert cache.load(KEY) == snapshot
    assert list((cache.load(KEY) or snapshot).instances[0].rpc_protocols.items()) == list(LISTED.items())


def saved(cache: SnapshotCache, **more: Any) -> None:
    """Change the only instance of a saved snapshot."""
    cache.save(Snapshot(key=KEY, instances=(NEW,), revision=7))
    content = msgspec.json.decode(cache.path(KEY).read_bytes())
    content["snapshot"]["instances"] = [msgspec.json.decode(old_json(NEW, **more))]
    cache.path(KEY).write_bytes(msgspec.json.encode(content))


def test_snapshots_of_older_and_newer_programs_are_read(tmp_path: Path) -> None:
    cache = SnapshotCache(tmp_path, "embedded://h")
    saved(cache)
    assert cache.load(KEY) == Snapshot(key=KEY, instances=(msgspec.structs.replace(NEW, rpc_protocols={}),), revision=7)
    saved(cache, rpc_protocols=LISTED, capabilities={"metadata": True})
    assert cache.load(KEY) == Snapshot(key=KEY, instances=(NEW,), revision=7)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda each: repr(each)[:20])
def test_a_hostile_snapshot_counts_as_missing(tmp_path: Path, hostile: Any, caplog: pytest.LogCaptureFixture) -> None:
    cache = SnapshotCache(tmp_path, "embedded://h")
    saved(cache, rpc_protocols=hostile)
    with caplog.at_level(logging.WARNING, "idlrt.registry"):
        assert cache.load(KEY) is None
    assert "cannot read the saved snapshot of demo.Users" in caplog.text


@pytest.mark.parametrize("instance", [{"rpc_protocols": {}}, {"protocols": ()}])
def test_servers_do_not_accept_a_list_of_protocols(instance: Any) -> None:
    from hand_written import Users, user_service

    from idlrt.server import Server

    with pytest.raises(ConfigurationError, match=r"unknown instance option '(rpc_)?protocols'"):
        Server(user_service(Users()), registry="memory://x", instance=instance)
