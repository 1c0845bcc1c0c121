"""Definition and execution of checks.

A check is a function that examines one file and yields findings. A decorator gives it a name, which is stable because
users search for it and configure checks by it, and a severity. Modules with checks are registered in the entry point
group `idlc.checks`; all checks of a registered module run. To add a check, add a function.

Checks run on a linked model. Errors that prevent linking or evaluation are reported by the passes of the model.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType

import msgspec

from idlc.diagnostics import Category, Diagnostic, Fix, Label, Report, Rule, Severity
from idlc.model import Program
from idlc.source import Span

__all__ = ["Check", "Finding", "check", "checks_in", "registered_checks", "run_checks"]


class Finding(msgspec.Struct, frozen=True):
    """Result of a check: a `Diagnostic` without the name of the check.

    Attributes:
        severity: its severity if it is not that of the check: what is an error in annotations of our own may be a
            warning in those of other tools, which accept it.
    """

    message: str
    span: Span
    note: str = ""
    labels: tuple[Label, ...] = ()
    help: str = ""
    fixes: tuple[Fix, ...] = ()
    severity: Severity | None = None


class Check(msgspec.Struct, frozen=True):
    """A rule about IDL files.

    Attributes:
        name: stable dotted name.
        severity: severity of its findings, unless they have one of their own.
        run: function that examines one file.
        category: what it is about. All but `correctness` are lint, which is off by default when files are compiled.
        is_fixable: whether some of its findings have fixes.
    """

    name: str
    severity: Severity
    run: Callable[[Program], Iterator[Finding]]
    category: Category = "correctness"
    is_fixable: bool = False

    @property
    def doc(self) -> str:
        """Description of the rule and its reason."""
        return (self.run.__doc__ or "").strip()

    @property
    def rule(self) -> Rule:
        """Description of the findings of the check."""
        return Rule(
            name=self.name,
            severity=self.severity,
            category=self.category,
            summary=self.doc.partition("\n")[0],
            is_fixable=self.is_fixable,
        )


def check(
    name: str, severity: Severity, category: Category = "correctness", *, is_fixable: bool = False
) -> Callable[[Callable[[Program], Iterator[Finding]]], Check]:
    """Decorate a function as a check."""

    def register(run: Callable[[Program], Iterator[Finding]]) -> Check:
        return Check(name, severity, run, category, is_fixable)

    return register


def checks_in(modules: Iterable[ModuleType]) -> list[Check]:
    """Return all checks of some modules, sorted by name."""
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Check)}
    return sorted(found.values(), key=lambda check: check.name)


def registered_checks() -> list[Check]:
    """Return the checks of all modules registered in `idlc.checks`, sorted by name."""
    return checks_in(_registered())


def run_checks(
    programs: Sequence[Program],
    report: Report,
    modules: Iterable[ModuleType] | None = None,
    *,
    is_enabled: Callable[[Rule], bool] | None = None,
) -> None:
    """Check all programs. Programs that are only included are checked for errors, but not for warnings.

    Args:
        modules: modules with checks; by default, all modules registered in `idlc.checks`.
        is_enabled: decides which checks run; by default, all of them do.
    """
    checks = [
        each
        for each in (registered_checks() if modules is None else checks_in(modules))
        if is_enabled is None or is_enabled(each.rule)
    ]
    for program in programs:
        for rule in checks:
            if rule.severity == "error" or program.is_requested:
                for finding in rule.run(program):
                    if program.is_requested or finding.severity in (None, "error"):
                        report.add(_diagnostic(rule, finding))


def _diagnostic(rule: Check, finding: Finding) -> Diagnostic:
    return Diagnostic(
        name=rule.name,
        severity=finding.severity or rule.severity,
        message=finding.message,
        span=finding.span,
        note=finding.note,
        labels=finding.labels,
        help=finding.help,
        fixes=finding.fixes,
    )


@cache
def _registered() -> list[ModuleType]:
    from importlib.metadata import entry_points  # takes 30 ms, which callers with their own modules save

    registered = sorted(entry_points(group="idlc.checks"), key=lambda entry: entry.name)
    if registered:
        return [entry.load() for entry in registered]
    # A checkout that is not installed has no entry points: use the modules of this package.
    package = import_module("idlc.checks")
    return [import_module(f"idlc.checks.{module.name}") for module in pkgutil.iter_modules(package.__path__)]
