"""Annotations of HTTP and of values in several dialects, and the names that the runtime reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from idlc.model import Annotations, Program, runtime_annotations
from idlc.model.http import given

Build = Callable[..., Program]


def of_field(build_well: Build, annotations: str, type: str = "i64") -> Annotations:
    program = build_well(f"struct A {{ 1: {type} a ({annotations}) }}")
    return runtime_annotations(program.structs[0].fields[0])


def of_function(build_well: Build, annotations: str) -> Annotations:
    program = build_well(f"service S {{ void f() ({annotations}) }}")
    return runtime_annotations(program.services[0].functions[0])


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ('api.query = "q"', {"http.query": ("q",)}),
        ("api.query", {"http.query": ("",)}),
        ('API.Query = "q"', {"http.query": ("q",)}),
        ('http.query = "q"', {"http.query": ("q",)}),
        ("http.query", {"http.query": ("",)}),
        ('http.Query = "q"', {}),
        ('api.path = "p", api.header = "h"', {"http.path": ("p",), "http.header": ("h",)}),
        ('api.header = "h", api.path = "p"', {"http.header": ("h",), "http.path": ("p",)}),
        ('api.cookie = "c", api.form = "f"', {"http.cookie": ("c",), "http.form": ("f",)}),
        ('api.body = "b", api.body = "b"', {"http.body": ("b",)}),
        ('api.query = "a", api.query = "b"', {"http.query": ("a", "b")}),
        ('api.raw_body = "ignored"', {"http.raw_body": ("",)}),
        ('api.none = "true"', {"http.none": ("",)}),
        ("api.none", {"http.none": ("",)}),
        ('api.none = "false"', {}),
        ('http.none = "True"', {"http.none": ("",)}),
        ('http.none = "false"', {}),
        ('api.js_conv = "true", agw.js_conv = "str"', {"http.as_text": ("",)}),
        ('api.js_conv = "false"', {}),
        ('api.http_code = "true"', {"http.status": ("",)}),
        ('api.key = "k"', {"http.name": ("k",)}),
        ('agw.key = "k"', {"http.name": ("k",)}),
        ('agw.key = "k", api.key = "other"', {"http.name": ("k",)}),
        ('agw.source = "query", agw.key = "k"', {"http.query": ("k",), "http.name": ("k",)}),
        ('agw.source = "header"', {"http.header": ("",)}),
        ('agw.source = "post"', {"http.form": ("",)}),
        ('agw.source = "not_body_struct"', {}),
        ('api.query = "q", agw.source = "header", agw.key = "q"', {"http.query": ("q",), "http.name": ("q",)}),
        ('agw.target = "http_code"', {"http.status": ("",)}),
        ('agw.target = "ignore"', {"http.none": ("",)}),
        ('agw.target = "sse"', {}),
        (
            'api.category = "x", go.name = "X", other = "z", other = "y"',
            {"api.category": ("x",), "other": ("z", "y")},
        ),
        ('vt.gt = "1", vt.skip = "false"', {"vt.gt": ("1",), "vt.skip": ("false",)}),
        ('vt.gt = "$other", vt.lt = "@add($x, 1)", vt.ge = "x", vt.min_size = "1", vt.gtt = "1"', {}),
        ('vt.in = "1", vt.in = "2"', {"vt.in": ("1", "2")}),
        ('api.vd = "$>0 && $<9"', {"vt.gt": ("0",), "vt.lt": ("9",)}),
        ('api.vd = "email($)"', {}),
        ("sensitive", {"sensitive": ("",)}),
        ('sensitive = "false"', {}),
        ('deprecated = "use b"', {"deprecated": ("use b",)}),
        ("deprecated", {"deprecated": ("",)}),
        ('deprecated = "false"', {}),
    ],
)
def test_names_of_fields(build_well: Build, annotations: str, expected: Annotations) -> None:
    found = of_field(build_well, annotations)
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    ("tag", "more", "expected"),
    [
        ('json:"k"', "", {"http.name": ("k",)}),
        ('json:"k,omitempty"', "", {"http.name": ("k",)}),
        ('json:",omitempty"', "", {}),
        ('json:"k,string"', "", {"http.name": ("k",), "http.as_text": ("",)}),
        ('form:"f" json:"k"', "", {"http.name": ("k",)}),
        ('jsonlog:"k"', "", {}),
        ('mapstructure:"k"', "", {}),
        ('json:"-"', "", {"http.none": ("",)}),
        ('json:"-"', ', api.header = "h"', {"http.header": ("h",)}),
        ('json:"-,"', "", {"http.name": ("-",)}),
        ('json:"k"', ', api.key = "other"', {"http.name": ("k",)}),
        ('json:"k"', ', http.name = "own"', {"http.name": ("own",)}),
    ],
)
def test_keys_in_tags_of_go(build_well: Build, tag: str, more: str, expected: Annotations) -> None:
    assert of_field(build_well, f"go.tag = '{tag}'{more}") == expected
    escaped = tag.replace('"', '\\"')
    assert of_field(build_well, f'go.tag = "{escaped}"{more}') == expected


def test_the_string_option_of_go_is_for_numbers_only(build_well: Build) -> None:
    assert of_field(build_well, "go.tag = 'json:\"k,string\"'", "string") == {"http.name": ("k",)}
    assert of_field(build_well, "go.tag = 'json:\"k,string\"'", "list<i64>") == {"http.name": ("k",)}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ('api.get = "/v1/users/:id"', {"http.get": ("/v1/users/{id}",)}),
        ('Api.GET = "/"', {"http.get": ("/",)}),
        ('api.any = "v1"', {"http.any": ("/v1",)}),
        ('api.post = "/a", api.post = "/b", api.put = "/c"', {"http.post": ("/a", "/b"), "http.put": ("/c",)}),
        ('http.get = "/:id", http.status = "201"', {"http.get": ("/{id}",), "http.status": ("201",)}),
        ('http.post = "/v1/users:search"', {"http.post": ("/v1/users:search",)}),
        (
            'api.serializer = "json", api.baseurl = "x", api.query = "q"',
            {"api.serializer": ("json",), "api.baseurl": ("x",)},
        ),
        ('deprecated = "use g", api.get = "/"', {"http.get": ("/",), "deprecated": ("use g",)}),
    ],
)
def test_names_of_functions(build_well: Build, annotations: str, expected: Annotations) -> None:
    assert of_function(build_well, annotations) == expected


def test_names_of_exceptions_throws_and_services(build_well: Build) -> None:
    program = build_well(
        """
        exception X {} (http.status = "404", other = "1", vt.assert = "@equal(1, 1)")
        service S { void f() throws (1: X x (http.status = "410")) } (deprecated = "old", api.base_domain = "x")
        """
    )
    assert runtime_annotations(program.structs[0]) == {"http.status": ("404",), "other": ("1",)}
    assert runtime_annotations(program.services[0].functions[0].throws[0]) == {"http.status": ("410",)}
    assert runtime_annotations(program.services[0]) == {"deprecated": ("old",), "api.base_domain": ("x",)}


def test_each_annotation_knows_its_place_in_the_idl(build_well: Build) -> None:
    program = build_well('struct A { 1: i64 a (api.vd = "$>0 && $<9", http.query = "q") }')
    found = given(program.structs[0].fields[0])
    assert [(each.name, each.node.name.text, each.is_synonym) for each in found] == [
        ("vt.gt", "api.vd", True),
        ("vt.lt", "api.vd", True),
        ("http.query", "http.query", False),
    ]
