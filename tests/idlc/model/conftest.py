from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from idlc.diagnostics import Report
from idlc.model import Program, build
from idlc.source import Loader

Build = Callable[..., tuple[list[Program], Report]]


@pytest.fixture
def build_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build `main.thrift`; other files by their names, `a/b.thrift` as the keyword `**{"a/b.thrift": text}`."""
    monkeypatch.chdir(tmp_path)

    def build_files(
        main: str, *, include_dirs: tuple[str, ...] = (), allow_negative_ids: bool = False, **others: str
    ) -> tuple[list[Program], Report]:
        report = Report()
        overlay = {Path(name): text for name, text in {"main.thrift": main, **others}.items()}
        loader = Loader([Path(folder) for folder in include_dirs], overlay=overlay)
        programs = build([Path("main.thrift")], loader, report, allow_negative_ids=allow_negative_ids)
        return programs, report

    return build_files


@pytest.fixture
def build_well(build_files: Build) -> Callable[..., Program]:
    """Build files without errors; return the main one."""

    def build_well(main: str, **others: str) -> Program:
        programs, report = build_files(main, **others)
        assert [diagnostic.message for diagnostic in report if diagnostic.severity == "error"] == []
        return programs[0]

    return build_well
