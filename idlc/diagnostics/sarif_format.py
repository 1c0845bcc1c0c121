"""SARIF rendering of diagnostics: one run in the format of static analysis tools.

Source: "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", OASIS Standard with errata 01. Locations are
relative to the base `%SRCROOT%`, as GitHub code scanning expects it; columns are Unicode code points. Fingerprints
identify a finding while its file is edited elsewhere.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from idlc.diagnostics.diagnostic import Diagnostic, Fix, Label
from idlc.diagnostics.fingerprint import Identity, fingerprint, identity
from idlc.diagnostics.report import Report
from idlc.diagnostics.rule import Rule
from idlc.source import SourceFile, Span

__all__ = ["render_sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_BASE = "%SRCROOT%"


def render_sarif(report: Report, rules: Iterable[Rule], *, tool_version: str, root: Path) -> str:
    """Return a report as a SARIF log, with a line end.

    Args:
        rules: kinds of diagnostics that are described in the log; others only have their names.
        root: absolute path of the folder that locations are relative to.
    """
    known = {rule.name: rule for rule in rules}
    names = sorted({*known, *(found.name for found in report)})
    index = {name: position for position, name in enumerate(names)}
    seen: Counter[Identity] = Counter()
    results: list[dict[str, Any]] = []
    for found in report:
        same = identity(found, root)
        results.append(_result(found, index[found.name], fingerprint(same, seen[same]), root))
        seen[same] += 1
    driver = {
        "name": "idlc",
        "semanticVersion": _semantic(tool_version),
        "version": tool_version,
        "rules": [_rule(name, known.get(name)) for name in names],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_BASE: {"uri": f"{_absolute_uri(root)}/"}},
        "invocations": [{"executionSuccessful": True}],
        "results": results,
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(log), indent=2).decode() + "\n"


def _semantic(version: str) -> str:
    """Return the release of a version in the form of Semantic Versioning, `major.minor.patch`."""
    release = [part for part in version.split(".") if part.isdecimal()][:3]
    return ".".join([*release, "0", "0", "0"][:3])


def _rule(name: str, rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {"id": name}
    return {
        "id": name,
        "shortDescription": {"text": rule.summary or name},
        "help": {"text": f"{rule.summary or name}\n\n`idlc explain {name}` shows examples."},
        "defaultConfiguration": {"level": rule.severity, "enabled": not rule.is_lint},
        "properties": {"category": rule.category, "tags": [rule.category]},
    }


def _result(found: Diagnostic, index: int, mark: str, root: Path) -> dict[str, Any]:
    text = f"{found.message}\nhelp: {found.help}" if found.help else found.message
    result: dict[str, Any] = {
        "ruleId": found.name,
        "ruleIndex": index,
        "level": found.severity,
        "message": {"text": _text(text)},
        "partialFingerprints": {"idlcFinding/v1": mark},
    }
    if found.span is not None:
        result["locations"] = [{"physicalLocation": _location(found.span, root)}]
    if found.labels:
        result["relatedLocations"] = [_related(number, label, root) for number, label in enumerate(found.labels)]
    if found.fixes:
        result["fixes"] = [_fix(found, root)]
    return result


def _related(number: int, label: Label, root: Path) -> dict[str, Any]:
    return {"id": number, "message": {"text": _text(label.text)}, "physicalLocation": _location(label.span, root)}


def _fix(found: Diagnostic, root: Path) -> dict[str, Any]:
    by_file: dict[Path, list[Fix]] = {}
    for fix in found.fixes:
        by_file.setdefault(fix.span.file.path, []).append(fix)
    return {
        "description": {"text": _text(found.help or "apply the suggested edit")},
        "artifactChanges": [_change(fixes, root) for fixes in by_file.values()],
    }


def _change(fixes: Sequence[Fix], root: Path) -> dict[str, Any]:
    return {
        "artifactLocation": _artifact(fixes[0].span.file, root),
        "replacements": [
            {"deletedRegion": _region(fix.span), "insertedContent": {"text": _text(fix.text)}} for fix in fixes
        ],
    }


def _location(span: Span, root: Path) -> dict[str, Any]:
    return {"artifactLocation": _artifact(span.file, root), "region": _region(span)}


def _region(span: Span) -> dict[str, int]:
    start, end = span.position, span.file.position(span.end)
    return {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    }


def _artifact(file: SourceFile, root: Path) -> dict[str, str]:
    try:
        relative = file.path.relative_to(root)
    except ValueError:
        return {"uri": _absolute_uri(file.path)}
    return {"uri": quote(os.fsencode(relative.as_posix())), "uriBaseId": _BASE}


def _absolute_uri(path: Path) -> str:
    return path.as_uri().rstrip("/")


def _text(text: str) -> str:
    """Replace lone surrogates, which JSON in UTF-8 cannot represent."""
    return text.encode("utf-8", "replace").decode()
