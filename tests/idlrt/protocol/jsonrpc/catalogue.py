"""A service as generated code would have it, its handlers, and a socket that speaks JSON-RPC as `nc` would."""

from __future__ import annotations

import asyncio
import enum
import json
import socket
import threading
from typing import Any, Final, Protocol

from eventually import TIMEOUT

from idlrt import spec as rpc
from idlrt.client import AsyncClient, Client
from idlrt.core import Handlers, bind, current_call

POLICY: Final = {"timeout": f"{TIMEOUT:g}"}


class Genre(enum.IntEnum):
    NOVEL = 1
    POETRY = 2


class Book(rpc.Struct, kw_only=True):
    isbn: int
    title: str | None = None
    genre: Genre | None = None
    cover: bytes | None = None

    __thrift_fields__ = (
        rpc.required(1, "isbn", rpc.I64),
        rpc.optional(2, "title", rpc.STRING),
        rpc.optional(3, "genre", rpc.enum(Genre)),
        rpc.optional(4, "cover", rpc.BINARY),
    )


class NoBook(rpc.DeclaredError):
    isbn: int

    __thrift_fields__ = (rpc.required(1, "isbn", rpc.I64),)


class Closed(rpc.DeclaredError):
    why: str | None = None

    __thrift_fields__ = (rpc.optional(1, "why", rpc.STRING),)


class Catalogue(Protocol):
    def find(self, isbn: int) -> Book: ...

    def tags(self, tags: list[str], from_: str = "-") -> str: ...

    def check(self) -> None: ...

    def note(self, text: str) -> None: ...

    def blob(self, size: int) -> bytes: ...

    def wait(self, id: int) -> int: ...

    def numbers(self, by_name: dict[str, int]) -> list[int]: ...


FIND: Final = rpc.method(
    Catalogue.find,
    rpc.required(1, "isbn", rpc.I64),
    result=rpc.struct(Book),
    throws=(rpc.optional(1, "e", rpc.struct(NoBook)), rpc.optional(2, "closed", rpc.struct(Closed))),
    policy=POLICY,
)
TAGS: Final = rpc.method(
    Catalogue.tags,
    rpc.required(1, "tags", rpc.list_of(rpc.STRING)),
    rpc.optional(2, "from", rpc.STRING, attribute="from_"),
    result=rpc.STRING,
    policy=POLICY,
)
CHECK: Final = rpc.method(Catalogue.check, result=rpc.VOID, policy=POLICY)
NOTE: Final = rpc.method(
    Catalogue.note, rpc.required(1, "text", rpc.STRING), result=rpc.VOID, oneway=True, policy=POLICY
)
BLOB: Final = rpc.method(Catalogue.blob, rpc.required(1, "size", rpc.I32), result=rpc.BINARY, policy=POLICY)
WAIT: Final = rpc.method(Catalogue.wait, rpc.required(1, "id", rpc.I64), result=rpc.I64, policy=POLICY)
NUMBERS: Final = rpc.method(
    Catalogue.numbers,
    rpc.required(1, "by_name", rpc.map_of(rpc.STRING, rpc.I64)),
    result=rpc.list_of(rpc.I64),
    policy=POLICY,
)
SERVICE: Final = rpc.service("Catalogue", FIND, TAGS, CHECK, NOTE, BLOB, WAIT, NUMBERS)


class CatalogueClient(Client):
    __thrift_service__ = SERVICE

    def find(self, isbn: int) -> Book:
        return self._call(FIND, isbn)

    def tags(self, tags: list[str], from_: str = "-") -> str:
        return self._call(TAGS, tags, from_)

    def check(self) -> None:
        return self._call(CHECK)

    def note(self, text: str) -> None:
        return self._call(NOTE, text)

    def blob(self, size: int) -> bytes:
        return self._call(BLOB, size)

    def wait(self, id: int) -> int:
        return self._call(WAIT, id)

    def numbers(self, by_name: dict[str, int]) -> list[int]:
        return self._call(NUMBERS, by_name)


class AsyncCatalogueClient(AsyncClient):
    __thrift_service__ = SERVICE

    async def find(self, isbn: int) -> Book:
        return await self._call(FIND, isbn)

    async def tags(self, tags: list[str], from_: str = "-") -> str:
        return await self._call(TAGS, tags, from_)

    async def check(self) -> None:
        return await self._call(CHECK)

    async def note(self, text: str) -> None:
        return await self._call(NOTE, text)

    async def blob(self, size: int) -> bytes:
        return await self._call(BLOB, size)

    async def wait(self, id: int) -> int:
        return await self._call(WAIT, id)


class Books:
    """Plain handlers. `wait` blocks until `gate` opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.noted: list[str] = []
        self.was_noted = threading.Semaphore(0)
        self.seen: list[tuple[dict[str, str], Any]] = []

    def find(self, isbn: int) -> Any:
        call = current_call()
        if call is not None:
            self.seen.append((dict(call.metadata), call.context))
        if isbn == 0:
            raise ValueError("a secret that must not leave")
        if isbn == -2:
            raise Closed(why="moth")
        if isbn < 0:
            raise NoBook(isbn=isbn)
        if isbn == 404:
            return None
        return Book(isbn=isbn, title=f"book {isbn}", genre=Genre.POETRY)

    def tags(self, tags: list[str], from_: str) -> Any:
        return from_.join(tags)

    def check(self) -> None:
        pass

    def note(self, text: str) -> None:
        self.noted.append(text)
        self.was_noted.release()

    def blob(self, size: int) -> bytes:
        return b"x" * size

    def wait(self, id: int) -> Any:
        self.entered.release()
        assert self.gate.wait(TIMEOUT)
        return id

    def numbers(self, by_name: dict[str, int]) -> list[int]:
        return sorted(by_name.values())


class AsyncBooks(Books):
    """`find` and `wait` are `async`."""

    async def find(self, isbn: int) -> Any:
        await asyncio.sleep(0)
        return super().find(isbn)

    async def wait(self, id: int) -> int:
        self.entered.release()
        await asyncio.to_thread(self.gate.wait, TIMEOUT)
        return id


def catalogue(handler: object) -> Handlers:
    return bind(SERVICE, handler)


class Lines:
    """A plain socket, as `nc` would use it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> Any:
        """The next line; `None` at the end."""
        text = self._file.readline()
        return json.loads(text) if text else None

    def ask(self, data: bytes) -> Any:
        self.send(data)
        return self.line()

    def end(self) -> list[Any]:
        """Say that no more comes, and return all that is answered."""
        self.socket.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in self._file]


def call(method: str, params: Any = None, id: Any = 1, **members: Any) -> bytes:
    """The line of a request; without an id if it is `...`."""
    request = {"jsonrpc": "2.0", "method": method, **members}
    if params is not None:
        request["params"] = params
    if id is not ...:
        request["id"] = id
    return json.dumps(request).encode() + b"\n"
