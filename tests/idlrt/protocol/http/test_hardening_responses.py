"""Responses of a server and their recipients: splitting, hosts, content types, errors without echoes."""

from __future__ import annotations

import json
from typing import Any, Protocol

import pytest
from http_by_hand import HttpAnswer, Wire, request
from rest_shop import Added, NoArticle, Picture, ShopHandler, shop
from test_hardening import outcome_of

from idlrt import spec as rpc
from idlrt.core import Handlers, bind
from idlrt.errors import ConfigurationError
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.pages import PAGES, HttpRequest, HttpResponse, StaticPage
from idlrt.protocol.http.responses import located_fields
from idlrt.spec import STRING, optional

BODY = b'{"count":1}'
SPLIT = "x\r\nset-cookie: sid=evil\r\n\r\nHTTP/1.1 200 OK\r\n"


class Evil(ShopHandler):
    """Returns what it is told to."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def add(self, article: Any) -> Any:
        return self.result

    def echo(self, data: bytes) -> Any:
        return self.result

    def get(self, sku: str) -> Any:
        raise self.result


def answer_of(handlers: Handlers, data: bytes, metadata: dict[str, str] | None = None) -> HttpAnswer:
    wire = Wire(handlers=handlers)
    wire.metadata = metadata or {}
    [answer] = wire.feed([data]).answers
    return answer


# Response splitting.


@pytest.mark.parametrize("text", [SPLIT, "a\nb", "a\rb", "a\0b", "a\x01b", "a\x7fb", "a\u0100b", "\ud800"])
def test_fields_of_results_cannot_split_a_response(text: str) -> None:
    add = request("POST /articles", body=b'{"sku":"a"}')
    for result in (Added(place=text), Added(session=text), Added(session="a;b"), Added(session="a b")):
        answer = answer_of(shop(Evil(result)), add)
        assert answer.status == 500
        assert not answer.headers.keys() & {"location", "set-cookie"}
    assert answer_of(shop(Evil(Picture(kind=text, data=b"x"))), request("POST /echo", body=b"x")).status == 500
    thrown = NoArticle(sku="a", retry=text)
    assert answer_of(shop(Evil(thrown)), request("GET /articles/1")).status == 500


def test_latin_1_is_written_as_it_is() -> None:
    answer = answer_of(shop(Evil(Added(place="/ä", session="ö"))), request("POST /articles", body=b'{"sku":"a"}'))
    assert (answer.status, answer.headers["location"], answer.headers["set-cookie"]) == (201, "/ä", "sid=ö")


class Note(rpc.Struct, kw_only=True):
    title: str
    text: str

    __thrift_fields__ = (
        rpc.required(1, "title", rpc.STRING, annotations={"http.header": "X-Title"}),
        rpc.required(2, "text", rpc.STRING, annotations={"http.raw_body": ""}),
    )


class Notes(Protocol):
    def get(self) -> Note: ...


NOTES = rpc.service("Notes", rpc.method(Notes.get, result=rpc.struct(Note), annotations={"http.get": "/note"}))


@pytest.mark.parametrize("title", ["content-type: text/html", "a content-type:"])
def test_no_value_of_a_header_removes_the_content_type(title: str) -> None:
    class Handler:
        def get(self) -> Note:
            return Note(title=title, text="<script>")

    answer = answer_of(bind(NOTES, Handler()), request("GET /note"))
    assert (answer.headers["x-title"], answer.headers["content-type"]) == (title, "text/plain; charset=utf-8")


@pytest.mark.parametrize("status", [0, 99, 199, 600, -1])
def test_statuses_of_results(status: int) -> None:
    answer = answer_of(shop(Evil(Added(status=status))), request("POST /articles", body=b'{"sku":"a"}'))
    assert answer.status == 500


def test_metadata_cannot_split_a_response() -> None:
    answer = answer_of(shop(), request("GET /articles/1"), {"a": SPLIT})
    assert answer.status == 200
    assert answer.headers["rpc-metadata-a"] == "x%0D%0Aset-cookie%3A%20sid%3Devil%0D%0A%0D%0AHTTP/1.1%20200%20OK%0D%0A"
    for name in (SPLIT, "a:b", "a b", "", "ä", "A"):
        assert answer_of(shop(), request("GET /articles/1"), {name: "x"}).status == 500


class Page:
    """A computed page."""

    def __init__(self, response: HttpResponse) -> None:
        self.response = response
        self.requests: list[HttpRequest] = []

    def page(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return self.response


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(headers=(("x", SPLIT),)),
        HttpResponse(headers=((SPLIT, "x"),)),
        HttpResponse(headers=(("x y", "z"),)),
        HttpResponse(headers=(("", "z"),)),
        HttpResponse(headers=(("x", "\u0100"),)),
        HttpResponse(headers=(("Content-Length", "1"),)),
        HttpResponse(headers=(("transfer-encoding", "chunked"),)),
        HttpResponse(headers=(("Connection", "upgrade"),)),
        HttpResponse(content_type=SPLIT),
        HttpResponse(status=100),
        HttpResponse(status=600),
    ],
)
def test_computed_pages_cannot_split_a_response(response: HttpResponse) -> None:
    assert answer_of(bind(PAGES, Page(response)), request("GET /")).status == 500


def test_computed_pages() -> None:
    page = Page(HttpResponse(status=203, content_type="text/html", body=b"<p>", headers=(("X-Y", "ä"),)))
    answer = answer_of(bind(PAGES, page), request("POST /a%20b/c?x=1&x=%C3%A4", "X: Y", body=b"{}"))
    assert (answer.status, answer.body, answer.headers["x-y"], answer.headers["content-type"]) == (
        203, b"<p>", "ä", "text/html",
    )  # fmt: skip
    [seen] = page.requests
    assert (seen.verb, seen.path, seen.query, seen.body) == ("POST", "/a b/c", (("x", "1"), ("x", "ä")), b"{}")
    assert (seen.get("x"), seen.get("y", "-"), seen.headers["x"]) == ("ä", "-", "Y")
    for path in ("/%ff", "/a?b=%ff", "/a?b=%00"):
        assert answer_of(bind(PAGES, page), request(f"GET {path}")).status == 400


def test_computed_pages_are_not_cached_unless_they_say_so() -> None:
    for headers, expected in (((), "no-store"), ((("Cache-Control", "max-age=60"),), "max-age=60")):
        page = Page(HttpResponse(content_type="text/html", body=b"<p>" * 1000, headers=headers))
        answer = answer_of(bind(PAGES, page), request("GET /", "Accept-Encoding: gzip"))
        assert answer.headers["cache-control"] == expected
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-encoding"] == "gzip"


def test_static_pages() -> None:
    wire = Wire(pages={b"/p": StaticPage("text/html", b"<p>" * 1000, (("x", "y"),))})
    get, zipped = wire.feed([request("GET /p") + request("GET /p", "Accept-Encoding: gzip", "Cookie: a=b")]).answers
    assert (get.status, get.headers["x"], len(get.body)) == (200, "y", 3000)
    assert (zipped.headers["content-encoding"], len(zipped.body) < 300) == ("gzip", True)
    assert outcome_of(request("PUT /p"), lambda: Wire(pages={b"/p": StaticPage("a/b", b"")})).statuses == [405]


@pytest.mark.parametrize("name", ["Content-Length", "connection", "a b", "a:", "ä", "a\r\nb"])
def test_names_of_response_headers_are_checked_when_serving_begins(name: str) -> None:
    with pytest.raises(ConfigurationError, match="header"):
        located_fields([optional(1, "a", STRING, annotations={"http.header": name})])


# Hosts.

LOOPBACK = ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"]
OTHERS = [
    "evil.example", "localhost.evil.example", "localhost:80.evil.example", "localhost:", "localhost:a", "127.0.0.2",
    "::1", "[::1]x", "[::1", "0.0.0.0", "", "localhost ,b", "localhost@evil.example", "localhost/", "[::1]:8080:1",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_names_reach_a_server_on_loopback(host: str) -> None:
    data = request("GET /articles/1", host=host)
    assert outcome_of(data, lambda: Wire(is_loopback=True)).statuses == [200]


@pytest.mark.parametrize("host", OTHERS)
def test_web_pages_cannot_reach_a_server_on_loopback(host: str) -> None:
    data = request("GET /articles/1", host=host) + request("POST /articles/1:buy", host=host, body=BODY)
    outcome = outcome_of(data, lambda: Wire(is_loopback=True))
    assert (set(outcome.statuses) <= {421, 400}, outcome.calls) == (True, [])
    [first, *_] = outcome.answers
    assert b"evil" not in first.body


def test_elsewhere_any_host_will_do_unless_some_are_listed() -> None:
    for host in (*LOOPBACK, *OTHERS):
        assert Wire().feed([request("GET /articles/1", host=host)]).statuses == [200]
    options = Http(hosts=("a.example", "[::2]"))
    for host, status in (("A.example:1", 200), ("[::2]", 200), ("b.example", 421), ("localhost", 421)):
        assert Wire(options, is_loopback=True).feed([request("GET /articles/1", host=host)]).statuses == [status]


def test_static_pages_have_their_own_status() -> None:
    page = StaticPage("text/plain", b"", (("location", "p/"),), 308)
    outcome = Wire(pages={b"/p": page}).feed([request("GET /p")])
    assert (outcome.statuses, outcome.answers[0].headers["location"]) == ([308], "p/")


def test_static_pages_and_options_check_the_host_too() -> None:
    pages = {b"/p": StaticPage("text/html", b"x")}
    for line in ("GET /p", "OPTIONS /articles/1", "OPTIONS *", "GET /nowhere"):
        wire = Wire(pages=pages, is_loopback=True)
        assert wire.feed([request(line, host="evil.example")]).statuses == [421]


def test_health_checks_without_a_host_reach_a_server_on_loopback() -> None:
    wire = Wire(is_loopback=True)
    assert wire.feed([b"OPTIONS /articles/1 HTTP/1.0\r\n\r\n"]).statuses == [204]


# Content types.


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ('application/json;charset="utf-8"', 200),
        ("application/json ; a=b", 200),
        ("application/problem+json", 200),
        ("application/merge-patch+json; charset=us-ascii", 200),
        ("application/json; charset=latin-1", 415),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=a", 415),
        ("application/jsonx", 415),
        ("application/", 415),
        ("", 415),
        (";", 415),
        ("application/json, text/plain", 415),
    ],
)
def test_json_routes_take_json(kind: str, status: int) -> None:
    data = request("POST /articles/1:buy", f"Content-Type: {kind}", body=BODY)
    outcome = outcome_of(data * 2)
    assert (outcome.statuses, outcome.is_closed) == ([status] * 2, False)
    assert outcome.calls == (["buy"] * 2 if status == 200 else [])


def test_a_body_without_a_type_is_no_json() -> None:
    data = request("POST /articles/1:buy", f"Content-Length: {len(BODY)}") + BODY
    assert outcome_of(data).statuses == [415]
    assert outcome_of(request("POST /Shop/total")).statuses == [400]  # no body: no argument
    assert outcome_of(request("POST /echo", f"Content-Length: {len(BODY)}") + BODY).statuses == [200]


def test_accept_is_not_a_condition() -> None:
    # RFC 9110, section 12.4.1: a server may send what it has.
    for accept in ("text/html", "application/xml;q=1, */*;q=0", "x"):
        [answer] = Wire().feed([request("GET /articles/1", f"Accept: {accept}")]).answers
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")


# Errors.

LONG = "<script>" + "x" * 3000


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(f"GET /shelves/a/articles?{LONG}=1"), 400),
        (request(f"GET /shelves/a/articles?page={LONG}"), 400),
        (request(f"GET /shelves/a/articles?colour={LONG}"), 400),
        (request(f"GET /v{LONG}/files/a"), 400),
        (request("GET /shelves/a/articles", f"X-Page: {LONG}"), 400),
        (request(f"GET /{LONG}"), 404),
        (request("POST /articles/1:buy", body=f'{{"count":"{LONG}"}}'.encode()), 400),
        (request("POST /articles/1:buy", body=LONG.encode()), 400),
        (request("POST /articles", body=json.dumps({"sku": "a", "colour": LONG}).encode()), 400),
        (request("POST /articles", body=json.dumps({LONG: 1}).encode()), 400),
        (request("GET /articles/1", f"Rpc-Timeout-Ms: {LONG}"), 400),
        (request("GET /articles/1", host=LONG), 421),
        (request("POST /articles/1:buy", f"Content-Type: {LONG}", body=BODY), 415),
        (request("POST /articles/1:buy", f"Content-Encoding: {LONG}", body=BODY), 415),
        (request("GET /articles/1", f"Expect: {LONG}"), 417),
        (request("GET /articles/1", f"Transfer-Encoding: {LONG}"), 501),
    ],
)
def test_errors_echo_at_most_a_short_part_of_a_request(data: bytes, status: int) -> None:
    [answer] = outcome_of(data, lambda: Wire(Http(hosts=("a.example",)))).answers
    assert answer.status == status
    assert len(answer.body) < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    fields = json.loads(answer.body)
    assert (fields["status"], fields["type"]) == (status, "about:blank")


def test_metadata_of_the_runtime_cannot_come_from_outside() -> None:
    names = ["client_timeout", "rpc_attempt", "rpc_tag", "rpc_caller", "rpc_retry_after", "drain", "Client_Timeout", ""]
    lines = [f"Rpc-Metadata-{name}: 1" for name in names]
    others = [
        "X_Real_IP: 1",
        "Rpc_Metadata_B: 1",
        "Rpc-Metadata-User_Id: 8",
        "Connection: keep-alive",
        "X-Secret: 1",
        "Rpc-Metadata-A: b%20c",
        "x-request-id: 7",
    ]
    data = request("GET /articles/1", *lines, *others)
    for pieces in ([data], [data[:-1], data[-1:]]):
        wire = Wire(Http(metadata=("x-request-id", "x_real_ip", "x-real-ip")))
        [event] = [event for piece in pieces for event in wire.connection.receive_data(piece)]
        assert dict(getattr(event, "metadata", {})) == {"a": "b c", "x-request-id": "7", "user_id": "8"}


# Draining.


def test_the_latest_response_of_a_draining_server_announces_the_end() -> None:
    wire = Wire()
    wire.is_draining = True
    outcome = wire.feed([request("GET /articles/1") * 3])
    assert ["connection" in each.headers for each in outcome.answers] == [False, False, True]
    # A client that has not read it yet may have sent another request, which is not executed.
    assert wire.feed([request("GET /articles/1")]).calls == ["get"] * 3
    assert wire.connection.is_between_messages


def test_timeouts_end_a_connection_with_a_response() -> None:
    for data in (b"G", request("POST /articles/1:buy", body=BODY)[:-1]):
        wire = Wire(Http(head_timeout=3))
        wire.feed([data])
        assert wire.connection.message_timeout == (3 if data == b"G" else None)
        answer = wire.connection.timed_out()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert wire.feed([request("GET /articles/1")]).calls == []
