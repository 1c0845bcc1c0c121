"""Checks of linked IDL files, beyond the errors that linking reports; one module per topic."""

from idlc.checks.base import Check, Finding, check, checks_in, registered_checks, run_checks

__all__ = ["Check", "Finding", "check", "checks_in", "registered_checks", "run_checks"]
