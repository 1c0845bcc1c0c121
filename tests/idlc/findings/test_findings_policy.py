"""Policy: names, prefixes, categories and paths decide which findings are reported, and how severe they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from idlc.checks import run_checks
from idlc.diagnostics import CATEGORIES, LINT, Report
from idlc.findings import Levels, Policy, PolicyError, all_rules, judged
from idlc.model import build
from idlc.source import Loader

TEXT = """\
namespace py demo
struct A {
  1: map<list<byte>, i32> a
  2: required A itself
}
enum Kind { ONE = 1 }
const Kind NONE = 2
"""


def found(folder: Path, policy: Policy, text: str = TEXT, name: str = "main.thrift") -> dict[str, str]:
    report = Report()
    run_checks(build([folder / name], Loader(overlay={folder / name: text}), report), report)
    return {each.name: each.severity for each in judged(report, policy, folder)}


def test_lint_is_off_by_default(tmp_path: Path) -> None:
    assert found(tmp_path, Policy()) == {"constant.enum.number": "warning", "struct.endless": "warning"}
    assert set(found(tmp_path, Policy(with_lint=True))) >= {"type.key", "type.byte", "doc.missing", "enum.zero"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["type.key"], {"type.key": "warning"}),
        (["type"], {"type.key": "warning", "type.byte": "warning"}),
        (["type=error", "type.key=note"], {"type.byte": "error", "type.key": "note"}),
        (["type.key=note", "type=error"], {"type.byte": "error", "type.key": "error"}),
        (["lint", "lint=off", "style"], {"type.byte": "warning"}),
        (["style=note", "type.byte=off"], {}),
        (["type.byte", "error"], {"type.byte": "error"}),
        (["error", "type.byte=note"], {"type.byte": "note"}),
    ],
)
def test_the_most_specific_level_applies(tmp_path: Path, options: list[str], expected: dict[str, str]) -> None:
    result = found(tmp_path, Policy().with_options(options))
    assert {name: level for name, level in result.items() if name.startswith("type.")} == expected


def test_warnings_become_errors_after_levels(tmp_path: Path) -> None:
    policy = Policy().with_options(["error", "struct.endless=note"])
    assert found(tmp_path, policy) == {"constant.enum.number": "error", "struct.endless": "note"}
    assert found(tmp_path, Policy().with_options(["all=off"])) == {}


def test_errors_stay_errors(tmp_path: Path) -> None:
    text = "struct A { 1: i32 a, 1: i32 b }"
    for options in (["all=off"], ["field=note"], ["correctness=warning"]):
        assert found(tmp_path, Policy().with_options(options), text) == {"field.id.duplicate": "error"}
    with pytest.raises(PolicyError, match=r"^`field\.id\.duplicate` is always an error: no code can be generated"):
        Policy().with_options(["field.id.duplicate=off"])


@pytest.mark.parametrize(
    ("pattern", "name", "is_matched"),
    [
        ("old", "old/main.thrift", True),
        ("old", "idl/old/deep/main.thrift", True),
        ("old/", "older/main.thrift", False),
        ("*.thrift", "idl/main.thrift", True),
        ("idl/*.thrift", "idl/main.thrift", True),
        ("idl/*.thrift", "idl/deep/main.thrift", False),
        ("idl/**/*.thrift", "idl/main.thrift", True),
        ("idl/**/m?in.thrift", "idl/a/b/main.thrift", True),
        ("idl/**", "idl/a/main.thrift", True),
        ("main.idl", "main.thrift", False),
    ],
)
def test_levels_for_paths(pattern: str, name: str, is_matched: bool) -> None:
    assert Levels({"all": "off"}, (pattern,)).applies_to(name) is is_matched


def test_paths_override_and_the_command_line_overrides_them(tmp_path: Path) -> None:
    policy = Policy.from_dict(
        {"severity": {"type": "error"}, "paths": {"old/**": {"type": "off", "struct.endless": "off"}}, "max_errors": 3}
    )
    assert policy.max_errors == 3
    assert found(tmp_path, policy)["type.key"] == "error"
    assert found(tmp_path, policy, name="old/a.thrift") == {"constant.enum.number": "warning"}
    assert found(tmp_path, policy.with_options(["type=note"]), name="old/a.thrift")["type.key"] == "note"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"severities": {}}, "unknown key 'severities' (known: severity, paths, warnings_as_errors, max_errors)"),
        ({"severity": {"type.kye": "off"}}, "severity: unknown diagnostic `type.kye`; did you mean `type.key`?"),
        ({"severity": {"qqqq": "off"}}, "severity: unknown diagnostic `qqqq`; `idlc explain` lists all names"),
        (
            {"severity": {"type.key": "fatal"}},
            "severity: type.key: unknown level 'fatal' (known: error, warning, note, off)",
        ),
        ({"paths": {"a/**": {"typ": "off"}}}, "paths.'a/**': unknown diagnostic `typ`; did you mean `type`?"),
        ({"paths": []}, "paths: must be a table, got []"),
        ({"max_errors": True}, "max_errors: must be a number that is at least 0, got True"),
        ({"warnings_as_errors": "no"}, "warnings_as_errors: must be true or false, got 'no'"),
    ],
)
def test_mistakes_in_a_table_are_errors(table: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_dict(table)
    assert str(caught.value) == message


def test_checks_that_cannot_report_do_not_run() -> None:
    rules = all_rules()
    assert not Policy().may_report(rules["type.key"])
    assert Policy().may_report(rules["field.id.duplicate"])
    assert Policy(levels=(Levels({"type": "note"}, ("new",)),)).may_report(rules["type.key"])
    assert not Policy(levels=(Levels({"type": "off"}),)).may_report(rules["type.key"])
    assert Policy(with_lint=True).may_report(rules["type.key"])


def test_rules_are_described_and_their_names_are_no_categories() -> None:
    for name, rule in all_rules().items():
        assert rule.summary.endswith("."), name
        assert rule.category in CATEGORIES
        assert name.partition(".")[0] not in CATEGORIES
    assert set(CATEGORIES) - LINT == {"correctness", "output"}


def test_the_command_line_has_a_policy(tmp_path: Path) -> None:
    (tmp_path / "main.thrift").write_text(TEXT)

    def idlc(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "idlc", "main.thrift", "--error-format", "short", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    code, text = idlc("-W", "type.byte", "-W", "correctness=off")
    assert (code, text) == (0, "main.thrift:3:15: warning: `byte` is deprecated [type.byte]\n")
    assert idlc("-W", "all=off") == (0, "")
    code, text = idlc("-W", "error")
    assert (code, text.count("error: ")) == (1, 2)
    code, text = idlc("-W", "typ.byte")
    assert (code, text.splitlines()[-1]) == (2, "Error: -W: unknown diagnostic `typ.byte`; did you mean `type.byte`?")
