"""The file of the embedded registry: disks that are slow, full or not ours, and programs that are killed."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from registry_process import registry_process

from idlrt.core import Instance, ServiceKey
from idlrt.embedded import RegistryServer
from idlrt.embedded.api import AsyncRegistryClient, NoSession, Record, Refused
from idlrt.embedded.limits import Limits
from idlrt.embedded.state import State
from idlrt.errors import ApplicationError, ConfigurationError, RegistryError
from idlrt.registry import Registry


def record(number: int = 1, **more: object) -> Record:
    return Record(service="Users", group="default", id=f"i{number}", host="127.0.0.1", port=1000 + number, **more)  # type: ignore[arg-type]


def run(work: Callable[[RegistryServer, AsyncRegistryClient], object], data: Path | None = None) -> None:
    async def main() -> None:
        server = RegistryServer(data=data)
        await server.open()
        try:
            address = server.address
            async with AsyncRegistryClient.connect(address, framing="header", timeout=20, ping_after=None) as client:
                await work(server, client)  # type: ignore[misc]
        finally:
            await server.close()

    asyncio.run(main())


def test_taken_away_while_it_is_being_written(tmp_path: Path) -> None:
    """What is deregistered does not come back because the disk was slow."""

    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        session = (await client.begin("test", 60_000)).id
        disk_is_free = threading.Event()
        assert server._storage is not None
        server._storage._writer.submit(disk_is_free.wait, 20)
        registering = asyncio.ensure_future(client.register(session, record()))
        await asyncio.sleep(0.05)
        leaving = asyncio.ensure_future(client.deregister(session, "default", "Users", "i1"))
        await asyncio.sleep(0.05)
        disk_is_free.set()
        await asyncio.gather(registering, leaving)
        assert (await client.changes("default", "Users", 0, 0, 0)).records == []

    run(work, tmp_path / "registry.db")


def test_a_session_that_could_not_be_kept_is_none(tmp_path: Path) -> None:
    """Else many tries on a full disk look like many clients that died."""

    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        assert server._handler is not None
        state, storage = server._handler._state, server._storage
        assert storage is not None
        await asyncio.wrap_future(storage._writer.submit(storage._database.execute, "PRAGMA query_only=ON"))
        for _ in range(5):
            with pytest.raises(ApplicationError, match="cannot write"):
                await client.begin("test", 60_000)
        assert state.leases == {}
        await asyncio.wrap_future(storage._writer.submit(storage._database.execute, "PRAGMA query_only=OFF"))
        session = await client.begin("test", 60_000)
        await client.register(session.id, record())
        assert len(state.leases) == 1

    run(work, tmp_path / "registry.db")


def test_a_disk_that_is_full_and_has_room_again(tmp_path: Path) -> None:
    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        storage = server._storage
        assert storage is not None

        async def pragma(text: str) -> None:
            await asyncio.wrap_future(storage._writer.submit(lambda: storage._database.execute(text).fetchall()))

        session = (await client.begin("test", 60_000)).id
        await client.register(session, record(0))
        await pragma("PRAGMA max_page_count=1")
        acknowledged, refused = {"i0"}, 0
        for number in range(1, 40):
            try:
                await client.register(session, record(number, metadata={"what": "x" * 4000}))
                acknowledged.add(f"i{number}")
            except ApplicationError:
                refused += 1
        assert refused
        seen = {each.id for each in (await client.changes("default", "Users", 0, 0, 0)).records}
        assert seen == acknowledged, "nobody sees what is not on disk"
        await pragma("PRAGMA max_page_count=1000000")
        await client.register(session, record(99))
        await client.end(session)
        assert (await client.changes("default", "Users", 0, 0, 0)).records == []

    run(work, tmp_path / "registry.db")


def test_text_that_a_file_cannot_hold_costs_nobody_else_anything(tmp_path: Path) -> None:
    """JSON can say half of a character."""

    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        host, port = server.address.removeprefix("tcp://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b'[1,"begin",1,7,{"1":{"str":"\\ud800"},"2":{"i32":5000}}]')
        await asyncio.wait_for(reader.read(100), 10)
        writer.close()
        async with asyncio.timeout(10):
            session = (await client.begin("test", 60_000)).id
            await client.register(session, record())

    run(work, tmp_path / "registry.db")


def test_an_address_that_is_taken_and_free_again(tmp_path: Path) -> None:
    with RegistryServer() as first:
        second = RegistryServer(first.address.removeprefix("tcp://"), data=tmp_path / "registry.db")

        async def fail() -> None:
            await second.serve()

        for _ in range(2):
            with pytest.raises(ConfigurationError, match="cannot listen"):
                asyncio.run(fail())
        with pytest.raises(ConfigurationError, match="no address yet"):
            assert second.address
        with pytest.raises(ConfigurationError, match="cannot listen"):
            second.start()
    with second, Registry.connect(second.url, cache=False) as registry:
        assert registry.groups() == []


@pytest.mark.slow
def test_two_registries_do_not_share_a_file(tmp_path: Path) -> None:
    data = tmp_path / "registry.db"
    with RegistryServer(data=data) as first:
        with pytest.raises(ConfigurationError, match="does another registry use it"):
            RegistryServer(data=data).start()
        with Registry.connect(first.url, cache=False) as registry:
            registry.register(Instance(service="Users", host="127.0.0.1", port=1)).wait()


def test_a_record_without_an_id_is_refused() -> None:
    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        session = (await client.begin("test", 60_000)).id
        with pytest.raises(Refused, match="id"):
            await client.register(session, Record(service="Users", group="default", id="", host="h", port=1))
        with pytest.raises(Refused, match="characters of text"):
            await client.register(session, record(1, protocols=["x" * 1000] * 100))

    run(work)


@pytest.mark.slow
def test_many_sessions_that_are_silent_at_once_are_looked_at_quickly() -> None:
    now = 0.0
    state = State(Limits(), lambda: now, epoch=1)
    for _ in range(50_000):
        lease = state.begin("test", 1.0)
        lease.owned.add((ServiceKey("Users"), str(lease.id)))
    now = 2.0
    start = time.monotonic()
    assert state.expire() == []
    assert time.monotonic() - start < 2


@pytest.mark.slow
def test_many_who_wait_do_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> float:
        server = RegistryServer()
        await server.open()
        async with AsyncRegistryClient.connect(
            server.address, framing="header", timeout=60, ping_after=None, calls_per_connection=100_000
        ) as client:
            epoch = (await client.changes("default", "Users", 0, 0, 0)).epoch
            calls = [
                asyncio.ensure_future(client.changes("default", f"U{n % 100}", epoch, 0, 50_000)) for n in range(10_000)
            ]
            assert server._handler is not None
            while len(server._handler._waiting) < len(calls):
                await asyncio.sleep(0.01)
            start = time.monotonic()
            await server.close()
            took = time.monotonic() - start
            await asyncio.gather(*calls, return_exceptions=True)
        return took

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(main()) < 8
    assert [each.getMessage() for each in caplog.records] == []


@pytest.mark.parametrize("attempt", [0, *(pytest.param(more, marks=pytest.mark.slow) for more in range(1, 5))])
def test_killed_in_the_middle_of_writing(tmp_path: Path, attempt: int) -> None:
    acknowledged: list[int] = []
    with (
        registry_process(tmp_path / "registry.db") as process,
        Registry.connect(f"{process.url}?timeout=60", cache=False) as server,
    ):
        server.groups()
        is_over = False

        def write(first: int) -> None:
            for number in range(first, first + 2000):
                registration = server.register(Instance(service="Users", host="127.0.0.1", port=number))
                while not is_over:
                    try:
                        registration.wait(0.2)
                    except RegistryError:
                        continue
                    acknowledged.append(number)
                    break
                if is_over:
                    return

        threads = [threading.Thread(target=write, args=(first,)) for first in (10_000, 20_000, 30_000)]
        for thread in threads:
            thread.start()
        time.sleep(0.3 + attempt * 0.07)
        process.kill()
        known = set(acknowledged)
        is_over = True
        for thread in threads:
            thread.join(20)
        process.start()
        with Registry.connect(process.url, cache=False) as stranger:
            found = {each.port for each in stranger.instances("Users").instances}
        assert known <= found
        assert len(known) > 20
    data = sqlite3.connect(tmp_path / "registry.db")
    assert data.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    data.close()


def test_a_session_of_before_is_not_one_of_after() -> None:
    sessions: list[int] = []

    async def first(server: RegistryServer, client: AsyncRegistryClient) -> None:
        sessions.append((await client.begin("test", 60_000)).id)

    async def second(server: RegistryServer, client: AsyncRegistryClient) -> None:
        with pytest.raises(NoSession):
            await client.keep(sessions[0])

    run(first)
    run(second)
