"""Control of findings: severities, suppressions and fixes."""

from idlc.findings.catalogue import UnknownSelector, all_rules, require_known
from idlc.findings.fixes import FixPlan, SourceChanged, plan_fixes, unified_diff, write_fixes
from idlc.findings.judge import judged
from idlc.findings.policy import Level, Levels, Policy, PolicyError

__all__ = [
    "FixPlan",
    "Level",
    "Levels",
    "Policy",
    "PolicyError",
    "SourceChanged",
    "UnknownSelector",
    "all_rules",
    "judged",
    "plan_fixes",
    "require_known",
    "unified_diff",
    "write_fixes",
]
