"""Requests that proxies and servers read differently (request smuggling), and malformed ones.

Each is fed whole, byte by byte, and cut at random places: the responses, whether the connection is closed and the
executed calls are the same. `EVIL` is what must never be executed: a request within, or behind, the bytes in question.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import httptools
import pytest
from http_by_hand import Outcome, Wire, request

from idlrt.errors import ConfigurationError
from idlrt.protocol.http.probe import check_parser

GOOD = request("GET /articles/1")
EVIL = request("POST /articles/2:buy", body=b'{"count":1}')
POST = "POST /articles/1:buy HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"
BODY = '{"count":1}'
CHUNK = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"


def pieces_of(data: bytes) -> Iterator[list[bytes]]:
    """Ways to cut bytes."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))] if len(data) < 20_000 else [data[:1], data[1:]]
    chance = random.Random(len(data))
    for count in (1, 2, 5):
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(count))
        yield [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    yield [data[at : at + 1000] for at in range(0, len(data), 1000)]


def outcome_of(data: bytes, make: Callable[[], Wire] = Wire) -> Outcome:
    """Return the outcome, which does not depend on the cuts."""
    whole, *others = [make().feed(pieces) for pieces in pieces_of(data)]
    for other in others:
        assert other == whole
    return whole


def head(*lines: str, first: str = "GET /articles/1 HTTP/1.1", host: str = "Host: a.example") -> bytes:
    return "\r\n".join([first, *([host] if host else []), *lines, "", ""]).encode("latin-1")


def with_body(*lines: str, body: str = BODY) -> bytes:
    return POST.encode() + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body.encode()


REFUSED: dict[str, tuple[bytes, int]] = {
    # Two lengths (RFC 9112, section 6.3).
    "CL.TE": (with_body("Content-Length: 6", "Transfer-Encoding: chunked", body="0\r\n\r\nG"), 400),
    "TE.CL": (with_body("Transfer-Encoding: chunked", "Content-Length: 4", body="5c\r\n" + EVIL.decode()), 400),
    "TE.TE": (with_body("Transfer-Encoding: chunked", "Transfer-Encoding: cow", body=CHUNK), 400),
    "TE.TE, the same twice": (with_body("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNK), 400),
    "two content-lengths": (with_body("Content-Length: 11", "Content-Length: 0"), 400),
    "two equal content-lengths": (with_body("Content-Length: 11", "Content-Length: 11"), 400),
    "list of content-lengths": (with_body("Content-Length: 11, 11"), 400),
    "content-length with a sign": (with_body("Content-Length: +11"), 400),
    "negative content-length": (with_body("Content-Length: -1"), 400),
    "hexadecimal content-length": (with_body("Content-Length: 0xb"), 400),
    "content-length with a blank": (with_body("Content-Length: 1 1"), 400),
    "empty content-length": (with_body("Content-Length: "), 400),
    "content-length 2^64": (with_body(f"Content-Length: {2**64}"), 400),
    "content-length 2^64-1": (with_body(f"Content-Length: {2**64 - 1}"), 413),
    # Transfer codings (section 6.1).
    "identity": (with_body("Transfer-Encoding: identity"), 501),
    "xchunked": (with_body("Transfer-Encoding: xchunked", body=CHUNK), 501),
    "quoted chunked": (with_body('Transfer-Encoding: "chunked"', body=CHUNK), 501),
    "chunked, gzip": (with_body("Transfer-Encoding: chunked, gzip", body=CHUNK), 400),
    "gzip, chunked": (with_body("Transfer-Encoding: gzip, chunked", body=CHUNK), 501),
    "comma before chunked": (with_body("Transfer-Encoding: ,chunked", body=CHUNK), 501),
    "comma after chunked": (with_body("Transfer-Encoding: chunked,", body=CHUNK), 400),
    "chunked in HTTP/1.0": (CHUNKED.replace("1.1", "1.0").encode() + CHUNK.encode(), 400),
    # Chunks (section 7.1).
    "TERM.EXT: line feed in a chunk extension": ((CHUNKED + f"b;\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "EXT.TERM: line feed ends a chunk size": ((CHUNKED + f"b\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "line feed ends a chunk": ((CHUNKED + f"b\r\n{BODY}\n0\r\n\r\n").encode(), 400),
    "carriage return in a chunk extension": ((CHUNKED + f"b;a\rb\r\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "chunk longer than its size": ((CHUNKED + f"a\r\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "chunk size with 0x": ((CHUNKED + f"0xb\r\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "chunk size with a sign": ((CHUNKED + f"+b\r\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "chunk size with an underscore": ((CHUNKED + f"0_b\r\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "chunk size with a blank": ((CHUNKED + f"b \r\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "chunk size of 17 digits": ((CHUNKED + f"{'f' * 17}\r\n{BODY}").encode(), 400),
    "no chunk size": ((CHUNKED + f"\r\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "5,000 zeros before a chunk size": ((CHUNKED + "0" * 5000 + CHUNK).encode(), 400),
    "chunk extension of 200 kB": ((CHUNKED + f"b;{'a' * 200_000}\r\n{BODY}\r\n0\r\n\r\n").encode(), 400),
    "trailer of 5 kB": ((CHUNKED + CHUNK[:-2] + f"a: {'b' * 5000}\r\n\r\n").encode(), 400),
    "content-length in a trailer": ((CHUNKED + CHUNK[:-2] + "Content-Length: 100\r\n\r\n").encode(), 400),
    "transfer-encoding in a trailer": ((CHUNKED + CHUNK[:-2] + "Transfer-Encoding: chunked\r\n\r\n").encode(), 400),
    # Field lines (section 5).
    "obs-fold": (head("A: b", " Content-Length: 5"), 400),
    "obs-fold with a tab": (head("A: b", "\tc"), 400),
    "blank before the first field": (head(host=" Host: a.example"), 400),
    "blank before a colon": (with_body("Content-Length : 11"), 400),
    "tab before a colon": (with_body("Transfer-Encoding\t: chunked", body=CHUNK), 400),
    "bare LF": (GOOD.replace(b"\r\n", b"\n"), 400),
    "bare LF within the head": (head("A: b\nContent-Length: 5"), 400),
    "bare CR in a value": (head("A: b\rContent-Length: 5"), 400),
    "CR CR LF": (head("A: b\r"), 400),
    "NUL in a value": (head("A: b\0c"), 400),
    "NUL in a name": (head("A\0: b"), 400),
    "control character in a value": (head("A: b\x01"), 400),
    "DEL in a value": (head("A: b\x7f"), 400),
    "byte above 0x7f in a name": (head("\xe4: b"), 400),
    "line without a colon": (head("hello"), 400),
    "empty name": (head(": b"), 400),
    "one huge header": (head(f"A: {'b' * 200_000}"), 431),
    "10,000 headers": (head(*(f"A{number}: b" for number in range(10_000))), 431),
    # Request lines (section 3).
    "HTTP/0.9": (b"GET /articles/1\r\n\r\n", 505),
    "HTTP/2.0": (head(first="GET /articles/1 HTTP/2.0"), 505),
    "HTTP/1.2": (head(first="GET /articles/1 HTTP/1.2"), 400),
    "other protocol": (head(first="GET /articles/1 ICE/1.0"), 400),
    "no version": (head(first="GET /articles/1 "), 400),
    "tab after the method": (head(first="GET\t/articles/1 HTTP/1.1"), 400),
    "lower-case method": (head(first="get /articles/1 HTTP/1.1"), 400),
    "unknown method": (head(first="GETT /articles/1 HTTP/1.1"), 400),
    "fragment": (head(first="GET /articles/1#a HTTP/1.1"), 400),
    "DEL in the target": (head(first="GET /articles/\x7f HTTP/1.1"), 400),
    "byte above 0x7f in the target": (head(first="GET /articles/\xe4 HTTP/1.1"), 400),
    "blank in the target": (head(first="GET /articles/1 2 HTTP/1.1"), 400),
    "NUL in the path": (head(first="GET /articles/a%00b HTTP/1.1"), 400),
    "target of 100 kB": (head(first=f"GET /{'a' * 100_000} HTTP/1.1"), 414),
    "absolute form with another host": (head(first="GET http://b.example/articles/1 HTTP/1.1"), 400),
    "absolute form with a user": (head(first="GET http://u@a.example/articles/1 HTTP/1.1"), 400),
    "absolute form of another scheme": (head(first="GET ftp://a.example/articles/1 HTTP/1.1"), 400),
    "relative target": (head(first="GET articles/1 HTTP/1.1"), 400),
    "CONNECT": (head(first="CONNECT a.example:443 HTTP/1.1"), 501),
    "CONNECT with a path": (head(first="CONNECT /articles/1 HTTP/1.1"), 501),
    # Hosts (section 3.2).
    "no host": (head(host=""), 400),
    "two hosts": (head("Host: b.example"), 400),
    "two equal hosts": (head("Host: a.example"), 400),
    # Others.
    "unknown expectation": (with_body("Expect: 200-ok", "Content-Length: 11"), 417),
    "two content types": (with_body("Content-Type: text/plain", "Content-Length: 11"), 400),
    "upgrade with chunks": (
        with_body("Connection: upgrade", "Upgrade: x", "Transfer-Encoding: chunked", body=CHUNK),
        400,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed(name: str) -> None:
    data, status = REFUSED[name]
    outcome = outcome_of(data + EVIL)
    assert (outcome.statuses, outcome.is_closed, outcome.calls) == ([status], True, [])
    [answer] = outcome.answers
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", REFUSED)
def test_a_response_before_arrives(name: str) -> None:
    data, status = REFUSED[name]
    outcome = outcome_of(GOOD + data + EVIL)
    assert (outcome.statuses, outcome.is_closed, outcome.calls) == ([200, status], True, ["get"])


ACCEPTED: dict[str, tuple[bytes, list[int], list[str]]] = {
    "pipelining": (GOOD * 3, [200] * 3, ["get"] * 3),
    "CL.0: body on GET": (head(f"Content-Length: {len(EVIL)}") + EVIL, [200], ["get"]),
    "chunked body on GET": (head("Transfer-Encoding: chunked") + CHUNK.encode(), [200], ["get"]),
    "body on a request without a route": (
        request("POST /nowhere", body=EVIL) + GOOD,
        [404, 200],
        ["get"],
    ),
    "chunked": (CHUNKED.encode() + CHUNK.encode(), [200], ["buy"]),
    "chunked in capitals": (with_body("Transfer-Encoding:  CHUNKED", body=CHUNK), [200], ["buy"]),
    "one byte a chunk": (
        (CHUNKED + "".join(f"1\r\n{char}\r\n" for char in BODY) + "0\r\n\r\n").encode(),
        [200],
        ["buy"],
    ),
    "chunk extensions and trailers": (
        (CHUNKED + f'000b;a="b;c"\r\n{BODY}\r\n0;x\r\nHost: b\r\nA: b\r\n\r\n').encode(),
        [200],
        ["buy"],
    ),
    "content-length with zeros and blanks": (with_body("Content-Length: \t0011 \t"), [200], ["buy"]),
    "Expect with a body": (
        with_body("Expect: 100-Continue", "Content-Length: 11"),
        [100, 200],
        ["buy"],
    ),
    "Expect with no body": (head("Expect: 100-continue") + GOOD, [200, 200], ["get", "get"]),
    "Expect in HTTP/1.0": (
        with_body("Expect: 100-continue", "Content-Length: 11").replace(b"1.1", b"1.0", 1),
        [200],
        ["buy"],
    ),
    "byte above 0x7f in a value": (head("X: \xe4"), [200], ["get"]),
    "two blanks after the method": (head(first="GET  /articles/1 HTTP/1.1"), [200], ["get"]),
    "line breaks before a request": (b"\r\n\r\n" + GOOD + b"\r\n\r\n\r\n" + GOOD, [200, 200], ["get", "get"]),
    "names with underscores": (
        head("Content_Length: 5", "Transfer_Encoding: chunked", "Host_: b"),
        [200],
        ["get"],
    ),
    "prefixes of names": (head("T: chunked", "C: 5", "Transfer-Encodin: x", "Content-Length2: 5"), [200], ["get"]),
    "absolute form": (head(first="GET http://a.example/articles/1 HTTP/1.1"), [200], ["get"]),
    "slash behind the path": (head(first="GET /articles/1/ HTTP/1.1"), [404], []),
    "two slashes": (head(first="GET //articles/1 HTTP/1.1"), [404], []),
    "dots": (head(first="GET /a/../articles/1 HTTP/1.1"), [404], []),
    "dots that are encoded": (head(first="GET /a/%2e%2e/articles/1 HTTP/1.1"), [404], []),
    "TRACE": (head(first="TRACE /articles/1 HTTP/1.1"), [405], []),
    "other known method": (head(first="PROPFIND /articles/1 HTTP/1.1"), [405], []),
    "other known method, unknown path": (head(first="PROPFIND /x HTTP/1.1"), [501], []),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    data, statuses, calls = ACCEPTED[name]
    outcome = outcome_of(data + GOOD if b"HTTP/1.0" not in data else data)
    if b"HTTP/1.0" not in data:
        statuses, calls = [*statuses, 200], [*calls, "get"]
    assert (outcome.statuses, outcome.calls) == (statuses, calls)
    assert outcome.is_closed == (b"HTTP/1.0" in data)


def test_a_slash_in_a_variable_is_data() -> None:
    wire = Wire()
    wire.feed([head(first="GET /articles/a%2fb%2F.. HTTP/1.1"), head(first="GET /v1/files/a/..//b%2fc HTTP/1.1")])
    assert wire.handler.calls == [("get", "a/b/.."), ("file", 1, "a/..//b/c")]


def test_a_body_that_is_not_read_closes_the_connection() -> None:
    for data in (
        request("POST /nowhere", "Expect: 100-continue", body=BODY.encode()),
        request("POST /nowhere", "Transfer-Encoding: chunked", body=CHUNK.encode()),
        request("POST /nowhere", body=EVIL * 2000),
    ):
        outcome = outcome_of(data + EVIL)
        assert (outcome.statuses, outcome.is_closed, outcome.calls) == ([404], True, [])
        assert outcome.answers[0].headers["connection"] == "close"


# Connections end where a response says so.


@pytest.mark.parametrize(
    "data",
    [
        head("Connection: close"),
        head("Connection: keep-alive, close"),
        head(first="GET /articles/1 HTTP/1.0"),
        head("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
        head("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"),
    ],
)
def test_nothing_behind_the_last_request_is_executed(data: bytes) -> None:
    outcome = outcome_of(data + EVIL)
    assert (outcome.statuses, outcome.is_closed, outcome.calls) == ([200], True, ["get"])
    assert outcome.answers[0].headers["connection"] == "close"


def test_an_upgrade_with_a_body_is_answered() -> None:
    # As Java's HttpClient and curl --http2 send their first request.
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    outcome = outcome_of(request("POST /articles/1:buy", *upgrade, body=BODY.encode()) + EVIL)
    assert (outcome.statuses, outcome.is_closed, outcome.calls) == ([200], True, ["buy"])


def test_http_1_0_keeps_connections_that_ask_for_it() -> None:
    old = head("Connection: keep-alive", first="GET /articles/1 HTTP/1.0", host="")
    outcome = outcome_of(old * 2)
    assert (outcome.statuses, outcome.is_closed) == ([200, 200], False)
    assert [each.headers["connection"] for each in outcome.answers] == ["keep-alive"] * 2


def test_the_head_of_an_earlier_request_does_not_let_others_pass() -> None:
    # What was parsed before is not parsed again: the bytes behind it are.
    data = request("POST /articles/1:buy", body=BODY.encode())
    for second in (data[:-1], data + b"x", data + EVIL, data[:-11] + b'{"count":2}'):
        wire = Wire()
        wire.feed([data, data])
        assert wire.outcome == Wire().feed([data + data])
        wire.feed([second])
        assert wire.outcome == Wire().feed([data + data + second])


def test_the_end_of_stream_within_a_request() -> None:
    for data in (GOOD[:1], GOOD[:-1], with_body("Content-Length: 11")[:-1], (CHUNKED + CHUNK).encode()[:-1]):
        wire = Wire()
        assert wire.feed([data]) == Outcome()
        assert not wire.connection.is_between_messages
        [event] = wire.connection.receive_eof()
        assert "within a message" in str(getattr(event, "error", ""))


def test_the_end_of_stream_between_requests() -> None:
    wire = Wire()
    wire.feed([GOOD + b"\r\n"])
    assert wire.connection.is_between_messages
    assert wire.connection.receive_eof() == []


# The parser.


def test_the_installed_parser_may_serve() -> None:
    check_parser()


def test_a_lenient_parser_may_not_serve() -> None:
    def lenient(protocol: Any) -> Any:
        parser = httptools.HttpRequestParser(protocol)
        parser.set_dangerous_leniencies(lenient_headers=True)
        return parser

    with pytest.raises(ConfigurationError, match="httptools accepts folded headers"):
        check_parser(lenient)
