"""Findings of a comparison, and their conversion to diagnostics."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import unquote

import msgspec

from idlc.breaking.describe import Described
from idlc.breaking.places import Part, place_of, start_of
from idlc.breaking.rules import CATEGORIES, RULES, Category, rule
from idlc.breaking.wire import NEITHER, Flows
from idlc.diagnostics import Diagnostic, Label, Report
from idlc.source import Span

__all__ = ["Finding", "Findings", "Ignored", "to_report"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """An incompatible change.

    Attributes:
        rule: name of the rule.
        categories: categories that it belongs to, in the order of `CATEGORIES`.
        flows: directions in which values do not survive in `binary` and `compact`; for functions, an old writer and a
            new reader are also an old client and a new server.
        file: path of the file in the new snapshot, or in the old one if the file was removed.
        element: name in the file, `Order.note`; empty for a finding about the file.
        span: place in the new source.
        before: place in the old source.
    """

    rule: str
    categories: tuple[Category, ...]
    message: str
    flows: Flows = NEITHER
    file: str
    element: str = ""
    help: str = ""
    span: Span | None = None
    before: Span | None = None
    was: str = ""


class Findings:
    """The findings of a comparison, as the rules add them."""

    def __init__(self, old: Described, new: Described) -> None:
        self.old = old
        self.new = new
        self.found: list[Finding] = []

    def add(
        self,
        name: str,
        message: str,
        *,
        new: str,
        old: str = "",
        part: Part = "name",
        categories: Iterable[Category] | None = None,
        flows: Flows = NEITHER,
        help: str = "",
        was: str = "",
    ) -> None:
        """Add a finding about a declaration.

        Args:
            name: name of the rule, without `breaking.`.
            new: key of the new declaration, or of the nearest one around a removed one.
            old: key of the old declaration.
            part: part of both that is marked.
            categories: by default, all of the rule.
            was: text at the place in the old source.
        """
        kind = rule(name)
        chosen = kind.categories if categories is None else {*categories}
        if not chosen:
            return
        path, _, element = new.partition("#")
        self.found.append(
            Finding(
                rule=kind.name,
                categories=tuple(each for each in CATEGORIES if each in chosen),
                message=message,
                flows=flows,
                file=unquote(path),
                element=old.partition("#")[2] if old and name.endswith("removed") else element,
                help=help,
                span=place_of(self.new, new, part),
                before=place_of(self.old, old, part) if old else None,
                was=was,
            )
        )

    def add_to_file(
        self,
        name: str,
        message: str,
        *,
        path: str,
        old: str = "",
        old_path: str = "",
        scope: str = "",
        element: str = "",
        categories: Iterable[Category] | None = None,
        flows: Flows = NEITHER,
        help: str = "",
        was: str = "",
    ) -> None:
        """Add a finding about a file, or about a declaration that was removed from it.

        Args:
            path: path of the file in the new snapshot, or in the old one.
            old: key of the removed declaration.
            old_path: path of the file in the old snapshot; not with `old`.
            scope: scope of the namespace that is marked.
        """
        kind = rule(name)
        chosen = kind.categories if categories is None else {*categories}
        program, earlier = self.new.programs.get(path), self.old.programs.get(old_path)
        before = place_of(self.old, old) if old else None
        if earlier is not None:
            before = start_of(earlier, scope)
        self.found.append(
            Finding(
                rule=kind.name,
                categories=tuple(each for each in CATEGORIES if each in chosen),
                message=message,
                flows=flows,
                file=path,
                element=element or old.partition("#")[2],
                help=help,
                span=start_of(program, scope) if program is not None else None,
                before=before,
                was=was,
            )
        )


class Ignored(msgspec.Struct, frozen=True):
    """Findings that are expected: `RULE`, or `RULE:PLACE`, both with `*` for any text.

    Attributes:
        rule: pattern of names of rules, with or without `breaking.`.
        place: pattern of paths or of their ends (`internal/*.idl`), or of elements (`Order.note`).
    """

    rule: str
    place: str = "*"

    @classmethod
    def parse(cls, text: str) -> Ignored:
        """Parse `RULE` or `RULE:PLACE`.

        Raises:
            ValueError: no rule has such a name.
        """
        name, _, place = text.partition(":")
        if not name.startswith("breaking."):
            name = f"breaking.{name}" if name != "*" else "breaking.*"
        if not any(fnmatchcase(known, name) for known in RULES):
            raise ValueError(f"no rule is called {name!r}")
        return cls(name, place or "*")

    def matches(self, finding: Finding) -> bool:
        """Return whether a finding is ignored."""
        if not fnmatchcase(finding.rule, self.rule):
            return False
        paths = [finding.file, *([finding.span.file.path.as_posix()] if finding.span is not None else [])]
        in_file = any(fnmatchcase(path, pattern) for path in paths for pattern in (self.place, f"*/{self.place}"))
        return in_file or fnmatchcase(finding.element, self.place)


def to_report(findings: Iterable[Finding], report: Report) -> None:
    """Add findings to a report, as errors; those of removed files are at their place in the old source."""
    for finding in findings:
        span = finding.span
        labels: tuple[Label, ...] = ()
        if span is None:
            span = finding.before
        elif finding.before is not None:
            labels = (Label(finding.before, finding.was or "was declared here"),)
        report.add(
            Diagnostic(
                name=finding.rule,
                message=finding.message,
                span=span,
                note=", ".join(finding.categories),
                labels=labels,
                help=finding.help,
            )
        )
