"""RPC protocols of instances in the embedded registry: stored, sent to clients, and refused if invalid."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT

from idlrt.core import Instance, ServiceKey
from idlrt.embedded import RegistryServer
from idlrt.embedded.api import AsyncRegistryClient, Part, Record, Refused, RpcProtocol
from idlrt.embedded.replica import Replica
from idlrt.embedded.values import instance_of, record_of
from idlrt.registry import Registry

LISTED = {"thrift": ("binary", "compact", "json"), "jsonrpc": ("json",)}
NAMES = [f"p{number}" for number in range(17)]
HOSTILE = {
    "without a name": [RpcProtocol(name="", serializations=["binary"])],
    "control characters": [RpcProtocol(name="thrift\x1b[0m", serializations=["binary"])],
    "without serializations": [RpcProtocol(name="thrift", serializations=[])],
    "a long name": [RpcProtocol(name="thrift", serializations=["x" * 65])],
    "many serializations": [RpcProtocol(name="thrift", serializations=NAMES)],
    "many protocols": [RpcProtocol(name=each, serializations=["binary"]) for each in NAMES],
    "one twice": [RpcProtocol(name="thrift", serializations=[each]) for each in ("binary", "json")],
}


def record(id: str = "a", **more: Any) -> Record:
    return Record(**{"service": "Users", "group": "default", "id": id, "host": "127.0.0.1", "port": 1, **more})


def run(work: Callable[[AsyncRegistryClient, int], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        with RegistryServer(**options) as server:
            async with AsyncRegistryClient.connect(server.address, framing="header", timeout=TIMEOUT) as client:
                await work(client, (await client.begin("test", 60_000)).id)

    asyncio.run(main())


def test_records_keep_the_order_of_protocols() -> None:
    made = Instance(service="Users", host="127.0.0.1", port=1, rpc_protocols=LISTED)
    written = record_of(made)
    assert [(each.name, tuple(each.serializations)) for each in written.rpc_protocols or ()] == list(LISTED.items())
    assert instance_of(written) == made
    assert list(instance_of(written).rpc_protocols) == list(LISTED)


def test_an_instance_without_protocols_has_a_record_of_version_0_1() -> None:
    assert record_of(Instance(service="Users", host="127.0.0.1", port=1)).rpc_protocols is None
    assert instance_of(record()).rpc_protocols == {}


def test_protocols_survive_a_restart(tmp_path: Path) -> None:
    made = Instance(service="Users", host="127.0.0.1", port=1, rpc_protocols=LISTED)
    data = tmp_path / "registry.db"

    async def register(client: AsyncRegistryClient, session: int) -> None:
        await client.register(session, record_of(made))

    run(register, data=data)
    with RegistryServer(data=data) as server, Registry.connect(server.url, cache=False, timeout=TIMEOUT) as registry:
        (found,) = registry.instances("Users").instances
    assert found == made
    assert list(found.rpc_protocols) == list(LISTED)


@pytest.mark.parametrize("listed", HOSTILE.values(), ids=HOSTILE)
def test_the_registry_refuses_invalid_protocols(listed: list[RpcProtocol]) -> None:
    async def work(client: AsyncRegistryClient, session: int) -> None:
        for attempt in (client.register, client.reclaim):
            with pytest.raises(Refused, match="invalid RPC protocols of an instance: "):
                await attempt(session, record(rpc_protocols=listed))
        await client.register(session, record())  # the session is still open
        assert [each.id for each in (await client.part("default", "Users", 0, 0, 0, "")).records] == ["a"]

    run(work)


@pytest.mark.parametrize("listed", HOSTILE.values(), ids=HOSTILE)
def test_clients_ignore_invalid_records_of_a_hostile_registry(
    listed: list[RpcProtocol], caplog: pytest.LogCaptureFixture
) -> None:
    known = Replica(ServiceKey("Users"))
    records = [record("a", rpc_protocols=listed), record("b")]
    with caplog.at_level(logging.WARNING, "idlrt.registry"):
        assert known.apply(Part(epoch=1, revision=1, is_whole=True, records=records, removed=[], corrections={}))
    assert [each.id for each in known.found().instances] == ["b"]
    assert "ignoring invalid registration a of Users" in caplog.text


def test_protocols_count_as_text() -> None:
    from idlrt.embedded.limits import Limits

    async def work(client: AsyncRegistryClient, session: int) -> None:
        with pytest.raises(Refused, match=r"too much text: \d+ bytes; the limit is 20 \(text\)"):
            await client.register(
                session, record(rpc_protocols=[RpcProtocol(name="thrift", serializations=["binary"])])
            )

    run(work, limits=Limits(text=20))
