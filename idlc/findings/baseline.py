"""Baseline: findings of old code that are accepted for now.

A baseline is a JSON file with an entry for each name, file and text of a line, sorted, so that differences are small.
Lines that move keep their entries, since line numbers are not part of them. Entries may expire: from that day on, their
findings count again. Entries whose findings are gone are reported (`baseline.stale`), so that the file is kept short.

Errors other than lint are never accepted, because no code can be generated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from idlc.diagnostics import Diagnostic, Identity, Report, Rule, identity
from idlc.files import replace_file
from idlc.findings.catalogue import all_rules
from idlc.findings.judge import relative
from idlc.text import plural

__all__ = ["Baseline", "BaselineError", "BaselineFilter", "read_baseline", "write_baseline"]

_VERSION = 1


class BaselineError(ValueError):
    """A baseline cannot be read."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    file: str
    name: str
    text: str
    count: int = 1
    expires: date | None = None

    @property
    def identity(self) -> Identity:
        return Identity(self.file, self.name, self.text)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    findings: list[_Entry]


class Baseline(msgspec.Struct, frozen=True):
    """Accepted findings.

    Attributes:
        path: file of the baseline; files in it are relative to its folder.
        entries: accepted findings.
    """

    path: Path
    entries: tuple[_Entry, ...] = ()


class BaselineFilter:
    """Application of a baseline to the findings of one run.

    Args:
        today: date on which, and after which, entries with this date have expired.
    """

    def __init__(self, baseline: Baseline, today: date) -> None:
        self._root = baseline.path.parent
        self._entries = {each.identity: each for each in baseline.entries}
        self._today = today
        self._seen: Counter[Identity] = Counter()

    def accept(self, found: Diagnostic) -> Diagnostic | None:
        """Return a finding that is not accepted, or `None`; if its entry has expired, its help says so."""
        same = identity(found, self._root)
        entry = self._entries.get(same)
        if entry is None:
            return found
        self._seen[same] += 1
        if entry.expires is not None and entry.expires <= self._today:
            hint = f"its entry in the baseline expired on {entry.expires.isoformat()}"
            return msgspec.structs.replace(found, help=f"{found.help}; {hint}" if found.help else hint)
        return found if self._seen[same] > entry.count else None

    def report_stale(self, report: Report, files: Iterable[Path], is_checked: Callable[[Rule, Path], bool]) -> None:
        """Report the number of entries whose findings are gone, among those of files that were checked or are gone.

        Args:
            is_checked: whether findings of a rule would be reported in a file.
        """
        checked = {relative(path, self._root) for path in files}
        stale = 0
        for same, entry in self._entries.items():
            path = self._root / entry.file
            rule = all_rules().get(entry.name)
            is_gone = entry.file not in checked and not path.exists()
            if is_gone or rule is None or (entry.file in checked and is_checked(rule, path)):
                stale += max(0, entry.count - self._seen[same])
        if stale:
            message = f"{plural(stale, 'finding')} of the baseline {'is' if stale == 1 else 'are'} gone"
            help = "write the baseline again to remove old entries"
            report.note("baseline.stale", message, None, help=help)


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BaselineError: it does not exist, cannot be read, or is not a baseline.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
    except FileNotFoundError:
        raise BaselineError("no such file; write it with --write-baseline") from None
    except OSError as error:
        raise BaselineError((error.strerror or str(error)).lower()) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BaselineError(f"not a baseline: {error}") from None
    if document.version != _VERSION:
        raise BaselineError(f"unknown version {document.version}; this version of idlc reads version {_VERSION}")
    return Baseline(path.resolve(), tuple(document.findings))


def write_baseline(
    path: Path, report: Iterable[Diagnostic], files: Iterable[Path], *, expires: date | None = None
) -> int:
    """Write a baseline with findings; return the number of findings in it.

    Entries that are in the file already keep their dates. Those of files that exist and were not checked stay.

    Args:
        files: files that were checked.
        expires: date of new entries.

    Raises:
        BaselineError: the file exists and is not a baseline.
        OSError: the file cannot be written.
    """
    path = path.resolve()
    before = read_baseline(path).entries if path.exists() else ()
    dates = {each.identity: each.expires for each in before}
    counts = Counter(identity(found, path.parent) for found in report)
    checked = {relative(file, path.parent) for file in files}
    for each in before:
        if each.file not in checked and (path.parent / each.file).exists():
            counts[each.identity] = max(each.count, counts[each.identity])
    entries: list[dict[str, Any]] = [
        msgspec.to_builtins(
            _Entry(file=same.file, name=same.name, text=same.text, count=count, expires=dates.get(same, expires))
        )
        for same, count in sorted(counts.items())
    ]
    text = json.dumps({"version": _VERSION, "findings": entries}, indent=2, ensure_ascii=False)
    replace_file(path, f"{text}\n".encode())
    return sum(counts.values())
