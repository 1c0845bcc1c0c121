"""Source trees to compare: this one, and that of a commit.

Copies of them are run, made and built in the same way, so that only the sources differ: neither the length of paths,
nor whether bytecode is cached, nor how the C compiler was called. Trees with the same native sources share one build.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.stubs import IDL
from benchmarks.table import progress
from benchmarks.workers import ROOT, Process, WorkerError, run_process

__all__ = ["CACHE", "Tree", "check_out", "make_tree"]

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "idlc-tests" / "compare"
_WORKER: Final = Path(__file__).with_name("worker.py")
_COPIED: Final = ("pyproject.toml", "hatch_build.py", "idlc", "runtime", "grammars", "templates")
_NOT_COPIED: Final = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.pyc")
_NATIVE_SOURCES: Final = (".pyx", ".pxd", ".pxi", ".h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A version of this project that can be run.

    Attributes:
        name: display name.
        root: of its sources.
        folder: of its stubs, caches and metadata.
    """

    name: str
    root: Path
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return the environment in which Python imports this version."""
        left_out = ("IDLRT_CONFIG", "PYTHONDONTWRITEBYTECODE")
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        paths = (self.folder / "site", self.root, self.root / "runtime")
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        environment["IDLC_CACHE_DIR"] = str(self.folder / "idlc-cache")
        environment["IDLRT_CACHE_DIR"] = str(self.folder / "idlrt-cache")
        return environment

    def run(self, *arguments: str) -> None:
        """Run Python with this version.

        Raises:
            WorkerError: it fails.
        """
        run_process([sys.executable, "-P", *arguments], environment=self.environment())

    def worker(self, role: str, cpu: int, *more: str) -> Process:
        """Start a worker, and do not wait until it is ready."""
        command = [
            sys.executable, "-P", str(self.folder / _WORKER.name),
            str(self.root), str(self.folder / "stubs"), str(cpu), role, *more,
        ]  # fmt: skip
        return Process(command, environment=self.environment(), is_quiet=True)


def check_out(ref: str, cache: Path = CACHE) -> tuple[str, Path]:
    """Return the hash of a commit, and the root of its sources. They are checked out if the cache does not have them.

    Raises:
        WorkerError: there is no such commit.
    """
    sha = _git("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    root = cache / sha
    with _locked(cache / f"{sha}.lock"):
        if not (root / "pyproject.toml").exists():
            progress(f"checking out {ref} into {root}")
            _git("worktree", "prune")
            _git("worktree", "add", "--force", "--detach", str(root), sha)
    return sha, root


def make_tree(name: str, sources: Path, folder: Path, cache: Path = CACHE) -> Tree:
    """Copy a version and make it ready to run: its native codecs, its metadata, its bytecode, its stubs.

    Args:
        name: display name.
        sources: root of the sources.
        folder: for everything; it must not exist yet.
        cache: where native codecs are kept, by their sources.

    Raises:
        WorkerError: it cannot be built, or its compiler fails.
    """
    tree = Tree(name=name, root=folder / "tree", folder=folder)
    tree.root.mkdir(parents=True)
    for each in _COPIED:
        source = sources / each
        if source.is_dir():
            shutil.copytree(source, tree.root / each, ignore=_NOT_COPIED)
        else:
            shutil.copy2(source, tree.root / each)
    shutil.copy2(_WORKER, folder)  # so that edits do not disturb a run, neither here nor in the sources
    _build(tree, cache)
    project = tomllib.loads((tree.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    _write_metadata(folder / "site" / f"{project['name']}-0+compare.dist-info", project)
    tree.run("-m", "compileall", "-q", str(tree.root / "idlc"), str(tree.root / "runtime"))
    tree.run("-m", "idlc", "compile", str(IDL), "-o", str(folder / "stubs"))
    tree.run("-m", "compileall", "-q", str(folder / "stubs"))
    return tree


def _build(tree: Tree, cache: Path) -> None:
    """Put the native codecs into the tree, from the cache if it has them; without a C compiler there are none."""
    digest = hashlib.sha256(f"{sys.implementation.cache_tag} {version('cython')} {version('setuptools')}".encode())
    runtime = tree.root / "runtime"
    sources = [path for path in runtime.rglob("*") if path.suffix in _NATIVE_SOURCES]
    for path in (tree.root / "hatch_build.py", *sorted(sources)):
        digest.update(f"{path.relative_to(tree.root)}\n".encode() + path.read_bytes())
    built = cache / f"native-{digest.hexdigest()[:16]}"
    with _locked(built.with_suffix(".lock")):
        if not built.exists():
            progress(f"{tree.name}: building the native codecs")
            tree.run(str(tree.root / "hatch_build.py"))
            for path in runtime.rglob("*.so"):
                kept = built / path.relative_to(runtime)
                kept.parent.mkdir(parents=True)
                shutil.copy2(path, kept)
        else:
            shutil.copytree(built, runtime, dirs_exist_ok=True)


def _write_metadata(folder: Path, project: dict[str, Any]) -> None:
    """Write what plugins are found by: what is installed may be of another version."""
    folder.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0+compare\n"
    (folder / "METADATA").write_text(head, encoding="utf-8")
    lines: list[str] = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkerError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
