"""Application of suppressions and of a policy to a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from idlc.diagnostics import Diagnostic, Report, Rule
from idlc.findings.catalogue import all_rules
from idlc.findings.policy import Policy

if TYPE_CHECKING:
    from idlc.model import Program

__all__ = ["checked_by", "judged", "relative", "rule_of"]


def judged(
    report: Report,
    policy: Policy,
    root: Path,
    programs: Iterable[Program] = (),
    *,
    has_output: bool = True,
    accept: Callable[[Diagnostic], Diagnostic | None] | None = None,
) -> Report:
    """Return the findings that are reported, with the severities that a policy gives them.

    Args:
        root: folder that paths of the policy are relative to.
        programs: files whose suppressions apply.
        has_output: whether code was generated, so that suppressions of findings about it can be unused.
        accept: decides which of the findings, errors aside, are reported, as a baseline does.
    """
    from idlc.findings.suppression import suppressed  # slow to import; an up-to-date compile does not need it

    is_checked = checked_by(policy, root, has_output=has_output)
    kept, own = suppressed(report, [program for program in programs if program.is_requested], is_checked)
    for diagnostic in own:
        kept.add(diagnostic)
    result = Report()
    for diagnostic in kept:
        path = relative(diagnostic.span.file.path, root) if diagnostic.span is not None else ""
        rule = rule_of(diagnostic)
        found = policy.judge(diagnostic, rule, path)
        if found is not None and accept is not None and (diagnostic.severity != "error" or rule.is_lint):
            found = accept(found)
        if found is not None:
            result.add(found)
    return result


def checked_by(policy: Policy, root: Path, *, has_output: bool) -> Callable[[Rule, Path], bool]:
    """Return a function that tells whether a policy reports the findings of a rule in a file."""

    def is_checked(rule: Rule, path: Path) -> bool:
        if rule.category == "output" and not has_output:
            return False
        return policy.may_report(rule) and policy.level(rule, relative(path, root)) != "off"

    return is_checked


def rule_of(diagnostic: Diagnostic) -> Rule:
    """Return the rule of a diagnostic; that of a plugin may be unknown."""
    known = all_rules().get(diagnostic.name)
    return known if known is not None else Rule(name=diagnostic.name, severity=diagnostic.severity)


def relative(path: Path, root: Path) -> str:
    """Return a path relative to a folder, with `/`."""
    try:
        return os.path.relpath(path, root).replace(os.sep, "/")
    except ValueError:  # another drive
        return path.as_posix()
