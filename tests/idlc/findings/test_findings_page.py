"""The page about findings lists the lint that there is, and all categories and formats."""

from __future__ import annotations

import re
from pathlib import Path

from idlc.cli.findings import FORMATS
from idlc.diagnostics import CATEGORIES
from idlc.findings import all_rules

PAGE = (Path(__file__).parents[3] / "docs" / "findings.md").read_text(encoding="utf-8")


def test_the_table_lists_all_lint() -> None:
    rows = re.findall(r"^\| `([a-z._]+)` \| (\w+) \| (yes)? ?\| (.*) \|$", PAGE, re.MULTILINE)
    assert [(name, category, bool(fix), summary) for name, category, fix, summary in rows] == [
        (rule.name, rule.category, rule.is_fixable, rule.summary) for rule in all_rules().values() if rule.is_lint
    ]


def test_all_categories_and_formats_are_described() -> None:
    assert [name for name in (*CATEGORIES, *FORMATS) if f"`{name}`" not in PAGE] == []
