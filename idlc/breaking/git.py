"""IDL files of a revision of a Git repository, read with `git` and without a checkout.

Source: `git help cat-file` (format of `--batch`), `git help ls-tree`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from idlc.files import readable

__all__ = ["GitError", "Repository"]

_SUFFIXES: Final = (".idl", ".thrift")
_LINK: Final = "120000"


class GitError(Exception):
    """A revision cannot be read; the message says what to do."""


class Repository:
    """The repository that a folder is in.

    Attributes:
        root: top-level folder of the working tree.

    Raises:
        GitError: `git` is not installed, or the folder is in no repository.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            found = self._run("rev-parse", "--show-toplevel")
        except GitError as error:
            if "not a git repository" in str(error):
                raise GitError(f"'{readable(folder)}' is not in a Git repository") from None
            raise
        self.root = Path(found.decode("utf-8", "surrogateescape").rstrip("\n")).resolve()

    def commit(self, revision: str) -> str:
        """Return the id of the commit that a revision names.

        Raises:
            GitError: there is no such revision.
        """
        if not revision or revision.startswith("-"):
            raise GitError(f"invalid revision {revision!r}")
        try:
            return (
                self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
                .decode()
                .strip()
            )
        except GitError as error:
            advice = f"; is it spelled correctly, and fetched (`git fetch origin {revision}`)?"
            if self._run("rev-parse", "--is-shallow-repository").strip() == b"true":
                advice = (
                    "; the clone is shallow: fetch its history (`git fetch --unshallow`, or `fetch-depth: 0` in CI)"
                )
            raise GitError(f"unknown revision {revision!r}{advice}" + (f" ({error})" if str(error) else "")) from None

    def idl_files(self, commit: str) -> tuple[Mapping[str, str], frozenset[str]]:
        """Return the texts of all IDL files of a commit by path, and the paths that are symbolic links to others.

        Bytes that are not UTF-8 are replaced.

        Raises:
            GitError: a file cannot be read, as in a partial clone without network.
        """
        listed = self._run("ls-tree", "-r", "-z", "--full-tree", commit)
        entries = dict(_entry(line) for line in listed.decode("utf-8", "surrogateescape").split("\0") if line)
        wanted = {path: id for path, (_, id) in entries.items() if path.lower().endswith(_SUFFIXES)}
        texts = dict(zip(wanted, self._blobs([*wanted.values()]), strict=True))
        # The text of a link is the path of its target.
        links = {path: _joined(path, texts.pop(path)) for path in wanted if entries[path][0] == _LINK}
        for path, target in links.items():
            seen = {path}
            while target in links and target not in seen:
                seen.add(target)
                target = links[target]
            if target in texts:
                texts[path] = texts[target]
        return texts, frozenset(links)

    def _blobs(self, ids: Sequence[str]) -> list[str]:
        data = self._run("cat-file", "--batch", input="".join(f"{id}\n" for id in ids).encode())
        found: list[str] = []
        position = 0
        for id in ids:
            end = data.index(b"\n", position)
            head = data[position:end].split(b" ")
            if len(head) != 3 or not head[2].isdigit():
                raise GitError(f"cannot read object {id}: {data[position:end].decode('utf-8', 'replace')}")
            size = int(head[2])
            found.append(data[end + 1 : end + 1 + size].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
            position = end + size + 2
        return found

    def _run(self, *arguments: str, input: bytes = b"") -> bytes:
        command = ["git", "-C", str(self._folder), *arguments]
        try:
            done = subprocess.run(command, input=input, capture_output=True, check=False)
        except FileNotFoundError:
            raise GitError("cannot run `git`: it is not installed, or not in PATH") from None
        except OSError as error:
            raise GitError(f"cannot run `git`: {(error.strerror or str(error)).lower()}") from None
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise GitError(lines[0].removeprefix("fatal: ") if lines else "")
        return done.stdout


def _entry(line: str) -> tuple[str, tuple[str, str]]:
    """Split `mode type id<tab>path`."""
    head, _, path = line.partition("\t")
    mode, _, id = head.split(" ")
    return path, (mode, id)


def _joined(path: str, target: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / target).parts:
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    return "/".join(parts)
