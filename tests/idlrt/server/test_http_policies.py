"""Limits, rights, timeouts and the end of servers, as HTTP clients see them."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from hand_written import Users, UserServiceClient, user_service
from http_by_hand import request
from http_sockets import HttpSocket, serving_shop
from kinds import Kind, Running
from rest_shop import Article, AsyncShopHandler, Shop, ShopHandler, shop

from idlrt import spec as rpc
from idlrt.core import bind
from idlrt.errors import ConfigurationError
from idlrt.protocol.http.options import Http
from idlrt.server import Server, allow_addresses, require_token

pytestmark = pytest.mark.slow

SELECTOR, ASYNCIO = Kind("selector"), Kind("asyncio")
BOTH = [SELECTOR, ASYNCIO]
ASYNC = [Kind("selector", has_coroutines=True), Kind("asyncio", has_coroutines=True)]


def get(path: str = "/articles/1", *headers: str) -> bytes:
    return request(f"GET {path}", *headers, host="localhost")


# Limits and rights.


@pytest.mark.parametrize("kind", ASYNC, ids=str)
def test_overload(kind: Kind, tmp_path: Path) -> None:
    with (
        serving_shop(kind, tmp_path, max_in_flight=1) as (running, handler),
        HttpSocket(running) as waiting,
        HttpSocket(running) as client,
    ):
        waiting.send(get("/wait/7"))
        assert handler.entered.acquire(timeout=TIMEOUT)
        answer = client.ask(get())
        assert (answer.status, json.loads(answer.body)["code"]) == (503, "unavailable")
        handler.gate.set()
        assert waiting.answer().body == b"7"
        assert client.ask(get()).status == 200
    assert [call[0] for call in handler.calls] == ["wait", "get"]


@pytest.mark.parametrize(("per", "status"), [("caller", 429), ("service", 503)])
def test_rate_limits(per: str, status: int, tmp_path: Path) -> None:
    guards: dict[str, Any] = {"limiter": {"rate": 0.01, "burst": 1, "per": per}}
    with serving_shop(SELECTOR, tmp_path, guards=guards) as (running, handler), HttpSocket(running) as client:
        assert client.ask(get()).status == 200
        answer = client.ask(get())
        assert answer.status == status
        assert 1 <= int(answer.headers["retry-after"]) <= 100
        assert len(handler.calls) == 1


def test_tokens(tmp_path: Path) -> None:
    with serving_shop(SELECTOR, tmp_path, filters=[require_token(["s3cret"])]) as (running, handler):
        wrong = ["Authorization: Bearer wrong"], ["Authorization: Basic s3cret"], ["Rpc-Metadata-Token: s3cret"]
        for lines in ([], *wrong):
            with HttpSocket(running) as client:
                answer = client.ask(get("/articles/1", *lines))
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), lines
                assert b"s3cret" not in answer.body
        with HttpSocket(running) as client:
            assert client.ask(get("/articles/1", "authorization: bearer s3cret")).status == 200
    assert len(handler.calls) == 1


def test_addresses(tmp_path: Path) -> None:
    filters = [allow_addresses("10.0.0.0/8")]
    with serving_shop(SELECTOR, tmp_path, filters=filters) as (running, handler), HttpSocket(running) as client:
        assert client.ask(get()).status == 403
    assert handler.calls == []


@pytest.mark.parametrize("kind", ASYNC, ids=str)
def test_deadlines(kind: Kind, tmp_path: Path) -> None:
    with serving_shop(kind, tmp_path) as (running, handler), HttpSocket(running) as client:
        answer = client.ask(get("/articles/1", "Rpc-Timeout-Ms: 0"))
        assert (answer.status, json.loads(answer.body)["code"], handler.calls) == (504, "deadline_exceeded", [])
        assert client.ask(get("/articles/1", "Rpc-Timeout-Ms: 60000")).status == 200
        assert client.ask(get("/articles/1", "Rpc-Timeout-Ms: -1")).status == 400


# Timeouts: those in virtual time are in test_timeouts.py.


@pytest.mark.parametrize("kind", BOTH, ids=str)
@pytest.mark.parametrize(
    ("data", "options", "limit"),
    [
        (b"GET /articles/1 HTTP/1.1\r\nHost: localhost\r\nX: ", Http(head_timeout=0.1), 60.0),
        (request("POST /articles/1:buy", body=b'{"count":1}', host="localhost")[:-1], Http(head_timeout=50), 0.1),
    ],
    ids=["head", "body"],
)
def test_slow_requests(kind: Kind, data: bytes, options: Http, limit: float, tmp_path: Path) -> None:
    shop = serving_shop(kind, tmp_path, http=options, message_timeout=limit)
    with shop as (running, handler), HttpSocket(running) as client:
        client.send(data)
        [answer] = client.to_end()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert handler.calls == []


@pytest.mark.parametrize("kind", BOTH, ids=str)
def test_idle_connections_are_closed(kind: Kind, tmp_path: Path) -> None:
    with serving_shop(kind, tmp_path, http=Http(keep_alive=0.1)) as (running, _), HttpSocket(running) as client:
        assert client.ask(get()).status == 200
        assert client.to_end() == []


@pytest.mark.parametrize("kind", BOTH, ids=str)
def test_the_last_request_of_a_connection(kind: Kind, tmp_path: Path) -> None:
    with serving_shop(kind, tmp_path, http=Http(max_requests=2)) as (running, handler), HttpSocket(running) as client:
        client.send(get() * 4)
        assert ["connection" in each.headers for each in client.to_end()] == [False, True]
    assert len(handler.calls) == 2


# The end.


@pytest.mark.parametrize("kind", ASYNC, ids=str)
def test_calls_in_flight_are_answered_when_a_server_stops(kind: Kind, tmp_path: Path) -> None:
    with serving_shop(kind, tmp_path, drain_s=0.2) as (running, handler), HttpSocket(running) as client:
        with HttpSocket(running) as idle:
            assert idle.ask(get()).status == 200
            client.send(get("/wait/1") + get("/wait/2"))
            assert handler.entered.acquire(timeout=TIMEOUT)
            stopping = threading.Thread(target=running.stop)
            stopping.start()
            assert idle.to_end() == []
            handler.gate.set()
            answers = client.to_end()
            stopping.join()
        assert [(each.status, each.body) for each in answers] == [(200, b"1"), (200, b"2")]
        assert ["connection" in each.headers for each in answers] == [False, True]


@pytest.mark.parametrize("has_coroutines", [False, True])
def test_connections_end_with_the_calls_that_were_in_flight(has_coroutines: bool) -> None:
    handler = AsyncShopHandler() if has_coroutines else ShopHandler()
    # The test does not wait that long: the server ends because the connection does.
    with Server(shop(handler), workers=1, drain_s=10 * TIMEOUT) as server:
        server.start()
        running = Running(SELECTOR, server.address, None, server.stop)
        with HttpSocket(running) as client:
            client.send(get("/wait/1"))
            assert handler.entered.acquire(timeout=TIMEOUT)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            eventually(lambda: server.is_draining)
            handler.gate.set()
            [answer] = client.to_end()
        stopping.join()
    assert (answer.body, answer.headers["connection"]) == (b"1", "close")


# Which servers have HTTP.


class Plain:
    """Handlers of a service without routes."""

    def total(self, numbers: list[int]) -> int:
        return sum(numbers)


PLAIN = rpc.service("Plain", rpc.method(Shop.total, rpc.required(1, "numbers", rpc.list_of(rpc.I64)), result=rpc.I64))


@pytest.mark.parametrize(
    ("has_routes", "options", "is_on"),
    [
        (True, {}, True),
        (True, {"http": None}, True),
        (True, {"http": False}, False),
        (True, {"protocols": ["thrift"]}, False),
        (False, {}, False),
        (False, {"http": True}, True),
        (False, {"http": Http()}, True),
        (False, {"protocols": ["thrift", "http"]}, True),
    ],
)
def test_whether_a_server_has_http(has_routes: bool, options: dict[str, Any], is_on: bool) -> None:
    handlers = shop() if has_routes else bind(PLAIN, Plain())
    line = "/Shop/total" if has_routes else "/Plain/total"
    with Server(handlers, drain_s=0.0, **options) as server:
        server.start()
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
            client.sendall(request(f"POST {line}", body=b'{"numbers":[1,2]}', host="localhost"))
            client.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: client.recv(65536), b""))
    assert (received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"\r\n\r\n3")) == is_on


def test_a_parser_that_accepts_ambiguous_messages_may_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        raise ConfigurationError("too lenient")

    monkeypatch.setattr("idlrt.protocol.http.probe.check_parser", check)
    with pytest.raises(ConfigurationError, match="too lenient"):
        Server(shop()).bind()
    Server(shop(), http=False).bind().stop()


@pytest.mark.parametrize(
    "options", [{"http": True, "protocols": ["thrift"]}, {"http": False, "protocols": ["thrift", "http"]}]
)
def test_contradictions(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="contradicts"), Server(shop(), **options):
        pass


def _service(name: str, path: str) -> Any:
    method = rpc.method(
        Shop.get, rpc.required(1, "sku", rpc.STRING), result=rpc.struct(Article), annotations={"http.get": path}
    )
    return bind(rpc.service(name, method), ShopHandler())


def test_conflicts_between_services() -> None:
    with pytest.raises(ConfigurationError, match=r"GET /a/\{sku\} .*One.*GET /a/\{sku\} .*Two|match the same requests"):
        Server([_service("One", "/a/{sku}"), _service("Two", "/a/{sku}")]).bind()
    Server([_service("One", "/a/{sku}"), _service("Two", "/b/{sku}")]).bind().stop()


@pytest.mark.parametrize("path", ["/_idl/{sku}", "/_idl", "/docs/{sku}"])
def test_the_path_of_pages_is_reserved(path: str) -> None:
    options = Http(pages="/docs") if path.startswith("/docs") else Http()
    with pytest.raises(ConfigurationError, match="reserved"):
        Server(_service("One", path), http=options).bind()


def test_other_protocols_on_the_same_port() -> None:
    with Server([user_service(Users()), shop()], drain_s=0.0) as server:
        server.start()
        ways: list[dict[str, Any]] = [{"framing": "framed"}, {"framing": "header"}, {"protocol": "jsonrpc"}]
        for options in ways:
            with UserServiceClient.connect(server.address, timeout=TIMEOUT, **options) as client:
                assert client.get(1).id == 1
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw:
            raw.sendall(get())
            assert raw.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_metadata_reaches_handlers(tmp_path: Path) -> None:
    with serving_shop(SELECTOR, tmp_path) as (running, handler), HttpSocket(running) as client:
        client.ask(get("/articles/1", "Rpc-Metadata-A: b%20c", "X-Request-Id: 7", "X-Other: 1", "baggage: k=v"))
        eventually(lambda: handler.metadata)
        assert handler.metadata == [{"a": "b c", "x-request-id": "7", "baggage": "k=v"}]


@pytest.mark.parametrize("is_first", [True, False])
def test_headers_of_gateways_take_precedence(is_first: bool, tmp_path: Path) -> None:
    set_by_gateway = ["X-User: known", "Authorization: Bearer real"]
    sent_by_client = ["Rpc-Metadata-X-User: forged", "Rpc-Metadata-Authorization: forged"]
    lines = set_by_gateway + sent_by_client if is_first else sent_by_client + set_by_gateway
    options = Http(metadata=("x-user",))
    with serving_shop(SELECTOR, tmp_path, http=options) as (running, handler), HttpSocket(running) as client:
        assert client.ask(get("/articles/1", *lines)).status == 200
        assert handler.metadata == [{"x-user": "known", "authorization": "real"}]


def test_calls_do_not_share_their_metadata(tmp_path: Path) -> None:
    async def mark(call: Any, next: Any) -> Any:
        call.metadata["marks"] = call.metadata.get("marks", "") + "x"
        return await next(call)

    with serving_shop(SELECTOR, tmp_path, filters=[mark]) as (running, handler), HttpSocket(running) as client:
        for _ in range(3):  # the same bytes
            assert client.ask(get("/articles/1", "X-Request-Id: 7")).status == 200
        assert handler.metadata == [{"x-request-id": "7", "marks": "x"}] * 3
