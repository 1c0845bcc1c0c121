"""Each check reports its finding with its severity, and nothing for valid files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from idlc.checks import (
    check,
    checks_in,
    constraints,
    enums,
    fields,
    http,
    http_annotations,
    http_bodies,
    includes,
    names,
    policy,
    run_checks,
    services,
)
from idlc.diagnostics import Report, Severity
from idlc.model import build
from idlc.source import Loader

MODULES = [
    constraints,
    enums,
    fields,
    http,
    http_annotations,
    http_bodies,
    includes,
    names,
    policy,
    services,
]

GOOD = """
namespace py good
enum Color { RED, GREEN = 5 }
struct Point { 1: required i32 x, 2: optional i32 y = 3 }
union Either { 1: i32 left = 1, 2: string right }
exception Oops { 1: string message }
service Base { void ping() }
service Good extends Base {
  Point move(1: Point point, 2: map<string, list<Point>> others) throws (1: Oops oops)
  oneway void forget(1: i32 id, 2: required bool all, 3: string why = "")
}
"""

SHARED = "struct T {}\nexception X {}\nservice Base { void f() }\nenum E { A }"

CASES: list[tuple[str, Severity, str]] = [
    ("constraint.expression", "warning", 'struct A { 1: i32 a (api.vd = "email($)") }'),
    ("constraint.struct", "warning", 'struct A { 1: i32 a } (vt.assert = "@equal($a, 1)")'),
    ("constraint.type", "error", 'struct A { 1: string a (vt.gt = "1") }'),
    ("constraint.unknown", "warning", 'struct A { 1: i32 a (vt.gtt = "1") }'),
    ("constraint.value", "error", 'struct A { 1: i32 a (vt.gt = "x") }'),
    ("enum.member.duplicate", "error", "enum E { A, B, A }"),
    ("enum.value.duplicate", "warning", "enum E { A = 1, B = 1 }"),
    ("enum.value.negative", "warning", "enum E { A = -1 }"),
    ("enum.value.range", "error", "enum E { A = 2147483648 }"),
    ("enum.value.range", "error", "enum E { A = 2147483647, B }"),
    ("field.id.duplicate", "error", "struct A { 1: i32 a, 1: i32 b }"),
    ("field.id.duplicate", "error", "service S { void f(1: i32 a, 1: i32 b) }"),
    ("field.id.duplicate", "error", "exception X {} service S { void f() throws (1: X a, 1: X b) }"),
    ("field.id.missing", "warning", "struct A { i32 a }"),
    ("field.id.negative", "warning", "struct A { 0: i32 a }"),
    ("field.id.negative", "warning", "struct A { -1: i32 a }"),
    ("field.id.range", "error", "struct A { 32768: i32 a }"),
    ("field.name.duplicate", "error", "union A { 1: i32 a, 2: i32 a }"),
    ("field.type.exception", "warning", "exception X {} struct A { 1: X x }"),
    ("field.type.exception", "warning", "exception X {} typedef X Y service S { Y f() }"),
    ("field.type.exception", "warning", "exception X {} service S { void f(1: X x) }"),
    ("function.argument.requiredness", "warning", "service S { void f(1: optional i32 a) }"),
    ("function.argument.requiredness", "warning", "service S { void f(1: optional i32 a = 1) }"),
    ("function.async", "warning", "service S { async void f() }"),
    ("annotation.core", "error", 'service S { void f() (core = "yes") }'),
    ("annotation.core", "error", 'service S { void f() } (core = "maybe")'),
    ("function.idempotent", "error", 'service S { void f() (idempotent = "maybe") }'),
    ("function.duplicate", "error", "service S { void f() void f() }"),
    ("function.inherited", "error", "service A { void f() } service B extends A {} service C extends B { i32 f() }"),
    ("function.inherited", "error", 'include "shared.thrift" service S extends shared.Base { void f() }'),
    ("function.oneway.result", "warning", "service S { oneway i32 f() }"),
    ("function.oneway.throws", "error", "exception X {} service S { oneway void f() throws (1: X x) }"),
    ("function.throws", "error", "struct A {} service S { void f() throws (1: A a) }"),
    ("function.throws", "error", "service S { void f() throws (1: string a) }"),
    ("http.annotation", "error", 'service S { void f() (http.gett = "/") }'),
    ("http.as_text", "error", "struct A { 1: i32 a (http.as_text) }"),
    ("http.body.verb", "error", 'service S { void f(1: i32 a (http.body)) (http.get = "/") }'),
    ("http.body.whole", "error", 'service S { void f(1: i32 a (http.body), 2: required i32 b) (http.post = "/") }'),
    ("http.cookie.attribute", "warning", 'struct A { 1: i32 a (api.cookie = "a,Expires") }'),
    ("http.name.duplicate", "error", 'struct A { 1: i32 a, 2: i32 b (http.name = "a") }'),
    ("http.path.type", "error", 'service S { void f(1: list<i32> a) (http.get = "/{a}") }'),
    ("http.path.unbound", "error", 'service S { void f(1: i32 a) (http.get = "/{b}") }'),
    ("http.path.unknown", "error", 'service S { void f(1: i32 a (http.path)) (http.get = "/") }'),
    ("http.place.duplicate", "error", 'service S { void f(1: i32 a, 2: i32 b (http.query = "a")) (http.get = "/") }'),
    ("http.place.name", "error", 'struct A { 1: i32 a (http.header = "X:Y") }'),
    ("http.place.type", "error", "struct A { 1: map<i32, i32> a (http.query) }"),
    ("http.query.type", "error", 'service S { void f(1: required map<i32, i32> a) (http.get = "/") }'),
    ("http.route.duplicate", "error", 'service S { void f() (http.get = "/"), void g() (http.get = "/") }'),
    ("http.route.invalid", "error", 'service S { void f() (http.get = "a") }'),
    ("http.status", "error", 'service S { void f() (http.status = "99") }'),
    ("include.duplicate", "warning", 'include "shared.thrift" include "shared.thrift" struct A { 1: shared.T t }'),
    ("include.unused", "warning", 'include "shared.thrift" struct A {}'),
    ("name.builtin", "error", "struct string {}"),
    ("name.constant", "warning", "struct A {} const i32 A = 1"),
    ("name.dotted", "error", "struct a.b {}"),
    ("name.dotted", "error", "service S { void a.b() }"),
    ("namespace.duplicate", "warning", "namespace py a namespace py b"),
    ("namespace.hyphen", "warning", "namespace py a-b"),
    ("namespace.scope", "warning", "namespace python a"),
    ("policy.argument", "error", 'service S { void f(1: i32 a) (rpc.hash_by = "b") }'),
    ("policy.argument", "error", 'service S { void f(1: i32 a) (rpc.hash_by = "a.x") }'),
    ("policy.argument", "error", 'struct A { 1: i32 x } service S { void f(1: A a) (rpc.hash_by = "a.y") }'),
    ("policy.argument", "error", 'service S { void f(1: i32 a), void g() } (rpc.hash_by = "a")'),
    ("policy.key", "warning", 'service S { void f() (rpc.timout = "1") }'),
    ("policy.key", "warning", 'service S { void f() } (rpc.backoff.bas = "1")'),
    ("policy.key", "warning", 'service S { void f() (rpc.Hedge.delay = "1") }'),
    ("policy.key", "warning", 'service S { void f() (rpc.routes = "[]") }'),
    ("policy.key", "warning", 'service S { void f() (rpc.budget.rate = "1") }'),
    ("policy.key", "warning", 'service S { void f() (rpc.panic = "0.5") }'),
    ("policy.place", "warning", 'service S { void f(1: i32 a (rpc.timeout = "1")) }'),
    ("policy.place", "warning", 'exception X {} service S { void f() throws (1: X x (rpc.timeout = "1")) }'),
    ("policy.place", "warning", "service S { void f() (rpc.hash_key) }"),
    ("policy.place", "warning", "service S { void f() } (rpc.hash_key)"),
    ("policy.twice", "error", 'service S { void f() (rpc.timeout = "1", rpc.timeout = "2") }'),
    ("policy.renamed", "warning", 'service S { void f() (rpc.backoff.base = "1") }'),
    ("policy.renamed", "warning", 'service S { void f() } (rpc.breaker.errors = "0.5")'),
    ("policy.twice", "error", 'service S { void f() } (rpc.timeout = "1", rpc.timeout = "1")'),
    ("policy.twice", "error", "service S { void f(1: i32 a (rpc.hash_key), 2: i32 b (hash_key)) }"),
    ("policy.twice", "error", 'service S { void f(1: i32 a (rpc.hash_key)) (rpc.hash_by = "a") }'),
    ("policy.value", "error", 'service S { void f() (rpc.timeout = "0") }'),
    ("policy.value", "error", 'service S { void f() } (rpc.timeout = "soon")'),
    ("policy.value", "error", "service S { void f() (rpc.timeout) }"),
    ("policy.value", "error", 'service S { void f() (rpc.retries = "101") }'),
    ("policy.value", "error", 'service S { void f() (rpc.idempotent = "maybe") }'),
    ("policy.value", "error", 'service S { void f() (rpc.fault = "") }'),
    ("policy.value", "error", 'service S { void f(1: i32 a (rpc.hash_key = "maybe")) }'),
    ("type.byte", "warning", "struct A { 1: list<byte> a }"),
    ("type.element", "warning", "struct A { 1: set<double> a }"),
    ("type.key", "warning", "struct A { 1: list<map<list<i32>, i32>> a }"),
    ("type.key", "warning", "typedef map<double, i32> A"),
    ("union.defaults", "error", "union A { 1: i32 a = 1, 2: i32 b = 2 }"),
    ("union.empty", "warning", "union A {}"),
    ("union.required", "warning", "union A { 1: required i32 a }"),
]

FINE = [
    GOOD,
    'enum E { A = 1, B = 1 } (allow_alias = "true")',
    "exception X {} typedef X Y service S { void f() throws (1: Y y) }",
    'include "shared.thrift" service S extends shared.Base {}',
    'include "shared.thrift" const i32 A = shared.E.A',
    'include "shared.thrift" service S { void f() throws (1: shared.X x) }',
    'include "shared.thrift" as other struct A { 1: map<other.E, other.T> t }',
    "struct A { 1: i32 a, 2: i32 b } struct B { 1: i32 a, 2: i32 b }",
    "enum A { X } enum B { X }",
    """
    struct User { 1: i32 id }
    service S {
        void f(1: i32 a (rpc.hash_key = "true"), 2: i32 b (rpc.hash_key = "false"))
        void g(1: User user) (rpc.hash_by = "user.id", rpc.timeout = "0.5", rpc.chain_stop, rpc.hedge.delay = "soon")
        void h() (rpc.hash_by = "", rpc.timeout = "2", rpc.breaker.enabled, api.get = "/", timeout = "x")
    } (rpc.hash_by = "b", rpc.timeout = "1", rpc.backoff.base_delay = "0")
    """,
    'service S { void f(1: i32 a (hash_key = "of a colour")) (rpc.hash_by = "a") }',
]


def judged(text: str, folder: Path, modules: list[ModuleType] | None = MODULES) -> list[tuple[str, str]]:
    report = Report()
    loader = Loader(overlay={folder / "main.thrift": text, folder / "shared.thrift": SHARED})
    run_checks(build([folder / "main.thrift"], loader, report), report, modules)
    return [(diagnostic.name, diagnostic.severity) for diagnostic in report]


@pytest.mark.parametrize(("name", "severity", "text"), CASES)
def test_each_check_reports_its_finding_and_no_other(name: str, severity: str, text: str, tmp_path: Path) -> None:
    assert judged(text, tmp_path) == [(name, severity)]


@pytest.mark.parametrize("text", FINE)
def test_valid_files_have_no_findings(text: str, tmp_path: Path) -> None:
    assert judged(text, tmp_path) == []


def test_both_names_of_a_renamed_key_are_a_duplicate(tmp_path: Path) -> None:
    text = 'service S { void f() (rpc.backoff.base = "1", rpc.backoff.base_delay = "1") }'
    assert sorted(judged(text, tmp_path)) == [("policy.renamed", "warning"), ("policy.twice", "error")]


def test_values_of_old_names_are_checked(tmp_path: Path) -> None:
    text = 'service S { void f() (rpc.backoff.base = "soon") }'
    assert sorted(judged(text, tmp_path)) == [("policy.renamed", "warning"), ("policy.value", "error")]


def test_every_check_has_a_case_a_name_and_a_description() -> None:
    checks = checks_in(MODULES)
    assert {name for name, _, _ in CASES} == {check.name for check in checks}
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.doc for check in checks)


def test_warnings_are_reported_for_requested_files_only(tmp_path: Path) -> None:
    report = Report()
    overlay = {
        tmp_path / "main.thrift": 'include "other.thrift"\nstruct A { 1: other.B b }',
        tmp_path / "other.thrift": "struct B { i32 a }\nenum E { X, X }",
    }
    run_checks(build([tmp_path / "main.thrift"], Loader(overlay=overlay), report), report, MODULES)
    assert [diagnostic.name for diagnostic in report] == ["enum.member.duplicate"]


def test_built_in_checks_run_by_default(tmp_path: Path) -> None:
    assert ("enum.member.duplicate", "error") in judged("enum E { A, A }", tmp_path, None)


def test_a_custom_check_is_one_function(tmp_path: Path) -> None:
    module = ModuleType("mine")

    @check("mine.short", "warning")
    def short_names(program: Any) -> Any:
        """Names are descriptive."""
        from idlc.checks import Finding

        for struct in program.structs:
            if len(struct.name) < 3:
                yield Finding(f"`{struct.name}` is a short name", struct.span)

    module.short_names = short_names  # type: ignore[attr-defined]
    assert judged("struct A {} struct Abc {}", tmp_path, [module]) == [("mine.short", "warning")]
