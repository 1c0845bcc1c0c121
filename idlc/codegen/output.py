"""Write output files: all of them or none, and only those whose content changed.

A file that is up to date keeps its modification time, so build tools that compare times do not run again. What compiles
that were killed have left behind is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from idlc.codegen.target import GeneratedFile
from idlc.files import sweep
from idlc.transaction import Transaction, recover

__all__ = ["Outcome", "compare_outputs", "prepare_outputs", "write_outputs"]


class Outcome(msgspec.Struct, frozen=True):
    """The result of writing files.

    Attributes:
        written: files that were created or changed.
        unchanged: files that were up to date.
    """

    written: list[Path]
    unchanged: list[Path]


def prepare_outputs(
    folder: Path, files: Sequence[GeneratedFile], transaction: Transaction, removed: Collection[PurePosixPath] = ()
) -> Outcome:
    """Add the files that have changed to a transaction in `folder`, and files that are to be removed.

    Raises:
        OSError: a file cannot be read or written.
    """
    recover(folder)
    for place in {(folder / file.path).parent for file in files}:
        sweep(place)
    outcome = compare_outputs(folder, files)
    texts = {folder / file.path: file.text for file in files}
    for path in outcome.written:
        transaction.replace(PurePosixPath(path.relative_to(folder)), texts[path].encode())
    for gone in removed:
        transaction.remove(gone)
    return outcome


def write_outputs(folder: Path, files: Sequence[GeneratedFile], *, only_compare: bool = False) -> Outcome:
    """Write `files` below `folder`, which is created if it does not exist.

    Args:
        only_compare: write nothing; return which files would be written.

    Raises:
        OSError: a file cannot be written; nothing has changed.
    """
    if only_compare:
        return compare_outputs(folder, files)
    with Transaction(folder) as transaction:
        outcome = prepare_outputs(folder, files, transaction)
        transaction.commit()
    return outcome


def compare_outputs(folder: Path, files: Sequence[GeneratedFile]) -> Outcome:
    """Return which files would be written."""
    written: list[Path] = []
    unchanged: list[Path] = []
    for file in files:
        path = folder / file.path
        (unchanged if _read(path) == file.text.encode() else written).append(path)
    return Outcome(written, unchanged)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
