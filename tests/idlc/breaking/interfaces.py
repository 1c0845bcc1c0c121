"""Interfaces from texts, and their comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from idlc.breaking import Described, Finding, compare, describe
from idlc.diagnostics import Report, render_short
from idlc.model import build
from idlc.source import Loader


def described(folder: str = "new", **texts: str) -> Described:
    """Describe IDL files that exist in memory only; the name of a file is that of its keyword."""
    root = Path("/idl") / folder
    overlay = {root / f"{name}.idl": text for name, text in texts.items()}
    report = Report()
    programs = build([*overlay], Loader(overlay=overlay), report)
    assert not report.has_errors, [render_short(each) for each in report]
    return describe(programs, lambda program: program.source.path.name)


def compare_texts(old: str, new: str, **options: Any) -> list[Finding]:
    """Compare two versions of one file."""
    return compare(described("old", shop=old), described(shop=new), **options)
