"""Incompatible changes between two versions of an interface, and snapshots to compare with."""

from idlc.breaking.compare import compare
from idlc.breaking.describe import Described, describe, retire
from idlc.breaking.findings import Finding, Ignored, to_report
from idlc.breaking.rules import CATEGORIES, RULES, Category, Rule
from idlc.breaking.snapshot import FORMAT, Snapshot, SnapshotError, dump, load

__all__ = [
    "CATEGORIES",
    "FORMAT",
    "RULES",
    "Category",
    "Described",
    "Finding",
    "Ignored",
    "Rule",
    "Snapshot",
    "SnapshotError",
    "compare",
    "describe",
    "dump",
    "load",
    "retire",
    "to_report",
]
