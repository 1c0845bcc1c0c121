"""The three passes, in order."""

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
    """Read files and everything they include, and resolve every name.

    It goes on after errors: what they leave out is missing from the result, so generate nothing from it when the
    report has errors.

    Args:
        paths: the files asked for; one that is given twice, or by two paths, counts once.
        allow_negative_ids: keep field ids that are zero or negative, instead of numbering those fields automatically.

    Returns:
        The files asked for, in the order given (their `is_requested` is true); then every file reached by includes,
        each after those it includes itself.
    """
    scopes = gather(paths, loader, report, allow_negative_ids=allow_negative_ids)
    link(scopes, report)
    evaluate_constants(scopes, report)
    for scope in scopes:
        scope.report_unfound(report)
    programs = [scope.program for scope in scopes]
    order: dict[Path, int] = {}
    for path in paths:
        order.setdefault(path.resolve(), len(order))
    asked_for = [program for program in programs if program.is_requested]
    asked_for.sort(key=lambda program: order.get(program.source.path, 0))
    return asked_for + [program for program in programs if not program.is_requested]
