"""The interface of targets. A target is an output language of idlc.

A target turns linked programs into files and does not touch the disk. This module imports no target;
`idlc.codegen.registry` finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from idlc.diagnostics import Report
from idlc.model import Program

__all__ = ["GeneratedFile", "Target", "TargetOptions", "UnknownTarget"]


class UnknownTarget(LookupError):
    """No target has that name; the message lists those that are known."""


class GeneratedFile(msgspec.Struct, frozen=True):
    """One file to write.

    Attributes:
        path: below the output folder.
        text: all of it, lines ending in `\\n`.
    """

    path: PurePosixPath
    text: str


class TargetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a compile.

    Attributes:
        package: dotted name of the package that everything is nested under, or empty.
        templates: a folder whose templates take the place of the built-in ones of the same name.
        with_includes: write the files that were included too; without, only those that were asked for.
        nullable_arguments: signatures allow `None` for arguments that are neither `required` nor have a default.
        jobs: number of processes that may generate code at the same time.
        cache: a folder for what targets can make again, such as compiled templates; `None` to keep nothing.
        existing: the text of a file that is already below the output folder, or `None`; for files that
            several compiles contribute to.
        elsewhere: the file of a module outside of the output that has the dotted name of a package, or `None`.
    """

    package: str = ""
    templates: Path | None = None
    with_includes: bool = True
    nullable_arguments: bool = False
    jobs: int = 1
    cache: Path | None = None
    existing: Callable[[PurePosixPath], str | None] = lambda path: None
    elsewhere: Callable[[tuple[str, ...]], str | None] = lambda parts: None


class Target(Protocol):
    """An output language."""

    name: str

    def generate(self, programs: Sequence[Program], report: Report, options: TargetOptions) -> list[GeneratedFile]:
        """Return the files of `programs`, in a fixed order.

        A declaration that the target cannot express (two names that become one) is added to `report` as an error; the
        files must not be written then.
        """
        ...
