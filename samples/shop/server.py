"""Serves the shop. Its stubs must have been compiled into `gen/` (see demo.py)."""

from __future__ import annotations

import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "gen"))

from company.common import Currency, InvalidRequest, Money
from company.shop import (
    ROOT,
    Article,
    Basket,
    Category,
    Order,
    OutOfStock,
    Payment,
    UnknownArticle,
    shop_service,
)

from idlrt import Http, Server, collector, observe, which

ARTICLES = [
    Article(sku="T-1", title="Green tea", price=Money(amount=450), tags={"tea"}, rating=5),
    Article(sku="T-2", title="Black tea", price=Money(amount=390), tags={"tea"}, rating=4),
    Article(sku="B-1", title="The Book of Tea", price=Money(amount=1290, currency=Currency.EUR), tags={"book"}),
]


class InMemoryShop:
    """Matches the Protocol `ShopService` structurally: no base class is needed."""

    def __init__(self) -> None:
        self._articles = {article.sku: article for article in ARTICLES}
        self._stock = {article.sku: 3 for article in ARTICLES}
        self._orders: dict[uuid.UUID, Order] = {}
        self._counters: dict[str, int] = {}
        self._started = time.monotonic()

    def is_healthy(self) -> bool:
        return True

    def counters(self) -> dict[str, int]:
        return self._counters

    def uptime(self) -> int:
        return int(time.monotonic() - self._started)

    def search(self, text: str, limit: int = 20, tags: set[str] | None = None) -> list[Article]:
        found = [article for article in self._articles.values() if text.lower() in article.title.lower()]
        if tags is not None:
            found = [article for article in found if article.tags & tags]
        return sorted(found, key=lambda article: -(article.rating or 0))[:limit]

    def get(self, sku: str) -> Article:
        if sku not in self._articles:
            raise UnknownArticle(sku=sku, similar=[known for known in self._articles if known[:1] == sku[:1]])
        return self._articles[sku]

    def order(self, basket: Basket, payment: Payment) -> Order:
        if not basket.lines:
            raise InvalidRequest(message="the basket is empty", fields=["lines"])
        if any(line.quantity < 1 for line in basket.lines):
            raise InvalidRequest(message="quantities must be positive", fields=["lines"])
        for line in basket.lines:
            left = self._stock.get(self.get(line.sku).sku, 0)
            if left < line.quantity:
                raise OutOfStock(sku=line.sku, left=left)
        for line in basket.lines:
            self._stock[line.sku] -= line.quantity
        amount = sum(self._articles[line.sku].price.amount * line.quantity for line in basket.lines)
        order = Order(id=uuid.uuid4(), basket=basket, total=Money(amount=amount), payment=payment)
        order.stock_after = dict(self._stock)
        order.note = f"paid by {which(payment)}"
        self._orders[order.id] = order
        return order

    def find(self, id: uuid.UUID) -> Order:
        if id not in self._orders:
            raise InvalidRequest(message=f"there is no order {id}")
        return self._orders[id]

    def categories(self) -> Category:
        return ROOT

    def import_(self, articles: list[Article], signature: bytes) -> None:
        self._articles.update({article.sku: article for article in articles})

    def viewed(self, sku: str, customer: int) -> None:
        self._counters[f"viewed:{sku}"] = self._counters.get(f"viewed:{sku}", 0) + 1


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9090"
    # Where clients find the shop by its name; without one they need its address.
    registry = sys.argv[2] if len(sys.argv) > 2 else None
    # Thrift, JSON-RPC and HTTP on one port; http://ADDRESS/_idl/ describes the HTTP interface.
    http = Http(openapi=True, title="Shop")
    # The admin port, at a free port, measures calls; the registry tells where it is.
    with ExitStack() as stack:
        if len(sys.argv) > 3:
            # To a collector, every second so that the demo need not wait; the default is every 10 seconds.
            stack.enter_context(observe.trace("shop", exporters=[collector.CollectorExporter(sys.argv[3], "shop")]))
            stack.enter_context(collector.push(sys.argv[3], service="shop", version="1.0", interval=1.0))
        server = Server(shop_service(InMemoryShop()), address, registry=registry, http=http, admin=0)
        with server:
            print(f"the shop is open at {server.address}", flush=True)
            server.serve()
