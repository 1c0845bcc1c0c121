"""Limits: exactly at each one, and one over it, however the bytes arrive."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
import zlib

import pytest
from http_by_hand import Outcome, Wire, request
from test_hardening import outcome_of

from idlrt.protocol.http.options import Http
from idlrt.serialization import Limits

BODY = b'{"count":1}'
CHUNKED = request("POST /articles/1:buy", "Transfer-Encoding: chunked", "Content-Type: application/json")


def outcome(data: bytes, options: Http | None = None, limits: Limits | None = None) -> Outcome:
    return outcome_of(data, lambda: Wire(options, limits if limits is not None else Limits()))


def refused(data: bytes, status: int, options: Http | None = None, limits: Limits | None = None) -> None:
    """Assert that the connection is closed with this status, and nothing is executed."""
    found = outcome(data + request("GET /articles/2"), options, limits)
    assert (found.statuses, found.is_closed, found.calls) == ([status], True, [])


def test_request_line() -> None:
    line = "GET /articles/" + "a" * 77
    assert len(f"{line} HTTP/1.1") == 100
    assert outcome(request(line), Http(max_line=100)).statuses == [200]
    refused(request(line + "a"), 414, Http(max_line=100))
    # The default.
    assert outcome(request("GET /articles/" + "a" * 8169)).statuses == [200]
    refused(request("GET /articles/" + "a" * 8170), 414)


def test_head() -> None:
    data = request("GET /articles/1", f"X: {'a' * 100}")
    assert outcome(data, Http(max_head=len(data))).statuses == [200]
    assert outcome(b"\r\n" + data * 3, Http(max_head=len(data))).statuses == [200] * 3
    refused(data, 431, Http(max_head=len(data) - 1))
    # A body is not part of it.
    data = request("POST /articles/1:buy", body=BODY)
    assert outcome(data, Http(max_head=len(data) - len(BODY))).statuses == [200]
    refused(data, 431, Http(max_head=len(data) - len(BODY) - 1))


def test_number_of_headers() -> None:
    # With `Host`.
    data = request("GET /articles/1", *(f"X-{number}: a" for number in range(99)))
    assert outcome(data).statuses == [200]
    refused(request("GET /articles/1", *(f"X_{number}: a" for number in range(100))), 431)


def test_line_breaks_before_a_request() -> None:
    assert outcome(b"\r\n" * 32 + request("GET /articles/1")).statuses == [200]
    refused(b"\r\n" * 33 + request("GET /articles/1"), 431)


@pytest.mark.parametrize("size", [len(BODY), len(BODY) - 1])
def test_body(size: int) -> None:
    data = request("POST /articles/1:buy", body=BODY)
    chunks = CHUNKED + b"3\r\n%b\r\n8\r\n%b\r\n0\r\n\r\n" % (BODY[:3], BODY[3:])
    for each in (data, chunks):
        if size == len(BODY):
            assert outcome(each, None, Limits(max_message=size)).statuses == [200]
        else:
            refused(each, 413, None, Limits(max_message=size))


def test_a_body_that_is_too_large_is_refused_before_it_arrives() -> None:
    for head in (
        request("POST /articles/1:buy", f"Content-Length: {1 << 40}", "Content-Type: application/json"),
        request("POST /articles/1:buy", f"Content-Length: {1 << 40}", "Expect: 100-continue"),
        CHUNKED + b"ffffff\r\n" + bytes(2000),
    ):
        found = outcome(head, None, Limits(max_message=1000))
        assert (found.statuses, found.is_closed) == ([413], True)


@pytest.mark.parametrize("what", ["extension", "zeros", "trailer"])
def test_overhead_of_chunks(what: str) -> None:
    def chunked(size: int) -> bytes:
        # `b`, CRLF, CRLF, `0`, CRLF, CRLF are 10 bytes.
        before = {"extension": b"b;" + b"a" * (size - 11), "zeros": b"0" * (size - 10) + b"b", "trailer": b"b"}[what]
        trailer = b"a:%b\r\n" % (b"b" * (size - 14)) if what == "trailer" else b""
        return CHUNKED + b"%b\r\n%b\r\n0\r\n%b\r\n" % (before, BODY, trailer)

    # As many bytes more as the chunks before have.
    most = 4096 + (len(BODY) if what == "trailer" else len(b"\r\n0\r\n\r\n"))
    assert len(chunked(most)) == len(CHUNKED) + len(BODY) + most
    assert outcome(chunked(most)).statuses == [200]
    refused(chunked(most + 1), 400)


def test_gzip_ratio_and_size() -> None:
    def zipped(size: int) -> bytes:
        body = b'{"count":1' + b" " * (size - 11) + b"}"
        return request("POST /articles/1:buy", "Content-Encoding: gzip", body=gzip.compress(body, mtime=0))

    # Up to 64 KiB any ratio.
    assert outcome(zipped(65_536)).statuses == [200]
    found = outcome(zipped(65_537) + zipped(1000))
    assert (found.statuses, found.is_closed, found.calls) == ([413, 200], False, ["buy"])
    # Above, twenty times as much.
    chance = random.Random(1)
    noise = json.dumps({"count": 1, "note": "".join(chance.choices("abcdefgh", k=20_000))}).encode()

    def mixed(blanks: int) -> tuple[int, bytes]:
        packed = gzip.compress(noise + b" " * blanks, mtime=0)
        return 20 * len(packed) - len(noise) - blanks, packed

    for blanks, status in ((100_000, 200), (300_000, 413)):
        left, packed = mixed(blanks)
        assert (left >= 0) == (status == 200)
        assert outcome(request("POST /articles/1:buy", "Content-Encoding: gzip", body=packed)).statuses == [status]


def test_decoded_size() -> None:
    body = b'{"count":1}'.ljust(2000)
    data = request("POST /articles/1:buy", "Content-Encoding: gzip", body=gzip.compress(body, mtime=0))
    assert outcome(data, None, Limits(max_message=2000)).statuses == [200]
    assert outcome(data, None, Limits(max_message=1999)).statuses == [413]


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(BODY, mtime=0), 200),
        ("X-GZIP", gzip.compress(BODY, mtime=0), 200),
        ("identity", BODY, 200),
        ("", BODY, 200),
        ("gzip", BODY, 400),
        ("gzip", gzip.compress(BODY, mtime=0)[:-1], 400),
        ("gzip", gzip.compress(BODY, mtime=0) + b"x", 400),
        ("gzip", gzip.compress(BODY, mtime=0) * 2, 400),
        ("gzip", zlib.compress(BODY), 400),
        ("deflate", zlib.compress(BODY), 415),
        ("br", BODY, 415),
        ("gzip, gzip", BODY, 415),
    ],
)
def test_content_codings(coding: str, body: bytes, status: int) -> None:
    found = outcome(request("POST /articles/1:buy", f"Content-Encoding: {coding}", body=body) * 2)
    assert (found.statuses, found.is_closed) == ([status] * 2, False)
    assert found.calls == (["buy"] * 2 if status == 200 else [])


def test_requests_of_one_connection() -> None:
    options = Http(max_requests=3)
    found = outcome(request("GET /articles/1") * 5, options)
    assert (found.statuses, found.is_closed) == ([200] * 3, True)
    assert ["connection" in each.headers for each in found.answers] == [False, False, True]
    assert outcome(request("GET /articles/1") * 20, Http(max_requests=0)).statuses == [200] * 20
    # Also when nothing is behind the last one, and after a part of the next.
    for end in (b"", b"G", request("GET /articles/1")[:-1]):
        wire = Wire(options)
        wire.feed([request("GET /articles/1")] * 3 + ([end] if end else []))
        assert wire.outcome.is_closed
        assert wire.connection.is_between_messages


def test_segments_of_a_path() -> None:
    assert outcome(request("GET /v1/files/" + "a/" * 120 + "b")).statuses == [200]
    assert outcome(request("GET /articles" + "/a" * 2000)).statuses == [404]


def test_parameters_of_a_query() -> None:
    assert outcome(request("GET /shelves/a/articles?" + "&".join(["word=b"] * 1000))).statuses == [200]
    found = outcome(request("GET /shelves/a/articles?" + "&".join(["word=b"] * 1001)))
    assert (found.statuses, found.is_closed) == ([400], False)


@pytest.mark.parametrize(
    ("limits", "body", "named"),
    [
        (Limits(max_string=100), {"sku": "ä" * 51}, "max_string=100"),
        (Limits(max_container=10), {"sku": "a", "tags": ["a"] * 11}, "max_container=10"),
        (
            Limits(max_depth=2),
            {"sku": "a", "parts": [{"sku": "b", "parts": [{"sku": "c", "parts": [{"sku": "d"}]}]}]},
            "max_depth",
        ),
        (Limits(max_decoded=2000), {"sku": "a", "parts": [{"sku": "b"}] * 100}, "max_decoded"),
    ],
)
def test_limits_of_values(limits: Limits, body: object, named: str) -> None:
    data = request("POST /articles", body=json.dumps(body, ensure_ascii=False).encode())
    found = outcome(data * 2, None, limits)
    assert (found.statuses, found.is_closed, found.calls) == ([400] * 2, False, [])
    assert named.encode() in found.answers[0].body


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"a":' * 100_000, b'{"parts":[' * 3000 + b"]}" * 3000, b"9" * 100_000]
)
def test_json_that_is_nested_or_long(text: bytes) -> None:
    found = outcome(request("POST /articles", body=text))
    assert (found.statuses, found.is_closed, found.calls) == ([400], False, [])


def test_a_body_in_tiny_pieces_takes_no_more_memory_than_its_size() -> None:
    size = 40_000
    wire = Wire()
    wire.feed([request("POST /echo", f"Content-Length: {size + 1}")])
    tracemalloc.start()
    try:
        wire.feed(b"%02d" % (number % 100) for number in range(size // 2))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 3 * size
    assert wire.feed([b"x"]).statuses == [200]
    [(_, body)] = wire.handler.calls
    assert (len(body), body[:4], body[-1:]) == (size + 1, b"0001", b"x")
