"""Diagnostics about IDL files, collected in a report, and their formats."""

from idlc.diagnostics.diagnostic import Diagnostic, Fix, Label, Severity
from idlc.diagnostics.fingerprint import Identity, fingerprint, identity
from idlc.diagnostics.github_format import render_github
from idlc.diagnostics.json_format import render_json
from idlc.diagnostics.render import render, render_short, summary
from idlc.diagnostics.report import Report
from idlc.diagnostics.rule import CATEGORIES, LINT, Category, Rule
from idlc.diagnostics.sarif_format import render_sarif

__all__ = [
    "CATEGORIES",
    "LINT",
    "Category",
    "Diagnostic",
    "Fix",
    "Identity",
    "Label",
    "Report",
    "Rule",
    "Severity",
    "fingerprint",
    "identity",
    "render",
    "render_github",
    "render_json",
    "render_sarif",
    "render_short",
    "summary",
]
