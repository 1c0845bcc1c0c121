"""Annotations that the runtime reads are part of generated code; others are not."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from idlrt.spec import NO_ANNOTATIONS, annotations_of

IDL = """
namespace py demo
struct Query {
  1: required i64 id (api.path = "user_id", api.js_conv = "true"),
  2: optional string fields (api.query = "fields", api.header = "X-Fields"),
  3: optional i32 limit = 10 (api.vd = "$>0 && $<=100", deprecated = "use pages"),
  4: string plain (unit = "ms"),
  5: list<string> from (go.tag = 'json:"from_all,omitempty"', vt.elem.in = "a", vt.elem.in = "b", vt.min_size = "1"),
}
struct Empty {} (vt.assert = "@equal(1, 1)", unit = "ms")
/** Documented. */
exception NotFound {} (http.status = "404")
union Either { 1: i32 number = 1 (http.name = "n"), 2: string text }
exception Gone { 1: string message (http.header = "X-Message") } (deprecated)
service Users {
  Empty get(1: Query query) throws (1: NotFound e (http.status = "410"), 2: Gone gone)
    (api.get = "/v1/users/:user_id", API.post = "/v1/very/long/path/of/users/that/does/not/fit/into/one/line/:user_id",
     http.status = "201", api.category = "users"),
  void put(1: i64 id (http.path), 2: string text = "x" (http.query = "t"), 3: list<i32> of = [1] (vt.min_size = "1"))
    (http.put = "/a/:id", http.put = "/b/{id}"),
  void old() (deprecated = "use get", category = "x"),
  void plain(1: i64 id) (timeout = "1"),
} (deprecated = "use People")
service Plain { void ping() }
"""


def test_methods_have_their_annotations(compiled: Callable[[str], ModuleType]) -> None:
    service: Any = compiled(IDL).UsersClient.__thrift_service__
    get, put = service.methods["get"], service.methods["put"]
    assert get.annotations == {
        "http.get": ("/v1/users/{user_id}",),
        "http.post": ("/v1/very/long/path/of/users/that/does/not/fit/into/one/line/{user_id}",),
        "http.status": ("201",),
    }
    assert put.annotations == {"http.put": ("/a/{id}", "/b/{id}")}
    assert [each.annotations for each in put.arguments] == [
        {"http.path": ("",)},
        {"http.query": ("t",)},
        {"vt.min_size": ("1",)},
    ]
    assert [each.annotations for each in get.throws] == [{"http.status": ("410",)}, NO_ANNOTATIONS]
    assert service.methods["old"].annotations == {"deprecated": ("use get",)}
    assert service.annotations == {"deprecated": ("use People",)}


def test_classes_and_fields_have_their_annotations(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled(IDL)
    assert {each.name: each.annotations for each in demo.Query.__thrift_fields__} == {
        "id": {"http.path": ("user_id",), "http.as_text": ("",)},
        "fields": {"http.query": ("fields",), "http.header": ("X-Fields",)},
        "limit": {"vt.gt": ("0",), "vt.le": ("100",), "deprecated": ("use pages",)},
        "plain": NO_ANNOTATIONS,
        "from": {"http.name": ("from_all",), "vt.elem.in": ("a", "b"), "vt.min_size": ("1",)},
    }
    assert annotations_of(demo.Empty) == {}
    assert annotations_of(demo.NotFound) == {"http.status": ("404",)}
    assert demo.NotFound.__doc__ == "Documented."
    assert annotations_of(demo.Gone) == {"deprecated": ("",)}
    assert demo.Either.__thrift_fields__[0].annotations == {"http.name": ("n",)}


def test_what_the_runtime_does_not_read_leaves_no_trace(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled(IDL)
    assert demo.UsersClient.__thrift_service__.methods["plain"].annotations is NO_ANNOTATIONS
    assert demo.PlainClient.__thrift_service__.annotations is NO_ANNOTATIONS
    assert annotations_of(demo.Either) == {}
    with open(demo.__file__, encoding="utf-8") as file:
        text = file.read()
    assert "category" not in text
    assert "unit" not in text
    assert "__thrift_annotations__" not in text.partition("class Either")[2].partition("\nclass ")[0]


def test_a_single_value_is_not_a_tuple(compiled: Callable[[str], ModuleType]) -> None:
    with open(str(compiled(IDL).__file__), encoding="utf-8") as file:
        text = file.read()
    assert 'annotations={"http.path": ""}' in text
    assert '"http.put": ("/a/{id}", "/b/{id}")' in text
