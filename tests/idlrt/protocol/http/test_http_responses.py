"""Responses to HTTP clients: status, headers and body as results and errors."""

from __future__ import annotations

import gzip
import json
import math
from typing import Any

import pytest
from shop import (
    CHECK,
    FIND,
    GET,
    NOTE,
    ORDER,
    PICTURE,
    PLAIN,
    REMOVE,
    UPLOAD,
    Article,
    Colour,
    NoArticle,
    Order,
    Picture,
)

from idlrt import spec as rpc
from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.protocol import ResponseReceived
from idlrt.protocol.http.client import http_clients
from idlrt.serialization import Limits
from idlrt.serialization.base import DEFAULT_LIMITS
from idlrt.spec import DeclaredError, Method

ARGUMENTS: dict[Method[..., Any], tuple[Any, ...]] = {
    GET: ("a", None, None),
    FIND: ("x", None, None),
    ORDER: (Order(shop="x", number=1),),
    UPLOAD: ("a", b""),
    PICTURE: ("1",),
    CHECK: ("a",),
    REMOVE: ("a", b""),
    NOTE: ("x",),
    PLAIN: ({}, None),
}
JSON = "application/json"
PROBLEM = "application/problem+json"
HTML = "text/html; charset=utf-8"
PAGE = b"<html><head><title>hidden</title></head><body><h1>502 Bad\r\nGateway</h1><hr>nginx\x07</body></html>"


def message(status: int, content_type: str = "", body: bytes | str = b"", *headers: str) -> bytes:
    data = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status} Reason", *headers, *([f"Content-Type: {content_type}"] if content_type else [])]
    if not 100 <= status < 200 and status not in (204, 304):
        lines.append(f"Content-Length: {len(data)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + data


def received(method: Method[..., Any], data: bytes, limits: Limits = DEFAULT_LIMITS) -> ResponseReceived:
    [client] = http_clients({}, limits)
    connection = client.connect()
    number, _ = connection.request(method, ARGUMENTS.get(method, ()))
    [event] = connection.receive_data(data)
    assert isinstance(event, ResponseReceived), event
    assert (event.id, event.method, event.size) == (number, method, len(data))
    return event


def result(method: Method[..., Any], *parts: Any, limits: Limits = DEFAULT_LIMITS) -> Any:
    response = received(method, message(*parts), limits)
    found = response.result()
    assert response.result() == found
    return found


def failure(method: Method[..., Any], *parts: Any) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        result(method, *parts)
    return raised.value


def test_a_result_in_the_body() -> None:
    assert result(PLAIN, 200, JSON, b"1.5") == 1.5
    assert result(PLAIN, 200, JSON, b'"Infinity"') == math.inf
    assert result(FIND, 200, "application/json; charset=utf-8", '[{"sku":"ä","colour":"BLUE"}]') == [
        Article(sku="ä", colour=Colour.BLUE)
    ]
    assert result(FIND, 200, "application/vnd.shop+json", b"[]") == []
    assert result(FIND, 200, "", b"[]") == []


def test_parts_of_a_result_in_headers_cookies_and_the_status() -> None:
    cookies = "Set-Cookie: other=1", "Set-Cookie: sid=a%20; Path=/; HttpOnly"
    body = '{"sku": "a", "cents": "12", "etag": "ignored", "status": 99}'
    assert result(GET, 200, JSON, body, 'ETag: "xä%"', *cookies) == Article(
        sku="a", price=12, etag='"xä%"', session="a%20", status=200
    )
    # The status is part of the result, so that it is no error.
    assert result(GET, 410, JSON, '{"sku": "a"}').status == 410


def test_the_status_of_the_method() -> None:
    assert result(ORDER, 201, JSON, '{"sku": "a"}').sku == "a"


def test_a_raw_body_of_any_type() -> None:
    found = result(PICTURE, 200, "image/png", b"\x89PNG\0\xff", "X-Tags: a, b c", "X-Tags: d")
    assert found == Picture(data=b"\x89PNG\0\xff", kind="image/png", tags=["a", "b c", "d"])
    assert result(PICTURE, 200, "", b"").data == b""


def test_a_response_to_head_has_no_body() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nETag: x\r\n\r\n"
    with pytest.raises(RemoteProtocolError, match="missing required field `sku`"):
        received(CHECK, data).result()


def test_no_content() -> None:
    assert result(REMOVE, 204) is None
    assert result(REMOVE, 200, "text/plain", "removed") is None
    assert result(NOTE, 202) is None
    for status in (200, 204):
        error = failure(GET, status)
        assert error.code == ApplicationCode.MISSING_RESULT
    assert failure(GET, 200, JSON, "null").code == ApplicationCode.MISSING_RESULT


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        (HTML, "<p>log in</p>", "expected JSON, got 'text/html' with HTTP status 200 OK: log in"),
        ("application/octet-stream", "\0", "expected JSON, got 'application/octet-stream'"),
        (JSON, "[", "Input data was truncated"),
        (JSON, "{}", "missing required field `sku`"),
        (JSON, '{"sku": 5}', r"result.sku: expected a string, got 5"),
        (JSON, "[]", "expected an object"),
        (JSON, "[" * 100_000, "cannot read result of Shop.get"),
    ],
)
def test_a_body_that_is_no_result(content_type: str, body: str, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        result(GET, 200, content_type, body)


class _Counted:
    class Page(rpc.Struct, kw_only=True):
        total: int

        __thrift_fields__ = (rpc.required(1, "total", rpc.I32, annotations={"http.header": "X-Total"}),)

    def count(self) -> Page:
        raise NotImplementedError


COUNT = rpc.method(_Counted.count, result=rpc.struct(_Counted.Page))
rpc.service("Counted", COUNT)


def test_a_result_in_headers_only() -> None:
    assert result(COUNT, 204, "", b"", "X-Total: 7").total == 7
    assert result(COUNT, 200, JSON, b"{}", "X-Total: 7").total == 7


def test_a_header_that_is_no_value() -> None:
    with pytest.raises(RemoteProtocolError, match=r"cannot read result.total: header X-Total: expected i32"):
        result(COUNT, 200, JSON, b"{}", "X-Total: many")
    with pytest.raises(RemoteProtocolError, match="missing required field `total`"):
        result(COUNT, 200, JSON, b"{}")


def test_the_memory_of_a_result_is_limited() -> None:
    body = "[" + ",".join(['{"sku":""}'] * 5000) + "]"
    assert len(result(FIND, 200, JSON, body)) == 5000
    with pytest.raises(RemoteProtocolError, match="max_decoded"):
        result(FIND, 200, JSON, body, limits=Limits(max_decoded=100_000))


# Exceptions that the IDL declares.


def problem(type: str, status: int, **members: Any) -> str:
    return json.dumps({"type": type, "title": "x", "status": status, **members})


def test_a_declared_exception() -> None:
    text = problem("urn:idl:NoArticle", 404, code="not_found", fields={"sku": "a", "retry": "no"})
    with pytest.raises(NoArticle) as raised:
        result(GET, 404, PROBLEM, text, "X-Retry: soon", "Rpc-Metadata-a: 1")
    assert raised.value == NoArticle(sku="a", retry="soon")
    with pytest.raises(NoArticle):
        result(REMOVE, 404, f"{PROBLEM}; charset=utf-8", text)


@pytest.mark.parametrize("fields", ["[]", "5", "{}", '{"sku": 5}', "null"])
def test_a_declared_exception_that_cannot_be_read(fields: str) -> None:
    text = f'{{"type": "urn:idl:NoArticle", "fields": {fields}}}'
    with pytest.raises(RemoteProtocolError, match=r"cannot read the error of Shop.get: "):
        result(GET, 404, PROBLEM, text)


class _First:
    class Gone(DeclaredError):
        __thrift_fields__ = ()


class _Second:
    class Gone(DeclaredError):
        text: str

        __thrift_fields__ = (rpc.required(1, "text", rpc.STRING),)


def test_exceptions_of_the_same_name() -> None:
    throws = (
        rpc.optional(2, "other", rpc.struct(_Second.Gone)),
        rpc.optional(1, "first", rpc.struct(_First.Gone)),
    )
    method = rpc.method(_Twice.twice, result=rpc.VOID, throws=throws)
    rpc.service("Twice", method)
    with pytest.raises(_First.Gone):
        result(method, 400, PROBLEM, problem("urn:idl:Gone", 400, fields={}))
    with pytest.raises(_Second.Gone, match="x"):
        result(method, 400, PROBLEM, problem("urn:idl:other.Gone", 400, fields={"text": "x"}))


class _Twice:
    def twice(self) -> None: ...


# Other errors.


def test_the_error_of_a_problem() -> None:
    error = failure(GET, 500, PROBLEM, problem("about:blank", 500, detail="it broke ä"))
    assert (error.code, error.message, error.retry_after) == (ApplicationCode.INTERNAL_ERROR, "it broke ä", None)
    assert failure(GET, 401, PROBLEM, problem("about:blank", 401)).message == "x"
    assert failure(GET, 401, PROBLEM, "{}").message == "HTTP status 401 Unauthorized"


@pytest.mark.parametrize("code", [*ApplicationCode, 4711, -1])
def test_a_problem_has_the_code_of_the_error(code: int) -> None:
    assert failure(GET, 500, PROBLEM, problem("about:blank", 500, rpc_code=code)).code == code


@pytest.mark.parametrize("code", ["x", 2**40, None, 1.5, [], {}])
def test_an_invalid_code_is_ignored(code: Any) -> None:
    error = failure(GET, 403, PROBLEM, problem("urn:other", 403, rpc_code=code, detail=5, code=[]))
    assert error.code == ApplicationCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (503, "unavailable", ApplicationCode.LOADSHEDDING),
        (503, "", ApplicationCode.UNKNOWN),
        (504, "deadline_exceeded", ApplicationCode.TIMEOUT),
        (504, "", ApplicationCode.UNKNOWN),
        (502, "unavailable", ApplicationCode.UNKNOWN),
        (429, "", ApplicationCode.LOADSHEDDING),
        (404, "", ApplicationCode.UNKNOWN_METHOD),
        (418, "", ApplicationCode.UNKNOWN),
    ],
)
def test_only_the_server_of_the_call_says_that_it_was_not_executed(status: int, code: str, wanted: int) -> None:
    assert failure(GET, status, PROBLEM, problem("about:blank", status, code=code)).code == wanted


@pytest.mark.parametrize("status", [502, 503, 504])
def test_the_page_of_a_gateway(status: int) -> None:
    error = failure(GET, status, HTML, PAGE, "Retry-After: 7")
    assert error.code == ApplicationCode.UNKNOWN
    assert error.message.startswith(f"HTTP status {status} ")
    assert error.message.endswith(r": 502 Bad Gateway nginx\x07")
    assert error.retry_after == 7


def test_the_limit_of_a_caller() -> None:
    error = failure(GET, 429, "text/plain", "slow down " * 100, "Retry-After: 30")
    assert (error.code, error.retry_after, error.is_per_caller) == (ApplicationCode.LOADSHEDDING, 30, True)
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["Retry-After: 5"], 5),
        (["Retry-After: 0"], 0),
        (["Retry-After: 99999999999999999999"], math.inf),
        (["Retry-After: Tue, 01 Dec 2026 10:00:30 GMT", "Date: Tue, 01 Dec 2026 10:00:00 GMT"], 30),
        (["Retry-After: Tue, 01 Dec 2026 09:00:00 GMT", "Date: Tue, 01 Dec 2026 10:00:00 GMT"], 0),
        (["Retry-After: Tue, 01 Dec 2026 10:00:30 GMT"], None),
        (["Retry-After: soon", "Date: x"], None),
        (["Retry-After: -1"], None),
        ([], None),
    ],
)
def test_pushback(headers: list[str], seconds: float | None) -> None:
    assert failure(GET, 503, "", b"", *headers).retry_after == seconds


def test_the_exact_pushback_of_a_problem() -> None:
    text = problem("about:blank", 503, code="unavailable", retry_after=0.25)
    assert failure(GET, 503, PROBLEM, text, "Retry-After: 1").retry_after == 0.25
    assert failure(GET, 503, PROBLEM, problem("about:blank", 503, retry_after=-1)).retry_after == math.inf


def test_a_redirect_is_not_followed() -> None:
    error = failure(GET, 301, HTML, "<p>over there</p>", "Location: http://other/")
    assert error.message == "HTTP status 301 Moved Permanently, and redirects are not followed: over there"


def test_a_problem_that_is_none() -> None:
    assert failure(GET, 500, PROBLEM, "[oops").message == "HTTP status 500 Internal Server Error: [oops"
    assert failure(GET, 200, PROBLEM, "{}").code == ApplicationCode.UNKNOWN


# Metadata, and compressed bodies.


def test_the_metadata_of_a_response() -> None:
    headers = ("Rpc-Metadata-x-tenant: 7", "RPC-METADATA-Text: two%20%C3%A4 %25", "Rpc-Metadata-bad: %ff", "X-Other: 1")
    assert received(NOTE, message(202, "", b"", *headers)).metadata == {"x-tenant": "7", "text": "two ä %"}
    assert received(NOTE, message(202)).metadata == {}


def test_a_compressed_body() -> None:
    body = json.dumps([{"sku": str(number)} for number in range(1000)]).encode()
    found = result(FIND, 200, JSON, gzip.compress(body), "Content-Encoding: gzip")
    assert [each.sku for each in found] == [str(number) for number in range(1000)]
    assert result(FIND, 200, JSON, b"[]", "Content-Encoding: identity") == []
    page = failure(GET, 502, HTML, gzip.compress(PAGE), "Content-Encoding: x-gzip")
    assert "Bad Gateway nginx" in page.message


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(b" " * 10_000_000, mtime=0), "gzip", "the decoded body must have at most"),
        (gzip.compress(b"[]", mtime=0)[:-3], "gzip", "the body is not valid gzip"),
        (b"[]", "gzip", "the body is not valid gzip"),
        (b"[]", "br", "unknown content encoding 'br'"),
        (b"[]", "gzip, gzip", "unknown content encoding"),
    ],
    ids=["too large", "truncated", "not gzip", "br", "twice"],
)
def test_a_compressed_body_that_is_refused(body: bytes, encoding: str, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        result(FIND, 200, JSON, body, f"Content-Encoding: {encoding}")
    error = failure(GET, 502, HTML, body, f"Content-Encoding: {encoding}")
    assert error.code == ApplicationCode.UNKNOWN


def test_the_limit_applies_to_the_expanded_body() -> None:
    body = gzip.compress(json.dumps(["x" * 5000]).encode())
    with pytest.raises(RemoteProtocolError, match="must have at most 1000 bytes"):
        result(FIND, 200, JSON, body, "Content-Encoding: gzip", limits=Limits(max_message=1000))
