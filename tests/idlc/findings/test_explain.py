"""`idlc explain`: all diagnostics have an explanation, and its examples do what it says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import idlc
from idlc.breaking.rules import RULES
from idlc.diagnostics import Diagnostic
from idlc.findings import Level, Levels, Policy, all_rules
from idlc.findings.explain import explanations

IDLC = Path(__file__).parents[3] / "idlc"
WITH_EXAMPLES = sorted(name for name, each in explanations().items() if each.bad)
# Diagnostics that an IDL file does not cause by itself, or only a very large one.
WITHOUT_EXAMPLES = {
    "baseline.stale",
    "file.missing",
    "openapi",
    "python.module.overwritten",
    "python.name.hidden",
    "python.package.yielded",
    "syntax.depth",
    "syntax.many",
}
NAME = re.compile(r"[a-z]+(\.[a-z_]+)+")


def found(folder: Path, name: str, text: str) -> list[Diagnostic]:
    """Compile an example; lint is off, except for what the example is about."""
    folder.mkdir()
    rule = all_rules()[name]
    for file, content in explanations()[name].files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content)
    (folder / "main.thrift").write_text(text)
    levels: dict[str, Level] = {name: rule.severity} if rule.is_lint else {}
    if name == "suppression.unused":
        levels["type.byte"] = "note"  # what is not checked cannot be unused
    policy = Policy(levels=(Levels(levels),))
    path = folder / "main.thrift"
    if rule.category == "output":
        report = idlc.generate(path, policy=policy).report
    else:
        report = idlc.check(path, policy=policy).report
    return [each for each in report if each.severity != "note" or each.name == name]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_bad_example_has_the_finding_and_the_good_one_has_none(name: str, tmp_path: Path) -> None:
    each = explanations()[name]
    assert [(one.name, one.severity) for one in found(tmp_path / "bad", name, each.bad)] == [
        (name, all_rules()[name].severity)
    ]
    assert found(tmp_path / "good", name, each.good) == []


def test_all_diagnostics_are_explained() -> None:
    assert sorted(explanations()) == sorted(all_rules())
    assert {name for name, each in explanations().items() if not each.bad} == WITHOUT_EXAMPLES
    assert all(each.reason for each in explanations().values())


def reported_names() -> Iterator[str]:
    """Names of diagnostics in the sources: of checks, and in calls with a report."""
    for path in IDLC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            named = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
            places = {"error": 0, "warning": 0, "note": 0, "check": 0, "_report_error": 1}
            at = places.get(function)
            if at is not None and len(node.args) > at:
                named.append(node.args[at])
            elif function not in ("Diagnostic", "Hint", "replace"):
                continue
            yield from (
                each.value
                for each in named
                if isinstance(each, ast.Constant) and isinstance(each.value, str) and NAME.fullmatch(each.value)
            )


def test_all_names_in_the_sources_are_known() -> None:
    names = {*reported_names()}
    assert len(names) > 90
    assert names - all_rules().keys() == set()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "idlc", "explain", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_examples_and_configuration() -> None:
    done = run("type.byte")
    assert done.returncode == 0
    assert done.stdout.startswith("type.byte: warning (style, reported by `idlc lint`, has a fix)\n\n`byte` is the old")
    assert "Bad:\n    struct Pixel { 1: byte red }\n\nGood:\n    struct Pixel { 1: i8 red }\n" in done.stdout
    assert "    -W type.byte=off " in done.stdout
    assert run("field.id.duplicate").stdout.endswith(
        "It is an error that cannot be turned off, because no code can be generated.\n"
    )


def test_the_command_lists_names_and_suggests_some() -> None:
    assert [line.split()[0] for line in run().stdout.splitlines()] == [*all_rules(), *RULES]
    done = run("type.bite")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "Error: unknown diagnostic `type.bite`; did you mean `type.byte`?",
    )
    done = run("union")
    assert done.stderr.splitlines()[-1] == (
        "Error: 'union' is not the name of one diagnostic: union.defaults, union.empty, union.required"
    )
