"""Expected diagnostics of invalid IDL files, word for word.

Each file under `cases/` holds one or more IDL files after lines `--- name`, then `--- report` and the expected text.
`main.thrift` is compiled. After changing messages on purpose run once with `IDLC_GOLDEN=update` and read the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from idlc.checks import annotations as annotation_names
from idlc.checks import (
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
from idlc.diagnostics import Report, render, summary
from idlc.model import build
from idlc.source import Loader

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))
MODULES = [
    annotation_names,
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


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^--- (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_report_reads_as_expected(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = sections(case.read_text(encoding="utf-8"))
    expected = found.pop("report", "")
    report = Report()
    loader = Loader(overlay={Path(name): text for name, text in found.items()})
    run_checks(build([Path("main.thrift")], loader, report), report, MODULES)
    actual = f"{render(report)}\n{summary(report)}\n"
    if os.environ.get("IDLC_GOLDEN") == "update":
        inputs = "".join(f"--- {name}\n{text}" for name, text in found.items())
        case.write_text(f"{inputs}--- report\n{actual}", encoding="utf-8")
        expected = actual
    assert actual == expected


def test_there_are_cases() -> None:
    assert len(CASES) > 30
