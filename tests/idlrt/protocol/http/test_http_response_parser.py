"""Bytes of HTTP responses: cuts, ends, limits, and what is refused."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from shop import CHECK, NOTE, PLAIN

from idlrt.errors import LocalProtocolError
from idlrt.protocol import ClientEvent, ConnectionBroken, PongReceived, ResponseReceived
from idlrt.protocol.foreign import ForeignProtocol
from idlrt.protocol.http.client import ClientConnection, http_clients
from idlrt.protocol.http.client_responses import CallResponse
from idlrt.protocol.http.response_parser import MAX_HEAD, MAX_HEADERS
from idlrt.serialization import Limits

LIMITS = Limits(max_message=1000)
JSON = b"Content-Type: application/json\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\n" + JSON + b"Content-Length: 3\r\n\r\n1.5"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
    b"1;x=y\r\n1\r\n2\r\n.5\r\n0\r\nTrailer: ignored\r\nContent-Type: text/html\r\n\r\n"
)
TO_THE_END = b"HTTP/1.1 200 OK\r\n" + JSON + b"\r\n1.5"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 7\r\n\r\n" + LENGTH
HTTP_10 = b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" + JSON + b"Content-Length: 3\r\n\r\n1.5"


def connection(*, is_head: bool = False) -> ClientConnection:
    [client] = http_clients({}, LIMITS)
    made = client.connect()
    assert isinstance(made, ClientConnection)
    if is_head:
        made.request(CHECK, ("x",))
    else:
        made.request(PLAIN, ({}, None))
    return made


def events(pieces: Iterable[bytes], *, is_head: bool = False) -> list[ClientEvent]:
    made = connection(is_head=is_head)
    found = [event for piece in pieces for event in made.receive_data(piece)]
    found += made.receive_eof()
    if any(isinstance(event, ConnectionBroken) for event in found):
        assert made.receive_data(LENGTH) == made.receive_eof() == []
        assert not made.is_idle
    return found


def broken(data: bytes, *, is_head: bool = False) -> str:
    [event] = events([data], is_head=is_head)
    assert isinstance(event, ConnectionBroken), event
    return str(event.error)


def halves(data: bytes) -> Iterable[list[bytes]]:
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


@pytest.mark.parametrize("data", [LENGTH, CHUNKED, TO_THE_END, CONTINUED, HTTP_10])
def test_a_response_does_not_depend_on_how_it_is_cut(data: bytes) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))], *halves(data)):
        [event] = events(pieces)
        assert isinstance(event, ResponseReceived)
        assert event.result() == 1.5
        assert event.size == len(data)


@pytest.mark.parametrize("data", [LENGTH, CHUNKED, TO_THE_END])
def test_the_end_of_the_stream_within_a_response(data: bytes) -> None:
    for at in range(1, data.index(b"\r\n\r\n") + 3):
        assert broken(data[:at]) == "the server closed the connection within a response"
    assert broken(LENGTH[:-1]) == broken(CHUNKED[:-1]) == "the server closed the connection within a response"


def test_the_end_of_the_stream_before_a_response_is_no_violation() -> None:
    assert events([]) == []


@pytest.mark.parametrize(
    ("head", "is_draining"),
    [
        (b"HTTP/1.1 202 x\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 202 x\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"HTTP/1.1 202 x\r\nContent-Length: 0\r\nConnection: Foo, Close\r\n\r\n", True),
        (b"HTTP/1.0 202 x\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 202 x\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"HTTP/1.1 204 x\r\nConnection: close\r\n\r\n", True),
        (b"HTTP/1.1 204 x\r\n\r\n", False),
    ],
)
def test_whether_the_connection_ends_with_the_response(head: bytes, is_draining: bool) -> None:
    [client] = http_clients({}, LIMITS)
    made = client.connect()
    made.request(NOTE, ("x",))
    [event] = made.receive_data(head)
    assert isinstance(event, ResponseReceived)
    assert event.is_draining == is_draining
    assert made.receive_eof() == []
    if is_draining:
        with pytest.raises(LocalProtocolError, match="the server closes the connection"):
            made.request(NOTE, ("x",))
    else:
        assert made.request(NOTE, ("x",))[0] == 2


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    "length", [b"", b"Content-Length: 0\r\n", b"Content-Length: 9999\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_a_response_to_head_ends_with_its_head(status: int, length: bytes) -> None:
    data = b"HTTP/1.1 %d x\r\n%s\r\n" % (status, length)
    made = connection(is_head=True)
    assert [type(event).__name__ for event in made.receive_data(data)] == ["CallResponse"]
    assert made.is_idle
    made.request(CHECK, ("x",))
    assert len(made.receive_data(data)) == 1
    if not length.startswith(b"Transfer"):
        assert len(events([data + b"\r\n"], is_head=True)) == 1
    [answer, end] = events([data + b"body"], is_head=True)
    assert isinstance(answer, ResponseReceived)
    assert isinstance(end, ConnectionBroken)


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_ends_with_its_head(status: int) -> None:
    [event] = events([b"HTTP/1.1 %d x\r\nContent-Length: 5\r\n\r\n" % status])
    assert isinstance(event, ResponseReceived)


def test_every_response_answers_a_ping() -> None:
    for data in (b"HTTP/1.1 204 x\r\n\r\n", b"HTTP/1.1 405 x\r\nContent-Length: 3\r\n\r\n<p>", TO_THE_END):
        [client] = http_clients({}, LIMITS)
        made = client.connect()
        id, _ = made.ping()
        [event] = [*made.receive_data(data), *made.receive_eof()]
        assert event == PongReceived(id, is_draining=data is TO_THE_END)


def test_the_response_to_a_cancelled_request_is_dropped() -> None:
    made = connection()
    assert made.cancel(1) == b""
    assert (made.in_flight, made.cancelled, made.is_idle) == (0, 1, False)
    with pytest.raises(LocalProtocolError, match="one call at a time"):
        made.request(NOTE, ("x",))
    assert made.receive_data(LENGTH) == []
    assert (made.cancelled, made.is_idle) == (0, True)
    made.cancel(1)
    made.request(PLAIN, ({}, None))
    [event] = made.receive_data(LENGTH)
    assert isinstance(event, ResponseReceived)
    assert event.id == 2


def test_a_response_without_a_request() -> None:
    [client] = http_clients({}, LIMITS)
    [event] = client.connect().receive_data(LENGTH)
    assert isinstance(event, ConnectionBroken)
    assert str(event.error) == "the server sent a response without a request"


@pytest.mark.parametrize("more", [LENGTH, b"x", b"HTTP/1.1 100 Continue\r\n\r\n", b"\0" * 9])
def test_a_response_counts_even_if_more_follows_it(more: bytes) -> None:
    [response, end] = events([LENGTH + more])
    assert isinstance(response, ResponseReceived)
    assert response.result() == 1.5
    assert isinstance(end, ConnectionBroken)
    assert str(end.error) == "the server sent more than the response"


# Limits.


@pytest.mark.parametrize("in_one_piece", [True, False])
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 200 " + b"x" * MAX_HEAD, f"the head of the response has more than {MAX_HEAD} bytes"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD, f"the head of the response has more than {MAX_HEAD} bytes"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n", f"has more than {MAX_HEAD} bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * MAX_HEAD + b": \r\n\r\n", f"has more than {MAX_HEAD} bytes"),
        (b"HTTP/1.1 103 x\r\n\r\n" * 3000, f"has more than {MAX_HEAD} bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * (MAX_HEADERS + 1) + b"\r\n", f"more than {MAX_HEADERS} headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "the limit is max_message=1000"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "not valid HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001, "the limit is max_message=1000"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, "max_message=1000"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 100_000 + b"\r\n1\r\n",
            "the chunks of the response are larger than what they carry",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
            f"more than {MAX_HEADERS} headers",
        ),
    ],
)
def test_limits_apply_while_bytes_arrive(data: bytes, why: str, in_one_piece: bool) -> None:
    pieces = [data] if in_one_piece else [data[at : at + 1000] for at in range(0, len(data), 1000)]
    [event] = events(pieces)
    assert isinstance(event, ConnectionBroken)
    assert why in str(event.error)


def test_a_body_of_exactly_the_limit() -> None:
    for head in (b"Content-Length: 1000\r\n", b""):
        [event] = events([b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b" " * 999 + b"1"])
        assert isinstance(event, ResponseReceived)
        assert event.result() == 1


# What is refused.


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n1.5",
        b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n1.5",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n1.5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\n1.5",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n1.5",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n1\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\n1\n0\n\n",
        b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: 1\n\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
)
def test_what_is_not_valid_breaks_the_connection(data: bytes) -> None:
    assert broken(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x0a", "TLS"),
        (b"\x80\x01\x00\x02\x00\x00\x00\x04", "Thrift"),
        (b"\0\0\x00\x15\x80\x01", "Thrift or HTTP/2"),
        (b'{"jsonrpc":"2.0"}\n', "JSON-RPC"),
        (b"SSH-2.0-x\r\n", "unknown"),
        (b"HTTX/1.1 200 OK\r\n", "unknown"),
    ],
)
def test_servers_of_other_protocols(data: bytes, name: str) -> None:
    [event] = events([data])
    assert isinstance(event, ConnectionBroken)
    assert isinstance(event.error, ForeignProtocol)
    assert event.error.name == name
    assert str(event.error).endswith("this client speaks HTTP")


def outcomes(pieces: Iterable[bytes], *, is_head: bool) -> list[Any]:
    return [
        (event.status, event.headers, event.body, event.is_draining) if isinstance(event, CallResponse) else "broken"
        for event in events(pieces, is_head=is_head)
    ]


def test_damaged_responses_do_not_depend_on_how_they_are_cut() -> None:
    dice = random.Random(5)
    whole = (LENGTH, CHUNKED, TO_THE_END, CONTINUED, HTTP_10, LENGTH + LENGTH, CHUNKED + b"x", LENGTH + b"\r\n\r\n")
    for number in range(3000):
        data = bytearray(whole[number % len(whole)])
        for _ in range(dice.choice((0, 1, 2, 5))):
            at = dice.randrange(len(data))
            more = (b"\r\n", b": ", b"0\r\n", b"Connection: close\r\n", dice.randbytes(dice.randrange(3)))
            data[at : at + dice.randrange(3)] = dice.choice(more)
        pieces = [bytes(data[at : at + 1]) for at in range(len(data))]
        found = outcomes([bytes(data)], is_head=number % 7 == 0)
        assert found == outcomes(pieces, is_head=number % 7 == 0), bytes(data)
        assert "broken" not in found[:-1]


def test_blank_lines_between_responses_are_ignored() -> None:
    made = connection()
    assert len(made.receive_data(b"\r\n" + LENGTH + b"\r\n")) == 1
    assert made.receive_data(b"\r\n\n") == []
    made.request(PLAIN, ({}, None))
    assert made.receive_data(b"\r") == made.receive_data(b"\n") == []
    [event] = made.receive_data(LENGTH)
    assert isinstance(event, ResponseReceived)
    assert event.size == len(LENGTH)
    assert made.receive_eof() == []


def test_without_httptools_the_error_tells_what_to_install() -> None:
    code = """
import sys
sys.modules["httptools"] = None
from idlrt.errors import ConfigurationError
from idlrt.protocol.http.client import http_clients
from idlrt.serialization.base import DEFAULT_LIMITS
try:
    http_clients({}, DEFAULT_LIMITS)
except ConfigurationError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'idlc[http]'" in found.stdout


def test_httptools_is_imported_only_when_http_is_used() -> None:
    code = "import sys, idlrt.protocol.http.client; print('httptools' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
