"""Rules as Prometheus reads them (YAML).

Sources: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/ and
https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from idlrt.observe.dashboards.model import Group, Recording, Rule
from idlrt.observe.dashboards.objectives import Objectives
from idlrt.observe.dashboards.yaml_text import yaml_text

__all__ = ["rules_yaml"]


def rules_yaml(groups: Iterable[Group], objectives: Objectives, comment: str) -> str:
    """Return the text of a file of rules.

    Args:
        groups: the rules.
        objectives: labels, severities and runbooks of the alerts.
        comment: lines at its start.
    """
    found = [{"name": each.name, "rules": [_rule(rule, objectives) for rule in each.rules]} for each in groups]
    return yaml_text({"groups": found}, comment)


def _rule(rule: Rule, objectives: Objectives) -> dict[str, Any]:
    if isinstance(rule, Recording):
        return {"record": rule.record, "expr": rule.expr, **({"labels": dict(rule.labels)} if rule.labels else {})}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        **({"for": rule.wait} if rule.wait else {}),
        "labels": {"severity": objectives.severity(rule.severity), **rule.labels, **objectives.labels},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{objectives.runbooks}#{rule.name.lower()}",
        },
    }
