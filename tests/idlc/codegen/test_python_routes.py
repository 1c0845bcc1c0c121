"""Routes of generated code, as the runtime reads them, are those that the compiler checks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from idlc.diagnostics import Report
from idlc.model import build
from idlc.model.http_routes import bound, functions_of, routes
from idlc.source import Loader
from idlrt.protocol.http.binding import RequestBinding
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.routes import routes_of
from idlrt.serialization import Limits

OWN = """
namespace py demo
enum Sort { NAME = 1 }
struct Key { 1: required i64 id, 2: optional string text (http.name = "t"), 3: list<i32> of (http.query = "one_of") }
struct Search {
  1: required string shop (http.path), 2: optional Sort sort (http.query, http.header = "X-Sort"),
  3: optional string session (http.cookie = "sid"), 4: optional string note (http.body = "n"),
  5: optional string hidden (http.none), 6: optional string file (http.form = "f"), 7: optional i64 Version,
  8: optional string other (http.body, http.name = "o"),
}
union Either { 1: i32 number, 2: string text }
service Base { Key inherited(1: Key key) (http.get = "/v1/keys/{id}", http.post = "/v1/keys/:id/copy") }
service Articles extends Base {
  Key find(1: Search search) (http.get = "/v1/shops/:shop", http.post = "/v1/shops/{shop}:search"),
  void put(1: i64 id, 2: Key key (http.body), 3: bool dry (http.query = "dry_run")) (http.put = "/v1/{id}"),
  void one(1: Key key (http.body)) (http.patch = "/v1/one"),
  void raw(1: string name (http.path = "file"), 2: binary data (http.raw_body)) (http.put = "/v1/files/*file"),
  void either(1: Either either) (http.post = "/v1/either"),
  void several(1: string version, 2: i32 b) (http.any = "/v{version}/x", http.delete = "/w/{version}.json"),
  void none() (http.options = "/v1/none", http.head = "/v1/none"),
}
"""

CLOUDWEGO = """
namespace py demo
struct Base { 1: string caller }
struct Request {
  1: i64 UserID (api.path = "user_id", api.js_conv = "true", go.tag = 'json:"user_id"'),
  2: optional i32 page (api.body = "page_number", api.form = "page", api.query = "page"),
  3: optional string Name (api.body = "name"), 4: optional string token (API.Cookie = "sid,Value"),
  5: optional string agent (agw.source = "header", agw.key = "User-Agent"), 6: optional string plain,
  7: optional string Key (go.tag = 'json:"key,omitempty"'), 8: optional string gone (api.none = "true"),
}
service Users {
  Base get(1: Request request) (api.get = "/v1/users/:user_id", api.post = "v:user_id/users"),
  Base all(1: Request request) (api.delete = "/users/*user_id", api.any = "/any/:user_id"),
}
"""


@pytest.mark.parametrize("text", [OWN, CLOUDWEGO], ids=["own", "cloudwego"])
def test_both_sides_bind_the_same_fields(text: str, compiled: Callable[[str], ModuleType], tmp_path: Path) -> None:
    [program] = build([tmp_path / "main.thrift"], Loader(overlay={tmp_path / "main.thrift": text}), Report())
    module: Any = compiled(text)
    checked: dict[str, Any] = {}
    for function in functions_of(program.services):
        known = bound(function)
        for route in routes(function):
            fields = [
                (each.field.name, [(place.kind, place.name) for place in places])
                for each in known.fields
                if (places := each.places_in(route, is_argument=known.struct is None))
            ]
            checked[f"{function.name}: {route}"] = fields
    served: dict[str, Any] = {}
    service = getattr(module, f"{program.services[-1].name}Client").__thrift_service__
    for method in service.methods.values():
        for each in routes_of(method, service.name):
            fields = [(one.field.name, [(place.kind, place.name) for place in one.places]) for one in each.bound]
            served[f"{method.name}: {each}"] = fields
    assert checked == served
    assert len(checked) > 3


def test_routes_that_the_compiler_warns_about_can_be_served(compiled: Callable[[str], ModuleType]) -> None:
    module: Any = compiled(
        """
        namespace py demo
        struct Base { 1: string caller }
        struct Request {
          1: optional string text, 2: optional map<string, string> extra (api.query = "extra"),
          3: list<i32> ids (api.cookie = "ids"), 254: list<Base> bases, 255: optional Base base,
        }
        service Users { void get(1: Request request) (api.get = "/v1/users/:id") }
        """
    )
    method = module.UsersClient.__thrift_service__.methods["get"]
    [route] = routes_of(method, "Users")
    assert [each.field.name for each in route.bound] == ["text"]
    binding = RequestBinding(route, Limits(), Http())

    class Parts:
        values = (b"7",)
        query = b"text=a"
        headers: ClassVar[dict[bytes, bytes]] = {}
        body = b""

    arguments, _ = binding.read(Parts())
    assert arguments == (module.Request(text="a"),)
