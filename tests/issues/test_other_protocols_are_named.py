"""A mix-up of protocols is named on both sides: TLS, plain, HTTP and others on a port that speaks something else."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from eventually import TIMEOUT, eventually
from free_ports import free_port
from hand_written import (
    GET,
    PING,
    AsyncUserServiceClient,
    UserServiceClient,
    connect_raw,
    dialects,
    read_to_end,
    requests,
    scripted_server,
)
from kinds import Kind, Running, serving

from idlrt import Tls
from idlrt.errors import ApplicationError, ConnectFailed, ConnectionLost, DeadlineExceeded, RpcError
from idlrt.protocol.events import ConnectionBroken, RequestReceived
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.sniff import detector

ENGINES: Final = ("selector", "asyncio", "uvloop")
PLAIN: Final = [Kind(engine) for engine in ENGINES]
ENCRYPTED: Final = [Kind(engine, "tls") for engine in ENGINES]
DIALECTS: Final = dialects()
HELLO: Final = bytes.fromhex("160301 0200 01 0001fc 0303") + bytes(32)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )
    return folder


@pytest.fixture(params=PLAIN, ids=str)
def plain(request: pytest.FixtureRequest, certificates: Path) -> Iterator[Running]:
    with serving(request.param, None, certificates, http=False) as running:
        yield running


@pytest.fixture(params=ENCRYPTED, ids=str)
def encrypted(request: pytest.FixtureRequest, certificates: Path) -> Iterator[Running]:
    with serving(request.param, None, certificates, http=False) as running:
        yield running


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that waits for the first log message about connections and returns all of them."""
    caplog.set_level(logging.INFO, "idlrt")

    def said() -> list[str]:
        found = [each.getMessage() for each in caplog.records if "connection" in each.msg or "TLS" in each.msg]
        assert all(each.exc_info is None for each in caplog.records)
        return found

    return lambda: eventually(said, "the server says something")


def port_of(running: Running) -> int:
    return int(running.address.rpartition(":")[2])


def said_to(port: int, data: bytes) -> bytes:
    """Return the response of a server up to the close of the connection."""
    with connect_raw(port) as raw:
        raw.sendall(data)
        return read_to_end(raw)


def listen_only(raw: socket.socket) -> None:
    read_to_end(raw)


Ask = Callable[..., RpcError]


@pytest.fixture(params=["pooled", "shared", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Make a call of any kind of client; how it fails."""

    def ask(target: str, **options: Any) -> RpcError:
        options = {"timeout": TIMEOUT, "connect_timeout": TIMEOUT, **options}
        if request.param == "asyncio":

            async def call() -> None:
                async with AsyncUserServiceClient.connect(target, **options) as client:
                    await client.get(1)

            with pytest.raises(RpcError) as caught:
                asyncio.run(call())
            return caught.value
        if request.param == "shared":
            options["calls_per_connection"] = 4
        with UserServiceClient.connect(target, **options) as client, pytest.raises(RpcError) as caught:
            client.get(1)
        return caught.value

    return ask


# Clients against a port that speaks something else.


@pytest.mark.parametrize("framing", ["framed", "unframed", "header"])
def test_a_plain_client_on_a_tls_port(encrypted: Running, ask: Ask, framing: str, log: Callable[[], list[str]]) -> None:
    error = ask(encrypted.address, framing=framing)
    assert isinstance(error, ConnectFailed)
    assert "UserService.get" in str(error)
    assert "the server speaks TLS; connect with tls=Tls(...)" in str(error)
    (line,) = log()
    assert line.startswith("TLS handshake with 127.0.0.1:")
    assert "this port requires TLS, but the client sent plain thrift; connect with tls=Tls(...)" in line


def test_a_tls_client_on_a_plain_port(plain: Running, ask: Ask, log: Callable[[], list[str]]) -> None:
    error = ask(plain.address, tls=Tls())
    assert isinstance(error, ConnectFailed)
    assert "closed the connection during the TLS handshake; if it does not support TLS, connect without tls=" in str(
        error
    )
    (line,) = log()
    assert "the client speaks TLS, this port does not" in line


def test_a_tls_client_of_a_server_that_answers_something_else(ask: Ask) -> None:
    def talk(raw: socket.socket) -> None:
        raw.recv(65536)
        raw.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        read_to_end(raw)

    with scripted_server(talk) as address:
        error = ask(address, tls=Tls())
    assert isinstance(error, ConnectFailed)
    assert "wrong version number; the server does not use TLS on this port: connect without tls=" in str(error)


def test_a_tls_client_of_a_server_that_keeps_silent(ask: Ask) -> None:
    with scripted_server(listen_only) as address:
        error = ask(address, tls=Tls(), connect_timeout=0.2)
    assert isinstance(error, ConnectFailed)
    assert "is the server running, and does it support TLS?" in str(error)


ANSWERS: Final = {
    b"HTTP/1.1 400 Bad Request\r\n\r\n": "the server speaks HTTP (its response starts with 'HTTP/1.1 400')",
    b"HTTP/1.0 200 OK\r\n\r\n": "the server speaks HTTP (its response starts with 'HTTP/1.0 200')",
    bytes.fromhex("15030300020246"): "the server speaks TLS; connect with tls=Tls(...)",
    bytes.fromhex("15030100020228"): "the server speaks TLS; connect with tls=Tls(...)",
    bytes.fromhex("00001204000000000000030000008000040001000000050000ffff"): "the server speaks HTTP/2",
    b"SSH-2.0-OpenSSH_9.6\r\n": "the server speaks SSH",
    b"-ERR unknown command\r\n": "the server speaks Redis",
    b"220 mail.example.com ESMTP\r\n": "the server speaks SMTP or FTP",
    b"<!DOCTYPE HTML>\r\n": "the server sent text ('<!DOCT'...)",
}


@pytest.mark.parametrize("framing", ["framed", "unframed", "header"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_server_answers_is_named(answer: bytes, framing: str, ask: Ask) -> None:
    def talk(raw: socket.socket) -> None:
        raw.recv(65536)
        raw.sendall(answer)
        read_to_end(raw)

    with scripted_server(talk) as address:
        error = ask(address, framing=framing)
    assert isinstance(error, ConnectFailed)
    assert ANSWERS[answer] in str(error)


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_it_does_not_depend_on_how_the_bytes_come(answer: bytes, spoken: str) -> None:
    connection = ClientConnection(DIALECTS[spoken])
    connection.request(GET, (1,))
    told = [event for byte in answer for event in connection.receive_data(bytes((byte,)))]
    (event,) = told
    assert isinstance(event, ConnectionBroken)
    assert str(event.error).startswith(ANSWERS[answer])
    assert not connection.is_idle


@pytest.mark.parametrize("spoken", DIALECTS)
def test_no_answer_of_thrift_is_taken_for_another_protocol(spoken: str) -> None:
    server = ServerConnection(detector(), {"get": GET})
    client = ClientConnection(DIALECTS[spoken])
    _, data = client.request(GET, (1,))
    (call,) = server.receive_data(data)
    assert isinstance(call, RequestReceived)
    answer = server.refuse(call, ApplicationError("no"))
    events = [event for byte in answer for event in client.receive_data(bytes((byte,)))]
    assert [type(event).__name__ for event in events] == ["ThriftResponse"]
    assert client.is_idle


def test_a_first_close_says_what_it_may_be(ask: Ask) -> None:
    def close(raw: socket.socket) -> None:
        raw.recv(65536)

    for framing, other in (("framed", "unframed"), ("unframed", "framed"), ("header", "framed")):
        with scripted_server(close) as address:
            error = ask(address, framing=framing)
        assert isinstance(error, ConnectionLost)
        assert "closed the connection and has never responded" in str(error)
        assert f'framing="{other}"' in str(error)
        assert "if it requires TLS, connect with tls=Tls(...)" in str(error)


def test_a_first_silence_says_so_too(ask: Ask) -> None:
    with scripted_server(listen_only) as address:
        error = ask(address, timeout=0.2)
    assert isinstance(error, DeadlineExceeded)
    assert "the server has never responded" in str(error)
    assert 'framing="unframed"' in str(error)


def test_a_close_of_a_server_that_has_answered_is_what_it_was() -> None:
    def once(raw: socket.socket) -> None:
        server = ServerConnection(detector(), {"ping": PING})
        (call,) = server.receive_data(raw.recv(65536))
        assert isinstance(call, RequestReceived)
        raw.sendall(server.respond(call, None))
        raw.recv(65536)

    with scripted_server(once) as address, UserServiceClient.connect(address, timeout=TIMEOUT) as client:
        client.ping()
        with pytest.raises(
            ConnectionLost, match="the server closed the connection; the server may have processed the call"
        ):
            client.get(1)


# Servers that hear something else.

CLIENTS: Final = {
    HELLO: "the client speaks TLS, this port does not",
    b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n": "the client speaks HTTP,",
    b"POST / HTTP/1.1\r\n": "the client speaks HTTP,",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": "the client speaks HTTP/2,",
    b"SSH-2.0-OpenSSH_9.6\r\n": "the client speaks SSH,",
    b"*1\r\n$4\r\nPING\r\n": "the client speaks Redis,",
    b"PING\r\n": "the client speaks Redis,",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n": "the client speaks the PROXY protocol,",
    b"\r\n\r\n\0\r\nQUIT\n": "the client speaks the PROXY protocol,",
    b"EHLO here\r\n": "the client speaks SMTP,",
    b"what is this?": "the client sent text ('what'...), which starts no message of a protocol of this port",
    bytes.fromhex("dabbc20000000000"): "the client speaks Dubbo,",
    bytes.fromhex("f1f1000808000000"): "the client speaks Motan,",
    bytes.fromhex("000000401000000000000001"): "the client speaks Kitex's TTHeader,",
}


@pytest.mark.parametrize("data", CLIENTS)
def test_what_a_client_sends_is_named_in_one_line(data: bytes, plain: Running, log: Callable[[], list[str]]) -> None:
    answer = said_to(port_of(plain), data)
    (line,) = log()
    assert CLIENTS[data] in line
    assert line.startswith("closing connection from 127.0.0.1:")
    assert answer.startswith(b"HTTP/1.1 400 ") == ("HTTP" in CLIENTS[data])
    assert not answer or answer.endswith(b"This port does not support HTTP.\n")


@pytest.mark.parametrize("data", CLIENTS)
def test_a_server_is_told_the_same_byte_by_byte(data: bytes) -> None:
    connection = ServerConnection(detector(), {})
    told = [event for byte in data for event in connection.receive_data(bytes((byte,)))]
    (event,) = told
    assert isinstance(event, ConnectionBroken)
    assert str(event.error).startswith(CLIENTS[data])


@pytest.mark.parametrize("data", [data for data in CLIENTS if data != HELLO])
def test_on_a_tls_port_too(data: bytes, encrypted: Running, log: Callable[[], list[str]]) -> None:
    answer = said_to(port_of(encrypted), data)
    (line,) = log()
    assert "this port requires TLS, but the client sent " in line
    name = CLIENTS[data].removeprefix("the client speaks ").rstrip(",")
    if "text" not in name:
        assert f"the client sent plain {name}" in line
    if name.startswith("HTTP"):
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.endswith(b"This port requires TLS, not plain HTTP.\n")
    else:
        assert answer == bytes.fromhex("1503030002020a"), "an alert of TLS"


def test_a_client_that_ends_before_it_has_said_enough(encrypted: Running, log: Callable[[], list[str]]) -> None:
    with connect_raw(port_of(encrypted)) as raw:
        raw.sendall(b"GE")
        raw.shutdown(socket.SHUT_WR)
        read_to_end(raw)
    (line,) = log()
    assert "the client sent the bytes 47 45" in line


def test_http_over_tls(encrypted: Running, certificates: Path, log: Callable[[], list[str]]) -> None:
    trust = ssl.create_default_context(cafile=str(certificates / "authority.pem"))
    connection = http.client.HTTPSConnection("localhost", port_of(encrypted), timeout=TIMEOUT, context=trust)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (400, b"This port does not support HTTP.\n")
    (line,) = log()
    assert "the client speaks HTTP," in line


def test_a_large_http_request_gets_its_answer(plain: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(plain), timeout=TIMEOUT)
    with contextlib.closing(connection):
        connection.request("POST", "/", body=b"x" * 100_000, headers={"Content-Type": "application/x-thrift"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (400, b"This port does not support HTTP.\n")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl(plain: Running, scheme: str, log: Callable[[], list[str]]) -> None:
    line = ["curl", "-sS", "--max-time", "60", f"{scheme}://127.0.0.1:{port_of(plain)}/health"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT)
    (said,) = log()
    assert f"the client speaks {'TLS,' if scheme == 'https' else 'HTTP,'}" in said
    assert done.stdout == ("This port does not support HTTP.\n" if scheme == "http" else "")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_as_a_client(plain: Running, log: Callable[[], list[str]]) -> None:
    line = ["openssl", "s_client", "-connect", f"127.0.0.1:{port_of(plain)}"]
    done = subprocess.run(line, capture_output=True, input=b"", timeout=TIMEOUT)
    assert done.returncode != 0
    (said,) = log()
    assert "the client speaks TLS, this port does not; start the server with tls=Tls(...)" in said


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_as_a_server(ask: Ask, certificates: Path) -> None:
    """It closes without a word, so what it speaks is a guess: one that is made."""
    port = free_port()
    line = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(certificates / "server.pem"), "-quiet"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: is_listening(port), "it listens")
            error = ask(f"127.0.0.1:{port}")
        finally:
            server.kill()
    assert isinstance(error, ConnectionLost)
    assert "if it requires TLS, connect with tls=Tls(...)" in str(error)


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), TIMEOUT):
        return True
    return False


def test_what_was_said_before_is_answered(plain: Running) -> None:
    """Only the first bytes of a connection may be another protocol's."""
    with connect_raw(port_of(plain)) as raw:
        raw.sendall(requests((GET, (7,)), how=dialect("framed")))
        assert raw.recv(4)
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in read_to_end(raw)


HANDLERS = """
class Users:
    def get(self, id):
        return None
"""
IDL = """
struct User { 1: required i64 id }
service UserService { User get(1: required i64 id) }
"""


@pytest.mark.slow
def test_processes_say_it_too(tmp_path: Path) -> None:
    (tmp_path / "some_handlers.py").write_text(HANDLERS)
    (tmp_path / "users.thrift").write_text(IDL)
    line = [sys.executable, "-m", "idlrt", "serve", "some_handlers:Users", "--idl", "users.thrift"]
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*line, "--address", "127.0.0.1:0", "--processes", "2"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().rpartition(":")[2])
            assert said_to(port, b"GET /health HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
            assert said_to(port, HELLO) == b""
            eventually(lambda: log.read_text().count("the client speaks HTTP,") == 1, "HTTP")
            eventually(lambda: log.read_text().count("the client speaks TLS, this port does not") == 1, "TLS")
        finally:
            server.send_signal(signal.SIGTERM)
