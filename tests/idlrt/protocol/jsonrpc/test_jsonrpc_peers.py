"""Other implementations of JSON-RPC, both ways: their messages, in lines over TCP.

Servers of ajsonrpc and tinyrpc refuse requests with members of their own (`meta`), that of python-lsp-jsonrpc does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jsonrpcclient
import pytest
from ajsonrpc.dispatcher import Dispatcher
from ajsonrpc.manager import AsyncJSONRPCResponseManager
from catalogue import AsyncCatalogueClient, Book, Books, CatalogueClient, Genre, Lines, catalogue
from eventually import TIMEOUT
from pylsp_jsonrpc.endpoint import Endpoint
from pylsp_jsonrpc.exceptions import JsonRpcException
from tinyrpc import RPCClient
from tinyrpc.dispatch import RPCDispatcher
from tinyrpc.exc import RPCError
from tinyrpc.protocols.jsonrpc import JSONRPCProtocol
from tinyrpc.transports import ClientTransport

from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError, RemoteProtocolError
from idlrt.server import Server

BOOK = {"isbn": 7, "title": "book 7", "genre": "POETRY"}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(catalogue(Books())) as made:
        yield made.start()


# Their clients.


class LinesTransport(ClientTransport):
    """Sends the messages of tinyrpc in lines."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def send_message(self, message: bytes, expect_reply: bool = True) -> bytes:
        self._lines.send(message + b"\n")
        return json.dumps(self._lines.line()).encode() if expect_reply else b""


def test_a_client_of_tinyrpc(server: Server) -> None:
    with Lines(server.port) as lines:
        client = RPCClient(JSONRPCProtocol(), LinesTransport(lines))
        catalogue = client.get_proxy(prefix="Catalogue.")
        assert catalogue.find(7) == BOOK
        assert catalogue.find(isbn=7) == BOOK
        assert client.get_proxy(one_way=True).note("x") is None
        with pytest.raises(RPCError, match="isbn=-1"):
            catalogue.find(-1)
        with pytest.raises(RPCError, match="unknown method 'lose'"):
            client.get_proxy().lose()


def test_a_client_of_jsonrpcclient(server: Server) -> None:
    def ask(request: Any) -> Any:
        return jsonrpcclient.parse(lines.ask(json.dumps(request).encode() + b"\n"))

    with Lines(server.port) as lines:
        assert ask(jsonrpcclient.request("find", params=(7,))).result == BOOK
        assert ask(jsonrpcclient.request_uuid("find", params={"isbn": 7})).result == BOOK
        error = ask(jsonrpcclient.request("find", params=(-1,)))
        assert error.data == {"exception": "NoBook", "value": {"isbn": -1}}
        batch = [jsonrpcclient.request("find", params=(7,)), jsonrpcclient.notification("check"), {"a": 1}]
        found, refused = ask(batch)
        assert found.result == BOOK
        assert refused.code == -32600


def test_a_client_of_python_lsp_jsonrpc(server: Server) -> None:
    with Lines(server.port) as lines:
        endpoint = Endpoint({}, lambda message: lines.send(json.dumps(message).encode() + b"\n"))
        for params in ({"isbn": 7}, [7]):
            future = endpoint.request("Catalogue.find", params)
            endpoint.consume(lines.line())
            assert future.result(TIMEOUT) == BOOK
        endpoint.notify("note", {"text": "x"})
        future = endpoint.request("find", {"isbn": -1})
        endpoint.consume(lines.line())
        with pytest.raises(JsonRpcException, match="isbn=-1"):
            future.result(TIMEOUT)
        endpoint.shutdown()


# Their servers.


def find(isbn: int) -> dict[str, Any]:
    if isbn == 0:
        raise ValueError("no")
    return {"isbn": isbn, "title": f"book {isbn}", "genre": "POETRY"}


def tags(**params: Any) -> str:
    return str(params["from"]).join(params["tags"])


Answer = Callable[[bytes], bytes]


def pylsp() -> Answer:
    answers: list[Any] = []
    handlers = {
        "find": lambda params: find(**params),
        "tags": lambda params: tags(**params),
        "check": lambda params: None,
        "note": lambda params: None,
    }
    endpoint = Endpoint(handlers, answers.append)

    def answer(line: bytes) -> bytes:
        answers.clear()
        endpoint.consume(json.loads(line))
        return b"".join(json.dumps(each).encode() for each in answers)

    return answer


def ajsonrpc() -> Answer:
    dispatcher = Dispatcher()
    dispatcher.add_function(find)
    dispatcher.add_function(tags)
    # It cannot answer with `null`; what a method without a result answers does not matter.
    dispatcher.add_function(lambda: "done", name="check")
    dispatcher.add_function(lambda text: "done", name="note")
    manager = AsyncJSONRPCResponseManager(dispatcher)
    return lambda line: asyncio.run(manager.get_payload_for_payload(line.decode())).encode()


def tinyrpc() -> Answer:
    protocol, dispatcher = JSONRPCProtocol(), RPCDispatcher()
    dispatcher.add_method(find, "find")
    dispatcher.add_method(tags, "tags")
    dispatcher.add_method(lambda: None, "check")
    dispatcher.add_method(lambda text: None, "note")

    def answer(line: bytes) -> bytes:
        try:
            request = protocol.parse_request(line)
        except RPCError as error:
            return bytes(error.error_respond().serialize())
        response = dispatcher.dispatch(request)
        return bytes(response.serialize()) if response is not None else b""

    return answer


STRICT = (ajsonrpc, tinyrpc)


@contextlib.contextmanager
def served(answer: Answer) -> Iterator[str]:
    """The URL of a server that answers lines."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                if said := answer(line):
                    self.wfile.write(said + b"\n")

    class Peer(socketserver.ThreadingTCPServer):
        daemon_threads = True
        address_family = socket.AF_INET

    with Peer(("127.0.0.1", 0), Handler) as peer:
        thread = threading.Thread(target=peer.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"jsonrpc://127.0.0.1:{peer.server_address[1]}"
        finally:
            peer.shutdown()
            thread.join(TIMEOUT)


@pytest.mark.parametrize("peer", [pylsp, *STRICT])
def test_a_blocking_client_of_ours(peer: Callable[[], Answer]) -> None:
    with served(peer()) as url, CatalogueClient.connect(url, timeout=TIMEOUT) as client:
        for _ in range(2):
            assert client.find(7) == Book(isbn=7, title="book 7", genre=Genre.POETRY)
            client.note("x")
            assert client.tags(["ä", "b"], "+") == "ä+b"
            assert client.check() is None  # type: ignore[func-returns-value]
        with pytest.raises(ApplicationError) as caught:
            client.blob(1)
        assert caught.value.code is ApplicationCode.UNKNOWN_METHOD
        with pytest.raises(ApplicationError):
            client.find(0)


@pytest.mark.parametrize("peer", [pylsp, *STRICT])
def test_an_asyncio_client_of_ours(peer: Callable[[], Answer]) -> None:
    async def main(url: str) -> None:
        async with AsyncCatalogueClient.connect(url, timeout=TIMEOUT) as client:
            books = await asyncio.gather(*(client.find(number) for number in range(1, 20)))
            assert [book.isbn for book in books] == list(range(1, 20))

    with served(peer()) as url:
        asyncio.run(main(url))


def test_the_last_response_of_a_server_needs_no_end() -> None:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            id = json.loads(self.rfile.readline())["id"]
            self.wfile.write(json.dumps({"jsonrpc": "2.0", "id": id, "result": {"isbn": 7}}).encode())

    class Peer(socketserver.ThreadingTCPServer):
        daemon_threads = True

    async def main(url: str) -> None:
        async with AsyncCatalogueClient.connect(url, timeout=TIMEOUT) as client:
            assert await client.find(7) == Book(isbn=7)

    with Peer(("127.0.0.1", 0), Handler) as peer:
        thread = threading.Thread(target=peer.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"jsonrpc://127.0.0.1:{peer.server_address[1]}"
            choices: list[dict[str, Any]] = [{}, {"multiplexed": True}]
            for options in choices:
                with CatalogueClient.connect(url, timeout=TIMEOUT, **options) as client:
                    assert client.find(7) == Book(isbn=7)
            asyncio.run(main(url))
        finally:
            peer.shutdown()
            thread.join(TIMEOUT)


@pytest.mark.parametrize("peer", STRICT)
def test_explicit_metadata_is_refused_before_it_is_lost(peer: Callable[[], Answer]) -> None:
    with served(peer()) as url, CatalogueClient.connect(url, timeout=TIMEOUT) as client:
        known = client.using(metadata={"authorization": "secret"})
        with pytest.raises((ApplicationError, RemoteProtocolError)):
            known.find(7)
        assert client.find(7).isbn == 7
        with pytest.raises(ConfigurationError, match="the server rejects requests with `meta`"):
            known.find(7)
