"""Pipeline of `idlc lint`: load, parse, link, check; and the fixes of what is found."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from idlc.diagnostics import Report
from idlc.driver import FrontEnd, check_files
from idlc.findings import FixPlan, plan_fixes
from idlc.model import Program

__all__ = ["FixesRejected", "LintResult", "lint_files", "safe_plan"]


class FixesRejected(Exception):
    """A file with fixes would have more errors than before."""


class LintResult(msgspec.Struct, frozen=True):
    """Findings, and the files that they are in."""

    report: Report
    programs: Sequence[Program]


def lint_files(request: FrontEnd) -> LintResult:
    """Check files without generating code."""
    checked = check_files(request)
    return LintResult(checked.report(), checked.programs)


def safe_plan(request: FrontEnd, result: LintResult, *, with_unsafe: bool) -> tuple[FixPlan, LintResult]:
    """Return the fixes of a result that can be applied together, and the result of the fixed files.

    Args:
        with_unsafe: also apply fixes that may change what the IDL means.

    Raises:
        FixesRejected: the fixed files have more errors than before.
    """
    files = [program.source for program in result.programs if program.is_requested]
    plan = plan_fixes(result.report, files, with_unsafe=with_unsafe)
    texts = {**request.texts, **{file.path: text for file, text in plan.texts.items()}}
    fixed = lint_files(msgspec.structs.replace(request, texts=texts))
    if fixed.report.errors > result.report.errors:
        raise FixesRejected(", ".join(sorted(file.name for file in plan.texts)))
    return plan, fixed
