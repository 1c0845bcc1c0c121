"""Versions of this project that run side by side as processes: the checkout, and a commit of its history.

The commit is unpacked with `git archive`, and run with `PYTHONPATH` on it and with the pure codecs. Its plugins are
found by separate metadata, because the installed package is that of the checkout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eventually import TIMEOUT
from programs import not_run

__all__ = ["Process", "Version", "checkout", "commit"]

ROOT: Final = Path(__file__).parents[2]
# Has a process end with the tests even when they are killed.
_LEASH: Final = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


@dataclass(frozen=True, slots=True)
class Version:
    """A version that can be run.

    Attributes:
        name: human-readable name.
        root: of its sources.
        folder: where its processes run: what they import beside it, its caches, its logs.
    """

    name: str
    root: Path
    folder: Path

    def run(self, *arguments: str, **variables: str) -> str:
        """Run Python with this version to its end; return what it printed.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            [*_LEASH, sys.executable, "-P", *arguments],
            cwd=self.folder,
            env=self._environment(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5 * TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {arguments}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def start(self, *arguments: str, **variables: str) -> Iterator[Process]:
        """Start Python with this version; it is killed at the end."""
        process = Process(self, arguments, self._environment(variables))
        try:
            yield process
        finally:
            process.kill()

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        left_out = ("IDLRT_CONFIG", "PYTHONHOME")
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        paths = (self.folder, self.root, self.root / "runtime")
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        environment["IDLRT_BACKEND"] = "pure"
        environment["IDLC_CACHE_DIR"] = str(self.folder / "idlc-cache")
        environment["IDLRT_CACHE_DIR"] = str(self.folder / "idlrt-cache")
        return environment | variables


class Process:
    """A process of a version. What it logs is shown where something is missing."""

    def __init__(self, version: Version, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self._log = version.folder / f"{'-'.join(each.strip('-') for each in arguments[1:4])}.log".replace("/", "_")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_LEASH, sys.executable, "-P", *arguments],
                cwd=version.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def line(self, start: str) -> str:
        """Wait for the next line that it prints; return what follows `start`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line.startswith(start), f"{line!r} instead of {start!r}\n{self._log.read_text(errors='replace')[-3000:]}"
        return line.removeprefix(start)

    def ask(self, text: str) -> str:
        """Write a line to it, and wait for the one that it prints then."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        return self.line("")

    def finish(self) -> None:
        """Let it read the end of its input, and see that it ends well."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(TIMEOUT) == 0, self._log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End it as an operator does."""
        self._process.terminate()
        self._process.wait(TIMEOUT)

    def kill(self) -> None:
        """End it at once. Allowed twice, and after `stop`."""
        self._process.kill()
        self._process.wait(TIMEOUT)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def checkout(folder: Path) -> Version:
    """The version of this checkout."""
    folder.mkdir()
    return Version("new", ROOT, folder)


def commit(sha: str, folder: Path) -> Version:
    """The version of a commit. Without the history, the test is skipped, or fails where everything is to be tested."""
    folder.mkdir()
    archive = folder / "tree.tar"
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "archive", "--format=tar", f"--output={archive}", sha],
            capture_output=True,
            text=True,
            check=False,
        )
        trouble = done.stderr.strip() if done.returncode else ""
    except FileNotFoundError as error:
        trouble = str(error)
    if trouble:
        not_run(f"NOT RUN: commit {sha[:8]} is not in the history (git fetch --unshallow): {trouble}")
    root = folder / "tree"
    with tarfile.open(archive) as tar:
        tar.extractall(root, filter="data")
    archive.unlink()
    _write_metadata(folder, root)
    return Version("old", root, folder)


def _write_metadata(folder: Path, root: Path) -> None:
    """Write what the plugins of a tree are found by."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = folder / f"{project['name']}-0+{root.name}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0+{root.name}\n")
    lines: list[str] = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
