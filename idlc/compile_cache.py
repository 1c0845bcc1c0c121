"""Compile cache: detects that a compile would change nothing, and skips it.

After a compile, its inputs (a hash of every file that was read, and the paths where an include was searched but not
found) and its outputs (a hash of every file that was written) are recorded. If the same command finds all of them
unchanged, parsing and code generation are skipped, and the recorded diagnostics are reported again. Records are in the
user's cache folder, never in the output folder. If a record is missing or corrupt, the compile runs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from idlc.diagnostics import Diagnostic, Fix, Label, Report, Severity
from idlc.files import replace_file, sweep
from idlc.request import Request
from idlc.resources import cache_dir, resource_dir
from idlc.shadowing import find_shadowing_module
from idlc.source import SourceFile, Span
from idlc.version import __version__

if TYPE_CHECKING:
    from idlc.codegen import GeneratedFile
    from idlc.source import Loader

__all__ = ["CachedCompile", "cache_key", "is_cacheable", "load", "store"]

_OWN_TARGETS = ("openapi", "python")


class CachedCompile(msgspec.Struct, frozen=True):
    """Result of an earlier compile that is still up to date."""

    report: Report
    outputs: list[Path]
    inputs: list[Path]


class _StoredSpan(msgspec.Struct, frozen=True, array_like=True):
    path: str
    start: int
    end: int


class _StoredDiagnostic(msgspec.Struct, frozen=True):
    name: str
    severity: Severity
    message: str
    place: _StoredSpan | None
    note: str
    labels: list[tuple[_StoredSpan, str]]
    help: str
    fixes: list[tuple[_StoredSpan, str, bool]]


class _Record(msgspec.Struct, frozen=True):
    inputs: dict[str, tuple[str, str]]
    absent: list[str]
    outputs: dict[str, str]
    consulted: dict[str, bool]
    elsewhere: dict[str, str | None]
    findings: list[_StoredDiagnostic]


def is_cacheable(request: Request) -> bool:
    """Return whether a compile may be skipped: not with texts that are no files, or with a plugin, which may change."""
    return request.use_cache and not request.front_end.texts and request.generation.target in _OWN_TARGETS


def cache_key(request: Request) -> str:
    """Return the cache key of a compile: a hash of its options and of idlc itself, but not of the IDL files."""
    front_end, generation = request.front_end, request.generation
    parts = [
        __version__,
        _fingerprint(),
        os.getcwd(),
        str(request.output.resolve()),
        generation.target,
        generation.package,
        repr((front_end.allow_negative_ids, generation.with_includes, generation.nullable_arguments)),
        repr(front_end.policy),
        "" if front_end.root is None else str(front_end.root.resolve()),
        *[f"p{path.resolve()}={path}" for path in front_end.paths],
        *[f"i{path.resolve()}" for path in front_end.include_dirs],
    ]
    if front_end.baseline is not None:
        parts += [f"b{front_end.baseline.resolve()}{date.today()}"]
        with suppress(OSError):
            parts += [_hash(front_end.baseline.read_bytes())]
    if generation.templates is not None:
        parts += [
            f"t{file}{_hash(file.read_bytes())}" for file in sorted(generation.templates.rglob("*")) if file.is_file()
        ]
    return _hash(os.fsencode("\0".join(parts)))


def load(key: str, output: Path) -> CachedCompile | None:
    """Return the earlier compile with this key if its inputs and outputs are unchanged, else `None`."""
    try:
        record = msgspec.convert(json.loads(_entry(key).read_bytes()), type=_Record)
        sources: dict[str, SourceFile] = {}
        for path, (name, digest) in record.inputs.items():
            data = Path(path).read_bytes()
            if _hash(data) != digest:
                return None
            sources[path] = SourceFile(Path(path), data.decode("utf-8-sig"), name=name)
        if any(os.path.exists(path) for path in record.absent):
            return None
        outputs = [output / path for path in record.outputs]
        for file, digest in zip(outputs, record.outputs.values(), strict=True):
            if _hash(file.read_bytes()) != digest:
                return None
        if any((output / path).exists() != was_there for path, was_there in record.consulted.items()):
            return None
        if any(find_shadowing_module(name.split("."), output) != found for name, found in record.elsewhere.items()):
            return None
        report = Report()
        for finding in record.findings:
            report.add(_from_stored(finding, sources))
        return CachedCompile(report, outputs, list(map(Path, record.inputs)))
    except (OSError, ValueError, KeyError):
        return None


def store(
    key: str,
    loader: Loader,
    report: Report,
    files: Sequence[GeneratedFile],
    consulted: Mapping[str, bool],
    elsewhere: Mapping[str, str | None],
) -> None:
    """Record a successful compile.

    Args:
        files: generated files.
        consulted: files in the output folder that code generation has looked up, and whether they existed.
        elsewhere: packages that code generation has searched outside of the output folder, and where they were found.
    """
    written = {str(file.path): _hash(file.text.encode()) for file in files}
    with suppress(OSError):
        # Files that were edited during the compile must not be recorded with the hash of their new contents.
        record = _Record(
            {str(path): (file.name, _hash(path.read_bytes())) for path, file in loader.files.items()},
            sorted(map(str, loader.absent)),
            written,
            {path: was_there for path, was_there in consulted.items() if path not in written},
            dict(elsewhere),
            [_to_stored(diagnostic) for diagnostic in report],
        )
        if any(_changed_since_read(path, file) for path, file in loader.files.items()):
            return
        entry = _entry(key)
        sweep(entry.parent)
        # msgspec's JSON encoder rejects surrogates, which stand for bytes of file names that are not UTF-8.
        replace_file(entry, json.dumps(msgspec.to_builtins(record)).encode("ascii"), mode=0o600)


def _changed_since_read(path: Path, file: SourceFile) -> bool:
    return path.read_bytes().decode("utf-8-sig", "replace") != file.text


def _entry(key: str) -> Path:
    return cache_dir() / "uptodate" / f"{key}.json"


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _fingerprint() -> str:
    """Return a hash of the times and sizes of idlc's own files, so that an edited template takes effect immediately."""
    stamps: list[str] = []
    for folder in (Path(__file__).parent, resource_dir("templates"), resource_dir("grammars")):
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".py", ".j2", ".lark"):
                status = file.stat()
                stamps.append(f"{file}:{status.st_mtime_ns}:{status.st_size}")
    return _hash(os.fsencode("\n".join(stamps)))


def _stored_span(span: Span) -> _StoredSpan:
    return _StoredSpan(str(span.file.path), span.start, span.end)


def _to_stored(diagnostic: Diagnostic) -> _StoredDiagnostic:
    return _StoredDiagnostic(
        diagnostic.name,
        diagnostic.severity,
        diagnostic.message,
        None if diagnostic.span is None else _stored_span(diagnostic.span),
        diagnostic.note,
        [(_stored_span(label.span), label.text) for label in diagnostic.labels],
        diagnostic.help,
        [(_stored_span(fix.span), fix.text, fix.is_safe) for fix in diagnostic.fixes],
    )


def _from_stored(finding: _StoredDiagnostic, sources: dict[str, SourceFile]) -> Diagnostic:
    def span(place: _StoredSpan) -> Span:
        return Span(sources[place.path], place.start, place.end)

    return Diagnostic(
        name=finding.name,
        severity=finding.severity,
        message=finding.message,
        span=None if finding.place is None else span(finding.place),
        note=finding.note,
        labels=tuple(Label(span(place), text) for place, text in finding.labels),
        help=finding.help,
        fixes=tuple(Fix(span(place), text, is_safe) for place, text, is_safe in finding.fixes),
    )
