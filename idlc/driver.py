"""Pipeline of the compiler: load, parse, link, check, generate, write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from idlc import compile_cache
from idlc.diagnostics import Report
from idlc.request import FrontEnd, Generation, Request

if TYPE_CHECKING:
    from idlc.codegen import GeneratedFile
    from idlc.diagnostics import Diagnostic
    from idlc.findings import Baseline, Policy
    from idlc.model import Program
    from idlc.source import Loader

__all__ = [
    "Checked",
    "CompiledFiles",
    "FrontEnd",
    "Generation",
    "OutputFolder",
    "Request",
    "check_files",
    "compile_files",
    "find_sources",
    "generate_files",
]

SUFFIXES = (".idl", ".thrift")
_MANY = 16  # files from which on more processes are worth their start


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Linked and checked IDL files.

    Attributes:
        found: all diagnostics, as the passes of the compiler report them.
        programs: requested files, then included files.
        loader: files that were read.
        policy: severities of findings, and which are reported.
        root: folder that paths of the policy are relative to.
        baseline: findings that are accepted, or `None`.
    """

    found: Report
    programs: Sequence[Program]
    loader: Loader
    policy: Policy
    root: Path
    baseline: Baseline | None = None

    def report(self, *, has_output: bool = False) -> Report:
        """Return the diagnostics that are reported: those that are neither suppressed nor turned off.

        If it has errors, declarations may be missing from the programs.

        Args:
            has_output: whether code was generated, so that suppressions of findings about it can be unused.
        """
        from idlc.findings import BaselineFilter, checked_by, judged

        root = self.root
        if self.baseline is None:
            return judged(self.found, self.policy, root, self.programs, has_output=has_output)
        filter = BaselineFilter(self.baseline, date.today())
        report = judged(self.found, self.policy, root, self.programs, has_output=has_output, accept=filter.accept)
        files = [program.source.path for program in self.programs if program.is_requested]
        filter.report_stale(report, files, checked_by(self.policy, root, has_output=has_output))
        return report

    def acceptable(self) -> list[Diagnostic]:
        """Return the findings that a baseline can accept: those that are reported, but no errors other than lint."""
        from idlc.findings import judged

        found: list[Diagnostic] = []
        judged(self.found, self.policy, self.root, self.programs, has_output=False, accept=found.append)
        return found


class CompiledFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a compile into a folder.

    Attributes:
        report: all diagnostics. If it has errors, nothing was written.
        written: files that were new or have changed (with `only_compare`: that would be written).
        unchanged: files that were up to date.
        inputs: IDL files that were read.
        texts: texts of the files that were written.
    """

    report: Report
    written: list[Path] = []
    unchanged: list[Path] = []
    inputs: list[Path] = []
    texts: Mapping[Path, str] = {}


class OutputFolder:
    """State of the output folder that generated code depends on, and a record of what was looked up.

    Args:
        ignored: files below the folder that count as missing, because the compile generates or removes them.

    Attributes:
        consulted: files that were looked up, and whether they exist.
        elsewhere: packages that were searched outside of the folder, and where they were found.
    """

    def __init__(self, folder: Path, ignored: Iterable[PurePosixPath] = ()) -> None:
        self._folder = folder
        self._ignored = frozenset(ignored)
        self.consulted: dict[str, bool] = {}
        self.elsewhere: dict[str, str | None] = {}

    def read(self, path: PurePosixPath) -> str | None:
        """Return the text of a file below the folder, or `None`."""
        if path in self._ignored:
            return None
        file = self._folder / path
        is_there = self.consulted[str(path)] = file.exists()
        try:
            return file.read_text(encoding="utf-8") if is_there else None
        except (OSError, UnicodeDecodeError):
            return None

    def find(self, parts: tuple[str, ...]) -> str | None:
        """Return the file of a module outside of the folder that has the name of a package, or `None`."""
        from idlc.shadowing import find_shadowing_module

        found = self.elsewhere[".".join(parts)] = find_shadowing_module(parts, self._folder)
        return found


def find_sources(paths: Iterable[Path]) -> list[Path]:
    """Return the given files, and all `.idl` and `.thrift` files below the given folders, sorted within each folder.

    Folders whose names start with `.` are left out.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = (file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            found += sorted(file for file in files if not _is_hidden(file.relative_to(path)))
        else:
            found.append(path)
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts[:-1])


def check_files(request: FrontEnd) -> Checked:
    """Read, parse, link and check files.

    Raises:
        BaselineError: the baseline cannot be read.
    """
    # Imported here because they are slow to import, and an up-to-date compile does not need them.
    from idlc.checks import run_checks
    from idlc.findings import read_baseline
    from idlc.model import build
    from idlc.source import Loader

    baseline = None if request.baseline is None else read_baseline(request.baseline)
    report = Report()
    loader = Loader(request.include_dirs, overlay=request.texts)
    programs = build(request.paths, loader, report, allow_negative_ids=request.allow_negative_ids)
    run_checks(programs, report, is_enabled=request.policy.may_report)
    return Checked(
        found=report,
        programs=programs,
        loader=loader,
        policy=request.policy,
        root=Path.cwd() if request.root is None else request.root.resolve(),
        baseline=baseline,
    )


def generate_files(
    checked: Checked,
    request: Generation,
    *,
    use_cache: bool = True,
    folder: OutputFolder | None = None,
    jobs: int = 1,
) -> list[GeneratedFile]:
    """Generate code in memory. Diagnostics are added to those of `checked`; after errors, the files must not be used.

    Args:
        use_cache: cache compiled templates.
        folder: where the files will be written; by default, the code is generated as for an empty folder.
        jobs: number of processes that generate code; 0: as many as cores if there are many files.

    Raises:
        UnknownTarget: no target has the requested name.
    """
    from idlc.codegen import TargetOptions, find_target
    from idlc.resources import cache_dir

    options = TargetOptions(
        package=request.package,
        templates=request.templates,
        with_includes=request.with_includes,
        nullable_arguments=request.nullable_arguments,
        jobs=jobs or (os.cpu_count() or 1 if len(checked.programs) >= _MANY else 1),
        cache=cache_dir() / "templates" if use_cache else None,
    )
    if folder is not None:
        options = msgspec.structs.replace(options, existing=folder.read, elsewhere=folder.find)
    return find_target(request.target).generate(checked.programs, checked.found, options)


def compile_files(request: Request) -> CompiledFiles:
    """Run the pipeline.

    Raises:
        UnknownTarget: no target has the requested name.
        OSError: an output file cannot be written; nothing was changed.
    """
    from idlc.transaction import recover

    if not request.only_compare:
        recover(request.output)
    key = compile_cache.cache_key(request) if compile_cache.is_cacheable(request) else None
    if key is not None:
        known = compile_cache.load(key, request.output)
        if known is not None:
            return CompiledFiles(report=known.report, unchanged=known.outputs, inputs=known.inputs)

    from idlc.codegen import find_target, write_outputs

    find_target(request.generation.target)  # an unknown target is reported before errors in the files
    checked = check_files(request.front_end)
    report, inputs = checked.report(), list(checked.loader.files)
    if report.has_errors:
        return CompiledFiles(report=report, inputs=inputs)
    folder = OutputFolder(request.output)
    files = generate_files(checked, request.generation, use_cache=request.use_cache, folder=folder, jobs=request.jobs)
    report = checked.report(has_output=True)
    if report.has_errors:
        return CompiledFiles(report=report, inputs=inputs)
    outcome = write_outputs(request.output, files, only_compare=request.only_compare)
    if key is not None and not (request.only_compare and outcome.written):
        compile_cache.store(key, checked.loader, report, files, folder.consulted, folder.elsewhere)
    texts = {request.output / file.path: file.text for file in files}
    return CompiledFiles(
        report=report,
        written=outcome.written,
        unchanged=outcome.unchanged,
        inputs=inputs,
        texts={path: texts[path] for path in outcome.written},
    )
