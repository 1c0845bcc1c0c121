"""Calls the shop: blocking, and with asyncio. Its stubs must have been compiled into `gen/` (see demo.py)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "gen"))

from company.common import InvalidRequest
from company.shop import (
    AsyncShopServiceClient,
    Basket,
    Card,
    Line,
    OutOfStock,
    Payment,
    ShopServiceClient,
    UnknownArticle,
)

from idlrt import DeadlineExceeded


def call(target: str) -> None:
    """Blocking calls."""
    with ShopServiceClient.connect(target, timeout=2.0) as shop:
        print("is_healthy() ->", shop.is_healthy())
        for article in shop.search("tea", tags={"tea"}):
            print("search('tea') ->", article.sku, article.title, article.price.amount, article.price.currency.name)
        try:
            shop.get("T-9")
        except UnknownArticle as error:
            print(f"get('T-9') raised UnknownArticle: {error}")

        basket = Basket(customer=7, lines=[Line(sku="T-1", quantity=2), Line(sku="B-1")])
        order = shop.order(basket, Payment(card=Card(number="4000 1234", year=2030)))
        print("order(...) ->", order.total.amount, order.state.name, "-", order.note)
        match shop.find(order.id).payment:
            case Payment(card=Card(number=number)):
                print("find(id) -> paid by card", number)
            case other:
                print("find(id) -> paid by", other)
        try:
            shop.order(basket, Payment(voucher="WELCOME"))
        except OutOfStock as error:
            print(f"order(...) again raised OutOfStock: {error}")
        shop.viewed("T-1", 7)
        quick = shop.using(timeout=0.5)
        print("counters() ->", quick.counters())


async def call_async(target: str) -> None:
    """Calls with asyncio: many at a time over one connection."""
    async with AsyncShopServiceClient.connect(target) as shop:
        found = await asyncio.gather(*[shop.get(sku) for sku in ("T-1", "T-2", "B-1")])
        print("three get() at once ->", [article.title for article in found])
        try:
            await shop.order(Basket(customer=7, lines=[]), Payment(voucher="WELCOME"))
        except InvalidRequest as error:
            print(f"order(empty basket) raised InvalidRequest: {error}")
        except DeadlineExceeded:
            print("the shop did not answer in time")


if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9090"
    call(target)
    asyncio.run(call_async(target))
