"""What a check is, and how checks are run.

A check is a function that looks at one file and yields what it finds. The decorator gives it its name, which is
stable (people search for it and configure by it), and says how bad it is. A module of checks is found by the entry
point group `idlc.checks`; every check in it runs. Adding a check is adding a function.

Checks see a linked model. What cannot be linked or evaluated at all is reported by the model's own passes.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from types import ModuleType

import msgspec

from idlc.diagnostics import Diagnostic, Fix, Label, Report, Severity
from idlc.model import Program
from idlc.source import Span

__all__ = ["Check", "Finding", "check", "checks_in", "run_checks"]


class Finding(msgspec.Struct, frozen=True):
    """What a check found; the parts mean what they mean in `Diagnostic`."""

    message: str
    span: Span
    note: str = ""
    labels: tuple[Label, ...] = ()
    help: str = ""
    fixes: tuple[Fix, ...] = ()


class Check(msgspec.Struct, frozen=True):
    """A rule about IDL files.

    Attributes:
        name: stable dotted name.
        severity: what a finding is.
        run: looks at one file.
    """

    name: str
    severity: Severity
    run: Callable[[Program], Iterator[Finding]]

    @property
    def doc(self) -> str:
        """What the rule is and why."""
        return (self.run.__doc__ or "").strip()


def check(name: str, severity: Severity) -> Callable[[Callable[[Program], Iterator[Finding]]], Check]:
    """Make a function a check."""

    def register(run: Callable[[Program], Iterator[Finding]]) -> Check:
        return Check(name, severity, run)

    return register


def checks_in(modules: Iterable[ModuleType]) -> list[Check]:
    """All checks of some modules, by name."""
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Check)}
    return sorted(found.values(), key=lambda check: check.name)


def run_checks(programs: Sequence[Program], report: Report, modules: Iterable[ModuleType] | None = None) -> None:
    """Judge all programs; warnings only about those that were asked for.

    Args:
        modules: where the checks are; by default, every module registered as `idlc.checks`.
    """
    checks = checks_in(_registered() if modules is None else modules)
    for program in programs:
        for rule in checks:
            if rule.severity == "error" or program.is_requested:
                for finding in rule.run(program):
                    report.add(_diagnostic(rule, finding))


def _diagnostic(rule: Check, finding: Finding) -> Diagnostic:
    return Diagnostic(
        name=rule.name,
        severity=rule.severity,
        message=finding.message,
        span=finding.span,
        note=finding.note,
        labels=finding.labels,
        help=finding.help,
        fixes=finding.fixes,
    )


def _registered() -> list[ModuleType]:
    from importlib.metadata import entry_points  # thirty milliseconds that a caller with its own modules need not pay

    registered = sorted(entry_points(group="idlc.checks"), key=lambda entry: entry.name)
    if registered:
        return [entry.load() for entry in registered]
    # A checkout that is not installed has no entry points: take the modules of this package.
    package = import_module("idlc.checks")
    return [import_module(f"idlc.checks.{module.name}") for module in pkgutil.iter_modules(package.__path__)]
