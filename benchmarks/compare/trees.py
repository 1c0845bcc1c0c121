"""Source trees to compare: this one, and that of a commit, checked out and built in a cache."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.stubs import IDL
from benchmarks.table import progress
from benchmarks.workers import ROOT, Process, WorkerError, run_process

__all__ = ["CACHE", "Tree", "check_out", "new_tree"]

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "idlc-tests" / "compare"
_WORKER: Final = Path(__file__).with_name("worker.py")
_READY: Final = ".compare-ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A version of this project that can be run.

    Attributes:
        name: for people.
        root: of its sources.
        folder: of its stubs, caches and metadata.
    """

    name: str
    root: Path
    folder: Path

    def prepare(self) -> None:
        """Generate the stubs, with the compiler of this version.

        Raises:
            WorkerError: the compiler fails.
        """
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        # Plugins are found by metadata, and those that are installed are of another version.
        metadata = self.folder / "site" / f"{project['name']}-0+compare.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0+compare\n", encoding="utf-8"
        )
        groups = {f"[{group}]": entries for group, entries in project["entry-points"].items()}
        lines = [
            line
            for head, entries in groups.items()
            for line in (head, *(f"{key} = {value}" for key, value in entries.items()))
        ]
        (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        run_process(
            [sys.executable, "-P", "-m", "idlc", "compile", str(IDL), "-o", str(self.folder / "stubs")],
            environment=self.environment(),
        )

    def environment(self) -> dict[str, str]:
        """Return the environment in which Python imports this version."""
        environment = {name: value for name, value in os.environ.items() if name != "IDLRT_CONFIG"}
        paths = (self.folder / "site", self.root, self.root / "runtime")
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        environment["IDLC_CACHE_DIR"] = str(self.folder / "idlc-cache")
        environment["IDLRT_CACHE_DIR"] = str(self.folder / "idlrt-cache")
        return environment

    def worker(self, role: str, cpu: int, *more: str) -> Process:
        """Start a worker, and do not wait until it is ready."""
        command = [
            sys.executable, "-P", str(_WORKER), str(self.root), str(self.folder / "stubs"), str(cpu), role, *more,
        ]  # fmt: skip
        return Process(command, environment=self.environment(), is_quiet=True)


def new_tree(folder: Path, name: str = "new") -> Tree:
    """Return this tree, with its uncommitted changes."""
    return Tree(name=name, root=ROOT, folder=folder)


def check_out(ref: str, folder: Path, cache: Path = CACHE) -> Tree:
    """Return the tree of a commit; it is checked out and built if the cache does not have it.

    Args:
        ref: anything that names a commit.
        folder: for its stubs.
        cache: where trees are kept, by commit.

    Raises:
        WorkerError: there is no such commit, or it cannot be built.
    """
    sha = _git("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    root = cache / sha
    with _locked(cache / f"{sha}.lock"):
        ready = root / _READY
        built_for = json.dumps([sha, sys.implementation.cache_tag])
        if not ready.exists() or ready.read_text(encoding="utf-8") != built_for:
            progress(f"checking out {ref} into {root}")
            if not (root / "pyproject.toml").exists():
                _git("worktree", "prune")
                _git("worktree", "add", "--force", "--detach", str(root), sha)
            progress(f"building {ref}")
            run_process([sys.executable, str(root / "hatch_build.py")])
            ready.write_text(built_for, encoding="utf-8")
    return Tree(name=sha[:10], root=root, folder=folder)


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
