"""Servers measure their calls: every request is counted once, with its outcome."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import pytest
from eventually import eventually
from metric_counts import call_counts, calls_of

from idlrt import codegen as rpc
from idlrt.client import Client
from idlrt.core import bind
from idlrt.errors import ConfigurationError, Overloaded, RpcError
from idlrt.observe import OTHER, Snapshot
from idlrt.observe.exposition import CONTENT_TYPE
from idlrt.protocol.events import PongReceived
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.server import AsyncServer, Server


class Missing(rpc.DeclaredError):
    name: str

    __thrift_fields__ = (rpc.required(1, "name", rpc.STRING),)


class Store(Protocol):
    def get(self, name: str) -> str: ...

    def put(self, name: str) -> None: ...


GET = rpc.method(
    Store.get,
    rpc.required(1, "name", rpc.STRING),
    result=rpc.STRING,
    throws=(rpc.optional(1, "missing", rpc.struct(Missing)),),
)
PUT = rpc.method(Store.put, rpc.required(1, "name", rpc.STRING), result=rpc.VOID, oneway=True)
SERVICE = rpc.service("Store", GET, PUT)


class StoreClient(Client):
    __thrift_service__ = SERVICE

    def get(self, name: str) -> str:
        found: str = self._call(GET, name)
        return found

    def put(self, name: str) -> None:
        self._call(PUT, name)


class Plain:
    def get(self, name: str) -> str:
        if name == "missing":
            raise Missing(name=name)
        if name == "broken":
            raise ValueError("a secret")
        return None if name == "none" else name * 2  # type: ignore[return-value]

    def put(self, name: str) -> None:
        pass


class Async:
    async def get(self, name: str) -> str:
        await asyncio.sleep(0)
        return Plain().get(name)

    async def put(self, name: str) -> None:
        pass


Serve = Callable[[], AbstractContextManager[tuple[str, Callable[[], Snapshot]]]]


@contextmanager
def selector(handler: Any, **options: Any) -> Iterator[tuple[str, Callable[[], Snapshot]]]:
    with Server(bind(SERVICE, handler), metrics=True, **options).start() as server:
        yield server.address, server.metrics


@contextmanager
def on_asyncio(handler: Any, **options: Any) -> Iterator[tuple[str, Callable[[], Snapshot]]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = AsyncServer(bind(SERVICE, handler), metrics=True, **options)
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result()
        yield server.address, server.metrics
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


SERVERS = {
    "plain": lambda: selector(Plain()),
    "workers": lambda: selector(Plain(), workers=2),
    "async": lambda: selector(Async()),
    "asyncio": lambda: on_asyncio(Async()),
    "filtered": lambda: selector(Plain(), filters=[passing]),
}


async def passing(call: Any, next: Any) -> Any:
    return await next(call)


@pytest.fixture(params=list(SERVERS))
def serve(request: pytest.FixtureRequest) -> Serve:
    found: Serve = SERVERS[request.param]
    return found


OUTCOMES = {
    "ok": ("Store.get", "ok", ""),
    "missing": ("Store.get", "declared_error", "Missing"),
    "broken": ("Store.get", "internal", "ValueError"),
    "none": ("Store.get", "internal", "ApplicationError"),
}


def test_every_call_is_counted_with_its_outcome(serve: Serve) -> None:
    expected: Counter[tuple[str, str, str]] = Counter()
    with serve() as (target, metrics), StoreClient.connect(target) as client:
        for number in range(30):
            name = list(OUTCOMES)[number % len(OUTCOMES)]
            expected[OUTCOMES[name]] += 1
            try:
                client.get(name)
            except RpcError:
                assert name != "ok"
        client.put("x")
        expected[("Store.put", "ok", "")] += 1
        eventually(lambda: call_counts(metrics()) == expected)


def test_durations_and_sizes_are_those_of_the_calls(serve: Serve) -> None:
    with serve() as (target, metrics), StoreClient.connect(target) as client:
        client.get("name")
        small = metrics()
        client.get("n" * 1000)
        large = metrics()
    key = ("Store.get", "ok", "", "")
    before, after = calls_of(small)[key], calls_of(large)[key]
    assert 0 < after.min <= after.max <= after.sum < 60e9
    assert 1000 < after.received - before.received < 1100
    assert 2000 < after.sent - before.sent < 2100


@pytest.mark.parametrize("framing", ["framed", "header"])
def test_pings_are_not_counted_as_calls(serve: Serve, framing: str) -> None:
    connection = ClientConnection(dialect(framing))
    with serve() as (target, metrics):
        with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])), timeout=10) as raw:
            for _ in range(3):
                id, data = connection.ping()
                raw.sendall(data)
                assert connection.receive_data(raw.recv(4096)) == [PongReceived(id)]
        with StoreClient.connect(target) as client:
            client.get("ok")
        eventually(lambda: call_counts(metrics()) == {("Store.get", "ok", ""): 1})


def test_requests_that_are_no_calls_are_counted_without_their_names() -> None:
    with selector(Plain()) as (target, metrics):
        with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as raw:
            for number in range(5):
                raw.sendall(b'{"jsonrpc": "2.0", "method": "name%d", "id": 1}\n' % number)
                assert b"error" in raw.recv(4096)
            raw.sendall(b'{"jsonrpc": "2.0", "method": "get", "params": [1, 2], "id": 1}\n')
            assert b"error" in raw.recv(4096)
            raw.sendall(b'{"jsonrpc": "2.0", "method": 7, "id": 1}\n')
            assert b"error" in raw.recv(4096)
        assert call_counts(metrics()) == {
            (OTHER, "unimplemented", "refused"): 5,
            ("Store.get", "invalid_argument", "refused"): 1,
            (OTHER, "invalid_argument", "refused"): 1,
        }


def test_calls_that_never_started_are_counted() -> None:
    began, release = threading.Event(), threading.Event()

    class Slow(Plain):
        def get(self, name: str) -> str:
            if name == "slow":
                began.set()
                assert release.wait(60)
            return name

    with selector(Slow(), workers=1, max_queued=0) as (target, metrics):
        with StoreClient.connect(target, timeout=60) as client:
            thread = threading.Thread(target=client.get, args=("slow",))
            thread.start()
            assert began.wait(60)
            with pytest.raises(Overloaded):
                client.get("other")
            release.set()
            thread.join()
        eventually(lambda: call_counts(metrics())[("Store.get", "ok", "")] == 1)
        assert call_counts(metrics())[("Store.get", "resource_exhausted", "ApplicationError")] == 1


def callers(snapshot: Snapshot) -> dict[str, int]:
    return {labels[3]: each.count for labels, each in calls_of(snapshot).items()}


def test_callers_are_counted_by_name() -> None:
    with selector(Plain()) as (target, metrics):
        with StoreClient.connect(target, framing="header", config={"caller": {"app": "checkout"}}) as client:
            client.get("x")
            client.get("y")
        assert callers(metrics()) == {"checkout": 2}


def test_a_server_that_does_not_measure_says_so() -> None:
    with Server(bind(SERVICE, Plain())) as server, pytest.raises(ConfigurationError, match="metrics=True"):
        server.metrics()


def test_the_count_is_that_of_many_clients_exactly(serve: Serve) -> None:
    threads, number = 6, 50
    with serve() as (target, metrics), StoreClient.connect(target, max_connections=threads) as client:
        running = [threading.Thread(target=lambda: [client.get("ok") for _ in range(number)]) for _ in range(threads)]
        for each in running:
            each.start()
        for each in running:
            each.join()
        eventually(lambda: call_counts(metrics()) == {OUTCOMES["ok"]: threads * number})


def scraped(url: str) -> dict[str, float]:
    """Return the samples of `/metrics`."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as response:
        assert response.headers["Content-Type"] == CONTENT_TYPE
        lines = response.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_the_admin_port_shows_what_was_counted() -> None:
    with Server(bind(SERVICE, Plain()), admin=0).start() as server, StoreClient.connect(server.address) as client:
        for _ in range(7):
            client.get("ok")
        labels = '{rpc_method="Store.get",rpc_status_code="ok",error_type=""}'
        found = scraped(server.admin_address)
        assert found[f"rpc_server_call_duration_seconds_count{labels}"] == 7
        assert found["rpc_server_connections"] == 1
        assert 0 < found[f"rpc_server_call_duration_seconds_sum{labels}"] < 60


def test_metrics_can_be_off_beside_an_admin_port() -> None:
    server = Server(bind(SERVICE, Plain()), admin=0, metrics=False)
    with server.start(), pytest.raises(urllib.error.HTTPError, match="404"):
        scraped(server.admin_address)


def test_long_names_of_callers_are_not_kept() -> None:
    with selector(Plain()) as (target, metrics):
        for name in ("x" * 200, "x" * 201, "y" * 10_000):
            with StoreClient.connect(target, framing="header", config={"caller": {"app": name}}) as client:
                client.get("x")
        assert callers(metrics()) == {"x" * 200: 1, OTHER: 2}
