"""Python API: parse, check, generate and compile, in memory or with files.

All functions can be called any number of times, and from several threads. What they are given and what they return is
data; nothing is printed. Diagnostics are in the report of each result, also those of files that cannot be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from idlc.diagnostics import Report
from idlc.driver import FrontEnd, Generation, Request, check_files, compile_files, find_sources, generate_files
from idlc.findings import Policy
from idlc.results import BreakingChanges, Checked, Compiled, Formatted, Generated, Parsed

if TYPE_CHECKING:
    from idlc.breaking import Category

__all__ = ["Sources", "check", "compile", "find_breaking_changes", "format", "generate", "parse"]

_Path: TypeAlias = str | os.PathLike[str]

Sources: TypeAlias = _Path | Iterable[_Path] | Mapping[_Path, str] | Mapping[str, str] | Mapping[Path, str]
"""A path, several paths, or a mapping of paths to texts, which need not exist as files.

Folders stand for all `.idl` and `.thrift` files below them. Files that are included are searched among the texts, too.
"""

_DEFAULT = Policy()


def parse(text: str, *, name: str = "<text>") -> Parsed:
    """Parse the text of one IDL file. Includes are not read, and names are not resolved.

    Args:
        name: file name in diagnostics.
    """
    from idlc.source import SourceFile
    from idlc.syntax import parse as parse_source

    report = Report()
    document = parse_source(SourceFile(Path(name), text, name=name), report)
    return Parsed(report=report, document=document)


def format(text: str, *, name: str = "<text>", width: int = 100) -> Formatted:
    """Format the text of one IDL file.

    Args:
        name: file name in diagnostics.
        width: columns that a line should not exceed.
    """
    from idlc.formatting import format_source
    from idlc.source import SourceFile

    report = Report()
    return Formatted(report=report, text=format_source(SourceFile(Path(name), text, name=name), report, width=width))


def find_breaking_changes(
    paths: _Path | Iterable[_Path],
    against: str,
    *,
    categories: Sequence[Category] = (),
    ignore: Sequence[str] = (),
    include_dirs: Sequence[_Path] = (),
    allow_negative_ids: bool = False,
) -> BreakingChanges:
    """Find incompatible changes of an interface since an earlier version.

    Args:
        paths: IDL files and folders.
        against: earlier version: a file, a folder with the same layout, `git:REF`, `git:REF:DIR`, or a snapshot.
        categories: categories to report: `WIRE`, `JSON`, `REST`, `SOURCE`; empty for all.
        ignore: expected changes: `RULE`, or `RULE:PLACE`.
        include_dirs: folders that are searched for includes, after the folder of the including file.
        allow_negative_ids: keep field ids that are zero or negative.

    Raises:
        AgainstError: the earlier version cannot be read.
        SnapshotError: the snapshot is invalid.
        ValueError: an entry of `ignore` is invalid.
    """
    from idlc.breaking import CATEGORIES, Ignored, compare, to_report
    from idlc.breaking.against import read_current, read_earlier
    from idlc.findings.suppression import changes_suppressed

    expected = [Ignored.parse(text) for text in ignore]
    requested = [Path(paths)] if isinstance(paths, str | os.PathLike) else list(map(Path, paths))
    report = Report()
    current = read_current(
        find_sources(requested),
        report,
        include_dirs=[Path(folder) for folder in include_dirs],
        allow_negative_ids=allow_negative_ids,
        folders=[path for path in requested if path.is_dir()],
    )
    if report.has_errors:
        return BreakingChanges(report=report)
    earlier = Report()
    before, after = read_earlier(against, current, earlier)
    if earlier.has_errors:
        return BreakingChanges(report=earlier)
    is_suppressed = changes_suppressed(program.document for program in current.programs)
    changes = [
        change
        for change in compare(before, after, categories=categories or CATEGORIES, ignore=expected)
        if not is_suppressed(change.rule, change.span)
    ]
    findings = Report()
    to_report(changes, findings)
    return BreakingChanges(report=findings, changes=tuple(changes))


def check(
    sources: Sources,
    *,
    include_dirs: Sequence[_Path] = (),
    allow_negative_ids: bool = False,
    policy: Policy = _DEFAULT,
    root: _Path | None = None,
    baseline: _Path | None = None,
) -> Checked:
    """Parse and link IDL files and the files that they include, and run all checks that the policy does not turn off.

    Args:
        sources: a path, several paths, or a mapping of paths to texts.
        include_dirs: folders that are searched for includes, after the folder of the including file.
        allow_negative_ids: keep field ids that are zero or negative.
        policy: severities of diagnostics, and which are reported.
        root: folder that paths of the policy are relative to; by default the working directory.
        baseline: file with findings that are accepted.

    Raises:
        BaselineError: the baseline cannot be read.
    """
    found = check_files(_front_end(sources, include_dirs, allow_negative_ids, policy, root, baseline))
    return Checked(report=found.report(), programs=tuple(found.programs))


def generate(
    sources: Sources,
    *,
    target: str = "python",
    package: str = "",
    templates: _Path | None = None,
    with_includes: bool = True,
    nullable_arguments: bool = False,
    include_dirs: Sequence[_Path] = (),
    allow_negative_ids: bool = False,
    policy: Policy = _DEFAULT,
    root: _Path | None = None,
    baseline: _Path | None = None,
    use_cache: bool = True,
) -> Generated:
    """Generate code in memory.

    Args:
        sources: a path, several paths, or a mapping of paths to texts.
        target: output: `python`, `openapi`, or a plugin.
        package: dotted name of the package that all generated packages are placed in.
        templates: folder with templates that override built-in ones of the same name.
        with_includes: generate included files, too.
        nullable_arguments: allow `None` for arguments that are neither `required` nor have a default.
        include_dirs: folders that are searched for includes, after the folder of the including file.
        allow_negative_ids: keep field ids that are zero or negative.
        policy: severities of diagnostics, and which are reported.
        root: folder that paths of the policy are relative to; by default the working directory.
        baseline: file with findings that are accepted.
        use_cache: cache compiled templates in the user's cache folder.

    Raises:
        UnknownTarget: no target has that name.
        BaselineError: the baseline cannot be read.
    """
    checked = check_files(_front_end(sources, include_dirs, allow_negative_ids, policy, root, baseline))
    generation = _generation(target, package, templates, with_includes, nullable_arguments)
    report = checked.report()
    if report.has_errors:
        return Generated(report=report)
    files = generate_files(checked, generation, use_cache=use_cache)
    report = checked.report(has_output=True)
    return Generated(report=report, files=() if report.has_errors else tuple(files))


def compile(
    sources: Sources,
    output: _Path,
    *,
    target: str = "python",
    package: str = "",
    templates: _Path | None = None,
    with_includes: bool = True,
    nullable_arguments: bool = False,
    include_dirs: Sequence[_Path] = (),
    allow_negative_ids: bool = False,
    policy: Policy = _DEFAULT,
    root: _Path | None = None,
    baseline: _Path | None = None,
    only_compare: bool = False,
    use_cache: bool = True,
    jobs: int = 1,
) -> Compiled:
    """Generate code and write it below a folder: all files, or none. Files that have not changed are not written.

    Args:
        sources: a path, several paths, or a mapping of paths to texts.
        output: output folder; created if it does not exist.
        target: output: `python`, `openapi`, or a plugin.
        package: dotted name of the package that all generated packages are placed in.
        templates: folder with templates that override built-in ones of the same name.
        with_includes: generate included files, too.
        nullable_arguments: allow `None` for arguments that are neither `required` nor have a default.
        include_dirs: folders that are searched for includes, after the folder of the including file.
        allow_negative_ids: keep field ids that are zero or negative.
        policy: severities of diagnostics, and which are reported.
        root: folder that paths of the policy are relative to; by default the working directory.
        baseline: file with findings that are accepted.
        only_compare: write nothing; return which files would be written.
        use_cache: skip the compile if inputs, options and outputs are unchanged since the last one.
        jobs: number of processes that generate code; 0: as many as cores if there are many files. A process with
            threads must not use more than one.

    Raises:
        UnknownTarget: no target has that name.
        BaselineError: the baseline cannot be read.
        OSError: a file cannot be written; nothing was changed.
    """
    found = compile_files(
        Request(
            front_end=_front_end(sources, include_dirs, allow_negative_ids, policy, root, baseline),
            generation=_generation(target, package, templates, with_includes, nullable_arguments),
            output=Path(output),
            only_compare=only_compare,
            use_cache=use_cache,
            jobs=jobs,
        )
    )
    return Compiled(
        report=found.report,
        written=found.written,
        unchanged=found.unchanged,
        inputs=found.inputs,
        texts=found.texts,
    )


def _front_end(
    sources: Sources,
    include_dirs: Sequence[_Path],
    allow_negative_ids: bool,
    policy: Policy,
    root: _Path | None,
    baseline: _Path | None,
) -> FrontEnd:
    texts: dict[Path, str] = {}
    if isinstance(sources, Mapping):
        given = cast("Mapping[_Path, str]", sources)
        texts = {Path(path): text for path, text in given.items()}
        paths = list(texts)
    elif isinstance(sources, str | os.PathLike):
        paths = find_sources([Path(sources)])
    else:
        paths = find_sources(map(Path, sources))
    return FrontEnd(
        paths=tuple(paths),
        texts=texts,
        include_dirs=tuple(map(Path, include_dirs)),
        allow_negative_ids=allow_negative_ids,
        policy=policy,
        root=None if root is None else Path(root),
        baseline=None if baseline is None else Path(baseline),
    )


def _generation(
    target: str, package: str, templates: _Path | None, with_includes: bool, nullable_arguments: bool
) -> Generation:
    return Generation(
        target=target,
        package=package,
        templates=None if templates is None else Path(templates),
        with_includes=with_includes,
        nullable_arguments=nullable_arguments,
    )
