"""The two versions of a comparison: IDL files, and what they are compared with.

The earlier version is another file, a folder with the same layout, a revision of the Git repository (`git:REF`, or
`git:REF:PATH` for a folder in it), or a snapshot. Files of both versions correspond if they have the same path below
the root of their version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from idlc.breaking.describe import Described, describe, path_in
from idlc.breaking.git import GitError, Repository
from idlc.breaking.snapshot import SnapshotError, load
from idlc.diagnostics import Report
from idlc.files import readable
from idlc.model import Program, build
from idlc.source import Loader
from idlc.text import plural

__all__ = ["AgainstError", "Current", "read_current", "read_earlier"]

_GIT: Final = "git:"
_SUFFIXES: Final = (".idl", ".thrift")


class AgainstError(Exception):
    """The earlier version cannot be read; the message says what to do."""


class Current(msgspec.Struct, frozen=True):
    """The current IDL files.

    Attributes:
        paths: requested files, resolved.
        folders: folders that were requested as a whole, resolved.
        programs: linked files.
        include_dirs: include folders, resolved.
        allow_negative_ids: whether field ids that are zero or negative are kept.
        home: folder that paths are relative to, unless one folder was requested.
        exclude: patterns of paths (absolute) that are not compared, also in the earlier version.
    """

    paths: tuple[Path, ...]
    folders: tuple[Path, ...]
    programs: Sequence[Program]
    include_dirs: tuple[Path, ...]
    allow_negative_ids: bool
    home: Path
    exclude: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """The folder that paths are relative to: the only requested folder, otherwise `home`."""
        is_whole = len(self.folders) == 1 and all(path.is_relative_to(self.folders[0]) for path in self.paths)
        return self.folders[0] if is_whole else self.home

    def has(self, path: Path) -> bool:
        """Return whether a file of the earlier version, by its path in the current one, is compared."""
        return not any(fnmatchcase(str(path), pattern) for pattern in self.exclude)

    def described(self, root: Path | None = None) -> Described:
        """Describe the files, with paths relative to a folder."""
        folder = self.root if root is None else root
        return describe(self.programs, lambda program: path_in(folder, program.source.path, self.include_dirs))


def read_current(
    files: Sequence[Path],
    report: Report,
    *,
    include_dirs: Sequence[Path] = (),
    allow_negative_ids: bool = False,
    folders: Sequence[Path] = (),
    home: Path | None = None,
    exclude: Sequence[str] = (),
) -> Current:
    """Read and link the current IDL files; errors are reported.

    Args:
        files: files that were requested.
        folders: folders that were requested as a whole: files that are missing in them were removed.
        home: folder that paths are relative to, unless one folder was requested; the working directory by default.
        exclude: patterns of files below `home` that are not compared.
    """
    base = (home if home is not None else Path()).resolve()
    programs = build(files, Loader(include_dirs), report, allow_negative_ids=allow_negative_ids)
    return Current(
        tuple(path.resolve() for path in files),
        tuple(path.resolve() for path in folders),
        programs,
        tuple(path.resolve() for path in include_dirs),
        allow_negative_ids,
        base,
        tuple(str(base / pattern) for pattern in exclude),
    )


def read_earlier(against: str, current: Current, report: Report) -> tuple[Described, Described]:
    """Return the earlier version, and the current one with paths that correspond.

    Args:
        against: `FILE`, `DIR`, `git:REF`, `git:REF:PATH`, or the path of a snapshot.
        report: gets the errors in the IDL files of the earlier version.

    Raises:
        AgainstError: the earlier version cannot be read.
    """
    if against.startswith(_GIT):
        return _read_revision(against, current, report)
    path = Path(against)
    if path.is_dir():
        return _read_folder(path, current, report)
    try:
        data = path.read_bytes() if path.suffix not in _SUFFIXES else None
    except OSError as error:
        raise AgainstError(f"cannot read '{readable(path)}': {(error.strerror or str(error)).lower()}") from None
    if data is None:
        return _read_file(path, current, report)
    try:
        earlier = Described(load(data))
    except SnapshotError as error:
        raise AgainstError(f"cannot compare with '{readable(path)}': {error}") from None
    known = {file.path for file in earlier.snapshot.files}
    candidates = [current.root, current.home, Path.cwd(), path.resolve().parent]
    candidates += {file.parent: None for file in current.paths}
    return earlier, max(map(current.described, candidates), key=lambda each: len(known & {*each.programs}))


def _read_file(path: Path, current: Current, report: Report) -> tuple[Described, Described]:
    if len(current.paths) != 1:
        raise AgainstError(
            f"cannot compare {plural(len(current.paths), 'file')} with the file '{readable(path)}': "
            "name a folder, a revision (`git:REF`) or a snapshot"
        )
    if not path.is_file():
        raise AgainstError(f"no such file or folder: '{readable(path)}'")
    programs = build([path], Loader(current.include_dirs), report, allow_negative_ids=current.allow_negative_ids)
    root = path.resolve().parent
    earlier = describe(programs, lambda program: path_in(root, program.source.path, current.include_dirs))
    return earlier, current.described(current.paths[0].parent)


def _read_folder(folder: Path, current: Current, report: Report) -> tuple[Described, Described]:
    root = folder.resolve()
    wanted = [root / path.relative_to(current.root) for path in current.paths if path.is_relative_to(current.root)]
    files = [path for path in wanted if path.is_file()]
    for requested in current.folders:
        if requested.is_relative_to(current.root):
            below = root / requested.relative_to(current.root)
            found = sorted(path for path in below.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
            files += (path for path in found if current.has(current.root / path.relative_to(root)))
    if not files:
        raise AgainstError(
            f"'{readable(folder)}' has none of the files, at their paths below '{readable(current.root)}'; "
            "name the folder that corresponds to it"
        )
    include_dirs = _moved(current.include_dirs, current.root, root)
    programs = build(_unique(files), Loader(include_dirs), report, allow_negative_ids=current.allow_negative_ids)
    earlier = describe(programs, lambda program: path_in(root, program.source.path, include_dirs))
    return earlier, current.described()


def _read_revision(against: str, current: Current, report: Report) -> tuple[Described, Described]:
    revision, _, inside = against.removeprefix(_GIT).partition(":")
    first = current.folders[0] if current.folders else current.paths[0].parent
    try:
        repository = Repository(first)
        texts, links = repository.idl_files(repository.commit(revision))
    except GitError as error:
        raise AgainstError(f"cannot compare with '{readable(against)}': {error}") from None
    # A folder that does not exist, whose name is shown in messages: `HEAD~1:/idl/shop.idl`.
    root = Path.cwd() / f"{revision.replace('/', '_')}:"
    overlay = {root / path: text for path, text in texts.items()}
    linked = {root / path for path in links}
    base = repository.root if not inside else current.root
    earlier_base = root / inside if inside else root
    wanted = [earlier_base / path.relative_to(base) for path in current.paths if path.is_relative_to(base)]
    files = [path for path in wanted if path in overlay]
    for requested in current.folders:
        if requested.is_relative_to(base):
            below = earlier_base / requested.relative_to(base)
            found = sorted(path for path in overlay if path.is_relative_to(below))
            files += (path for path in found if current.has(base / path.relative_to(earlier_base)))
    if not files and inside and not any(PurePosixPath(path).is_relative_to(inside) for path in texts):
        raise AgainstError(f"cannot compare with '{readable(against)}': the revision has no IDL files below {inside!r}")
    outside = [path for path in current.paths if not path.is_relative_to(repository.root)]
    if outside:
        raise AgainstError(
            f"cannot compare '{readable(outside[0])}' with '{readable(against)}': "
            f"it is not in the repository '{readable(repository.root)}'"
        )
    include_dirs = _moved((*current.include_dirs, Path.cwd()), base, earlier_base)
    loader = Loader(include_dirs, overlay=overlay)
    programs = build(
        _unique(path for path in files if path not in linked),
        loader,
        report,
        allow_negative_ids=current.allow_negative_ids,
    )
    earlier = describe(programs, lambda program: path_in(earlier_base, program.source.path, include_dirs))
    return earlier, current.described(base)


def _moved(folders: Iterable[Path], base: Path, root: Path) -> tuple[Path, ...]:
    """Return include folders of the earlier version; those outside of the current root are the same."""
    return tuple(root / folder.relative_to(base) if folder.is_relative_to(base) else folder for folder in folders)


def _unique(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))
