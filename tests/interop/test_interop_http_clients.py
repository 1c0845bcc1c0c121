"""HTTP clients call a server of Python's standard library, by routes of their IDL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import pytest
from eventually import TIMEOUT

from idlrt import spec as rpc
from idlrt.client import AsyncClient, Client
from idlrt.errors import ApplicationCode, ApplicationError


class Todo(rpc.Struct, kw_only=True):
    id: int
    title: str
    is_done: bool = False
    etag: str | None = None

    __thrift_fields__ = (
        rpc.required(1, "id", rpc.I64),
        rpc.required(2, "title", rpc.STRING),
        rpc.optional(3, "is_done", rpc.BOOL, annotations={"http.name": "done"}),
        rpc.optional(4, "etag", rpc.STRING, annotations={"http.header": "ETag"}),
    )


class Todos(Protocol):
    def get(self, id: int) -> Todo: ...

    def list(self, done: bool | None = None, limit: int | None = None) -> list[Todo]: ...

    def add(self, title: str, token: str) -> Todo: ...

    def remove(self, id: int) -> None: ...


_TODO: Final = rpc.struct(Todo)
GET: Final = rpc.method(
    Todos.get, rpc.required(1, "id", rpc.I64), result=_TODO, annotations={"http.get": "/todos/{id}"}
)
LIST: Final = rpc.method(
    Todos.list,
    rpc.optional(1, "done", rpc.BOOL),
    rpc.optional(2, "limit", rpc.I32),
    result=rpc.list_of(_TODO),
    annotations={"http.get": "/todos"},
)
ADD: Final = rpc.method(
    Todos.add,
    rpc.required(1, "title", rpc.STRING),
    rpc.required(2, "token", rpc.STRING, annotations={"http.header": "X-Token"}),
    result=_TODO,
    annotations={"http.post": "/todos"},
)
REMOVE: Final = rpc.method(
    Todos.remove, rpc.required(1, "id", rpc.I64), result=rpc.VOID, annotations={"http.delete": "/todos/{id}"}
)
SERVICE: Final = rpc.service("Todos", GET, LIST, ADD, REMOVE)


class TodosClient(Client):
    __thrift_service__ = SERVICE

    def get(self, id: int) -> Todo:
        return self._call(GET, id)

    def list(self, done: bool | None = None, limit: int | None = None) -> list[Todo]:
        return self._call(LIST, done, limit)

    def add(self, title: str, token: str) -> Todo:
        return self._call(ADD, title, token)

    def remove(self, id: int) -> None:
        return self._call(REMOVE, id)


class AsyncTodosClient(AsyncClient):
    __thrift_service__ = SERVICE

    async def get(self, id: int) -> Todo:
        return await self._call(GET, id)


class Handler(BaseHTTPRequestHandler):
    """A REST server that knows nothing of the IDL, and sends members that it lacks."""

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        data = b"" if body is None else json.dumps(body, indent=1).encode()
        self.send_response(status)
        if data:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/api/todos":
            query = parse_qs(url.query)
            todos = [{"id": n, "title": "x", "done": query["done"] == ["true"]} for n in range(int(query["limit"][0]))]
            self.answer(200, todos)
        elif url.path == "/api/todos/404":
            self.answer(404, {"message": "no such todo"})
        elif url.path == "/api/todos/500":
            self.send_error(500)
        else:
            number = int(url.path.rpartition("/")[2])
            self.answer(200, {"id": number, "title": "ä", "done": True, "owner": "me"}, ETag='"7"')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Token"] != "secret":
            self.answer(401, {"message": "who are you?"})
        else:
            self.answer(201, {"id": 8, **body})

    def do_DELETE(self) -> None:
        self.answer(204)


class OldHandler(Handler):
    protocol_version = "HTTP/1.0"


class NewHandler(Handler):
    protocol_version = "HTTP/1.1"


@contextlib.contextmanager
def serving(handler: type[Handler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join(TIMEOUT)


@pytest.mark.parametrize("handler", [OldHandler, NewHandler])
def test_a_blocking_client(handler: type[Handler]) -> None:
    with serving(handler) as where, TodosClient.connect(where, timeout=TIMEOUT, ping_after=None) as client:
        assert client.get(7) == Todo(id=7, title="ä", is_done=True, etag='"7"')
        assert client.list(True, 2) == [Todo(id=number, title="x", is_done=True) for number in range(2)]
        assert client.add("buy ä", "secret") == Todo(id=8, title="buy ä")
        assert client.remove(7) is None  # type: ignore[func-returns-value]
        with pytest.raises(ApplicationError, match="no such todo") as raised:
            client.get(404)
        assert raised.value.code == ApplicationCode.UNKNOWN_METHOD
        with pytest.raises(ApplicationError, match=r"HTTP status 500 .*Error code: 500") as raised:
            client.get(500)
        assert raised.value.code == ApplicationCode.INTERNAL_ERROR
        with pytest.raises(ApplicationError) as raised:
            client.add("buy", "guess")
        assert raised.value.code == ApplicationCode.UNAUTHENTICATED


@pytest.mark.parametrize("handler", [OldHandler, NewHandler])
def test_an_asyncio_client(handler: type[Handler]) -> None:
    async def main(where: str) -> None:
        async with AsyncTodosClient.connect(where, timeout=TIMEOUT, ping_after=None) as client:
            found = await asyncio.gather(*map(client.get, range(1, 40)))
            assert [each.id for each in found] == list(range(1, 40))

    with serving(handler) as where:
        asyncio.run(main(where))
