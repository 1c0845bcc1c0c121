"""A service with HTTP routes as generated code would have it, its handlers, and what speaks HTTP to it by hand."""

from __future__ import annotations

import asyncio
import enum
import threading
from typing import Any, Final, Protocol

from eventually import TIMEOUT

from idlrt import spec as rpc
from idlrt.core import Handlers, bind, current_call


class Colour(enum.IntEnum):
    RED = 1
    BLUE = 2


class Article(rpc.Struct, kw_only=True):
    sku: str
    price: int | None = None
    colour: Colour | None = None
    tags: list[str] | None = None
    parts: list[Any] | None = None

    __thrift_fields__ = (
        rpc.required(1, "sku", rpc.STRING),
        rpc.optional(2, "price", rpc.I64),
        rpc.optional(3, "colour", rpc.enum(Colour)),
        rpc.optional(4, "tags", rpc.list_of(rpc.STRING)),
        rpc.optional(5, "parts", rpc.list_of(rpc.struct(lambda: Article))),
    )


class Search(rpc.Struct, kw_only=True):
    """The only argument of `search`: its fields come from places of their own."""

    shelf: str
    words: list[str] | None = None
    page: int | None = None
    colour: Colour | None = None
    exact: bool | None = None
    caller: str | None = None
    session: str | None = None
    internal: str | None = None

    __thrift_fields__ = (
        rpc.required(1, "shelf", rpc.STRING, annotations={"http.path": ""}),
        rpc.optional(2, "words", rpc.list_of(rpc.STRING), annotations={"http.query": "word"}),
        rpc.optional(3, "page", rpc.I32, annotations={"http.query": "", "http.header": "X-Page"}),
        rpc.optional(4, "colour", rpc.enum(Colour), annotations={"http.query": ""}),
        rpc.optional(5, "exact", rpc.BOOL),
        rpc.optional(6, "caller", rpc.STRING, annotations={"http.header": "X-Caller"}),
        rpc.optional(7, "session", rpc.STRING, annotations={"http.cookie": "sid"}),
        rpc.optional(8, "internal", rpc.STRING, annotations={"http.none": ""}),
    )


class Added(rpc.Struct, kw_only=True):
    """A result of which only the body is JSON."""

    status: int | None = None
    place: str | None = None
    session: str | None = None
    sku: str | None = None

    __thrift_fields__ = (
        rpc.optional(1, "status", rpc.I32, annotations={"http.status": ""}),
        rpc.optional(2, "place", rpc.STRING, annotations={"http.header": "Location"}),
        rpc.optional(3, "session", rpc.STRING, annotations={"http.cookie": "sid"}),
        rpc.optional(4, "sku", rpc.STRING),
    )


class Picture(rpc.Struct, kw_only=True):
    kind: str | None = None
    data: bytes | None = None

    __thrift_fields__ = (
        rpc.optional(1, "kind", rpc.STRING, annotations={"http.header": "Content-Type"}),
        rpc.optional(2, "data", rpc.BINARY, annotations={"http.raw_body": ""}),
    )


class NoArticle(rpc.DeclaredError):
    sku: str
    retry: str | None = None

    __thrift_annotations__ = {"http.status": "404"}
    __thrift_fields__ = (
        rpc.required(1, "sku", rpc.STRING),
        rpc.optional(2, "retry", rpc.STRING, annotations={"http.header": "X-Retry"}),
    )


class SoldOut(rpc.DeclaredError):
    sku: str

    __thrift_fields__ = (rpc.required(1, "sku", rpc.STRING),)


class Shop(Protocol):
    def get(self, sku: str) -> Article: ...

    def search(self, request: Search) -> list[str]: ...

    def add(self, article: Article) -> Added: ...

    def put(self, sku: str, article: Article) -> None: ...

    def buy(self, sku: str, count: int, note: str | None = None) -> int: ...

    def file(self, version: int, path: str) -> str: ...

    def form(self, title: str, data: bytes | None = None, tags: list[str] | None = None) -> str: ...

    def echo(self, data: bytes) -> Picture: ...

    def note(self, text: str) -> None: ...

    def total(self, numbers: list[int]) -> int: ...

    def wait(self, id: int) -> int: ...

    def blob(self, size: int) -> str: ...


GET: Final = rpc.method(
    Shop.get,
    rpc.required(1, "sku", rpc.STRING),
    result=rpc.struct(Article),
    throws=(
        rpc.optional(1, "none", rpc.struct(NoArticle)),
        rpc.optional(2, "sold", rpc.struct(SoldOut), annotations={"http.status": "409"}),
    ),
    annotations={"http.get": ("/articles/{sku}", "/a/{sku}")},
)
SEARCH: Final = rpc.method(
    Shop.search,
    rpc.required(1, "request", rpc.struct(Search)),
    result=rpc.list_of(rpc.STRING),
    annotations={"http.get": "/shelves/{shelf}/articles"},
)
ADD: Final = rpc.method(
    Shop.add,
    rpc.required(1, "article", rpc.struct(Article)),
    result=rpc.struct(Added),
    annotations={"http.post": "/articles", "http.status": "201"},
)
PUT: Final = rpc.method(
    Shop.put,
    rpc.required(1, "sku", rpc.STRING),
    rpc.required(2, "article", rpc.struct(Article), annotations={"http.body": ""}),
    result=rpc.VOID,
    annotations={"http.put": "/articles/{sku}"},
)
BUY: Final = rpc.method(
    Shop.buy,
    rpc.required(1, "sku", rpc.STRING),
    rpc.required(2, "count", rpc.I64),
    rpc.optional(3, "note", rpc.STRING),
    result=rpc.I64,
    throws=(rpc.optional(1, "sold", rpc.struct(SoldOut)),),
    annotations={"http.post": "/articles/{sku}:buy"},
)
FILE: Final = rpc.method(
    Shop.file,
    rpc.required(1, "version", rpc.I32),
    rpc.required(2, "path", rpc.STRING),
    result=rpc.STRING,
    annotations={"http.get": "/v{version}/files/{path=**}"},
)
FORM: Final = rpc.method(
    Shop.form,
    rpc.required(1, "title", rpc.STRING, annotations={"http.form": ""}),
    rpc.optional(2, "data", rpc.BINARY, annotations={"http.form": "file"}),
    rpc.optional(3, "tags", rpc.list_of(rpc.STRING), annotations={"http.form": "tag"}),
    result=rpc.STRING,
    annotations={"http.post": "/forms"},
)
ECHO: Final = rpc.method(
    Shop.echo,
    rpc.required(1, "data", rpc.BINARY, annotations={"http.raw_body": ""}),
    result=rpc.struct(Picture),
    annotations={"http.post": "/echo"},
)
NOTE: Final = rpc.method(
    Shop.note,
    rpc.required(1, "text", rpc.STRING),
    result=rpc.VOID,
    oneway=True,
    annotations={"http.post": "/notes"},
)
TOTAL: Final = rpc.method(Shop.total, rpc.required(1, "numbers", rpc.list_of(rpc.I64)), result=rpc.I64)
WAIT: Final = rpc.method(
    Shop.wait, rpc.required(1, "id", rpc.I64), result=rpc.I64, annotations={"http.get": "/wait/{id}"}
)
BLOB: Final = rpc.method(
    Shop.blob, rpc.required(1, "size", rpc.I32), result=rpc.STRING, annotations={"http.get": "/blobs/{size}"}
)
SHOP: Final = rpc.service("Shop", GET, SEARCH, ADD, PUT, BUY, FILE, FORM, ECHO, NOTE, TOTAL, WAIT, BLOB)


class ShopHandler:
    """Plain handlers. `wait` blocks until `gate` opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.was_noted = threading.Semaphore(0)
        self.calls: list[tuple[Any, ...]] = []
        self.metadata: list[dict[str, str]] = []

    def _keep(self, *call: Any) -> None:
        self.calls.append(call)
        current = current_call()
        if current is not None:
            self.metadata.append(dict(current.metadata))

    def get(self, sku: str) -> Any:
        self._keep("get", sku)
        if sku == "none":
            raise NoArticle(sku=sku, retry="never")
        if sku == "sold":
            raise SoldOut(sku=sku)
        if sku == "broken":
            raise ValueError("a secret that must not leave")
        return Article(sku=sku, price=3, colour=Colour.BLUE)

    def search(self, request: Search) -> Any:
        self._keep("search", request)
        return [request.shelf, *(request.words or [])]

    def add(self, article: Article) -> Any:
        self._keep("add", article)
        return Added(place=f"/articles/{article.sku}", session="s1", sku=article.sku)

    def put(self, sku: str, article: Article) -> None:
        self._keep("put", sku, article)

    def buy(self, sku: str, count: int, note: str | None) -> Any:
        self._keep("buy", sku, count, note)
        if count > 10:
            raise SoldOut(sku=sku)
        return count

    def file(self, version: int, path: str) -> str:
        self._keep("file", version, path)
        return path

    def form(self, title: str, data: bytes | None, tags: list[str] | None) -> str:
        self._keep("form", title, data, tags)
        return title

    def echo(self, data: bytes) -> Any:
        self._keep("echo", data)
        return Picture(kind="image/png", data=data)

    def note(self, text: str) -> None:
        self._keep("note", text)
        self.was_noted.release()

    def total(self, numbers: list[int]) -> int:
        self._keep("total", numbers)
        return sum(numbers)

    def wait(self, id: int) -> Any:
        self._keep("wait", id)
        self.entered.release()
        assert self.gate.wait(TIMEOUT)
        return id

    def blob(self, size: int) -> str:
        self._keep("blob", size)
        return "x" * size


class AsyncShopHandler(ShopHandler):
    """`get` and `wait` are `async`."""

    async def get(self, sku: str) -> Any:
        await asyncio.sleep(0)
        return super().get(sku)

    async def wait(self, id: int) -> int:
        self._keep("wait", id)
        self.entered.release()
        await asyncio.to_thread(self.gate.wait, TIMEOUT)
        return id


def shop(handler: ShopHandler | None = None) -> Handlers:
    return bind(SHOP, handler if handler is not None else ShopHandler())
