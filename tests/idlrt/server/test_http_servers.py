"""HTTP on real servers of every kind: what curl and http.client send, and what comes back."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_by_hand import request
from http_sockets import HttpSocket, serving_shop
from kinds import Kind, Running
from rest_shop import ShopHandler

from idlrt.protocol.http.options import Cors, Http

pytestmark = pytest.mark.slow

KINDS = [
    Kind("selector"),
    Kind("selector", "tls", 4),
    Kind("selector", "unix", 0, True),
    Kind("asyncio"),
    Kind("asyncio", "tls", 0, True),
    Kind("asyncio", "unix", 4),
    Kind("uvloop", "tcp", 0, True),
]
OPTIONS = Http(
    gzip=100,
    cors=Cors(
        origins=("https://a.example", "http://b.example:8080"),
        headers=("x-own",),
        exposed=("x-request-id",),
        credentials=True,
        max_age=60,
    ),
)
BUY = request("POST /articles/1:buy", body=b'{"count":2}', host="localhost")


def get(path: str = "/articles/1", *headers: str, verb: str = "GET") -> bytes:
    return request(f"{verb} {path}", *headers, host="localhost")


Shop = tuple[Running, ShopHandler]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with serving_shop(request.param, tmp_path_factory.mktemp("tls"), http=OPTIONS) as made:
        yield made


@pytest.fixture
def client(served: Shop) -> Iterator[HttpSocket]:
    served[1].calls.clear()
    with HttpSocket(served[0]) as made:
        yield made


def test_a_route(client: HttpSocket) -> None:
    answer = client.ask(get())
    assert (answer.status, json.loads(answer.body)) == (200, {"sku": "1", "price": 3, "colour": "BLUE"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert answer.headers["date"].endswith(" GMT")


def test_keep_alive(client: HttpSocket) -> None:
    for number in range(1, 30):
        assert (
            json.loads(
                client.ask(request("POST /articles/1:buy", body=b'{"count":%d}' % (number % 9), host="localhost")).body
            )
            == number % 9
        )


def test_pipelined_requests_are_answered_in_order(client: HttpSocket, served: Shop) -> None:
    client.send(b"".join(get(f"/articles/{number}") for number in range(50)) + get("/nowhere") + BUY)
    answers = [client.answer() for _ in range(52)]
    assert [json.loads(each.body).get("sku") for each in answers[:50]] == [str(number) for number in range(50)]
    assert [each.status for each in answers[50:]] == [404, 200]


def test_http_1_0(client: HttpSocket) -> None:
    client.send(b"GET /articles/1 HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
    assert client.answer().headers["connection"] == "keep-alive"
    client.send(b"GET /articles/1 HTTP/1.0\r\nHost: localhost\r\n\r\n")
    [answer] = client.to_end()
    assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunked_requests(client: HttpSocket, size: int) -> None:
    chunks = b'5\r\n{"cou\r\n6\r\nnt":2}\r\n0\r\n\r\n'
    data = request(
        "POST /articles/1:buy", "Transfer-Encoding: chunked", "Content-Type: application/json", host="localhost"
    )
    data += chunks
    for at in range(0, len(data), size):
        client.send(data[at : at + size])
    assert (client.answer().body, client.ask(BUY).body) == (b"2", b"2")


def test_expect(client: HttpSocket, served: Shop) -> None:
    lines = ("Content-Type: application/json", "Content-Length: 11", "Expect: 100-continue")
    client.send(request("POST /articles/1:buy", *lines, host="localhost"))
    assert client.answer().status == 100
    assert served[1].calls == []
    client.send(b'{"count":2}')
    assert client.answer().body == b"2"
    # Without a route, the body is not asked for.
    client.send(request("POST /nowhere", *lines, host="localhost"))
    [answer] = client.to_end()
    assert (answer.status, answer.headers["connection"]) == (404, "close")


def test_gzip(client: HttpSocket) -> None:
    path = "/blobs/1000"
    answer = client.ask(get(path, "Accept-Encoding: br;q=1, gzip;q=0.5"))
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"]
    assert json.loads(gzip.decompress(answer.body)) == "x" * 1000
    for lines in (["Accept-Encoding: br"], ["Accept-Encoding: gzip;q=0"], ["Accept-Encoding: gzip", "Cookie: a=b"], []):
        answer = client.ask(get(path, *lines))
        assert "content-encoding" not in answer.headers
        assert len(answer.body) == 1002
    answer = client.ask(get("/blobs/10", "Accept-Encoding: gzip"))
    assert "content-encoding" not in answer.headers
    packed = gzip.compress(b'{"count":2}')
    assert (
        client.ask(request("POST /articles/1:buy", "Content-Encoding: gzip", body=packed, host="localhost")).body
        == b"2"
    )


def test_head(client: HttpSocket) -> None:
    whole = client.ask(get())
    answer = client.ask(get(verb="HEAD"), head=True)
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(whole.body)))
    assert client.ask(get("/articles/none", verb="HEAD"), head=True).status == 404
    assert client.ask(get("/nowhere", verb="HEAD"), head=True).status == 404
    assert client.ask(get()).status == 200


def test_options_and_other_verbs(client: HttpSocket) -> None:
    answer = client.ask(get(verb="OPTIONS"))
    assert (answer.status, answer.headers["allow"]) == (204, "GET, PUT, HEAD, OPTIONS")
    assert "content-length" not in answer.headers
    assert client.ask(get("*", verb="OPTIONS")).status == 204
    answer = client.ask(get(verb="DELETE"))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, PUT, HEAD, OPTIONS")
    assert client.ask(get("/nowhere", verb="OPTIONS")).status == 404
    assert client.ask(get(verb="TRACE")).status == 405
    assert client.ask(get("/nowhere", verb="TRACE")).status == 501


def test_cors(client: HttpSocket, served: Shop) -> None:
    ask = ("Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-own")
    answer = client.ask(get("/articles/1", "Origin: https://A.example", *ask, verb="OPTIONS"))
    assert answer.status == 204
    cors = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
    assert cors.pop("access-control-allow-headers").startswith("content-type, authorization, ")
    assert cors == {
        "access-control-allow-origin": "https://A.example",
        "access-control-allow-methods": "GET, PUT, HEAD, OPTIONS",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "x-request-id",
        "access-control-max-age": "60",
    }
    assert "x-own" in answer.headers["access-control-allow-headers"]
    for path, status in (("/articles/1", 200), ("/articles/none", 404), ("/nowhere", 404)):
        answer = client.ask(get(path, "Origin: http://b.example:8080"))
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "http://b.example:8080")
        assert (answer.headers["access-control-allow-credentials"], answer.headers["vary"]) == ("true", "origin")
    for origin in ("https://a.example.evil", "http://a.example", "null", "https://a.example:443", "https://b.example"):
        for data in (
            get("/articles/1", f"Origin: {origin}"),
            get("/articles/1", f"Origin: {origin}", *ask, verb="OPTIONS"),
        ):
            answer = client.ask(data)
            assert not any(name.startswith("access-control-") for name in answer.headers)
            assert answer.headers["vary"] == "origin"
    assert not any(name.startswith("access-control-") for name in client.ask(get()).headers)


def test_results(client: HttpSocket, served: Shop) -> None:
    answer = client.ask(request("POST /notes", body=b'{"text":"a"}', host="localhost"))
    assert (answer.status, answer.body, served[1].calls) == (202, b"", [("note", "a")])
    answer = client.ask(request("PUT /articles/7", body=b'{"sku":"8"}', host="localhost"))
    assert (answer.status, answer.body) == (204, b"")
    answer = client.ask(request("POST /articles", body=b'{"sku":"8"}', host="localhost"))
    assert (answer.status, answer.headers["location"], answer.headers["set-cookie"]) == (201, "/articles/8", "sid=s1")
    assert answer.body == b'{"sku":"8"}'
    answer = client.ask(request("POST /echo", body=b"\x89PNG", host="localhost"))
    assert (answer.body, answer.headers["content-type"]) == (b"\x89PNG", "image/png")
    assert client.ask(request("POST /Shop/total", body=b'{"numbers":[1,2]}', host="localhost")).body == b"3"


def test_errors(client: HttpSocket, caplog: pytest.LogCaptureFixture) -> None:
    answer = client.ask(get("/articles/none"))
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.headers["x-retry"] == "never"
    found = json.loads(answer.body)
    assert (found["type"], found["status"], found["fields"]) == ("urn:idl:NoArticle", 404, {"sku": "none"})
    assert client.ask(get("/articles/sold")).status == 409
    assert client.ask(request("POST /articles/1:buy", body=b'{"count":11}', host="localhost")).status == 400
    answer = client.ask(get("/articles/broken"))
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert b"ValueError" in answer.body
    assert client.ask(request("POST /articles/1:buy", body=b'{"count":"x"}', host="localhost")).status == 400
    assert client.ask(get()).status == 200


def test_a_broken_request_after_a_good_one(client: HttpSocket, served: Shop) -> None:
    client.send(get() + b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" + BUY)
    assert [each.status for each in client.to_end()] == [200, 400]
    assert served[1].calls == [("get", "1")]


def test_the_end_of_stream_after_requests(client: HttpSocket, served: Shop) -> None:
    if served[0].tls is None:
        client.send(get() * 3)
        client.socket.shutdown(socket.SHUT_WR)
        assert [each.status for each in client.to_end()] == [200] * 3


@pytest.mark.parametrize("kind", KINDS[:1] + KINDS[3:4], ids=str)
def test_http_client_of_the_standard_library(kind: Kind, tmp_path: Path) -> None:
    with serving_shop(kind, tmp_path) as (running, handler):
        made = http.client.HTTPConnection(running.address.removeprefix("tcp://"), timeout=60)
        for _ in range(3):
            made.request("POST", "/articles/1:buy", body=iter([b'{"count"', b":3}"]), encode_chunked=True, headers={
                "Content-Type": "application/json", "Transfer-Encoding": "chunked",
            })  # fmt: skip
            assert made.getresponse().read() == b"3"
            made.request(
                "GET", "/shelves/a%2Fb/articles?word=x&word=y%20z", headers={"Cookie": "sid=1", "X-Caller": "me"}
            )
            assert json.loads(made.getresponse().read()) == ["a/b", "x", "y z"]
        made.close()
    assert handler.calls[1][1].session == "1"
    assert handler.calls[1][1].caller == "me"


def test_workers_answer_pipelined_requests_in_order(tmp_path: Path) -> None:
    with serving_shop(Kind("selector", workers=4), tmp_path) as (running, handler), HttpSocket(running) as client:
        client.send(get("/wait/1") + get("/articles/2") + get("/blobs/3") + get("/wait/4"))
        for _ in range(2):
            assert handler.entered.acquire(timeout=60)
        handler.gate.set()
        answers: list[Any] = [json.loads(client.answer().body) for _ in range(4)]
        assert [answers[0], answers[1]["sku"], answers[2], answers[3]] == [1, "2", "xxx", 4]


def test_processes(tmp_path: Path) -> None:
    with serving_shop(Kind("processes"), tmp_path) as (running, _):
        for number in range(8):
            with HttpSocket(running) as client:
                client.send(get(f"/articles/{number}") * 2 + get("/nowhere"))
                assert [client.answer().status for _ in range(3)] == [200, 200, 404]
