"""Files on disk: written only where their text changed, and then all at once.

A file that is already as it should be keeps its time stamp, so build tools that look at it do not run
again. What compiles that were killed have left in the folders is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from idlc.codegen.target import GeneratedFile
from idlc.files import replace_file, sweep

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
