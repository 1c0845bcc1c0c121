"""Arguments from the parts of requests: places and their order, structs, lists, and what a body must not set."""

from __future__ import annotations

import json
from typing import Any, Protocol

import pytest
from http_by_hand import HttpAnswer, Wire, request
from rest_shop import Article, Colour, Search

from idlrt import spec as rpc
from idlrt.core import bind
from idlrt.serialization import Limits


def asked(data: bytes) -> tuple[HttpAnswer, list[tuple[Any, ...]]]:
    wire = Wire()
    [answer] = wire.feed([data]).answers
    return answer, wire.handler.calls


def search(target: str, *headers: str) -> Search:
    answer, calls = asked(request(f"GET {target}", *headers))
    assert answer.status == 200, answer.body
    [(_, found)] = calls
    assert isinstance(found, Search)
    return found


# Places.


def test_all_places_of_a_struct() -> None:
    found = search(
        "/shelves/a%2Fb%20%C3%A4/articles?word=x&word=y%26z&word=&page=3&colour=BLUE&exact=true",
        "X-Caller: me",
        'Cookie: other=1; sid="s 1"; sid=2',
    )
    assert found == Search(
        shelf="a/b ä", words=["x", "y&z", ""], page=3, colour=Colour.BLUE, exact=True, caller="me", session="s 1"
    )


def test_what_is_not_sent_is_absent() -> None:
    assert search("/shelves/a/articles") == Search(shelf="a")


def test_the_first_place_with_a_value_wins() -> None:
    assert search("/shelves/a/articles?page=3", "X-Page: 4").page == 3
    assert search("/shelves/a/articles", "X-Page: 4").page == 4


def test_enums_by_name_and_number() -> None:
    assert search("/shelves/a/articles?colour=2").colour == Colour.BLUE
    assert search("/shelves/a/articles?colour=RED").colour == Colour.RED


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("page=x", "query page"),
        ("page=", "query page"),
        ("page=1.0", "query page"),
        ("page=%2B1x", "query page"),
        ("page=2147483648", "query page"),
        ("page=1&page=1", "query page: must occur once, got 2 values"),
        ("colour=GREEN", "query colour"),
        ("exact=yes", "query exact"),
        ("word=%ff", "query: must be percent-encoded UTF-8"),
        ("word=%00", "query: must not contain NUL"),
        ("nothing=1", "unknown query parameter 'nothing'"),
        ("internal=1", "unknown query parameter 'internal'"),
        ("shelf=b", "unknown query parameter 'shelf'"),
        ("words=b", "unknown query parameter 'words'"),
        ("Page=1", "unknown query parameter 'Page'"),
    ],
)
def test_invalid_queries(query: str, what: str) -> None:
    answer, calls = asked(request(f"GET /shelves/a/articles?{query}"))
    assert (answer.status, calls) == (400, [])
    assert what in json.loads(answer.body)["detail"]


def test_a_body_of_a_get_request_sets_nothing() -> None:
    answer, calls = asked(request("GET /shelves/a/articles", body=b'{"shelf":"b","page":3,"internal":"x"}'))
    assert (answer.status, calls) == (200, [("search", Search(shelf="a"))])


def test_several_routes_of_a_method() -> None:
    assert [asked(request(f"GET /{path}/7"))[1] for path in ("a", "articles")] == [[("get", "7")]] * 2


def test_a_whole_body_beside_a_path() -> None:
    answer, calls = asked(request("PUT /articles/7", body=b'{"sku":"8","colour":1,"parts":[{"sku":"9"}]}'))
    article = Article(sku="8", colour=Colour.RED, parts=[Article(sku="9")])
    assert (answer.status, calls) == (204, [("put", "7", article)])


def test_a_body_does_not_override_the_path() -> None:
    answer, calls = asked(request("POST /articles/7:buy", body=b'{"sku":"8","count":2,"other":[{}]}'))
    assert (answer.status, calls) == (200, [("buy", "7", 2, None)])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"count":2,"count":3}', 200),  # as in JavaScript, the last one counts
        (b'{"count":null}', 400),
        (b"{}", 400),
        (b"[1]", 400),
        (b"2", 400),
        (b'"count"', 400),
        (b"null", 400),
        (b'{"count":2}x', 400),
        (b'\xef\xbb\xbf{"count":2}', 400),
        (b'{"count":2,}', 400),
        (b"{'count':2}", 400),
        (b'{"count":2.5}', 400),
        (b'{"count":true}', 400),
        (b'{"count":9223372036854775808}', 400),
        (b'{"count":2,"note":"\xff"}', 400),
        (b'{"count":2,"note":"\\ud800"}', 400),
        (b' {"count" : 2 } \n', 200),
    ],
)
def test_json_bodies(body: bytes, status: int) -> None:
    answer, calls = asked(request("POST /articles/7:buy", body=body))
    assert answer.status == status, answer.body
    assert len(calls) == (status == 200)
    if b'count":3' in body:
        assert calls == [("buy", "7", 3, None)]


def test_raw_bodies() -> None:
    answer, calls = asked(request("POST /echo", "Content-Type: text/plain", body=b"\x00\xff" * 100))
    assert (answer.body, calls) == (b"\x00\xff" * 100, [("echo", b"\x00\xff" * 100)])


def test_the_rest_of_a_path() -> None:
    for rest in ("a", "a/b/", "a//b", "%2e%2e/x", "a%2Fb"):
        answer, calls = asked(request(f"GET /v2/files/{rest}"))
        expected = {"%2e%2e/x": "../x", "a%2Fb": "a/b"}.get(rest, rest)
        assert (answer.status, calls) == (200, [("file", 2, expected)])
    for path in ("/v2/files", "/v2/files/", "/v/files/a", "/files/a", "/v2/files//"):
        assert asked(request(f"GET {path}"))[0].status == 404
    assert asked(request("GET /vx/files/a"))[0].status == 400


# What a body must not set.


class Account(rpc.Struct, kw_only=True):
    id: str | None = None
    owner: str | None = None
    role: str | None = None
    name: str | None = None
    secret: str | None = None

    __thrift_fields__ = (
        rpc.optional(1, "id", rpc.STRING, annotations={"http.path": ""}),
        rpc.optional(2, "owner", rpc.STRING, annotations={"http.header": "X-Owner"}),
        rpc.optional(3, "role", rpc.STRING, annotations={"http.query": ""}),
        rpc.optional(4, "name", rpc.STRING, annotations={"http.name": "fullName"}),
        rpc.optional(5, "secret", rpc.STRING, annotations={"http.none": ""}),
    )


class Accounts(Protocol):
    def save(self, account: Account) -> str: ...


ACCOUNTS = rpc.service(
    "Accounts",
    rpc.method(
        Accounts.save,
        rpc.required(1, "account", rpc.struct(Account)),
        result=rpc.STRING,
        annotations={"http.put": "/accounts/{id}", "http.post": "/accounts"},
    ),
)


class Keeper:
    def __init__(self) -> None:
        self.saved: list[Account] = []

    def save(self, account: Account) -> str:
        self.saved.append(account)
        return "saved"


EVERYTHING = dict.fromkeys(("id", "owner", "role", "name", "fullName", "secret"), "evil")


def test_limits_know_the_keys_of_the_json_body() -> None:
    for size, status in ((100, 200), (101, 400)):
        body = json.dumps({"fullName": "x" * size}).encode()
        wire = Wire(limits=Limits(max_string=100), handlers=bind(ACCOUNTS, Keeper()))
        assert wire.feed([request("POST /accounts", body=body)]).statuses == [status]


@pytest.mark.parametrize(
    ("line", "headers", "saved"),
    [
        ("POST /accounts", (), Account(name="evil")),
        ("PUT /accounts/7", (), Account(id="7", name="evil")),
        ("PUT /accounts/7?role=user", ("X-Owner: me",), Account(id="7", owner="me", role="user", name="evil")),
    ],
)
def test_a_body_sets_only_fields_that_have_their_place_in_it(
    line: str, headers: tuple[str, ...], saved: Account
) -> None:
    keeper = Keeper()
    wire = Wire(handlers=bind(ACCOUNTS, keeper))
    assert wire.feed([request(line, *headers, body=json.dumps(EVERYTHING).encode())]).statuses == [200]
    assert keeper.saved == [saved]
