"""Pipeline of the compiler: load, parse, link, check, generate, write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import msgspec

from idlc import compile_cache
from idlc.diagnostics import Report
from idlc.request import Request

__all__ = ["Request", "Result", "compile_files", "find_sources"]

SUFFIXES = (".idl", ".thrift")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a compile.

    Attributes:
        report: all diagnostics. If it has errors, nothing was written.
        written: files that were new or have changed (with `only_compare`: that would be written).
        unchanged: files that were up to date.
    """

    report: Report
    written: list[Path] = []
    unchanged: list[Path] = []


def find_sources(paths: Sequence[Path]) -> list[Path]:
    """Return the given files, and all `.idl` and `.thrift` files below the given folders, sorted within each folder."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        else:
            found.append(path)
    return found


def compile_files(request: Request) -> Result:
    """Run the pipeline.

    Raises:
        UnknownTarget: no target has the requested name.
        OSError: an output file cannot be written.
    """
    key = compile_cache.cache_key(request) if request.use_cache else None
    if key is not None:
        known = compile_cache.load(key, request.output)
        if known is not None:
            return Result(report=known.report, unchanged=known.outputs)

    # Imported here because they are slow to import, and an up-to-date compile does not need them.
    from idlc.checks import run_checks
    from idlc.codegen import TargetOptions, find_target, write_outputs
    from idlc.model import build
    from idlc.resources import cache_dir
    from idlc.shadowing import find_shadowing_module
    from idlc.source import Loader

    target = find_target(request.target)
    report = Report()
    loader = Loader(request.include_dirs)
    programs = build(request.paths, loader, report, allow_negative_ids=request.allow_negative_ids)
    run_checks(programs, report)
    if report.has_errors:
        return Result(report=report)

    consulted: dict[str, bool] = {}

    def existing(path: PurePosixPath) -> str | None:
        consulted[str(path)] = (request.output / path).exists()
        try:
            return (request.output / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    elsewhere: dict[str, str | None] = {}

    def find(parts: tuple[str, ...]) -> str | None:
        found = elsewhere[".".join(parts)] = find_shadowing_module(parts, request.output)
        return found

    options = TargetOptions(
        package=request.package,
        templates=request.templates,
        with_includes=request.with_includes,
        nullable_arguments=request.nullable_arguments,
        cache=cache_dir() / "templates" if request.use_cache else None,
        existing=existing,
        elsewhere=find,
    )
    files = target.generate(programs, report, options)
    if report.has_errors:
        return Result(report=report)
    outcome = write_outputs(request.output, files, only_compare=request.only_compare)
    if key is not None and not (request.only_compare and outcome.written):
        compile_cache.store(key, loader, report, files, consulted, elsewhere)
    return Result(report=report, written=outcome.written, unchanged=outcome.unchanged)
