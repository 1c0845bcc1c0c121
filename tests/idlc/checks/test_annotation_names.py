"""Near misses of known annotations and namespace scopes are reported; names of other tools are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from idlc.checks import run_checks
from idlc.diagnostics import Diagnostic, Report
from idlc.model import build
from idlc.source import Loader


def warnings(folder: Path, text: str) -> list[Diagnostic]:
    path = folder / "x.thrift"
    path.write_text(text, encoding="utf-8")
    report = Report()
    run_checks(build((path,), Loader(()), report), report)
    return [each for each in report if each.name in ("annotation.unknown", "namespace.unknown")]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("py.nmae", "py.name"),
        ("py.Name", "py.name"),
        ("yp.name", "py.name"),
        ("pyy.name", "py.name"),
        ("PY.name", "py.name"),
        ("python.imutable", "python.immutable"),
        ("pyton.immutable", "python.immutable"),
        ("idlc.ingore", "idlc.ignore"),
        ("idcl.ignore", "idlc.ignore"),
        ("htpp.get", "http.get"),
        ("hhttp.path", "http.path"),
        ("rcp.timeout", "rpc.timeout"),
        ("tv.gt", "vt.gt"),
        ("sensitve", "sensitive"),
        ("SENSITIVE", "sensitive"),
        ("idempotant", "idempotent"),
        ("idempotence", "idempotent"),
        ("deprected", "deprecated"),
        ("deprecate", "deprecated"),
        ("hash_kye", "hash_key"),
        ("alow_alias", "allow_alias"),
    ],
)
def test_near_misses_are_reported(tmp_path: Path, name: str, meant: str) -> None:
    text = f'struct S {{ 1: i32 x ({name} = "y") }}'
    (warning,) = warnings(tmp_path, text)
    assert (warning.message, warning.help) == (f"unknown annotation `{name}` of `x`", f"did you mean `{meant}`?")
    assert warning.severity == "warning"
    (fix,) = warning.fixes
    assert (text[fix.span.start : fix.span.end], fix.text) == (name, meant)
    assert not fix.is_safe, "a guess, and another tool may know the name"


@pytest.mark.parametrize(
    "name",
    [
        *("go.name", "go.tag", "go.nmae", "cpp.name", "cpp2.name", "cpp.type", "py3.name", "py3.hidden", "pb.name"),
        *("java.name", "java.swift.name", "rust.name", "hs.name", "php.name", "js.name", "api.get", "api.gett"),
        *("agw.key", "janus.source", "api.vd", "validate.gt", "https.port", "grpc.timeout", "db.name", "my.name"),
        *("python.immutable", "python.name", "insensitive", "non_sensitive", "case_sensitive", "undeprecated"),
        *("code", "score", "cores", "key", "hash", "role", "permission", "auth.role", "unit", "priority", "version"),
        *("deprecated_since", "deprecation", "alias", "py", "http", "name", "doc", "max_size", "fragile", "final"),
    ],
)
def test_names_of_other_tools_are_not_reported(tmp_path: Path, name: str) -> None:
    assert warnings(tmp_path, f'struct S {{ 1: i32 x ({name} = "y") }}') == []


def test_unknown_names_behind_our_scope_are_reported(tmp_path: Path) -> None:
    (warning,) = warnings(tmp_path, 'struct S { 1: i32 x } (py.frozen = "1")')
    assert (warning.message, warning.help) == (
        "unknown annotation `py.frozen` of `S`",
        "known for Python is `py.name`",
    )


def test_all_declarations_are_checked(tmp_path: Path) -> None:
    slip = "(sensitve)"
    text = f"""
    typedef i32 T {slip}
    const i32 C = 1 {slip}
    enum E {{ a {slip} }} {slip}
    union U {{ 1: i32 f {slip} }} {slip}
    exception X {{ 1: i32 f {slip} }} {slip}
    service S {{ void f(1: i32 a {slip}) throws (1: X x {slip}) {slip} }} {slip}
    """
    assert len(warnings(tmp_path, text)) == text.count(slip)


@pytest.mark.parametrize(
    ("scope", "meant"),
    [("pyy", "py"), ("yp", "py"), ("Py", "py"), ("pyhton", "python"), ("jav", "java"), ("csharpp", "csharp")],
)
def test_near_misses_of_scopes_are_reported(tmp_path: Path, scope: str, meant: str) -> None:
    (warning,) = warnings(tmp_path, f"namespace {scope} a.b\nstruct S {{}}")
    assert (warning.message, warning.help) == (
        f"unknown scope `{scope}` of a namespace",
        f"did you mean `{meant}`?",
    )
    assert [fix.is_safe for fix in warning.fixes] == [False]


@pytest.mark.parametrize("scope", ["*", "py", "py.twisted", "py3", "mstch_cpp2", "zig", "noop", "crystal", "cpp.x"])
def test_known_and_foreign_scopes_are_not_reported(tmp_path: Path, scope: str) -> None:
    assert warnings(tmp_path, f"namespace {scope} a.b\nstruct S {{}}") == []
