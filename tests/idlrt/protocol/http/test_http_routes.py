"""Routes of methods, and the parts of responses, as annotations say."""

from __future__ import annotations

import json
from typing import Any, Protocol

import pytest
from http_by_hand import HttpAnswer, Wire, request
from rest_shop import ADD, FORM, GET, PUT, SEARCH, SHOP, TOTAL, Added, Article, ShopHandler, SoldOut, shop

from idlrt import spec as rpc
from idlrt.errors import ConfigurationError
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.responses import declared_responses, located_fields, success_status
from idlrt.protocol.http.routes import BoundField, has_routes, routes_of, service_routes


def places(bound: tuple[BoundField, ...]) -> dict[str, list[str]]:
    return {each.field.name: [f"{place.kind} {place.name}".strip() for place in each.places] for each in bound}


class Anything(Protocol):
    def call(self, first: str, second: list[str], third: Article) -> None: ...


def method(annotations: dict[str, Any], **places_of: dict[str, str]) -> rpc.Method[..., Any]:
    return rpc.method(
        Anything.call,
        rpc.required(1, "first", rpc.STRING, annotations=places_of.get("first", {})),
        rpc.required(2, "second", rpc.list_of(rpc.STRING), annotations=places_of.get("second", {})),
        rpc.required(3, "third", rpc.struct(Article), annotations=places_of.get("third", {})),
        result=rpc.VOID,
        annotations=annotations,
    )


# Routes.


def test_a_method_without_routes() -> None:
    [route] = routes_of(TOTAL, "Shop", "/api")
    assert (str(route), route.is_annotated, route.is_expanded) == ("POST /api/Shop/total", False, False)
    assert places(route.bound) == {"numbers": ["body numbers"]}
    assert has_routes(SHOP)
    assert not has_routes(rpc.service("Other", TOTAL))


def test_routes_keep_the_order_of_their_annotations() -> None:
    annotations = {"http.post": "/b", "http.get": ("/a", "/c"), "http.any": "/d"}
    assert [str(route) for route in routes_of(method(annotations), "S")] == ["POST /b", "GET /a", "GET /c", "ANY /d"]


def test_the_struct_that_is_the_only_argument_is_expanded() -> None:
    [route] = routes_of(SEARCH, "Shop")
    assert route.is_expanded
    assert places(route.bound) == {
        "shelf": ["path shelf"],
        "words": ["query word"],
        "page": ["query page", "header x-page"],
        "colour": ["query colour"],
        "exact": ["query exact"],
        "caller": ["header x-caller"],
        "session": ["cookie sid"],
    }
    assert [route.is_expanded for each in (ADD, PUT, GET, FORM) for route in routes_of(each, "Shop")] == [
        True, False, False, False, False,
    ]  # fmt: skip


def test_arguments_without_places() -> None:
    route, other = routes_of(method({"http.post": "/a/{first}", "http.get": "/b"}), "S")
    assert places(route.bound) == {"first": ["path first"], "second": ["body second"], "third": ["body third"]}
    # A struct has no form in a query.
    assert places(other.bound) == {"first": ["query first"], "second": ["query second"]}


def test_places_of_arguments() -> None:
    [route] = routes_of(
        method(
            {"http.put": "/a"},
            first={"http.header": "X-A", "http.cookie": "", "http.query": "q"},
            second={"http.none": ""},
            third={"http.body": ""},
        ),
        "S",
    )
    assert places(route.bound) == {"first": ["header x-a", "cookie first", "query q"], "third": ["body"]}
    assert route.bound[1].is_whole_body
    assert route.kinds == {"header", "cookie", "query", "body"}


def test_all_routes_of_a_service() -> None:
    found = [str(route) for route in service_routes(SHOP, "/api")]
    assert found[:3] == ["GET /api/articles/{sku}", "GET /api/a/{sku}", "GET /api/shelves/{shelf}/articles"]
    assert "POST /api/Shop/total" in found


@pytest.mark.parametrize("path", ["a", "/{", "/a b", ""])
def test_invalid_paths_name_the_method(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"route GET .* of \S+"):
        routes_of(method({"http.get": path}), "S")


# Responses.


def test_statuses() -> None:
    assert [success_status(each) for each in (GET, PUT, ADD, SHOP.methods["note"])] == [200, 204, 201, 202]
    for status in ("abc", "199", "600", "²00", "-1"):
        with pytest.raises(ConfigurationError, match=r"http\.status: must be between 200 and 599"):
            success_status(method({"http.get": "/a", "http.status": status}))


def test_declared_responses() -> None:
    found = declared_responses(GET)
    assert [(each.cls.__name__, each.status, [part.name for part in each.located]) for each in found] == [
        ("NoArticle", 404, ["X-Retry"]),
        ("SoldOut", 409, []),
    ]
    [other] = declared_responses(SHOP.methods["buy"])
    assert (other.cls, other.status) == (SoldOut, 400)
    assert [(each.location, each.name) for each in located_fields(Added.__thrift_fields__)] == [
        ("status", ""), ("header", "Location"), ("cookie", "sid"),
    ]  # fmt: skip


class Adds(ShopHandler):
    def __init__(self, result: Added) -> None:
        super().__init__()
        self.result = result

    def add(self, article: Article) -> Any:
        return self.result


def added(result: Added) -> HttpAnswer:
    [answer] = Wire(handlers=shop(Adds(result))).feed([request("POST /articles", body=b'{"sku":"1"}')]).answers
    return answer


def test_parts_of_results() -> None:
    answer = added(Added(status=202, place="/x", session="s", sku="1"))
    assert (answer.status, answer.headers["location"], answer.headers["set-cookie"]) == (202, "/x", "sid=s")
    assert json.loads(answer.body) == {"sku": "1"}
    answer = added(Added())
    assert (answer.status, answer.body) == (201, b"{}")
    assert not answer.headers.keys() & {"location", "set-cookie"}
    answer = added(Added(status=204))
    assert (answer.status, answer.body) == (204, b"")


def test_options_of_json() -> None:
    for options, expected in (
        (Http(), {"sku": "1", "price": 3, "colour": "BLUE"}),
        (Http(i64_as_text=True, enums_as_numbers=True), {"sku": "1", "price": "3", "colour": 2}),
    ):
        [answer] = Wire(options).feed([request("GET /articles/1")]).answers
        assert json.loads(answer.body) == expected


def test_a_prefix_is_part_of_all_routes() -> None:
    wire = Wire(Http(prefix="/api/"))
    lines = ("GET /api/articles/1", "GET /articles/1", "POST /api/Shop/total")
    assert wire.feed([request(line, body=b'{"numbers":[]}') for line in lines]).statuses == [200, 404, 200]
