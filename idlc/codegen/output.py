"""Files on disk: written only where their text changed, and then all at once.

A file that is already as it should be keeps its time stamp, so build tools that look at it do not run
again. A changed one is written beside its place and moved over it, so nobody ever reads half a file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from idlc.codegen.target import GeneratedFile

__all__ = ["Outcome", "write_outputs"]


class Outcome(msgspec.Struct, frozen=True):
    """What became of the files.

    Attributes:
        written: files that were new or different.
        unchanged: files that were left alone.
    """

    written: list[Path]
    unchanged: list[Path]


def write_outputs(folder: Path, files: Sequence[GeneratedFile], *, only_compare: bool = False) -> Outcome:
    """Bring `folder` up to date; it is created where it is missing.

    Args:
        only_compare: write nothing, and tell what would be written.

    Raises:
        OSError: a file cannot be written.
    """
    written: list[Path] = []
    unchanged: list[Path] = []
    for file in files:
        path = folder / file.path
        data = file.text.encode()
        if _read(path) == data:
            unchanged.append(path)
            continue
        written.append(path)
        if not only_compare:
            _replace(path, data)
    return Outcome(written, unchanged)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes private files; these are ordinary ones
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
