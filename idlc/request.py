"""Options of one compile: the argument of `compile_files`, and part of the key of the compile cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from idlc.findings import Policy

__all__ = ["FrontEnd", "Generation", "Request"]


class FrontEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Input files, and options of reading and checking them.

    Attributes:
        paths: IDL files.
        texts: contents that replace those of files, by path; the files need not exist.
        include_dirs: folders that are searched for includes, in this order.
        allow_negative_ids: whether field ids that are zero or negative are kept.
        policy: severities of findings, and which are reported.
        root: folder that paths of the policy are relative to; `None`: the working directory.
        baseline: file with findings that are accepted, or `None`.
    """

    paths: tuple[Path, ...]
    texts: Mapping[Path, str] = {}
    include_dirs: tuple[Path, ...] = ()
    allow_negative_ids: bool = False
    policy: Policy = Policy()
    root: Path | None = None
    baseline: Path | None = None


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """Target of a compile and its options.

    Attributes:
        target: output language.
        package: dotted name of the package that all generated packages are placed in; empty for none.
        templates: folder with templates that override built-in ones of the same name.
        with_includes: whether included files are generated too, so that the output can be imported as it is.
        nullable_arguments: whether arguments that are neither `required` nor have a default may be `None`.
    """

    target: str = "python"
    package: str = ""
    templates: Path | None = None
    with_includes: bool = True
    nullable_arguments: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A compile into a folder.

    Attributes:
        output: output folder; created if it does not exist.
        only_compare: compare with the files in the output folder instead of writing them.
        use_cache: skip the compile if inputs, options and outputs are unchanged since the last one. Ignored if contents
            of files are given.
        jobs: number of processes that generate code; 0: as many as cores if there are many files.
    """

    front_end: FrontEnd
    generation: Generation
    output: Path
    only_compare: bool = False
    use_cache: bool = True
    jobs: int = 1
