"""Storage faults of the embedded registry: slow, full and read-only disks, and killed processes."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually, eventually_async
from registry_process import registry_process

from idlrt.core import Instance, ServiceKey
from idlrt.embedded import RegistryServer
from idlrt.embedded.api import AsyncRegistryClient, Changes, NoSession, Record, Refused
from idlrt.embedded.limits import Limits
from idlrt.embedded.state import State
from idlrt.errors import ApplicationError, ConfigurationError, RegistryError
from idlrt.registry import Registry


def record(number: int = 1, **more: Any) -> Record:
    return Record(service="Users", group="default", id=f"i{number}", host="127.0.0.1", port=1000 + number, **more)


class Disk:
    """Database file of a registry on a simulated disk, which can be slow, full and read-only.

    Attributes:
        is_free: writes block while this is not set.
        is_asked: set when a write begins.
    """

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.is_free.set()
        self.is_asked = threading.Event()
        self._database: sqlite3.Connection | None = None

    def connect(self, path: Path | str, **options: Any) -> sqlite3.Connection:
        """Open the database, like `sqlite3.connect`."""
        self._database = sqlite3.connect(path, **options, check_same_thread=False)
        self._database.set_trace_callback(self._write)
        return self._database

    def _write(self, _: str) -> None:
        self.is_asked.set()
        self.is_free.wait(TIMEOUT)

    def pragma(self, text: str) -> None:
        """Set a PRAGMA."""
        assert self._database is not None
        self._database.execute(f"PRAGMA {text}").fetchall()


def run(
    work: Callable[[RegistryServer, AsyncRegistryClient], Awaitable[None]],
    data: Path | None = None,
    disk: Disk | None = None,
) -> None:
    async def main() -> None:
        server = RegistryServer(data=data, connect_database=(disk or Disk()).connect)
        await server.open()
        try:
            address = server.address
            async with AsyncRegistryClient.connect(
                address, framing="header", timeout=TIMEOUT, ping_after=None
            ) as client:
                await work(server, client)
        finally:
            await server.close()

    asyncio.run(main())


def test_deregistering_during_the_write(tmp_path: Path) -> None:
    """A slow disk must not bring a deregistered instance back."""
    disk = Disk()

    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        session = (await client.begin("test", 60_000)).id
        disk.is_free.clear()
        disk.is_asked.clear()
        registering = asyncio.ensure_future(client.register(session, record()))
        await eventually_async(disk.is_asked.is_set, "it is being written")
        leaving = asyncio.ensure_future(client.deregister(session, "default", "Users", "i1"))
        await eventually_async(lambda: server.in_flight == 2, "both are there")
        disk.is_free.set()
        await asyncio.gather(registering, leaving)
        assert (await client.changes("default", "Users", 0, 0, 0)).records == []

    run(work, tmp_path / "registry.db", disk)


def test_a_session_that_cannot_be_stored_is_discarded(tmp_path: Path) -> None:
    """Otherwise many attempts on a full disk look like many crashed clients."""
    disk = Disk()

    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        disk.pragma("query_only=ON")
        for _ in range(5):
            with pytest.raises(ApplicationError, match="cannot write"):
                await client.begin("test", 60_000)
        assert server.sessions == 0
        disk.pragma("query_only=OFF")
        session = await client.begin("test", 60_000)
        await client.register(session.id, record())
        assert (server.sessions, server.instances) == (1, 1)

    run(work, tmp_path / "registry.db", disk)


def test_recovery_from_a_full_disk(tmp_path: Path) -> None:
    disk = Disk()

    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        session = (await client.begin("test", 60_000)).id
        await client.register(session, record(0))
        disk.pragma("max_page_count=1")
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
        disk.pragma("max_page_count=1000000")
        await client.register(session, record(99))
        await client.end(session)
        assert (await client.changes("default", "Users", 0, 0, 0)).records == []

    run(work, tmp_path / "registry.db", disk)


def test_text_that_cannot_be_stored_affects_no_other_client(tmp_path: Path) -> None:
    """JSON can encode a lone surrogate, which SQLite cannot store."""

    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        host, port = server.address.removeprefix("tcp://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b'[1,"begin",1,7,{"1":{"str":"\\ud800"},"2":{"i32":5000}}]')
        assert await reader.read(100)
        writer.close()
        session = (await client.begin("test", 60_000)).id
        await client.register(session, record())

    run(work, tmp_path / "registry.db")


def test_a_used_address_is_available_again_later(tmp_path: Path) -> None:
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
    with second, Registry.connect(second.url, cache=False, timeout=TIMEOUT) as registry:
        assert registry.groups() == []


@pytest.mark.slow
def test_two_registries_do_not_share_a_file(tmp_path: Path) -> None:
    data = tmp_path / "registry.db"
    with RegistryServer(data=data) as first:
        with pytest.raises(ConfigurationError, match="another registry is using it"):
            RegistryServer(data=data).start()
        with Registry.connect(first.url, cache=False, timeout=TIMEOUT) as registry:
            registry.register(Instance(service="Users", host="127.0.0.1", port=1)).wait()


def test_a_record_without_an_id_is_refused() -> None:
    async def work(server: RegistryServer, client: AsyncRegistryClient) -> None:
        session = (await client.begin("test", 60_000)).id
        with pytest.raises(Refused, match="id"):
            await client.register(session, Record(service="Users", group="default", id="", host="h", port=1))
        with pytest.raises(Refused, match=r"too much text: \d+ bytes"):
            await client.register(session, record(1, protocols=["x" * 1000] * 100))

    run(work)


def test_self_preservation_keeps_many_silent_sessions() -> None:
    now = 0.0
    state = State(Limits(), lambda: now, epoch=1)
    for _ in range(1000):
        lease = state.begin("test", 1.0)
        lease.owned.add((ServiceKey("Users"), str(lease.id)))
    now = 2.0
    assert state.expire() == []
    assert len(state.leases) == 1000


def test_shutdown_completes_all_long_polls(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[object] = []

    async def main() -> None:
        server = RegistryServer()
        await server.open()
        async with AsyncRegistryClient.connect(
            server.address, framing="header", timeout=TIMEOUT, ping_after=None, calls_per_connection=100_000
        ) as client:
            epoch = (await client.changes("default", "Users", 0, 0, 0)).epoch
            calls = [
                asyncio.ensure_future(client.changes("default", f"U{n % 100}", epoch, 0, 50_000)) for n in range(1000)
            ]
            await eventually_async(lambda: server.in_flight == len(calls), "all wait")
            await server.close()
            answers.extend(await asyncio.gather(*calls, return_exceptions=True))

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert [type(each) for each in answers] == [Changes] * 1000
    # The server logs calls that it has to cancel after the grace period.
    assert [each.getMessage() for each in caplog.records] == []


@pytest.mark.parametrize("count", [30, *(pytest.param(more, marks=pytest.mark.slow) for more in (37, 60))])
def test_a_registry_killed_during_writes(tmp_path: Path, count: int) -> None:
    acknowledged: list[int] = []
    is_over = threading.Event()
    with (
        registry_process(tmp_path / "registry.db") as process,
        Registry.connect(f"{process.url}?timeout=60", cache=False, timeout=TIMEOUT) as server,
    ):
        server.groups()

        def write(first: int) -> None:
            for number in range(first, first + 5000):
                registration = server.register(Instance(service="Users", host="127.0.0.1", port=number))
                while not is_over.is_set():
                    try:
                        registration.wait(0.2)
                    except RegistryError:
                        continue
                    acknowledged.append(number)
                    break
                if is_over.is_set():
                    return

        threads = [threading.Thread(target=write, args=(first,)) for first in (10_000, 20_000, 30_000)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(acknowledged) >= count, "it is in the middle of writing")
        process.kill()
        known = set(acknowledged)
        is_over.set()
        for thread in threads:
            thread.join()
        server.close(0)
        process.start()
        with Registry.connect(process.url, cache=False, timeout=TIMEOUT) as stranger:
            found = {each.port for each in stranger.instances("Users").instances}
        assert known <= found
    data = sqlite3.connect(tmp_path / "registry.db")
    assert data.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    data.close()


def test_session_ids_are_not_reused_after_a_restart() -> None:
    sessions: list[int] = []

    async def first(server: RegistryServer, client: AsyncRegistryClient) -> None:
        sessions.append((await client.begin("test", 60_000)).id)

    async def second(server: RegistryServer, client: AsyncRegistryClient) -> None:
        with pytest.raises(NoSession):
            await client.keep(sessions[0])

    run(first)
    run(second)
