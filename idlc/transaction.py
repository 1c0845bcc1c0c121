"""Replacement and removal of several files below a folder: all of them, or none.

New contents are first written to a staging folder below the same folder, which is where a full disk is noticed. Then
they are renamed into place; if that fails, the old files are restored. A process that is killed while it renames leaves
its staging folder with the list of files behind: the next transaction in the folder completes the renames. A process
that is killed earlier has changed nothing, and its staging folder is removed. The staging folder is locked while its
process lives, and the kernel releases the locks of a process however it ends.

A staging folder may also come with a repository that is not trusted, so nothing outside of the folder is touched.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

import msgspec

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Transaction", "check_inside", "recover"]

_PREFIX, _SUFFIX = ".idlc-", ".stage"
_LOCK, _PLAN = "lock", "plan.json"


class _Plan(msgspec.Struct, frozen=True):
    """Files of a transaction below its folder; the name of new contents in the staging folder is their index."""

    replaced: list[str]
    removed: list[str]


class Transaction:
    """Pending changes of files below a folder. Leaving the `with` block without `commit` discards them.

    Args:
        folder: is created by the first change if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stage: Path | None = None
        self._lock = -1
        self._made: list[Path] = []
        self._replaced: list[str] = []
        self._removed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def prepare(self) -> None:
        """Create the folder, if it does not exist, and the staging folder.

        Raises:
            OSError: they cannot be created.
        """
        self._staged()

    def replace(self, path: PurePosixPath, data: bytes) -> None:
        """Prepare new contents of a file below the folder; missing folders are created.

        Raises:
            OSError: the contents cannot be written.
        """
        stage = self._staged()
        check_inside(str(path))
        self._make((self._folder / path).parent)
        (stage / f"new{len(self._replaced)}").write_bytes(data)
        self._replaced.append(str(path))

    def remove(self, path: PurePosixPath) -> None:
        """Prepare the removal of a file below the folder, and of folders that are empty then.

        Raises:
            OSError: the staging folder cannot be created.
        """
        self._staged()
        check_inside(str(path))
        self._removed.append(str(path))

    def commit(self, *others: Transaction) -> None:
        """Make all changes, and those of transactions in other folders.

        Raises:
            OSError: a file cannot be replaced or removed; nothing has changed in any of the folders.
        """
        pending = [each for each in (self, *others) if each._stage is not None]
        for each in pending:
            each._write_plan()
        try:
            for each in pending:
                each._apply()
        except BaseException:
            for each in reversed(pending):
                each._roll_back()
            raise
        for each in pending:
            each._made.clear()
            _prune(each._folder, each._removed)
            each.discard()

    def discard(self) -> None:
        """Drop changes that are not committed. Folders that were created for them are removed."""
        if self._stage is None:
            return
        shutil.rmtree(self._stage, ignore_errors=True)
        os.close(self._lock)
        self._stage = None
        for folder in reversed(self._made):
            with suppress(OSError):
                folder.rmdir()

    def _staged(self) -> Path:
        while self._stage is None:
            self._make(self._folder)
            stage = self._folder / f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
            stage.mkdir()
            # Another process may remove the folder before it is locked.
            try:
                self._lock = os.open(stage / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
            except FileNotFoundError:
                continue
            if _try_lock(self._lock) is not False and (stage / _LOCK).exists():
                self._stage = stage
            else:
                os.close(self._lock)
        return self._stage

    def _make(self, folder: Path) -> None:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._made += reversed(missing)

    def _write_plan(self) -> None:
        assert self._stage is not None
        pending = self._stage / f"{_PLAN}.new"
        # JSON of the standard library: names of files may have bytes that are not UTF-8.
        plan = msgspec.to_builtins(_Plan(self._replaced, self._removed))
        pending.write_bytes(json.dumps(plan).encode("ascii"))
        pending.rename(self._stage / _PLAN)

    def _apply(self) -> None:
        assert self._stage is not None
        for index, name in enumerate(self._replaced):
            target = self._folder / name
            with suppress(FileNotFoundError):
                _keep(target, self._stage / f"old{index}")
            os.replace(self._stage / f"new{index}", target)
        for index, name in enumerate(self._removed):
            with suppress(FileNotFoundError):
                os.replace(self._folder / name, self._stage / f"gone{index}")

    def _roll_back(self) -> None:
        assert self._stage is not None
        for index, name in enumerate(self._replaced):
            with suppress(OSError):
                if (self._stage / f"old{index}").exists():
                    os.replace(self._stage / f"old{index}", self._folder / name)
                elif not (self._stage / f"new{index}").exists():
                    os.unlink(self._folder / name)
        for index, name in enumerate(self._removed):
            with suppress(OSError):
                os.replace(self._stage / f"gone{index}", self._folder / name)
        (self._stage / _PLAN).unlink(missing_ok=True)


def recover(folder: Path) -> None:
    """Complete or discard the transactions of processes that were killed. Those of running processes are kept.

    Raises:
        OSError: a file cannot be replaced.
    """
    for stage in _stages(folder):
        with suppress(FileNotFoundError):
            lock = os.open(stage / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                if _try_lock(lock):
                    _finish(folder, stage)
            finally:
                os.close(lock)


def _finish(folder: Path, stage: Path) -> None:
    try:
        plan = msgspec.convert(json.loads((stage / _PLAN).read_bytes()), type=_Plan)
        for name in (*plan.replaced, *plan.removed):
            check_inside(name)
            if not (folder / name).parent.resolve().is_relative_to(folder.resolve()):
                raise ValueError(name)
    except (OSError, ValueError):
        plan = _Plan([], [])  # it was killed before it changed anything
    for index, name in enumerate(plan.replaced):
        if (stage / f"new{index}").exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(stage / f"new{index}", folder / name)
    for index, name in enumerate(plan.removed):
        if not (stage / f"gone{index}").exists():  # otherwise, a file of that name is a later one
            (folder / name).unlink(missing_ok=True)
    _prune(folder, plan.removed)
    shutil.rmtree(stage, ignore_errors=True)


def check_inside(name: str) -> None:
    """Check that a path is below the folder that it is relative to.

    Raises:
        ValueError: it is absolute, or has `..`.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath():
        raise ValueError(f"'{name}' is not below the output folder")


def _stages(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX) and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _keep(source: Path, copy: Path) -> None:
    try:
        os.link(source, copy)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copy2(source, copy)


def _prune(folder: Path, removed: list[str]) -> None:
    """Remove folders that are empty without the removed files."""
    for name in removed:
        for parent in PurePosixPath(name).parents:
            if parent == PurePosixPath():
                break
            with suppress(OSError):
                if _has_only_cache(folder / parent):
                    shutil.rmtree(folder / parent / "__pycache__")
                (folder / parent).rmdir()


def _has_only_cache(folder: Path) -> bool:
    return [entry.name for entry in folder.iterdir()] == ["__pycache__"]


def _try_lock(handle: int) -> bool | None:
    """Return whether the file is locked by this process now; `None` if the platform or file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
