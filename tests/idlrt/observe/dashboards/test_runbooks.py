"""Every alert has a section in the docs, to which its annotation `runbook_url` links."""

from __future__ import annotations

import re
from pathlib import Path

from idlrt.observe.dashboards import THRESHOLDS, alert_names
from idlrt.observe.dashboards.objectives import RUNBOOKS

PAGE = (Path(__file__).parents[4] / RUNBOOKS).read_text(encoding="utf-8")


def test_every_alert_has_a_runbook() -> None:
    section = PAGE[PAGE.index("\n### Alerts\n") :]
    assert re.findall(r"^#### (Rpc\w+)$", section, re.MULTILINE) == list(alert_names())


def test_every_threshold_is_named() -> None:
    section = PAGE[PAGE.index("\n### Alerts\n") :]
    assert [name for name in THRESHOLDS if f"(`{name}`)" not in section] == []
