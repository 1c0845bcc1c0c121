"""Formats for programs: what is rendered is parsed back, and says the same as the diagnostics."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from sarif_kit.validate import validation_errors

from idlc.checks import fields, run_checks
from idlc.diagnostics import Diagnostic, Fix, Label, Report, Rule, render_github, render_json, render_sarif
from idlc.model import build
from idlc.source import Loader, SourceFile, Span

TEXT = """\
struct User {
  1: i64 id
  1: byte nme,
}
typedef Uzer Other
"""
RULES = [
    Rule(name="field.id.duplicate", severity="error", summary="Field ids are unique."),
    Rule(name="type.byte", severity="warning", category="style", summary="`byte` is old.", is_fixable=True),
]


def found(folder: Path, name: str = "user.thrift", text: str = TEXT) -> Report:
    report = Report()
    path = folder / name
    run_checks(build([path], Loader(overlay={path: text}), report), report, [fields])
    return report


def as_github(command: str) -> tuple[str, dict[str, str], str]:
    """Parse a workflow command as the runner does (actions/runner, `ActionCommand.TryParseV2`)."""
    match = re.fullmatch(r"::(\w+)(?: ([^\n]*?))?::([^\n]*)", command)
    assert match is not None, command
    properties = dict(each.split("=", 1) for each in match[2].split(",") if each)

    def data(text: str) -> str:
        return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")

    def value(text: str) -> str:
        return data(text.replace("%3A", ":").replace("%2C", ","))

    return match[1], {key: value(text) for key, text in properties.items()}, data(match[3])


def test_json_has_everything_that_a_diagnostic_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = found(tmp_path)
    document = json.loads(render_json(report, tool_version="1.2"))
    assert document["version"] == 1
    assert document["tool"] == {"name": "idlc", "version": "1.2"}
    assert document["counts"] == {"errors": report.errors, "warnings": report.warnings, "notes": report.notes}
    lines = TEXT.splitlines()
    for diagnostic, each in zip(report, document["diagnostics"], strict=True):
        assert (each["name"], each["severity"]) == (diagnostic.name, diagnostic.severity)
        assert (each["message"], each["help"], each["note"]) == (diagnostic.message, diagnostic.help, diagnostic.note)
        start, end = each["span"]["start"], each["span"]["end"]
        assert each["span"]["file"] == "user.thrift"
        shown = lines[start["line"] - 1][start["column"] - 1 : end["column"] - 1]
        assert diagnostic.span is not None
        assert shown == diagnostic.span.text == TEXT[start["offset"] : end["offset"]]
        assert [label["text"] for label in each["labels"]] == [label.text for label in diagnostic.labels]
        assert [(fix["text"], fix["is_safe"]) for fix in each["fixes"]] == [
            (fix.text, fix.is_safe) for fix in diagnostic.fixes
        ]
    assert {each["name"] for each in document["diagnostics"]} >= {"field.id.duplicate", "typedef.undefined"}


def test_json_of_no_findings_is_a_document() -> None:
    assert json.loads(render_json(Report(), tool_version="1"))["diagnostics"] == []


def test_json_without_a_file_and_with_characters_that_cannot_be_encoded() -> None:
    report = Report()
    report.error("file.missing", "no such file: `\udcff`", None)
    (each,) = json.loads(render_json(report, tool_version="1"))["diagnostics"]
    assert (each["span"], each["message"]) == (None, "no such file: `?`")


def test_github_commands_are_parsed_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = found(tmp_path, "50%, of: it.thrift")
    commands = render_github(report).splitlines()
    for diagnostic, command in zip(report, commands, strict=True):
        kind, properties, text = as_github(command)
        assert diagnostic.span is not None
        place, end = diagnostic.span.position, diagnostic.span.file.position(diagnostic.span.end)
        assert kind == {"error": "error", "warning": "warning", "note": "notice"}[diagnostic.severity]
        assert properties == {
            "file": "50%, of: it.thrift",
            "line": str(place.line),
            "endLine": str(end.line),
            "col": str(place.column),
            "endColumn": str(end.column),
            "title": diagnostic.name,
        }
        assert text == diagnostic.message + (f"\nhelp: {diagnostic.help}" if diagnostic.help else "")


def test_github_commands_escape_line_ends_and_percent_signs() -> None:
    file = SourceFile(Path("/a.thrift"), "a\nb\n", name="a.thrift")
    span = Span(file, 0, 3)
    (command,) = render_github([Diagnostic(name="x.y", message="100%\r\n::error::no", span=span)]).splitlines()
    assert command == "::error file=a.thrift,line=1,endLine=2,title=x.y::100%25%0D%0A::error::no"
    assert as_github(command)[2] == "100%\r\n::error::no"
    (command,) = render_github([Diagnostic(name="x.y", message="no file", span=None, severity="note")]).splitlines()
    assert command == "::notice title=x.y::no file"


@pytest.mark.parametrize("name", ["user.thrift", "sub folder/ünï#1.thrift"])
def test_sarif_is_valid_and_locates_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    report = found(tmp_path, name)
    log = json.loads(render_sarif(report, RULES, tool_version="0.3.dev1", root=tmp_path))
    assert validation_errors(log) == []
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["version"], driver["semanticVersion"]) == ("0.3.dev1", "0.3.0")
    root = urlsplit(run["originalUriBaseIds"]["%SRCROOT%"]["uri"])
    assert unquote(root.path) == f"{tmp_path}/"
    lines = TEXT.splitlines()
    for diagnostic, result in zip(report, run["results"], strict=True):
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == diagnostic.name
        assert result["level"] == diagnostic.severity
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
        assert tmp_path / unquote(place["artifactLocation"]["uri"]) == tmp_path / name
        region = place["region"]
        shown = lines[region["startLine"] - 1][region["startColumn"] - 1 : region["endColumn"] - 1]
        assert diagnostic.span is not None
        assert shown == diagnostic.span.text
        assert len(result.get("relatedLocations", ())) == len(diagnostic.labels)
        edits = [
            edit for fix in result.get("fixes", ()) for each in fix["artifactChanges"] for edit in each["replacements"]
        ]
        assert [edit["insertedContent"]["text"] for edit in edits] == [fix.text for fix in diagnostic.fixes]
    described = {rule["id"]: rule for rule in driver["rules"]}
    assert described["type.byte"]["defaultConfiguration"] == {"level": "warning", "enabled": False}
    assert described["field.id.duplicate"]["defaultConfiguration"] == {"level": "error", "enabled": True}


def test_sarif_of_nothing_and_of_findings_without_a_file_is_valid(tmp_path: Path) -> None:
    assert validation_errors(json.loads(render_sarif(Report(), RULES, tool_version="1", root=tmp_path))) == []
    report = Report()
    report.error("file.missing", "no such file: `a`", None)
    elsewhere = SourceFile(Path("/elsewhere/a.thrift"), "struct A {}", name="/elsewhere/a.thrift")
    span = Span(elsewhere, 0, 6)
    report.warning("x.y", "w", span, labels=(Label(span, "here"),), fixes=(Fix(span, "union"), Fix(span, "enum")))
    log = json.loads(render_sarif(report, RULES, tool_version="1", root=tmp_path))
    assert validation_errors(log) == []
    first, second = log["runs"][0]["results"]
    assert "locations" not in first
    artifact = second["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": "file:///elsewhere/a.thrift"}


def test_the_validator_finds_errors(tmp_path: Path) -> None:
    log = json.loads(render_sarif(found(tmp_path), RULES, tool_version="1", root=tmp_path))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert validation_errors(log) != []


def marks(report: Report, root: Path) -> list[str]:
    log = json.loads(render_sarif(report, (), tool_version="1", root=root))
    return [result["partialFingerprints"]["idlcFinding/v1"] for result in log["runs"][0]["results"]]


def test_fingerprints_survive_edits_elsewhere_and_are_unique(tmp_path: Path) -> None:
    text = "struct A {\n  1: Uzer a\n}\nstruct B {\n  1: Uzer a\n}\n"
    before = marks(found(tmp_path, text=text), tmp_path)
    assert len(before) == len(set(before)) == 2
    moved = "\n\nenum E { A }\n" + text.replace("  1: Uzer a", "\t1:  Uzer a")
    assert marks(found(tmp_path, text=moved), tmp_path) == before
    assert marks(found(tmp_path, text=text.replace("Uzer a", "Uzer b")), tmp_path) != before


def idlc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "idlc", *arguments, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_documents_are_all_of_standard_output(tmp_path: Path) -> None:
    (tmp_path / "bad.thrift").write_text(TEXT)
    (tmp_path / "good.thrift").write_text("struct A {}\n")
    done = idlc(tmp_path, "bad.thrift", "--error-format", "json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["counts"]["errors"] == 1
    done = idlc(tmp_path, "good.thrift", "--error-format", "sarif")
    assert (done.returncode, done.stderr) == (0, "")
    assert validation_errors(json.loads(done.stdout)) == []
    done = idlc(tmp_path, "bad.thrift", "--error-format", "github")
    assert (done.returncode, done.stdout) == (1, "")
    assert {as_github(line)[0] for line in done.stderr.splitlines()} >= {"error"}


def test_errors_are_limited_and_counted(tmp_path: Path) -> None:
    (tmp_path / "bad.thrift").write_text("".join(f"struct A{number} {{ 1: Uzer a }}\n" for number in range(5)))
    done = idlc(tmp_path, "bad.thrift", "--error-format", "short", "--max-errors", "2")
    assert done.returncode == 1
    assert done.stderr.splitlines()[2:] == ["3 more errors not shown (--max-errors 2)"]
    done = idlc(tmp_path, "bad.thrift", "--max-errors", "4")
    assert done.stderr.splitlines()[-2:] == ["1 more error not shown (--max-errors 4)", "5 errors"]
    done = idlc(tmp_path, "bad.thrift", "--error-format", "json", "--max-errors", "2")
    assert (json.loads(done.stdout)["counts"]["errors"], done.stderr) == (5, "")


def test_the_old_option_warns(tmp_path: Path) -> None:
    (tmp_path / "good.thrift").write_text("struct A {}\n")
    done = idlc(tmp_path, "good.thrift", "--format", "short")
    assert (done.returncode, done.stderr) == (0, "warning: --format is deprecated; use --error-format\n")
