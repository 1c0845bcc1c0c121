"""Suppression of findings in the source: comments and annotations.

    1: byte age,                        // idlc:ignore type.byte -- as the old clients send it
    // idlc:ignore type.key, type.element
    2: map<list<i32>, string> names,
    struct Old { ... } (idlc.ignore = "field.required, naming")
    // idlc:ignore-file doc

A comment of any kind (`//`, `#`, `/* */`) applies to the line where it starts or, alone on its lines, to the next one
that is not blank or a comment. An annotation applies to all of its declaration. Names may be shortened as in a policy;
what follows `--` is a reason. Errors cannot be suppressed, unless they are lint.

A suppression that suppresses nothing is a finding (`suppression.unused`), if what it names was checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from idlc.diagnostics import Diagnostic, Fix, Report, Rule
from idlc.findings.catalogue import UnknownSelector, all_rules, matches, require_known
from idlc.model import Program
from idlc.source import Span
from idlc.syntax import Document, nodes

__all__ = ["Suppression", "changes_suppressed", "suppressed", "suppressions"]

_COMMENT: Final = re.compile(r"idlc:[ \t]?ignore(-[\w-]+)?(?![\w.-])[ \t:]*")
_END: Final = re.compile(r"--|\*/|\n|$")
_NAME: Final = re.compile(r"[^\s,]+")
ANNOTATION: Final = "idlc.ignore"


class Suppression(msgspec.Struct, frozen=True):
    """One name in a comment or annotation.

    Attributes:
        selector: name, start of a name, or category.
        span: where it is written.
        start: offset of the first character of the range in which findings are suppressed.
        end: end of the range, exclusive.
        whole: comment or annotation that it is part of.
        is_alone: whether it is the only name in it.
        is_line: whether it applies to one line.
        problem: why it suppresses nothing, and what to write instead; then it has no selector.
    """

    selector: str
    span: Span
    start: int
    end: int
    whole: Span
    is_alone: bool
    is_line: bool = False
    problem: tuple[str, str] | None = None

    def applies_to(self, diagnostic: Diagnostic, rule: Rule) -> bool:
        """Return whether it suppresses a finding."""
        span = diagnostic.span
        is_inside = (
            self.problem is None
            and span is not None
            and span.file is self.span.file
            and self.start <= span.start < self.end
        )
        return is_inside and matches(self.selector, rule) and (diagnostic.severity != "error" or rule.is_lint)


def suppressions(document: Document) -> list[Suppression]:
    """Return all suppressions in a file, in the order of the file."""
    found: list[Suppression] = []
    if "idlc" in document.source.text:
        comments = {comment.start: comment for comment in document.comments}
        for comment in document.comments:
            found += _in_comment(document, comment, comments)
        for node, annotation in _annotated(document.items):
            if annotation.name.text == ANNOTATION:
                found += _in_annotation(document, node, annotation)
    return sorted(found, key=lambda each: each.span.start)


def suppressed(
    report: Report, programs: Iterable[Program], is_checked: Callable[[Rule, Path], bool]
) -> tuple[Report, Report]:
    """Return the findings that are not suppressed, and findings about the suppressions themselves.

    Args:
        is_checked: whether findings of a rule are reported in a file, so that a suppression of it can be unused.
    """
    by_file = {program.source.path: suppressions(program.document) for program in programs}
    if not any(by_file.values()):
        return report, Report()
    rules = all_rules()
    # Suppressions of lines are found by the end of their line, so that many of them stay cheap.
    by_end: dict[Path, dict[int, list[Suppression]]] = {}
    wide: dict[Path, list[Suppression]] = {}
    for path, of_file in by_file.items():
        for each in of_file:
            if each.is_line:
                by_end.setdefault(path, {}).setdefault(each.end, []).append(each)
            else:
                wide.setdefault(path, []).append(each)
    used: set[Suppression] = set()
    kept = Report()
    for diagnostic in report:
        rule = rules.get(diagnostic.name) or Rule(name=diagnostic.name, severity=diagnostic.severity)
        span = diagnostic.span
        reasons = [
            each
            for each in (by_end.get(span.file.path, {}).get(_line_end(span.file.text, span.start), ()) if span else ())
            if each.applies_to(diagnostic, rule)
        ]
        reasons += [each for each in wide.get(span.file.path, ()) if each.applies_to(diagnostic, rule)] if span else []
        used.update(reasons)
        if not reasons:
            kept.add(diagnostic)
    own = Report()
    for path, of_file in by_file.items():
        unused = [each for each in of_file if each not in used]
        checked = [rule for rule in rules.values() if is_checked(rule, path)] if unused else []
        for each in unused:
            _report_unused(each, own, checked)
    return kept, own


def changes_suppressed(documents: Iterable[Document]) -> Callable[[str, Span | None], bool]:
    """Return a function that tells whether an incompatible change, by its rule and place, is suppressed."""
    by_file = {document.source.path: suppressions(document) for document in documents}

    def is_suppressed(name: str, span: Span | None) -> bool:
        if span is None:
            return False
        rule = Rule(name=name, severity="error", category="compatibility")
        change = Diagnostic(name=name, message="", span=span)
        return any(each.applies_to(change, rule) for each in by_file.get(span.file.path, ()))

    return is_suppressed


def _report_unused(each: Suppression, report: Report, checked: Sequence[Rule]) -> None:
    if each.problem is not None:
        message, help = each.problem
        report.warning("suppression.unknown", message, each.span, help=help)
        return
    if each.selector.partition(".")[0] == "breaking":  # `idlc breaking` reports and suppresses those
        from idlc.breaking.rules import RULES

        known = {".".join(name.split(".")[:count]): None for name in RULES for count in (1, 2, 3)}
    else:
        known = {}
    if each.selector in known:
        return
    try:
        require_known([each.selector], known)
    except UnknownSelector as error:
        fixes = (Fix(each.span, error.near, is_safe=False),) if error.near else ()
        help = f"did you mean `{error.near}`?" if error.near else "`idlc explain` lists all names"
        message = f"unknown diagnostic `{each.selector}`"
        report.warning("suppression.unknown", message, each.span, help=help, fixes=fixes)
        return
    selected = [rule for rule in all_rules().values() if matches(each.selector, rule)]
    if all(rule.is_fixed for rule in selected):
        report.warning(
            "suppression.unused",
            f"`{each.selector}` is always an error and cannot be suppressed",
            each.span,
            fixes=_removal(each),
        )
    elif all(rule in checked for rule in selected if not rule.is_fixed):
        help = "remove it"
        message = f"there is no `{each.selector}` to suppress here"
        report.warning("suppression.unused", message, each.span, help=help, fixes=_removal(each))


def _removal(each: Suppression) -> tuple[Fix, ...]:
    if not each.is_alone:
        return ()
    text, start, end = each.whole.file.text, each.whole.start, each.whole.end
    separates = start > 0 and not text[start - 1].isspace() and end < len(text) and not text[end].isspace()
    return (Fix(each.whole, " " if separates else ""),)


def _in_comment(
    document: Document, comment: nodes.Comment, comments: Mapping[int, nodes.Comment]
) -> Iterator[Suppression]:
    matched = list(_COMMENT.finditer(comment.text))
    for match in matched:
        written = match[0].rstrip(" \t:")
        here = Span(document.source, comment.start + match.start(), comment.start + match.start() + len(written))
        if match[1] not in (None, "-file"):
            problem = (f"unknown suppression `{written}`", "write `idlc:ignore NAME` or `idlc:ignore-file NAME`")
            yield Suppression("", here, 0, 0, here, is_alone=False, problem=problem)
            continue
        start, end = (0, len(document.source.text) + 1) if match[1] else _lines(document, comment, comments)
        stop = _END.search(comment.text, match.end())
        names = list(_NAME.finditer(comment.text, match.end(), stop.start() if stop is not None else len(comment.text)))
        whole = _whole_comment(document, comment)
        if not names:
            problem = (f"`{written}` names no diagnostic", f"write `{written} NAME`")
            yield Suppression("", here, 0, 0, here, is_alone=False, problem=problem)
        for name in names:
            span = Span(document.source, comment.start + name.start(), comment.start + name.end())
            is_alone = len(names) == len(matched) == 1
            yield Suppression(name[0], span, start, end, whole, is_alone, is_line=not match[1])


def _lines(document: Document, comment: nodes.Comment, comments: Mapping[int, nodes.Comment]) -> tuple[int, int]:
    """Return the start and end of the line that a comment applies to.

    Args:
        comments: all comments of the file by their start offsets.
    """
    text = document.source.text
    first = text.rfind("\n", 0, comment.start) + 1
    if text[first : comment.start].strip():
        return first, _line_end(text, comment.start)
    position = comment.end
    while position < len(text):
        if text[position].isspace():
            position += 1
        elif position in comments:
            position = comments[position].end
        else:
            break
    return position, _line_end(text, position)


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) + 1 if end < 0 else end + 1


def _whole_comment(document: Document, comment: nodes.Comment) -> Span:
    """Return the span to remove with a comment: its whole line if there is nothing else on it."""
    text = document.source.text
    first = text.rfind("\n", 0, comment.start) + 1
    end = comment.start + len(comment.text.rstrip("\r\n"))
    if text[first : comment.start].strip():
        return Span(document.source, first + len(text[first : comment.start].rstrip()), end)
    after = _line_end(text, end)
    is_alone = not text[end : after - 1].strip()
    return (
        Span(document.source, first, min(after, len(text))) if is_alone else Span(document.source, comment.start, end)
    )


def _in_annotation(document: Document, node: nodes.Node, annotation: nodes.Annotation) -> Iterator[Suppression]:
    written = document.source.text[annotation.start : annotation.end]
    value = annotation.value or ""
    at = written.find(value, len(ANNOTATION)) if value else -1
    names = list(_NAME.finditer(value.partition("--")[0]))
    whole = Span(document.source, annotation.start, annotation.end)
    if not names:
        problem = (f"`{ANNOTATION}` names no diagnostic", f'write `{ANNOTATION} = "NAME"`')
        yield Suppression("", whole, 0, 0, whole, is_alone=False, problem=problem)
    for name in names:
        start = annotation.start + at + name.start()
        span = Span(document.source, start, start + len(name[0])) if at >= 0 else whole
        yield Suppression(name[0], span, node.start, node.end, whole, is_alone=False)


def _annotated(items: Iterable[nodes.Item]) -> Iterator[tuple[nodes.Node, nodes.Annotation]]:
    for item in items:
        if isinstance(item, nodes.Include | nodes.ForeignInclude):
            continue
        yield from ((item, each) for each in item.annotations)
        members: Iterable[nodes.EnumMember | nodes.Field | nodes.Function] = ()
        if isinstance(item, nodes.Enum):
            members = item.members
        elif isinstance(item, nodes.Struct):
            members = item.fields
        elif isinstance(item, nodes.Service):
            members = item.functions
        for member in members:
            yield from ((member, each) for each in member.annotations)
            if isinstance(member, nodes.Function):
                for field in (*member.arguments, *member.throws):
                    yield from ((field, each) for each in field.annotations)
