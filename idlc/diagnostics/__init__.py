"""Diagnostics about IDL files, collected in a report and rendered as text."""

from idlc.diagnostics.diagnostic import Diagnostic, Fix, Label, Severity
from idlc.diagnostics.render import render, render_short, summary
from idlc.diagnostics.report import Report

__all__ = ["Diagnostic", "Fix", "Label", "Report", "Severity", "render", "render_short", "summary"]
