"""Clients of every kind, the handlers of the shop, and servers that follow a script."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from eventually import TIMEOUT
from hand_written import read_to_end
from shop import SERVICE, Article, AsyncShopClient, NoArticle, Order, Picture, ShopClient

import idlrt
from idlrt.core import Handlers, bind, current_call

KINDS: Final = ("blocking", "shared", "asyncio")


class Caller:
    """A client of a kind; its methods are those of `ShopClient`."""

    def __init__(self, kind: str, target: str, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "asyncio" else None
        options = {"timeout": TIMEOUT, "connect_timeout": TIMEOUT, **options}
        if kind == "shared":
            options = {"max_connections": 2, "calls_per_connection": 64, **options}
        self.client: Any = (AsyncShopClient if self._runner else ShopClient).connect(target, **options)

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        method = getattr(self.client.using(**options) if options else self.client, name)
        if self._runner is None:
            return method(*arguments)

        async def call() -> Any:
            return await method(*arguments)

        return self._runner.run(call())

    def close(self) -> None:
        if self._runner is None:
            self.client.close()
        else:
            self._runner.run(self.client.close())
            self._runner.close()


@contextlib.contextmanager
def calling(kind: str, target: str, **options: Any) -> Iterator[Caller]:
    caller = Caller(kind, target, **options)
    try:
        yield caller
    finally:
        caller.close()


class ShopHandler:
    """Handlers that return what they got. Filters see the calls."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.removed: list[tuple[str, bytes]] = []
        self.seen: list[tuple[dict[str, str], Any]] = []

    def get(self, sku: str, colours: Any, tenant: Any) -> Article:
        call = current_call()
        assert call is not None
        self.seen.append((dict(idlrt.request_metadata()), call.context))
        call.answer_metadata["sku"] = sku
        if sku == "missing":
            raise NoArticle(sku=sku, retry="never")
        if sku == "broken":
            raise ValueError("a secret that must not leave")
        return Article(
            sku=sku, price=2**53 + 1, colour=colours[0] if colours else None, etag=tenant, session="s", status=203
        )

    def find(self, text: str, sizes: Any, exact: Any) -> list[Article]:
        return [Article(sku=f"{text} {size} {exact}") for size in sizes or ()]

    def order(self, order: Order) -> Article:
        assert order.secret is None
        return Article(sku=f"{order.shop} {order.number} {order.lines} {order.tenant}")

    def put(self, sku: str, article: Article) -> None:
        assert article.sku == sku

    def upload(self, name: str, data: bytes) -> int:
        return len(data) if name == "a/b c" else -1

    def picture(self, name: str) -> Picture:
        return Picture(data=name.encode(), kind="image/png", tags=["a", "b"])

    def login(self, user: str, words: list[str], session: Any) -> str:
        return f"{user} {words} {session}"

    def check(self, sku: str) -> Article:
        return Article(sku=sku)

    def remove(self, sku: str, key: bytes) -> None:
        self.removed.append((sku, key))

    def note(self, text: str) -> None:
        if text == "fail":
            raise ValueError(text)
        self.noted.append(text)

    def plain(self, numbers: dict[str, int], by: Any) -> float:
        return sum(numbers.values()) * (by or 1.0)


def shop(handler: object) -> Handlers:
    return bind(SERVICE, handler)


def answering(
    *responses: bytes, ends: bool = True, closed: threading.Semaphore | None = None
) -> Callable[[socket.socket], None]:
    """A script of one connection: answer each request, and close it.

    Args:
        ends: whether to close the connection at once, not only when the client has closed it.
        closed: released when it is closed.
    """

    def script(raw: socket.socket) -> None:
        for response in responses:
            read_request(raw)
            raw.sendall(response)
        if not ends:
            read_to_end(raw)
        raw.close()
        if closed is not None:
            closed.release()

    return script


def read_request(raw: socket.socket) -> bytes:
    """Read one request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += raw.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += raw.recv(65536)
    return data


def json_response(body: str, *lines: str, status: int = 200) -> bytes:
    data = body.encode()
    kind = "application/json" if status < 400 else "application/problem+json"
    head = [f"HTTP/1.1 {status} x", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data
