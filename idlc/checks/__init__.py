"""Rules about IDL files beyond what linking needs, one module per topic."""

from idlc.checks.base import Check, Finding, check, checks_in, run_checks

__all__ = ["Check", "Finding", "check", "checks_in", "run_checks"]
