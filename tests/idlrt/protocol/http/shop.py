"""A service with HTTP annotations, as generated code would have it."""

from __future__ import annotations

import enum
from typing import Any, Final, Protocol

from eventually import TIMEOUT

from idlrt import spec as rpc
from idlrt.client import AsyncClient, Client

POLICY: Final = {"timeout": f"{TIMEOUT:g}"}


class Colour(enum.IntEnum):
    RED = 1
    BLUE = 2


class Article(rpc.Struct, kw_only=True):
    sku: str
    price: int | None = None
    colour: Colour | None = None
    etag: str | None = None
    session: str | None = None
    status: int | None = None

    __thrift_fields__ = (
        rpc.required(1, "sku", rpc.STRING),
        rpc.optional(2, "price", rpc.I64, annotations={"http.name": "cents", "http.as_text": ""}),
        rpc.optional(3, "colour", rpc.enum(Colour)),
        rpc.optional(4, "etag", rpc.STRING, annotations={"http.header": "ETag"}),
        rpc.optional(5, "session", rpc.STRING, annotations={"http.cookie": "sid"}),
        rpc.optional(6, "status", rpc.I32, annotations={"http.status": ""}),
    )


class Picture(rpc.Struct, kw_only=True):
    data: bytes
    kind: str | None = None
    tags: list[str] | None = None

    __thrift_fields__ = (
        rpc.required(1, "data", rpc.BINARY, annotations={"http.raw_body": ""}),
        rpc.optional(2, "kind", rpc.STRING, annotations={"http.header": "Content-Type"}),
        rpc.optional(3, "tags", rpc.list_of(rpc.STRING), annotations={"http.header": "X-Tags"}),
    )


class Order(rpc.Struct, kw_only=True):
    """The only argument of a method, whose fields are bound one by one."""

    shop: str
    number: int
    lines: list[str] | None = None
    tenant: str | None = None
    secret: str | None = None

    __thrift_fields__ = (
        rpc.required(1, "shop", rpc.STRING, annotations={"http.path": ""}),
        rpc.required(2, "number", rpc.I64, annotations={"http.body": "no", "http.as_text": ""}),
        rpc.optional(3, "lines", rpc.list_of(rpc.STRING)),
        rpc.optional(4, "tenant", rpc.STRING, annotations={"http.header": "X-Tenant"}),
        rpc.optional(5, "secret", rpc.STRING, annotations={"http.none": ""}),
    )


class NoArticle(rpc.DeclaredError):
    sku: str
    retry: str | None = None

    __thrift_annotations__ = {"http.status": "404"}
    __thrift_fields__ = (
        rpc.required(1, "sku", rpc.STRING),
        rpc.optional(2, "retry", rpc.STRING, annotations={"http.header": "X-Retry"}),
    )


class Shop(Protocol):
    def get(self, sku: str, colours: list[Colour] | None = None, tenant: str | None = None) -> Article: ...

    def find(self, text: str, sizes: list[int] | None = None, exact: bool | None = None) -> list[Article]: ...

    def order(self, order: Order) -> Article: ...

    def put(self, sku: str, article: Article) -> None: ...

    def upload(self, name: str, data: bytes) -> int: ...

    def picture(self, name: str) -> Picture: ...

    def login(self, user: str, words: list[str], session: str | None = None) -> str: ...

    def check(self, sku: str) -> Article: ...

    def remove(self, sku: str, key: bytes) -> None: ...

    def note(self, text: str) -> None: ...

    def plain(self, numbers: dict[str, int], by: float | None = None) -> float: ...


_STRINGS: Final = rpc.list_of(rpc.STRING)

GET: Final = rpc.method(
    Shop.get,
    rpc.required(1, "sku", rpc.STRING),
    rpc.optional(2, "colours", rpc.list_of(rpc.enum(Colour)), annotations={"http.query": "colour"}),
    rpc.optional(3, "tenant", rpc.STRING, annotations={"http.header": "X-Tenant", "http.query": ""}),
    result=rpc.struct(Article),
    throws=(rpc.optional(1, "missing", rpc.struct(NoArticle)),),
    idempotent=True,
    annotations={"http.get": ("/articles/{sku}", "/old/{sku}")},
    policy=POLICY,
)
FIND: Final = rpc.method(
    Shop.find,
    rpc.required(1, "text", rpc.STRING),
    rpc.optional(2, "sizes", rpc.list_of(rpc.I32)),
    rpc.optional(3, "exact", rpc.BOOL),
    result=rpc.list_of(rpc.struct(Article)),
    annotations={"http.get": "/articles"},
    policy=POLICY,
)
ORDER: Final = rpc.method(
    Shop.order,
    rpc.required(1, "order", rpc.struct(Order)),
    result=rpc.struct(Article),
    annotations={"http.post": "/shops/{shop}/orders", "http.status": "201"},
    policy=POLICY,
)
PUT: Final = rpc.method(
    Shop.put,
    rpc.required(1, "sku", rpc.STRING),
    rpc.required(2, "article", rpc.struct(Article), annotations={"http.body": ""}),
    result=rpc.VOID,
    annotations={"http.put": "/articles/{sku}"},
    policy=POLICY,
)
UPLOAD: Final = rpc.method(
    Shop.upload,
    rpc.required(1, "name", rpc.STRING),
    rpc.required(2, "data", rpc.BINARY, annotations={"http.raw_body": ""}),
    result=rpc.I64,
    annotations={"http.any": "/files/{name=**}"},
    policy=POLICY,
)
PICTURE: Final = rpc.method(
    Shop.picture,
    rpc.required(1, "name", rpc.STRING),
    result=rpc.struct(Picture),
    annotations={"http.get": "/v{name}:load"},
    policy=POLICY,
)
LOGIN: Final = rpc.method(
    Shop.login,
    rpc.required(1, "user", rpc.STRING, annotations={"http.form": ""}),
    rpc.required(2, "words", _STRINGS, annotations={"http.form": "word"}),
    rpc.optional(3, "session", rpc.STRING, annotations={"http.cookie": "sid"}),
    result=rpc.STRING,
    annotations={"http.post": "/login"},
    policy=POLICY,
)
CHECK: Final = rpc.method(
    Shop.check,
    rpc.required(1, "sku", rpc.STRING, annotations={"http.header": "X-Sku"}),
    result=rpc.struct(Article),
    annotations={"http.head": "/check"},
    policy=POLICY,
)
REMOVE: Final = rpc.method(
    Shop.remove,
    rpc.required(1, "sku", rpc.STRING),
    rpc.required(2, "key", rpc.BINARY),
    result=rpc.VOID,
    throws=(rpc.optional(1, "missing", rpc.struct(NoArticle)),),
    annotations={"http.delete": "/articles/{sku}"},
    policy=POLICY,
)
NOTE: Final = rpc.method(Shop.note, rpc.required(1, "text", rpc.STRING), result=rpc.VOID, oneway=True, policy=POLICY)
PLAIN: Final = rpc.method(
    Shop.plain,
    rpc.required(1, "numbers", rpc.map_of(rpc.STRING, rpc.I64)),
    rpc.optional(2, "by", rpc.DOUBLE),
    result=rpc.DOUBLE,
    idempotent=True,
    policy=POLICY,
)
METHODS: Final = (GET, FIND, ORDER, PUT, UPLOAD, PICTURE, LOGIN, CHECK, REMOVE, NOTE, PLAIN)
SERVICE: Final = rpc.service("Shop", *METHODS)


class ShopClient(Client):
    __thrift_service__ = SERVICE

    def get(self, sku: str, colours: list[Colour] | None = None, tenant: str | None = None) -> Article:
        return self._call(GET, sku, colours, tenant)

    def find(self, text: str, sizes: list[int] | None = None, exact: bool | None = None) -> list[Article]:
        return self._call(FIND, text, sizes, exact)

    def order(self, order: Order) -> Article:
        return self._call(ORDER, order)

    def put(self, sku: str, article: Article) -> None:
        return self._call(PUT, sku, article)

    def upload(self, name: str, data: bytes) -> int:
        return self._call(UPLOAD, name, data)

    def picture(self, name: str) -> Picture:
        return self._call(PICTURE, name)

    def login(self, user: str, words: list[str], session: str | None = None) -> str:
        return self._call(LOGIN, user, words, session)

    def check(self, sku: str) -> Article:
        return self._call(CHECK, sku)

    def remove(self, sku: str, key: bytes) -> None:
        return self._call(REMOVE, sku, key)

    def note(self, text: str) -> None:
        return self._call(NOTE, text)

    def plain(self, numbers: dict[str, int], by: float | None = None) -> float:
        return self._call(PLAIN, numbers, by)


class AsyncShopClient(AsyncClient):
    __thrift_service__ = SERVICE

    async def get(self, sku: str, colours: list[Colour] | None = None, tenant: str | None = None) -> Article:
        return await self._call(GET, sku, colours, tenant)

    async def upload(self, name: str, data: bytes) -> int:
        return await self._call(UPLOAD, name, data)

    async def note(self, text: str) -> None:
        return await self._call(NOTE, text)

    async def plain(self, numbers: dict[str, int], by: float | None = None) -> float:
        return await self._call(PLAIN, numbers, by)


def head_and_body(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """Split a request into its line, its headers by lower-case names, and its body."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    pairs: Any = (each.partition(": ")[::2] for each in lines)
    return line, {name.lower(): value for name, value in pairs}, body
