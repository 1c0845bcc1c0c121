"""Dashboards for Grafana and rules for Prometheus, generated from one description.

- `model`: descriptions; `objectives`: their parameters; `expressions`: parts of expressions.
- `overview`, `service`, `resources`, `governance`: the dashboards; `variables`: what they share.
- `recording`, `burn_rates`, `alerts`: the rules.
- `grafana`, `rules_file`, `yaml_text`: their formats; `examples`: configuration to start with; `files`: all of them.
"""

from __future__ import annotations

from idlrt.observe.dashboards.alerts import alert_groups, alert_names
from idlrt.observe.dashboards.files import all_dashboards, monitoring_files, outdated_files, write_files
from idlrt.observe.dashboards.objectives import THRESHOLDS, LatencyObjective, Objectives, Threshold
from idlrt.observe.dashboards.recording import recording_groups

__all__ = [
    "THRESHOLDS",
    "LatencyObjective",
    "Objectives",
    "Threshold",
    "alert_groups",
    "alert_names",
    "all_dashboards",
    "monitoring_files",
    "outdated_files",
    "recording_groups",
    "write_files",
]
