"""Write output files atomically, and only if their content changed.

A file that is up to date keeps its modification time, so build tools that compare times do not run again. Temporary
files of compiles that were killed are removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from idlc.codegen.target import GeneratedFile
from idlc.files import replace_file, sweep

__all__ = ["Outcome", "write_outputs"]


class Outcome(msgspec.Struct, frozen=True):
    """The result of writing files.

    Attributes:
        written: files that were created or changed.
        unchanged: files that were up to date.
    """

    written: list[Path]
    unchanged: list[Path]


def write_outputs(folder: Path, files: Sequence[GeneratedFile], *, only_compare: bool = False) -> Outcome:
    """Write `files` below `folder`, which is created if it does not exist.

    Args:
        only_compare: write nothing; return which files would be written.

    Raises:
        OSError: a file cannot be written.
    """
    written: list[Path] = []
    unchanged: list[Path] = []
    if not only_compare:
        for place in {(folder / file.path).parent for file in files}:
            sweep(place)
    for file in files:
        path = folder / file.path
        data = file.text.encode()
        if _read(path) == data:
            unchanged.append(path)
            continue
        written.append(path)
        if not only_compare:
            replace_file(path, data)
    return Outcome(written, unchanged)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
