"""Control of findings: severities and which of them are reported."""

from idlc.findings.catalogue import UnknownSelector, all_rules
from idlc.findings.judge import judged
from idlc.findings.policy import Level, Levels, Policy, PolicyError

__all__ = ["Level", "Levels", "Policy", "PolicyError", "UnknownSelector", "all_rules", "judged"]
