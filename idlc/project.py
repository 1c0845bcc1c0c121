"""Generation of everything that a configuration asks for: all files of all targets, or none.

Each output folder has a manifest, `.idlc-manifest.json`: the generated files, each with the configurations and targets
that it comes from. A file of the manifest that is no longer generated is an orphan. Files of other configurations in
the same folder are left alone, and so are files that were not generated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from idlc import compile_cache
from idlc.config import FILES, Config, ConfigError, TargetConfig
from idlc.diagnostics import Report
from idlc.driver import Checked, OutputFolder, check_files, generate_files
from idlc.files import readable
from idlc.findings import Policy
from idlc.request import FrontEnd, Generation, Request
from idlc.results import Result
from idlc.shadowing import GENERATED
from idlc.transaction import Transaction, check_inside, recover

if TYPE_CHECKING:
    from idlc.codegen import GeneratedFile

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["MANIFEST", "FolderResult", "ProjectResult", "generate_project"]

MANIFEST = ".idlc-manifest.json"


class _Manifest(msgspec.Struct, frozen=True):
    """Generated files of a folder.

    Attributes:
        files: path below the folder → owners, `CONFIGURATION#TARGET`; the configuration is relative to the folder.
    """

    files: dict[str, list[str]] = {}


class FolderResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one output folder.

    Attributes:
        folder: output folder.
        written: files that were new or have changed (with `only_compare`: that would be written).
        unchanged: files that were up to date.
        orphaned: files that earlier runs generated and this one does not; they still exist.
        removed: orphans that were removed.
        texts: new text of each written file.
    """

    folder: Path
    written: list[Path]
    unchanged: list[Path]
    orphaned: list[Path]
    removed: list[Path]
    texts: Mapping[Path, str]


class ProjectResult(Result, frozen=True, kw_only=True):
    """Result of `generate_project`.

    Attributes:
        report: all diagnostics. If it has errors, nothing was written.
        folders: results, in the order of the configuration.
        inputs: IDL files that were read, including included ones.
    """

    folders: list[FolderResult] = []
    inputs: list[Path] = []

    @property
    def is_up_to_date(self) -> bool:
        """Whether no file is out of date or orphaned."""
        return not any(each.written or each.orphaned for each in self.folders)


class _Folder(msgspec.Struct):
    """Targets with the same output folder.

    Attributes:
        manifest: the manifest as it is.
        owners: owners of files that this run replaces.
    """

    path: Path
    targets: list[TargetConfig]
    manifest: _Manifest
    owners: set[str]

    @property
    def own(self) -> set[PurePosixPath]:
        """Files that earlier runs have generated, and no other configuration."""
        return {PurePosixPath(name) for name, owners in self.manifest.files.items() if self.owners.issuperset(owners)}


def generate_project(
    config: Config,
    *,
    targets: Sequence[str] = (),
    only_compare: bool = False,
    clean: bool = False,
    use_cache: bool = True,
    jobs: int = 1,
    policy: Policy | None = None,
) -> ProjectResult:
    """Generate everything that a configuration asks for.

    Args:
        targets: names of the targets to generate; empty for all.
        only_compare: write nothing; return which files would be written, and which are orphaned.
        clean: remove orphaned files.
        use_cache: skip the generation if inputs, options and outputs are unchanged since the last one.
        jobs: number of processes that generate code; 0: as many as cores if there are many files. A process with
            threads must not use more than one.
        policy: severities of diagnostics; by default those of the configuration.

    Raises:
        BaselineError: the baseline cannot be read.
        ConfigError: the configuration has no targets or inputs, or targets that contradict each other.
        UnknownTarget: no target has the name that the configuration has.
        OSError: a file cannot be written; nothing was changed.
    """
    folders = _folders(config, targets, only_compare=only_compare)
    front_end = _front_end(config, policy if policy is not None else config.policy())
    requests = {
        id(target): Request(front_end=front_end, generation=_generation(config, target), output=folder.path)
        for folder in folders
        for target in folder.targets
    }
    if use_cache:
        known = _up_to_date(folders, requests)
        if known is not None:
            return known
    checked = check_files(front_end)
    report, inputs = checked.report(), list(checked.loader.files)
    if report.has_errors:
        return ProjectResult(report=report, inputs=inputs)
    files = {id(folder): _generate(config, folder, checked, requests, use_cache, jobs) for folder in folders}
    report = checked.report(has_output=True)
    if report.has_errors:
        return ProjectResult(report=report, inputs=inputs)
    results = _write(config, folders, files, only_compare=only_compare, clean=clean)
    return ProjectResult(report=report, folders=results, inputs=inputs)


def _folders(config: Config, names: Sequence[str], *, only_compare: bool) -> list[_Folder]:
    if not config.targets:
        raise ConfigError(f"{readable(config.file)}: no targets; add a table [[targets]] with a key `output`")
    known = {name for target in config.targets for name in (target.name, target.label)}
    for name in names:
        if name not in known:
            raise ConfigError(f"{readable(config.file)}: no target {name!r}; known: {', '.join(sorted(known))}")
    found: dict[Path, _Folder] = {}
    for target in config.targets:
        if names and target.name not in names and target.label not in names:
            continue
        path = config.path(target.output)
        if not only_compare:
            recover(path)
        folder = found.setdefault(path.resolve(), _Folder(path, [], _read_manifest(path), set()))
        folder.targets.append(target)
        folder.owners.add(_owner(config, folder.path, target))
    for folder in found.values() if not names else ():
        # Targets that are no longer in the configuration.
        prefix = _owner(config, folder.path, None)
        found_owners = {owner for owners in folder.manifest.files.values() for owner in owners}
        folder.owners |= {owner for owner in found_owners if owner.startswith(prefix)}
    return list(found.values())


def _owner(config: Config, folder: Path, target: TargetConfig | None) -> str:
    # The two usual files of a folder are one configuration, so that the table can move from one to the other.
    place = os.path.relpath(config.folder.resolve(), folder.resolve()).replace(os.sep, "/")
    name = "" if config.file.name in FILES else config.file.name
    return f"{place}/{name}#{'' if target is None else target.name}"


def _front_end(config: Config, policy: Policy) -> FrontEnd:
    try:
        sources = config.sources()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{readable(config.file)}: inputs: '{readable(str(error))}' matches no .idl or .thrift file"
        ) from None
    if not sources:
        raise ConfigError(f"{readable(config.file)}: all inputs are excluded")
    return FrontEnd(
        paths=tuple(sources),
        include_dirs=config.include_dirs,
        allow_negative_ids=config.allow_negative_ids,
        policy=policy,
        root=config.folder,
        baseline=config.baseline_file,
    )


def _generation(config: Config, target: TargetConfig) -> Generation:
    if target.templates and not config.path(target.templates).is_dir():
        raise ConfigError(f"{readable(config.file)}: templates: '{readable(target.templates)}' is no folder")
    return Generation(
        target=target.name,
        package=target.package,
        templates=config.path(target.templates) if target.templates else None,
        with_includes=target.with_includes,
        nullable_arguments=target.nullable_arguments,
    )


def _generate(
    config: Config, folder: _Folder, checked: Checked, requests: Mapping[int, Request], use_cache: bool, jobs: int
) -> dict[PurePosixPath, tuple[GeneratedFile, str]]:
    """Generate the files of a folder, and record them in the compile cache: path → file and owner."""
    generated: dict[PurePosixPath, tuple[GeneratedFile, str]] = {}
    for target in folder.targets:
        request = requests[id(target)]
        output = OutputFolder(folder.path, folder.own)
        files = generate_files(checked, request.generation, use_cache=use_cache, folder=output, jobs=jobs)
        owner = _owner(config, folder.path, target)
        for file in files:
            if file.path in generated:
                raise ConfigError(
                    f"{readable(config.file)}: two targets generate '{file.path}' in '{readable(folder.path)}'; give "
                    "them different output folders"
                )
            generated[file.path] = (file, owner)
        report = checked.report(has_output=True)
        if use_cache and compile_cache.is_cacheable(request) and not report.has_errors:
            compile_cache.store(_cache_key(request), checked.loader, report, files, output.consulted, output.elsewhere)
    return generated


def _write(
    config: Config,
    folders: Iterable[_Folder],
    files: Mapping[int, Mapping[PurePosixPath, tuple[GeneratedFile, str]]],
    *,
    only_compare: bool,
    clean: bool,
) -> list[FolderResult]:
    from idlc.codegen import GeneratedFile, compare_outputs, prepare_outputs

    results: list[FolderResult] = []
    with ExitStack() as stack:
        transactions: list[Transaction] = []
        for folder in folders:
            generated = files[id(folder)]
            transaction = Transaction(folder.path)
            if not only_compare:
                stack.enter_context(transaction).prepare()
                stack.enter_context(_locked(folder.path))
                folder.manifest = _read_manifest(folder.path)  # another configuration may have changed it
            orphans = sorted(path for path in folder.own - generated.keys() if _is_generated(folder.path / path))
            _check_foreign(config, folder, [file for file, _ in generated.values()])
            entries: dict[str, list[str]] = {}
            for name, owners in folder.manifest.files.items():
                if others := [owner for owner in owners if owner not in folder.owners]:
                    entries[name] = others
            for path, (_, owner) in generated.items():
                entries[str(path)] = sorted({*entries.get(str(path), ()), owner})
            if not clean:
                entries |= {str(path): folder.manifest.files[str(path)] for path in orphans}
            texts = [file for file, _ in generated.values()]
            texts.append(GeneratedFile(PurePosixPath(MANIFEST), _manifest_text(entries)))
            if only_compare:
                outcome = compare_outputs(folder.path, texts)
            else:
                transactions.append(transaction)
                outcome = prepare_outputs(folder.path, texts, transaction, orphans if clean else ())
            places = [folder.path / path for path in orphans]
            is_removed = clean and not only_compare
            results.append(
                FolderResult(
                    folder=folder.path,
                    written=outcome.written,
                    unchanged=outcome.unchanged,
                    orphaned=[] if is_removed else places,
                    removed=places if is_removed else [],
                    texts={folder.path / file.path: file.text for file in texts},
                )
            )
        if transactions:
            transactions[0].commit(*transactions[1:])
    return results


def _check_foreign(config: Config, folder: _Folder, files: Iterable[GeneratedFile]) -> None:
    """Check that no file is replaced that was not generated.

    Raises:
        ConfigError: there is one.
    """
    for file in files:
        path = folder.path / file.path
        if str(file.path) in folder.manifest.files or not path.exists() or _is_generated_module(path):
            continue
        if path.read_bytes() != file.text.encode():
            raise ConfigError(
                f"{readable(config.file)}: '{readable(path)}' exists and was not generated; move it away, or generate "
                "into another folder"
            )


def _is_generated(path: Path) -> bool:
    """Return whether a file of the manifest is still a generated one; modules show it, other files do not."""
    return _is_generated_module(path) if path.suffix == ".py" else path.is_file()


def _is_generated_module(path: Path) -> bool:
    """Return whether a file is a module with the first line of generated ones, or an empty one."""
    if path.suffix != ".py":
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(len(GENERATED)) in (b"", GENERATED.encode())
    except OSError:
        return False


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Exclude other processes that generate into a folder."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _up_to_date(folders: Iterable[_Folder], requests: Mapping[int, Request]) -> ProjectResult | None:
    """Return the result of a run that would change nothing, from the compile cache; else `None`."""
    report = Report()
    inputs: dict[Path, None] = {}
    results: list[FolderResult] = []
    for folder in folders:
        unchanged: list[Path] = []
        for target in folder.targets:
            known = compile_cache.load(_cache_key(requests[id(target)]), folder.path)
            if known is None:
                return None
            for diagnostic in known.report:
                report.add(diagnostic)
            inputs.update(dict.fromkeys(known.inputs))
            unchanged += known.outputs
        if folder.own != {PurePosixPath(path.relative_to(folder.path)) for path in unchanged}:
            return None
        unchanged.append(folder.path / MANIFEST)
        results.append(
            FolderResult(folder=folder.path, written=[], unchanged=unchanged, orphaned=[], removed=[], texts={})
        )
    return ProjectResult(report=report, folders=results, inputs=list(inputs))


def _cache_key(request: Request) -> str:
    return f"{compile_cache.cache_key(request)}-project"


def _read_manifest(folder: Path) -> _Manifest:
    file = folder / MANIFEST
    try:
        # JSON of the standard library: names of files may have bytes that are not UTF-8.
        manifest = msgspec.convert(json.loads(file.read_bytes()), type=_Manifest)
        for name in manifest.files:
            check_inside(name)
        return manifest
    except (FileNotFoundError, NotADirectoryError):
        return _Manifest()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read '{readable(file)}': {error}; restore it, or remove it and look for orphaned files yourself"
        ) from None


def _manifest_text(entries: Mapping[str, Sequence[str]]) -> str:
    # One line for each file, so that changes of different branches can be merged.
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(owners)}" for name, owners in sorted(entries.items()))
    return f'{{\n  "files": {{\n{lines}\n  }}\n}}\n'
