"""Findings about HTTP annotations, in our own dialect and in that of CloudWeGo's tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from idlc.checks import http, http_annotations, http_bodies, run_checks
from idlc.diagnostics import Diagnostic, Report
from idlc.model import build
from idlc.source import Loader

MODULES = [http, http_annotations, http_bodies]

SHARED = """
struct Key { 1: required i64 id (http.path), 2: optional string text }
service Base { Key get(1: Key key) (http.get = "/keys/{id}") }
"""


def found(text: str, folder: Path, shared: str = SHARED) -> list[Diagnostic]:
    report = Report()
    loader = Loader(overlay={folder / "main.thrift": text, folder / "shared.thrift": shared})
    programs = build([folder / "main.thrift"], loader, report)
    assert list(report) == [], [each.message for each in report]
    run_checks(programs, report, MODULES)
    return list(report)


def service(arguments: str, annotations: str, before: str = "") -> str:
    return f"{before} service S {{ void f({arguments}) ({annotations}) }}"


def expanded(fields: str, annotations: str, before: str = "") -> str:
    return service("1: A a", annotations, f"{before} struct A {{ {fields} }}")


GET, POST = 'http.get = "/x"', 'http.post = "/x"'
API_GET, API_POST = 'api.get = "/x"', 'api.post = "/x"'

FINE = [
    # A reader of the test sees the dialect: our own first.
    service("1: i64 id", 'http.get = "/x/{id}"'),
    service("1: i64 id", 'http.get = "/x/:id"'),
    service("1: required string rest", 'http.get = "/x/{rest=**}"'),
    service("", 'http.get = "/"'),
    service("1: i64 id", 'http.get = "/v1/users/{id}:cancel", http.post = "/v1/users:search"'),
    service("1: string version", 'http.get = "/v{version}/x"'),
    service('1: i64 a (http.path = "id"), 2: i64 b (http.query = "id")', 'http.get = "/x/{id}"'),
    service("1: i64 id, 2: A a (http.body)", 'http.put = "/x/{id}"', "struct A { 1: i32 x }"),
    service("1: A a (http.body), 2: optional i32 b", POST, "struct A {}"),
    service('1: binary data (http.raw_body), 2: string type (http.header = "Content-Type")', POST),
    service("1: list<i32> ids, 2: set<string> tags (http.query), 3: list<E> es", GET, "enum E { A }"),
    service("1: list<i32> ids (http.header)", GET),
    service("1: i32 a (http.body)", f"{GET}, {POST}"),
    service("1: i32 a (http.query, http.body)", GET),
    service("1: i64 id (http.path, http.query)", 'http.get = "/x/{id}", http.post = "/x/{id}/y"'),
    expanded("1: required i64 id, 2: map<i32, i32> map", 'http.get = "/x/{id}"'),
    expanded('1: required i64 id (http.path = "key")', 'http.get = "/x/{key}"'),
    expanded("1: uuid a, 2: E b, 3: bool c, 4: double d", 'http.get = "/{a}/{b}/{c}/{d}"', "enum E { A }"),
    expanded("1: i32 a (http.none), 2: i32 b (http.query = 'a')", GET),
    service("1: i32 a", f"{GET}, http.status = '201'"),
    """
    exception X { 1: i32 code (http.status) } (http.status = '404')
    service S { void f() throws (1: X x (http.status = '410')) }
    """,
    "struct A { 1: i32 status (http.status), 2: string tag (http.header = 'ETag'), 3: string c (http.cookie = 'c') }",
    "struct A { 1: list<i64> a (http.as_text), 2: map<i64, i32> b (http.as_text) }",
    "service S { oneway void f(1: i32 a) (http.post = '/x') }",
    "service S { void f() (http.get = '/x'), void g() (http.post = '/x'), void h() (http.get = '/x/') }",
    "service S { void f(1: i32 a) (http.get = '/{a}'), void g() (http.get = '/a') }",
    "service S { void f() (http.any = '/x'), void g() (http.head = '/x', http.options = '/x') }",
    'include "shared.thrift" service S extends shared.Base { void put(1: shared.Key key) (http.put = "/keys/{id}") }',
    'include "shared.thrift" service S extends shared.Base {} service T extends shared.Base {}',
    # The dialect of CloudWeGo describes interfaces that exist.
    expanded("1: optional i64 id (api.path = 'id')", 'api.get = "/x/:id"'),
    expanded("1: optional i64 id", 'api.get = "/x/:id"'),
    expanded("1: optional Base base", API_GET, "struct Base {}"),
    expanded("1: i32 a (api.query = 'a', api.path = 'b')", API_GET),
    expanded("1: i32 a (api.body = 'a', api.form = 'a', api.query = 'a')", API_GET),
    expanded("1: i32 a (api.js_conv = 'true')", API_GET),
    expanded("1: i32 a (api.cookie = 'a,Value')", API_GET),
    service("1: i32 a (api.unknown = 'x')", 'api.get = "x", api.category = "c", api.gett = "y"'),
    "struct A { 1: i32 code (api.http_code = 'true'), 2: optional i32 b (api.none = 'true') }",
]

ERRORS = [
    ("http.route.invalid", service("", 'http.get = "users"'), "it must start with `/`"),
    ("http.route.invalid", service("", 'http.get = ""'), "it must start with `/`"),
    ("http.route.invalid", service("", "http.get"), "it must start with `/`"),
    ("http.route.invalid", service("1: i32 x", 'http.get = "/{x=**}/y"'), "must be last"),
    ("http.route.invalid", service("1: i32 x", 'http.get = "/*x/y"'), "must be last"),
    ("http.route.invalid", service("1: i32 x", 'http.get = "/{x}/{x}"'), "variable `x` is used twice"),
    ("http.route.invalid", service("1: i32 x", 'api.get = "/:x/:x"'), "variable `x` is used twice"),
    ("http.route.invalid", service("1: i32 x", 'http.get = "/v:x/y"'), "':' is not allowed"),
    ("http.route.invalid", service("", 'http.get = "/_idl/metrics"'), "is reserved"),
    ("http.route.invalid", service("", 'http.get = "/_idl"'), "is reserved"),
    (
        "http.route.duplicate",
        "service S { void f() (http.get = '/x', http.get = '/x/', api.get = '/x', api.post = '/x', http.any = '/x') }",
        "matches the same requests as",
    ),
    (
        "http.route.duplicate",
        "service S { void f(1: i32 a) (http.get = '/{a}') } service T { void g(1: i32 b) (api.get = '/:b') }",
        "route `GET /{b}` of `g` matches the same requests as `GET /{a}` of `S.f`",
    ),
    (
        "http.route.duplicate",
        "service S { void f() (http.any = '/x'), void g() (http.delete = '/x') }",
        "route `DELETE /x` of `g` matches the same requests as `ANY /x` of `S.f`",
    ),
    (
        "http.route.duplicate",
        'include "shared.thrift" service S extends shared.Base { void g(1: i64 id) (http.get = "/keys/{id}") }',
        "of `g` matches the same requests as `GET /keys/{id}` of `Base.get`",
    ),
    ("http.path.unbound", service("", 'http.get = "/{id}"'), "path variable `id` of `f` is not bound to an argument"),
    ("http.path.unbound", expanded("1: i32 a", 'http.get = "/{id}"'), "is not bound to a field of `A`"),
    ("http.path.unbound", service("1: i32 id (http.query)", 'http.get = "/{id}"'), "variable `id`"),
    ("http.path.unbound", service("1: i32 id (http.none)", 'http.get = "/{id}"'), "variable `id`"),
    ("http.path.unbound", service("1: U u", 'http.get = "/{id}"', "union U { 1: i32 id }"), "variable `id`"),
    ("http.path.unbound", service("1: A a, 2: i32 b", 'http.get = "/{id}"', "struct A { 1: i32 id }"), "variable `id`"),
    ("http.path.unbound", service("1: i32 id", 'http.get = "/{id}", http.put = "/{key}"'), "variable `key`"),
    ("http.path.unknown", service("1: i32 a (http.path)", GET), "path `/x` of `f` has no variable `a`"),
    ("http.path.unknown", service("1: i32 a (http.path, http.query)", GET), "has no variable `a`"),
    ("http.path.unknown", service("1: i32 a (http.path)", 'http.get = "/{a}", http.post = "/x"'), "path `/x` of `f`"),
    ("http.path.type", service("1: optional i32 a", 'http.get = "/{a}"'), "cannot be optional"),
    ("http.path.type", expanded("1: optional i32 a (http.path)", 'api.get = "/:a"'), "cannot be optional"),
    ("http.path.type", service("1: set<i32> a", 'http.get = "/{a}"'), "`a` is a `set<i32>` and cannot be in the path"),
    ("http.path.type", service("1: binary a", 'http.get = "/{a}"'), "`a` is a `binary`"),
    ("http.path.type", service("1: A a (http.path)", 'http.get = "/{a}"', "struct A {}"), "`a` is the struct `A`"),
    ("http.path.type", service("1: U a", 'http.get = "/{a}"', "union U { 1: i32 x }"), "`a` is the union `U`"),
    ("http.path.type", service("1: L a", 'http.get = "/{a}"', "typedef list<i32> L"), "`a` is a `L`"),
    ("http.body.verb", service("1: i32 a (http.body)", GET), "`a` cannot be in the body: `f` is a GET request"),
    ("http.body.verb", service("1: i32 a (http.form)", 'http.head = "/x"'), "`f` is a HEAD request"),
    ("http.body.verb", service("1: binary a (http.raw_body)", 'http.delete = "/x"'), "`f` is a DELETE request"),
    ("http.body.verb", expanded("1: i32 a (http.body), 2: i32 b (http.body)", API_GET), "`a` and 1 more field"),
    (
        "http.body.whole",
        service("1: binary a (http.raw_body), 2: binary b (http.raw_body)", POST),
        "`a` is the whole body",
    ),
    (
        "http.body.whole",
        service("1: binary a (http.raw_body), 2: i32 b (http.body)", POST),
        "`b` cannot be in the body",
    ),
    (
        "http.body.whole",
        service("1: binary a (http.raw_body), 2: i32 b (http.form)", POST),
        "`b` cannot be in the body",
    ),
    ("http.body.whole", expanded("1: required i32 a, 2: string b (http.raw_body)", POST), "`a` cannot be in the body"),
    (
        "http.body.whole",
        service("1: A a (http.body), 2: A b (http.body)", POST, "struct A {}"),
        "`a` is the whole body",
    ),
    ("http.query.type", expanded("1: required B b", GET, "struct B {}"), "`B` does not fit into a query"),
    ("http.query.type", service("1: required list<map<i32, i32>> a", GET), "does not fit into a query"),
    (
        "http.place.duplicate",
        service("1: i32 a (http.query), 2: i32 b (http.query = 'a')", POST),
        "both `a` in the query",
    ),
    (
        "http.place.duplicate",
        service("1: i32 a (http.header = 'X-A'), 2: i32 b (http.header = 'x-a')", POST),
        "both `x-a` in the header",
    ),
    (
        "http.place.duplicate",
        service("1: i32 a, 2: i32 b (http.path = 'a')", 'http.get = "/{a}"'),
        "in the path of `f`",
    ),
    ("http.place.duplicate", service("1: i32 a, 2: i32 b (http.body = 'a')", POST), "both `a` in the body of `f`"),
    ("http.annotation", service("", 'http.gte = "/x"'), "unknown annotation `http.gte` of function `f`"),
    ("http.annotation", service("", 'HTTP.Get = "/x"'), "unknown annotation `HTTP.Get` of function `f`"),
    ("http.annotation", service("1: i32 a (http.qery)", ""), "unknown annotation `http.qery` of argument `a`"),
    ("http.annotation", service("1: i32 a (http.get = '/x')", ""), "`http.get` has no effect on argument `a`"),
    ("http.annotation", service("", "http.query"), "`http.query` has no effect on function `f`"),
    ("http.annotation", service("1: i32 a (http.status)", ""), "`http.status` has no effect on argument `a`"),
    ("http.annotation", "struct A {} (http.status = '404')", "`http.status` has no effect on struct `A`"),
    ("http.annotation", "service S {} (http.get = '/x')", "`http.get` has no effect on service `S`"),
    ("http.annotation", "exception X {} service S { void f() throws (1: X x (http.path)) }", "no effect on exception"),
    ("http.status", service("", f"{GET}, http.status = '600'"), "invalid value '600'"),
    ("http.status", service("", f"{GET}, http.status"), "invalid value ''"),
    ("http.status", "exception X {} (http.status = 'not_found')", "invalid value 'not_found'"),
    ("http.status", "exception X {} service S { void f() throws (1: X x (http.status = '1')) }", "invalid value '1'"),
    ("http.status", "struct A { 1: i32 a (http.status = '404') }", "`http.status` of field `a` has a value"),
    ("http.status", "struct A { 1: string a (http.status) }", "it is a `string`, not an integer"),
    ("http.place.type", service("1: map<i32, i32> a (http.header)", GET), "`a` cannot be in `http.header`"),
    ("http.place.type", "struct A { 1: list<i32> a (http.cookie) }", "`a` cannot be in `http.cookie`"),
    ("http.place.type", "struct B {} struct A { 1: list<B> a (http.query) }", "`a` cannot be in `http.query`"),
    ("http.place.type", "struct A { 1: i32 a (http.raw_body) }", "`a` cannot be in `http.raw_body`"),
    ("http.place.name", "struct A { 1: i32 a (http.header = 'X Y') }", "invalid name 'X Y' of a header"),
    ("http.place.name", "struct A { 1: i32 a (http.cookie = 'a=b') }", "invalid name 'a=b' of a cookie"),
    ("http.as_text", "struct A { 1: string a (http.as_text) }", "`http.as_text` has no effect on `a`"),
    ("http.name.duplicate", "struct A { 1: i32 a (http.body = 'k'), 2: i32 b (http.name = 'k') }", "the same key `k`"),
    (
        "http.name.duplicate",
        "service S { void f(1: i32 id (http.path), 2: i32 x (http.body = 'id')) (http.post = '/{id}') }",
        "`x` and `id` of `f` have the same key `id`",
    ),
    ("http.name.duplicate", "service S { void f(1: i32 id, 2: i32 x (http.name = 'id')) }", "the same key `id`"),
]

WARNINGS = [
    ("http.path.unbound", expanded("1: i32 a", 'api.get = "/:id"'), "variable `id`"),
    ("http.path.unknown", expanded("1: i32 a (api.path = 'id')", API_GET), "has no variable `id`"),
    ("http.path.type", expanded("1: list<i32> a (api.path = 'a')", 'api.get = "/:a"'), "`a` is a `list<i32>`"),
    (
        "http.body.verb",
        expanded("1: i32 a (api.body = 'a')", API_GET),
        "`a` is read from the query: `f` is a GET request",
    ),
    (
        "http.body.verb",
        expanded(
            "1: i32 a (api.body = 'a'), 2: i32 b (api.body = 'b'), 3: i32 c (api.body = 'c')", 'api.delete = "/x"'
        ),
        "`a` and 2 more fields are read from the query: `f` is a DELETE request",
    ),
    ("http.body.verb", expanded("1: i32 a (api.form = 'a')", API_GET), "`a` is never read"),
    (
        "http.body.whole",
        expanded("1: binary a (api.raw_body = ''), 2: i32 b (api.form = 'b')", API_POST),
        "`b` cannot be in the body of `f`: `a` is the whole body",
    ),
    ("http.query.type", expanded("1: required B b", API_GET, "struct B {}"), "`B` does not fit into a query"),
    ("http.place.duplicate", expanded("1: i32 a (api.query = 'q'), 2: i32 b (api.query = 'q')", API_GET), "both `q`"),
    ("http.place.type", expanded("1: map<i32, i32> a (api.header = 'a')", API_GET), "`a` cannot be in `http.header`"),
    ("http.place.name", "struct A { 1: i32 a (api.header = 'X Y') }", "invalid name 'X Y' of a header"),
    ("http.status", "struct A { 1: string a (api.http_code = '') }", "not an integer"),
    (
        "http.cookie.attribute",
        "struct A { 1: i32 a (api.cookie = 'id,Expires') }",
        "attribute `Expires` of cookie `id`",
    ),
    ("http.name.duplicate", "struct A { 1: i32 a, 2: i32 b (go.tag = 'json:\"a\"') }", "the same key `a`"),
]


@pytest.mark.parametrize("text", FINE)
def test_valid_interfaces_have_no_findings(text: str, tmp_path: Path) -> None:
    assert [(each.name, each.message) for each in found(text, tmp_path)] == []


@pytest.mark.parametrize(("name", "text", "part"), ERRORS)
def test_errors(name: str, text: str, part: str, tmp_path: Path) -> None:
    [only] = found(text, tmp_path)
    assert (only.name, only.severity) == (name, "error")
    assert part in only.message


@pytest.mark.parametrize(("name", "text", "part"), WARNINGS)
def test_annotations_of_other_tools_are_warned_about(name: str, text: str, part: str, tmp_path: Path) -> None:
    [only] = found(text, tmp_path)
    assert (only.name, only.severity) == (name, "warning")
    assert part in only.message


def test_warnings_about_included_files_are_not_reported(tmp_path: Path) -> None:
    shared = (
        "struct A { 1: i32 a (api.header = 'X Y') } service Base { void f(1: i32 a (api.body = 'a')) (api.get = '/x') }"
    )
    text = 'include "shared.thrift" service S extends shared.Base { void g(1: shared.A a) }'
    assert found(text, tmp_path, shared) == []


def test_errors_in_included_files_are_reported_once(tmp_path: Path) -> None:
    shared = "service Base { void f() (http.get = '/x'), void g() (http.get = '/x') }"
    text = 'include "shared.thrift" service S extends shared.Base {}'
    assert [each.name for each in found(text, tmp_path, shared)] == ["http.route.duplicate"]


def test_a_mistyped_annotation_has_a_fix(tmp_path: Path) -> None:
    text = service("", 'http.psot = "/x"')
    [only] = found(text, tmp_path)
    [fix] = only.fixes
    assert only.help == "did you mean `http.post`?"
    assert text[: fix.span.start] + fix.text + text[fix.span.end :] == service("", 'http.post = "/x"')


def test_labels_show_the_second_place(tmp_path: Path) -> None:
    text = 'include "shared.thrift" service S { shared.Key f(1: shared.Key key) (http.get = "/x/{key}") }'
    [unbound] = found(text, tmp_path)
    assert unbound.span is not None
    assert unbound.span.file.path.name == "main.thrift"
    assert [label.span.file.path.name for label in unbound.labels] == ["shared.thrift"]
