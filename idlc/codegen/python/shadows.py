"""Warn about packages of stubs that another module or package of the same name shadows.

Parents of a package get no `__init__.py`: with one, two output folders would hide each other's packages. So a regular
package of a parent's name hides what is below it, wherever it stands in the module path.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from idlc.codegen.python.layout import Layout
from idlc.codegen.python.packages import Package
from idlc.codegen.python.reserved import reserved_by
from idlc.codegen.target import TargetOptions
from idlc.diagnostics import Report
from idlc.files import readable
from idlc.model import Program
from idlc.source import Span

__all__ = ["report_shadows"]


def report_shadows(layout: Layout, programs: Iterable[Program], report: Report, options: TargetOptions) -> None:
    """Add a warning for each package, or parent of one, whose name another module or package has.

    Args:
        programs: those that are written.
    """
    checked: set[tuple[str, ...]] = set()
    nested = len(options.package.split(".")) if options.package else 0
    for program in sorted(programs, key=lambda program: not program.is_requested):
        parts = layout.module(program).package
        for length in range(1, len(parts) + 1):
            prefix = parts[:length]
            if prefix in checked:
                continue
            checked.add(prefix)
            what = _shadow(prefix, layout.packages.get(prefix), options)
            if what:
                is_chosen = length <= nested
                report.warning(
                    "python.package.shadowed",
                    f"package `{'.'.join(prefix)}` is also {what}; Python finds only one of them",
                    None if is_chosen else _namespace(program),
                    help="choose another --package"
                    if is_chosen
                    else "choose another name with `namespace py ...`, or nest all stubs with `--package NAME`",
                )
                break


def _shadow(prefix: tuple[str, ...], package: Package | None, options: TargetOptions) -> str:
    """Describe the module or package that has the same name; empty if there is none."""
    reserved = reserved_by(prefix[0]) if len(prefix) == 1 else ""
    if reserved:
        return reserved
    if package is None and options.existing(PurePosixPath(*prefix, "__init__.py")) is not None:
        return ""  # the stubs are put into a package that the user has made
    found = options.elsewhere(prefix)
    return f"at {readable(found)}" if found else ""


def _namespace(program: Program) -> Span:
    """Return the span of the `namespace` statement of a file; its start if there is none."""
    for scope in ("py", "python", "*"):
        for namespace in program.namespaces:
            if namespace.scope == scope:
                return namespace.span
    return Span(program.source, 0, 0)
