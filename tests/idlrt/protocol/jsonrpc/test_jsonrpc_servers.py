"""JSON-RPC over real sockets: every kind of server, generated clients, and plain sockets, on one port with Thrift."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
import trustme
from catalogue import (
    AsyncBooks,
    AsyncCatalogueClient,
    Book,
    Books,
    CatalogueClient,
    Closed,
    Genre,
    Lines,
    NoBook,
    call,
    catalogue,
)
from click.testing import CliRunner
from eventually import TIMEOUT, eventually

from idlrt import Tls
from idlrt import spec as rpc
from idlrt.cli import main
from idlrt.core import ServerCall, bind
from idlrt.errors import ApplicationError, ConfigurationError, ConnectionLost, DeadlineExceeded, Overloaded
from idlrt.serialization import Limits
from idlrt.server import AsyncServer, ProcessServer, Server
from idlrt.testing import connected

BOOK = {"isbn": 7, "title": "book 7", "genre": "POETRY"}


@pytest.fixture(params=["plain", "async", "workers"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    books = AsyncBooks() if request.param == "async" else Books()
    with Server(catalogue(books), workers=2 if request.param == "workers" else 0) as made:
        yield made.start()


def target(server: Any) -> str:
    return f"jsonrpc://127.0.0.1:{server.port}"


def check(client: CatalogueClient) -> None:
    assert client.find(7) == Book(isbn=7, title="book 7", genre=Genre.POETRY)
    assert client.tags(["ä", "b"], "-") == "ä-b"
    assert client.check() is None  # type: ignore[func-returns-value]
    client.note("hello")
    assert client.blob(100_000) == b"x" * 100_000
    with pytest.raises(NoBook) as thrown:
        client.find(-1)
    assert thrown.value == NoBook(isbn=-1)
    with pytest.raises(Closed, match="moth"):
        client.find(-2)
    with pytest.raises(ApplicationError, match="failed with ValueError"):
        client.find(0)
    with pytest.raises(ApplicationError, match="missing result"):
        client.find(404)


def test_a_blocking_client(server: Server) -> None:
    with CatalogueClient.connect(target(server), timeout=TIMEOUT) as client:
        check(client)
    with CatalogueClient.connect(server.address, protocol="jsonrpc", timeout=TIMEOUT) as client:
        check(client)
    with CatalogueClient.connect(target(server), multiplexed=True, calls_per_connection=16) as client:
        check(client)
        with ThreadPoolExecutor(8) as threads:
            assert [book.isbn for book in threads.map(client.find, range(1, 100))] == list(range(1, 100))


def test_an_asyncio_client(server: Server) -> None:
    async def main() -> None:
        async with AsyncCatalogueClient.connect(target(server), timeout=TIMEOUT) as client:
            books = await asyncio.gather(*(client.find(number) for number in range(1, 100)))
            assert [book.isbn for book in books] == list(range(1, 100))
            with pytest.raises(NoBook):
                await client.find(-1)

    asyncio.run(main())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_asyncio_server(workers: int) -> None:
    async def main() -> None:
        async with (
            AsyncServer(catalogue(AsyncBooks()), workers=workers) as server,
            AsyncCatalogueClient.connect(target(server), timeout=TIMEOUT) as client,
        ):
            books = await asyncio.gather(*(client.find(number) for number in range(1, 100)))
            assert [book.isbn for book in books] == list(range(1, 100))

    asyncio.run(main())


@pytest.mark.slow
def test_a_server_of_processes() -> None:
    with ProcessServer(catalogue(Books()), processes=2, drain_s=0.01) as server:
        server.start()
        with CatalogueClient.connect(target(server), timeout=TIMEOUT) as client:
            check(client)


def test_in_memory() -> None:
    with connected(CatalogueClient, catalogue(AsyncBooks()), protocol="jsonrpc") as client:
        check(client)


def test_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "shop.pem"))
    with Server(catalogue(Books()), tls=Tls(certificate=str(tmp_path / "shop.pem"))) as server:
        server.start()
        tls = Tls(authorities=str(tmp_path / "authority.pem"))
        with CatalogueClient.connect(target(server), tls=tls, timeout=TIMEOUT) as client:
            check(client)


def test_one_port_for_all_protocols_at_the_same_time(server: Server) -> None:
    choices: list[dict[str, Any]] = [
        {"protocol": "jsonrpc"},
        *({"framing": framing} for framing in ("framed", "header", "unframed")),
        {"framing": "unframed", "protocol": "json"},
        {"framing": "framed", "protocol": "compact"},
    ]
    clients = [CatalogueClient.connect(server.address, timeout=TIMEOUT, **each) for each in choices]
    with Lines(server.port) as lines, ThreadPoolExecutor(len(clients)) as threads:
        found = [threads.submit(client.find, number) for number in range(1, 20) for client in clients]
        for number in range(1, 20):
            assert lines.ask(call("find", [number], number))["result"]["isbn"] == number
        assert [each.result(TIMEOUT).isbn for each in found] == [n for n in range(1, 20) for _ in clients]
    for client in clients:
        client.close()


def test_a_plain_socket(server: Server) -> None:
    with Lines(server.port) as lines:
        assert lines.ask(call("find", [7], "x")) == {"jsonrpc": "2.0", "id": "x", "result": BOOK}
        assert lines.ask(b"\r\nhello\r\n")["error"]["code"] == -32700
        assert lines.ask(call("lose"))["error"]["code"] == -32601
        assert lines.ask(call("find", ["x"]))["error"]["code"] == -32602
        assert lines.ask(call("find", [0]))["error"]["code"] == -32603
        assert lines.ask(call("note", ["x"], 5)) == {"jsonrpc": "2.0", "id": 5, "result": None}
        assert lines.ask(call("rpc.ping", None, 6)) == {"jsonrpc": "2.0", "id": 6, "result": None}
        lines.send(call("find", [1], ...) + call("find", [0], ...) + call("lose", None, ...))
        assert lines.ask(call("check", None, 7))["id"] == 7


def test_a_batch(server: Server) -> None:
    requests = [json.loads(call("find", [number], number)) for number in range(-3, 300)]
    with Lines(server.port) as lines:
        responses = lines.ask(json.dumps(requests).encode() + b"\n")
        assert [each["id"] for each in responses] == list(range(-3, 300))
        assert sum("error" in each for each in responses) == 4
        lines.send(json.dumps([json.loads(call("note", ["x"], ...))] * 3).encode() + b"\n")
        assert lines.ask(call("check", None, 7))["id"] == 7


def test_the_last_line_needs_no_end(server: Server) -> None:
    with Lines(server.port) as lines:
        lines.send(call("find", [7], 1) + call("find", [7], 2).strip())
        assert sorted(each["id"] for each in lines.end()) == [1, 2]
    with Lines(server.port) as lines:
        lines.send(call("find", [7], 1).strip())
        assert [each["result"] for each in lines.end()] == [BOOK]
    with Lines(server.port) as lines:
        lines.send(call("find", [7], 1)[:20])
        (response,) = lines.end()
        assert (response["id"], response["error"]["code"]) == (None, -32700)


def test_a_oneway_method_with_an_id_is_answered_when_it_is_done() -> None:
    class Failing(Books):
        def note(self, text: str) -> None:
            assert self.gate.wait(TIMEOUT)
            if text == "fail":
                raise ValueError(text)
            super().note(text)

    books = Failing()
    with Server(catalogue(books), workers=1) as server, Lines(server.start().port) as lines:
        lines.send(call("note", ["x"], 1) + call("note", ["fail"], 2) + call("rpc.ping", None, 3))
        assert lines.line()["id"] == 3
        books.gate.set()
        assert lines.line() == {"jsonrpc": "2.0", "id": 1, "result": None}
        assert books.noted == ["x"]
        assert lines.line()["error"]["code"] == -32603
    with Server(catalogue(books), filters=[Busy()]) as server, Lines(server.start().port) as lines:
        assert lines.ask(call("note", ["x"], 1))["error"]["code"] == -32011


def test_the_error_of_a_handler_does_not_repeat_the_call() -> None:
    codes = (2, -32600, -32601, -32700)

    class Failing(Books):
        def check(self) -> None:
            self.noted.append("checked")
            raise ApplicationError("no", codes[len(self.noted) - 1])

    books = Failing()
    with Server(catalogue(books)) as server:
        server.start()
        for count in range(1, len(codes) + 1):
            with CatalogueClient.connect(target(server), timeout=TIMEOUT) as client, pytest.raises(ApplicationError):
                client.check()
            assert len(books.noted) == count


def test_responses_overtake_each_other() -> None:
    books = Books()
    with Server(catalogue(books), workers=2) as server, Lines(server.start().port) as lines:
        lines.send(call("wait", [1], 1))
        assert books.entered.acquire(timeout=TIMEOUT)
        assert lines.ask(call("check", None, 2))["id"] == 2
        lines.send(b"[%b,%b]\n" % (call("check", None, 3).strip(), call("wait", [4], 4).strip()))
        assert books.entered.acquire(timeout=TIMEOUT)
        books.gate.set()
        assert sorted(str(lines.line()) for _ in range(2))[0].startswith("[{")


def test_metadata_and_context() -> None:
    books = Books()
    with Server(catalogue(books)) as server:
        server.start()
        with CatalogueClient.connect(target(server), timeout=TIMEOUT) as client:
            client.using(metadata={"authorization": "Bearer ä"}).find(7)
        with Lines(server.port) as lines:
            meta = {"timeout": 60, "attempt": 2, "tag": "gray", "caller": "shop", "metadata": {"a": "b"}}
            lines.ask(call("find", [7], meta=meta))
    (first, context), (second, other) = books.seen
    assert first == {"authorization": "Bearer ä"}
    assert 0 < context.timeout <= TIMEOUT
    assert second == {"a": "b"}
    assert (other.timeout, other.attempt, other.tag, other.caller) == (60, 2, "gray", "shop")


def test_a_request_that_came_too_late_is_not_begun() -> None:
    books = Books()
    with Server(catalogue(books)) as server, Lines(server.start().port) as lines:
        error = lines.ask(call("find", [7], meta={"timeout": 0}))["error"]
        assert (error["code"], error["data"]) == (-32012, {"name": "TIMEOUT"})
        assert lines.ask(call("find", [7], meta={"timeout": 60}))["result"] == BOOK
    assert len(books.seen) == 1


def test_a_client_stops_waiting() -> None:
    books = AsyncBooks()
    with Server(catalogue(books)) as server:
        server.start()
        with CatalogueClient.connect(target(server)) as client:
            with pytest.raises(DeadlineExceeded):
                client.using(timeout=0.05).wait(1)
            books.gate.set()
            assert client.find(7).isbn == 7


class Busy:
    """A filter that takes no calls."""

    async def __call__(self, call: ServerCall, next: Any) -> Any:
        raise Overloaded("busy").push_back(0.25)


def test_push_back() -> None:
    with Server(catalogue(Books()), filters=[Busy()]) as server:
        server.start()
        with Lines(server.port) as lines:
            response = lines.ask(call("find", [7]))
            assert response["error"]["code"] == -32011
            assert response["meta"] == {"retry_after": 0.25}
        with CatalogueClient.connect(target(server), timeout=TIMEOUT) as client:
            with pytest.raises(Overloaded) as caught:
                client.find(7)
            assert caught.value.retry_after == 0.25


def test_a_server_that_stops_says_so() -> None:
    books = Books()
    with Server(catalogue(books), drain_s=TIMEOUT, workers=2) as server, Lines(server.start().port) as lines:
        assert "meta" not in lines.ask(call("check"))
        lines.send(call("wait", [1], 1))
        assert books.entered.acquire(timeout=TIMEOUT)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        try:
            eventually(lambda: lines.ask(call("check", None, 2)).get("meta") == {"drain": True})
        finally:
            books.gate.set()
        assert lines.line()["meta"] == {"drain": True}
    stopping.join(TIMEOUT)


def test_a_line_that_is_too_long() -> None:
    with Server(catalogue(Books()), limits=Limits(max_message=1000)) as server, Lines(server.start().port) as lines:
        lines.send(b"{" * 1001)
        assert lines.line()["error"]["code"] == -32600
        assert lines.line() is None


def test_options_of_thrift_are_refused(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="protocol jsonrpc has no option 'framing'; remove framing='header'"):
        CatalogueClient.connect(target(server), framing="header").check()


def test_a_server_that_speaks_thrift_only() -> None:
    with Server(catalogue(Books()), protocols=["thrift"]) as server:
        server.start()
        with (
            CatalogueClient.connect(target(server), timeout=TIMEOUT) as client,
            pytest.raises(ConnectionLost, match="one message per line, connect to tcp://"),
        ):
            client.check()


def test_a_server_that_speaks_json_rpc_only() -> None:
    with Server(catalogue(Books()), protocols=["jsonrpc"]) as server:
        server.start()
        with CatalogueClient.connect(target(server), timeout=TIMEOUT) as client:
            check(client)
        with (
            CatalogueClient.connect(server.address, framing="framed", timeout=TIMEOUT) as client,
            pytest.raises(ConnectionLost),
        ):
            client.check()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["scheme", "protocol"])
@pytest.mark.parametrize("command", ["ping", "call", "bench"])
def test_the_command_line(command: str, how: str, tmp_path: Path) -> None:
    idl = tmp_path / "books.thrift"
    idl.write_text("struct Book { 1: i64 isbn, 2: string title }\nservice Catalogue { Book find(1: i64 isbn) }\n")
    with Server(catalogue(Books())) as server:
        server.start()
        url = [target(server)] if how == "scheme" else [server.address, "--protocol", "jsonrpc"]
        arguments = {
            "ping": ["--count", "1"],
            "call": ["Catalogue.find", '{"isbn": 7}', "--idl", str(idl)],
            "bench": ["Catalogue.find", '{"isbn": 7}', "--idl", str(idl), "--calls", "100", "--warm-up", "0"],
        }[command]
        done = CliRunner().invoke(main, [command, *url, *arguments])
    assert done.exit_code == 0, done.output
    if command == "call":
        assert json.loads(done.stdout) == {"isbn": 7, "title": "book 7"}


class Repeating(Protocol):
    def repeat(self, text: str, times: int) -> str: ...


REPEAT: Final = rpc.method(
    Repeating.repeat, rpc.required(1, "text", rpc.STRING), rpc.argument(2, "times", rpc.I32), result=rpc.STRING
)
REPEATER: Final = rpc.service("Repeater", REPEAT)


def test_arguments_that_are_left_out_take_the_defaults_of_the_handler() -> None:
    class Handler:
        def repeat(self, text: str, times: int = 3) -> str:
            return text * times

    with Server(bind(REPEATER, Handler())).start() as server, Lines(server.port) as lines:
        assert lines.ask(call("repeat", {"text": "ab"}))["result"] == "ababab"
        assert lines.ask(call("repeat", ["ab", 2]))["result"] == "abab"
        refused = lines.ask(call("repeat", {"times": 2}))["error"]
        assert refused["code"] == -32602
        assert "missing argument `text`" in refused["message"]


def test_servers_that_no_registry_knows_are_called_as_the_target_says() -> None:
    with Server(catalogue(Books())).start() as one, Server(catalogue(Books())).start() as other:
        both = f"127.0.0.1:{one.port},127.0.0.1:{other.port}"
        for address, protocol in ((f"jsonrpc://{both}", None), (f"static://{both}", "jsonrpc")):
            with CatalogueClient.connect(address, protocol=protocol) as client:
                assert client.find(7).title == "book 7"


def test_a_server_without_thrift_is_left_out_by_programs_of_version_0_1() -> None:
    registry = "memory://without-thrift"
    with Server(catalogue(Books()), protocols=["jsonrpc"], registry=registry).start() as server:
        [registration] = server.registrations
        assert registration.instance.protocols == ("jsonrpc",)  # where version 0.1 looks for a framing
        assert registration.instance.rpc_protocols == {"jsonrpc": ("plain_json",)}
        with CatalogueClient.connect(f"{registry}/Catalogue") as client:
            assert client.find(7).title == "book 7"
