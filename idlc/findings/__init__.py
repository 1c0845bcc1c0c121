"""Control of findings: severities, suppressions, baselines and fixes."""

from idlc.findings.baseline import Baseline, BaselineError, BaselineFilter, read_baseline, write_baseline
from idlc.findings.catalogue import UnknownSelector, all_rules, require_known
from idlc.findings.fixes import FixPlan, SourceChanged, plan_fixes, unified_diff, write_fixes
from idlc.findings.judge import checked_by, judged
from idlc.findings.policy import Level, Levels, Policy, PolicyError

__all__ = [
    "Baseline",
    "BaselineError",
    "BaselineFilter",
    "FixPlan",
    "Level",
    "Levels",
    "Policy",
    "PolicyError",
    "SourceChanged",
    "UnknownSelector",
    "all_rules",
    "checked_by",
    "judged",
    "plan_fixes",
    "read_baseline",
    "require_known",
    "unified_diff",
    "write_baseline",
    "write_fixes",
]
