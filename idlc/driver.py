"""The pipeline on one page: load, parse, link, check, generate, write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import msgspec

from idlc.diagnostics import Report

__all__ = ["Request", "Result", "compile_files", "find_sources"]

SUFFIXES = (".idl", ".thrift")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to compile, and into what.

    Attributes:
        paths: IDL files.
        output: folder that the files go to; created where it is missing.
        include_dirs: folders searched for includes, in this order.
        with_includes: generate included files too, so that the output can be imported as it is.
        target: the language to write.
        package: dotted name that everything is nested under, or empty.
        templates: folder with templates that take the place of built-in ones.
        nullable_arguments: signatures allow `None` for arguments that are neither `required` nor have a default.
        allow_negative_ids: keep field ids that are zero or negative.
        only_compare: write nothing; tell what is not up to date.
        use_cache: skip the work where neither inputs, options nor outputs have changed.
    """

    paths: tuple[Path, ...]
    output: Path
    include_dirs: tuple[Path, ...] = ()
    with_includes: bool = True
    target: str = "python"
    package: str = ""
    templates: Path | None = None
    nullable_arguments: bool = False
    allow_negative_ids: bool = False
    only_compare: bool = False
    use_cache: bool = True


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        report: all findings. When it has errors, nothing was written.
        written: files that were new or different (or would be, with `only_compare`).
        unchanged: files that were left alone.
    """

    report: Report
    written: list[Path] = []
    unchanged: list[Path] = []


def find_sources(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and every `.idl` and `.thrift` file below folders, sorted."""
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
        UnknownTarget: there is no such target.
        OSError: an output cannot be written.
    """
    from idlc import uptodate

    key = uptodate.key_of(request) if request.use_cache else None
    if key is not None:
        known = uptodate.recall(key, request.output)
        if known is not None:
            return Result(report=known.report, unchanged=known.outputs)

    # Not at the top: an up-to-date compile needs none of it.
    from idlc.checks import run_checks
    from idlc.codegen import TargetOptions, find_target, write_outputs
    from idlc.elsewhere import find_elsewhere
    from idlc.model import build
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
        found = elsewhere[".".join(parts)] = find_elsewhere(parts, request.output)
        return found

    options = TargetOptions(
        package=request.package,
        templates=request.templates,
        with_includes=request.with_includes,
        nullable_arguments=request.nullable_arguments,
        existing=existing,
        elsewhere=find,
    )
    files = target.generate(programs, report, options)
    if report.has_errors:
        return Result(report=report)
    outcome = write_outputs(request.output, files, only_compare=request.only_compare)
    if key is not None and not (request.only_compare and outcome.written):
        uptodate.remember(key, loader, report, files, consulted, elsewhere)
    return Result(report=report, written=outcome.written, unchanged=outcome.unchanged)
