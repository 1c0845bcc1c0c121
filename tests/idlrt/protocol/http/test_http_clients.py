"""HTTP clients of every kind over real sockets, with servers of this package and scripted ones."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
from callers import KINDS, Caller, ShopHandler, answering, calling, json_response, read_request, shop
from eventually import TIMEOUT, eventually
from hand_written import connect_raw, scripted_server
from shop import Article, AsyncShopClient, Colour, NoArticle, Order, Picture, ShopClient

from idlrt import Tls
from idlrt.client import client_stats
from idlrt.core import Instance, ServerCall
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    NoInstance,
    NotSent,
    Overloaded,
    RemoteProtocolError,
)
from idlrt.protocol.http.options import Http
from idlrt.registry import Registry
from idlrt.serialization import Limits
from idlrt.server import AsyncServer, Server

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)
TOO_BUSY = json_response('{"code": "unavailable", "detail": "busy"}', "Retry-After: 0", status=503)


@contextlib.contextmanager
def serving(handler: object | None = None, **options: Any) -> Iterator[Server]:
    with Server(shop(handler or ShopHandler()), "127.0.0.1:0", **{"http": True, "drain_s": 0, **options}) as server:
        yield server.start()


def http(where: str) -> str:
    return where.replace("tcp://", "http://")


def is_refused(port: int) -> bool:
    try:
        connect_raw(port).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False  # it was waiting to be accepted when the server closed its socket
    return False


def target(server: Server, path: str = "") -> str:
    return f"http://127.0.0.1:{server.port}{path}"


@pytest.mark.parametrize("path", ["", "/v1/shop"])
def test_every_place_of_arguments_and_results(path: str) -> None:
    handler = ShopHandler()
    with serving(handler, http=Http(prefix=path)) as server, ShopClient.connect(target(server, path)) as client:
        assert client.get("a/b ?ä%", [Colour.BLUE, Colour.RED], "tenant ä%") == Article(
            sku="a/b ?ä%", price=2**53 + 1, colour=Colour.BLUE, etag="tenant ä%", session="s", status=203
        )
        assert [each.sku for each in client.find("a&b +", [1, -2], True)] == ["a&b + 1 True", "a&b + -2 True"]
        assert client.find("a") == []
        order = Order(shop="x", number=2**62, lines=["a", ""], tenant="me", secret="not sent")
        assert client.order(order).sku == f"x {2**62} ['a', ''] me"
        client.put("ä", Article(sku="ä", price=1))
        assert client.upload("a/b c", b"\0\xff" * 100_000) == 200_000
        assert client.picture("7") == Picture(data=b"7", kind="image/png", tags=["a", "b"])
        assert client.login("me & you", ["a", "b=c+"], "x=y") == "me & you ['a', 'b=c+'] x=y"
        client.remove("a", b"\xff\xfe\xfd\xfc")
        assert handler.removed == [("a", b"\xff\xfe\xfd\xfc")]
        assert client.plain({"a": 1, "b": 2}, 0.5) == 1.5
        assert client_stats(client).connections == 1


@ALL_KINDS
def test_results_and_errors(kind: str) -> None:
    handler = ShopHandler()
    with serving(handler) as server, calling(kind, target(server)) as caller:
        for number in range(20):
            assert caller.call("get", str(number)).sku == str(number)
        with pytest.raises(NoArticle) as raised:
            caller.call("get", "missing")
        assert raised.value == NoArticle(sku="missing", retry="never")
        with pytest.raises(ApplicationError) as failed:
            caller.call("get", "broken")
        assert failed.value.code == ApplicationCode.INTERNAL_ERROR
        assert "secret" not in str(failed.value)
        caller.call("note", "hello")
        assert handler.noted == ["hello"]  # it is answered when it is done
        with pytest.raises(ApplicationError, match="internal_error"):
            caller.call("note", "fail")
        assert caller.call("upload", "a/b c", b"x" * 1_000_000) == 1_000_000
        assert client_stats(caller.client).connections == 1


def test_many_calls_at_a_time() -> None:
    names = [str(number) for number in range(100)]
    with serving(workers=4) as server:
        for options in ({}, {"calls_per_connection": 16, "max_connections": 4}):
            with ShopClient.connect(target(server), **options) as client, ThreadPoolExecutor(8) as threads:
                assert [each.sku for each in threads.map(client.get, names)] == names

        async def main() -> None:
            async with AsyncShopClient.connect(target(server)) as client:
                found = await asyncio.gather(*map(client.get, names))
                assert [each.sku for each in found] == names
                assert 1 < client_stats(client).connections <= 16

        asyncio.run(main())


def test_an_asyncio_server() -> None:
    async def main() -> None:
        async with AsyncServer(shop(ShopHandler()), "127.0.0.1:0", http=True) as server:
            client = AsyncShopClient.connect(f"http://127.0.0.1:{server.port}")
            assert (await client.get("a")).sku == "a"
            await client.close()

    asyncio.run(main())


@ALL_KINDS
def test_metadata_and_typed_values(kind: str) -> None:
    handler = ShopHandler()
    metadata = {"authorization": "secret", "x-tenant": "ä %", "x-request-id": "7", "baggage": "a=1"}
    with serving(handler) as server, calling(kind, target(server)) as caller:
        assert caller.call("get", "a", metadata=metadata, tag="grün").sku == "a"
        caller.call("get", "a", metadata={"authorization": "Basic YTpi"})
        with pytest.raises(LocalProtocolError, match="cannot send the metadata 'X'"):
            caller.call("get", "a", metadata={"X": "1"})
        assert caller.call("get", "a").sku == "a"
    (found, context), (basic, _), (nothing, other) = handler.seen
    assert found == metadata
    assert (context.tag, context.attempt) == ("grün", 0)
    assert 0 < context.timeout <= TIMEOUT
    assert basic == {"authorization": "Basic YTpi"}
    assert (nothing, other.tag) == ({}, "")


@ALL_KINDS
def test_a_call_that_takes_too_long(kind: str) -> None:
    scripts = answering(b"", ends=False), answering(json_response('{"sku": "a"}'))
    with scripted_server(*scripts) as where, calling(kind, http(where)) as caller:
        with pytest.raises(DeadlineExceeded):
            caller.call("get", "a", timeout=0.05, retries=0)
        # The late response is not that of the next call: it has another connection.
        assert caller.call("get", "a").sku == "a"


def test_the_server_gives_up_at_the_deadline_of_the_client() -> None:
    reached: list[float] = []

    async def look(call: ServerCall, next: Any) -> Any:
        reached.append(call.deadline.remaining(call.driver.now()) if call.deadline is not None else math.inf)
        return await next(call)

    with serving(filters=[look]) as server, ShopClient.connect(target(server)) as client:
        client.using(timeout=7.5).get("a")
    assert 0 < reached[0] <= 7.5


# Connections.


@ALL_KINDS
@pytest.mark.parametrize("how", ["length", "close", "end"])
def test_a_server_that_closes_connections(kind: str, how: str) -> None:
    """Nothing was sent over a connection that the server has closed, so the next call gets another one."""
    body = json_response('{"sku": "a"}', *(["Connection: close"] if how == "close" else []))
    if how == "end":
        body = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"sku": "a"}'
    closed = threading.Semaphore(0)
    with scripted_server(*[answering(body, closed=closed)] * 3) as where, calling(kind, http(where)) as caller:
        for _ in range(3):
            assert caller.call("get", "a", retries=0).sku == "a"
            assert closed.acquire(timeout=TIMEOUT)


@ALL_KINDS
def test_an_idle_connection_is_checked_with_a_ping(kind: str) -> None:
    lines: list[bytes] = []

    def script(raw: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while request := read_request(raw):
                lines.append(request.partition(b"\r\n")[0])
                is_ping = request.startswith(b"OPTIONS * ")
                pong = b"HTTP/1.1 405 x\r\nContent-Length: 4\r\n\r\nwhat"
                raw.sendall(pong if is_ping else json_response('{"sku": "a"}'))

    with scripted_server(script) as where, calling(kind, http(where), ping_after=0.001) as caller:
        eventually(lambda: caller.call("get", "a").sku == "a" and b"OPTIONS * HTTP/1.1" in lines)
        assert client_stats(caller.client).connections == 1


@ALL_KINDS
def test_a_connection_that_is_lost_before_the_response(kind: str) -> None:
    with (
        scripted_server(answering(b""), answering(b"")) as where,
        calling(kind, http(where)) as caller,
    ):
        with pytest.raises(ConnectionLost):
            caller.call("upload", "a", b"")
        with pytest.raises((ConnectionLost, RemoteProtocolError)):
            caller.call("upload", "a", b"")


@ALL_KINDS
def test_a_response_that_is_not_valid(kind: str) -> None:
    script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
    with (
        scripted_server(script) as where,
        calling(kind, http(where)) as caller,
        pytest.raises(RemoteProtocolError, match=r"cannot read the response of Shop\.get"),
    ):
        caller.call("get", "a")


def test_a_response_over_the_limit() -> None:
    with serving() as server, ShopClient.connect(target(server), limits=Limits(max_message=1000)) as client:
        with pytest.raises(RemoteProtocolError, match="the limit is max_message=1000"):
            client.find("x" * 100, list(range(50)))
        assert client.find("x", [1])[0].sku == "x 1 None"


@ALL_KINDS
def test_a_server_that_stops_during_a_call(kind: str) -> None:
    """The response says that the connection ends, so that the next call gets another one."""
    entered, gate = threading.Event(), threading.Event()

    class Waiting(ShopHandler):
        def plain(self, numbers: dict[str, int], by: Any) -> float:
            entered.set()
            assert gate.wait(TIMEOUT)
            return 7.0

    with (
        serving(Waiting(), workers=1) as server,
        ThreadPoolExecutor(2) as threads,
        calling(kind, target(server)) as caller,
    ):
        made = threads.submit(caller.call, "plain", {})
        assert entered.wait(TIMEOUT)
        stopped = threads.submit(server.stop)
        eventually(lambda: is_refused(server.port))
        gate.set()
        assert made.result(TIMEOUT) == 7.0
        stopped.result(TIMEOUT)
        assert client_stats(caller.client).connections == 0
        with pytest.raises(ConnectFailed):
            caller.call("get", "a")


# Retries.


def instances(kind: str, *where: str, **options: Any) -> contextlib.AbstractContextManager[Caller]:
    hosts = ",".join(each.removeprefix("tcp://") for each in where)
    policy = {"balancer": "round_robin", **options.pop("policy", {})}
    return calling(kind, f"http://{hosts}", policy=policy, heartbeat=None, **options)


@ALL_KINDS
def test_a_call_that_was_not_executed_is_retried(kind: str) -> None:
    with (
        scripted_server(*[answering(*[TOO_BUSY] * 9, ends=False)] * 9) as busy,
        serving() as server,
        instances(kind, busy, f"127.0.0.1:{server.port}") as caller,
    ):
        assert [caller.call("upload", "a/b c", b"x") for _ in range(4)] == [1, 1, 1, 1]


@ALL_KINDS
def test_pushback_that_is_longer_than_the_deadline(kind: str) -> None:
    response = json_response('{"code": "unavailable"}', "Retry-After: 3600", status=503)
    with scripted_server(answering(response)) as where, calling(kind, http(where)) as caller:
        with pytest.raises(Overloaded) as raised:
            caller.call("get", "a")
        assert raised.value.retry_after == 3600


@ALL_KINDS
@pytest.mark.parametrize("status", [502, 503, 504])
def test_the_error_of_a_gateway_is_not_retried(kind: str, status: int) -> None:
    page = b"HTTP/1.1 %d x\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<h1>oops</h1>\n" % status
    with scripted_server(answering(page)) as gateway, calling(kind, http(gateway)) as caller:
        with pytest.raises(ApplicationError, match=f"HTTP status {status} .*: oops") as raised:
            caller.call("upload", "a", b"", idempotent=True)
        assert not isinstance(raised.value, NotSent)


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder


@ALL_KINDS
def test_https(kind: str, certificates: Path) -> None:
    with serving(tls=Tls(certificate=str(certificates / "server.pem"))) as server:
        where = f"https://127.0.0.1:{server.port}"
        with calling(kind, where, tls=Tls(authorities=str(certificates / "authority.pem"))) as caller:
            assert caller.call("get", "a").sku == "a"
        with calling(kind, where) as caller, pytest.raises(ConnectFailed, match="certificate"):
            caller.call("get", "a")
        with calling(kind, target(server)) as caller, pytest.raises(ApplicationError, match="requires TLS"):
            caller.call("get", "a")
    with (
        serving() as server,
        calling(kind, f"https://127.0.0.1:{server.port}") as caller,
        pytest.raises(ConnectFailed, match="if it does not support TLS"),
    ):
        caller.call("get", "a")


# Registries.


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry.connect(f"memory://{uuid.uuid4().hex}") as made:
        yield made


# Over Thrift this name of metadata is allowed, over HTTP it is not.
THRIFT_ONLY = {"X": "a"}


@ALL_KINDS
def test_instances_that_list_http_only(kind: str, registry: Registry) -> None:
    options: Any = {"registry": registry, "http": Http(prefix="/api"), "protocols": ["http"]}
    with serving(**options), calling(kind, str(registry)) as caller:
        assert caller.call("get", "a").sku == "a"
        with pytest.raises(LocalProtocolError, match="cannot send the metadata 'X'"):
            caller.call("get", "a", metadata=THRIFT_ONLY)


@ALL_KINDS
def test_thrift_is_preferred_to_http(kind: str, registry: Registry) -> None:
    with serving(registry=registry):
        with calling(kind, str(registry)) as caller:
            assert caller.call("get", "a", metadata=THRIFT_ONLY).sku == "a"
        with calling(kind, str(registry), protocol="http") as caller:
            assert caller.call("get", "a").sku == "a"
            with pytest.raises(LocalProtocolError, match="cannot send the metadata 'X'"):
                caller.call("get", "a", metadata=THRIFT_ONLY)


@ALL_KINDS
def test_the_prefix_of_an_instance(kind: str, registry: Registry) -> None:
    with serving(http=Http(prefix="/api")) as server:
        listed: Any = {"protocols": ("http",), "rpc_protocols": {"http": ("plain_json",)}}
        place: Any = {"service": "Shop", "host": "127.0.0.1", "port": server.port}
        registry.register(Instance(**place, **listed, metadata={"http.prefix": "/api"})).wait(TIMEOUT)
        with calling(kind, str(registry)) as caller:
            assert caller.call("get", "a").sku == "a"


def test_an_instance_that_lists_another_serialization(registry: Registry) -> None:
    listed: Any = {"http": ("protobuf",)}
    registry.register(Instance(service="Shop", host="127.0.0.1", port=9, rpc_protocols=listed)).wait(TIMEOUT)
    with ShopClient.connect(str(registry)) as client, pytest.raises(NoInstance, match="the instance supports http="):
        client.get("a")
