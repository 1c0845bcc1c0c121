"""Construction of the model: the three passes in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from idlc.diagnostics import Report
from idlc.model.constants import evaluate_constants
from idlc.model.gather import gather
from idlc.model.link import link
from idlc.model.program import Program
from idlc.source import Loader

__all__ = ["build"]


def build(paths: Sequence[Path], loader: Loader, report: Report, *, allow_negative_ids: bool = False) -> list[Program]:
    """Read files and everything that they include, and resolve all names.

    Errors do not stop the build. Declarations with errors are missing from the result, so do not generate code from it
    if the report has errors.

    Args:
        paths: requested files; a file that is given twice, or by two paths, counts once.
        allow_negative_ids: keep field ids that are zero or negative, instead of numbering those fields automatically.

    Returns:
        The requested files in the given order (with `is_requested`), then all included files, each after the files that
        it includes.
    """
    scopes = gather(paths, loader, report, allow_negative_ids=allow_negative_ids)
    link(scopes, report)
    evaluate_constants(scopes, report)
    for scope in scopes:
        scope.report_missing_includes(report)
    programs = [scope.program for scope in scopes]
    order: dict[Path, int] = {}
    for path in paths:
        order.setdefault(path.resolve(), len(order))
    requested = [program for program in programs if program.is_requested]
    requested.sort(key=lambda program: order.get(program.source.path, 0))
    return requested + [program for program in programs if not program.is_requested]
