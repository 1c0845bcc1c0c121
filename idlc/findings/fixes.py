"""Application of the fixes of findings.

All edits of a finding are applied, or none. Findings with edits that overlap conflict: the fixes of both are left out,
since the order would decide what the result is. The result is parsed again before anything is written.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from idlc.diagnostics import Diagnostic, Fix
from idlc.files import replace_file
from idlc.source import SourceFile

__all__ = ["FixPlan", "SourceChanged", "plan_fixes", "unified_diff", "write_fixes"]

_BOM = b"\xef\xbb\xbf"


class SourceChanged(Exception):
    """A file was modified after it was read."""


class FixPlan(msgspec.Struct, frozen=True):
    """Edits that can be applied together.

    Attributes:
        texts: new text of each file that changes.
        fixed: findings that are fixed.
        conflicts: pairs of findings with edits that overlap; neither is fixed.
        unsafe: number of findings that were left out because their fixes are not safe.
    """

    texts: Mapping[SourceFile, str]
    fixed: tuple[Diagnostic, ...]
    conflicts: tuple[tuple[Diagnostic, Diagnostic], ...]
    unsafe: int


def plan_fixes(report: Iterable[Diagnostic], files: Iterable[SourceFile], *, with_unsafe: bool = False) -> FixPlan:
    """Decide which fixes of a report are applied.

    Args:
        files: files that may change; findings with edits in others are not fixed.
        with_unsafe: also apply fixes that may change what the IDL means.
    """
    allowed = {file.path: file for file in files}
    candidates: list[Diagnostic] = []
    unsafe = 0
    for found in report:
        if not found.fixes or any(fix.span.file.path not in allowed for fix in found.fixes):
            continue
        if with_unsafe or all(fix.is_safe for fix in found.fixes):
            candidates.append(found)
        else:
            unsafe += 1
    edits = _sorted_edits(candidates)
    conflicts: dict[tuple[int, int], None] = {}
    for position, (index, fix) in enumerate(edits):
        for other, later in edits[position + 1 :]:
            if later.span.file.path != fix.span.file.path or not _overlap(fix, later):
                break
            if other != index:
                conflicts[min(index, other), max(index, other)] = None
    excluded = {index for pair in conflicts for index in pair}
    by_file: dict[SourceFile, list[Fix]] = {}
    for index, fix in edits:
        if index not in excluded:
            by_file.setdefault(allowed[fix.span.file.path], []).append(fix)
    return FixPlan(
        {file: _edited(file.text, fixes) for file, fixes in by_file.items()},
        tuple(found for index, found in enumerate(candidates) if index not in excluded),
        tuple((candidates[first], candidates[second]) for first, second in conflicts),
        unsafe,
    )


def _sorted_edits(candidates: list[Diagnostic]) -> list[tuple[int, Fix]]:
    edits = [(index, fix) for index, found in enumerate(candidates) for fix in found.fixes]
    return sorted(edits, key=lambda edit: (str(edit[1].span.file.path), edit[1].span.start, edit[1].span.end))


def _edited(text: str, fixes: Iterable[Fix]) -> str:
    """Return a text with edits, which are in order and do not overlap."""
    parts: list[str] = []
    end = 0
    for fix in fixes:
        parts += (text[end : fix.span.start], fix.text)
        end = fix.span.end
    return "".join(parts) + text[end:]


def _overlap(first: Fix, second: Fix) -> bool:
    """Return whether two edits, of which the first one starts first, have characters or their position in common."""
    return second.span.start < first.span.end or second.span.start == first.span.start


def unified_diff(plan: FixPlan) -> str:
    """Return the edits as a unified diff, in the order of the names of the files."""
    import difflib  # slow to import; an up-to-date compile does not need it

    parts: list[str] = []
    for file in sorted(plan.texts, key=lambda file: file.name):
        before, after = _lines(file.text), _lines(plan.texts[file])
        for line in difflib.unified_diff(before, after, file.name, file.name):
            parts.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(parts)


def _lines(text: str) -> list[str]:
    """Return the lines of a text as tools for patches see them: only a line feed ends one."""
    return io.StringIO(text, newline="\n").readlines()


def write_fixes(plan: FixPlan) -> None:
    """Write the new texts; each file is replaced atomically, and keeps its byte order mark.

    Raises:
        SourceChanged: a file was modified after it was read. No file was written.
        OSError: a file cannot be read or written.
    """
    data: dict[Path, bytes] = {}
    for file, text in plan.texts.items():
        before = file.path.read_bytes()
        if before.removeprefix(_BOM) != file.text.encode():
            raise SourceChanged(file.name)
        data[file.path] = before[: len(_BOM) if before.startswith(_BOM) else 0] + text.encode()
    for path, content in data.items():
        replace_file(path, content, mode=path.stat().st_mode & 0o777)
